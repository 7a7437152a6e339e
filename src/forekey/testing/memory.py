"""A key-value store without a disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self


class MemoryStore:
    """A :class:`forekey.store.KeyValueStore` in a dictionary."""

    def __init__(self) -> None:
        self._items: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        return self._items.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key, or None."""
        return [self._items.get(k) for k in keys]

    def put_many(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Write all items."""
        self._items.update(items)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return all items whose key begins with ``prefix``."""
        return iter([(k, v) for k, v in self._items.items() if k.startswith(prefix)])

    def delete_prefix(self, prefix: bytes) -> None:
        """Remove all items whose key begins with ``prefix``."""
        self._items = {k: v for k, v in self._items.items() if not k.startswith(prefix)}

    def close(self) -> None:
        """Do nothing: memory needs no closing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
