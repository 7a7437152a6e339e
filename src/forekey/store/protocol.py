"""What Forekey needs of a key-value store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self


class KeyValueStore(Protocol):
    """Bytes by bytes. Keys are at most 500 bytes. One process or many may hold a store open."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key, or None."""
        ...

    def put_many(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Write all items; a reader may see some before the rest, so publish by a pointer written last."""
        ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return all items whose key begins with ``prefix``, in no promised order."""
        ...

    def delete_prefix(self, prefix: bytes) -> None:
        """Remove all items whose key begins with ``prefix``."""
        ...

    def close(self) -> None:
        """Let the store go; closing it twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
