"""Redis, or any server with its protocol (Valkey, KeyDB): a store shared between machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self

from forekey.errors import StoreError
from forekey.secrets import encoded, reason_without, remember, without_password

_BATCH = 5_000


class RedisStore:
    """A :class:`~forekey.store.KeyValueStore` on a server; keys are prefixed so that projects may share one."""

    def __init__(self, url: str, namespace: bytes = b"forekey/") -> None:
        try:
            import redis
        except ImportError as error:
            raise StoreError("A Redis store needs the redis extra: pip install 'forekey[redis]'.") from error
        remember(url)
        self._url, self._namespace, self._errors = without_password(url), namespace, redis.RedisError
        try:
            self._client: Any = redis.Redis.from_url(encoded(url))
        except ValueError as error:
            reason = reason_without(str(error), url)
            raise StoreError(f"store: '{self._url}' is not a URL that Redis understands: {reason}.") from error
        self._call(self._client.ping)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        value: bytes | None = self._call(self._client.get, self._namespace + key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in one round trip."""
        values: list[bytes | None] = self._call(self._client.mget, [self._namespace + k for k in keys]) if keys else []
        return values

    def put_many(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Write in batches, one round trip each."""
        iterator = iter(items)
        while batch := list(islice(iterator, _BATCH)):
            self._call(self._client.mset, {self._namespace + k: v for k, v in batch})

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return items as the server walks them; those written meanwhile may be missed."""
        found = self._call(lambda: list(self._client.scan_iter(match=_literal(self._namespace + prefix), count=_BATCH)))
        for first in range(0, len(found), _BATCH):
            names = found[first : first + _BATCH]
            for name, value in zip(names, self._call(self._client.mget, names), strict=True):
                if value is not None:
                    yield name[len(self._namespace) :], value

    def delete_prefix(self, prefix: bytes) -> None:
        """Remove all items whose key begins with ``prefix``."""
        names = [self._namespace + key for key, _ in self.scan(prefix)]
        for first in range(0, len(names), _BATCH):
            self._call(self._client.unlink, *names[first : first + _BATCH])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._errors as error:
            raise StoreError(f"The store at '{self._url}' does not answer: {error}. Is the server running?") from error


def _literal(prefix: bytes) -> bytes:
    """Quote what a glob pattern would read as special, and match anything after it."""
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\^" else bytes([c]) for c in prefix) + b"*"
