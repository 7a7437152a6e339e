"""LMDB: a store in one memory-mapped file, read by any number of processes without locks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb

from forekey.errors import StoreError

_MAP_BYTES = 1 << 38  # address space, not disk: the file grows with what is written
_BATCH = 50_000

# LMDB allows one environment per file and process; those who ask share it.
_shared: dict[str, tuple[Any, int]] = {}
_shared_lock = threading.Lock()


class LmdbStore:
    """A :class:`~forekey.store.KeyValueStore` in a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder.resolve())
        self._closed = False
        with _shared_lock:
            environment, holders = _shared.get(self._path, (None, 0))
            if environment is None:
                environment = _open(folder)
            _shared[self._path] = (environment, holders + 1)
        self._environment = environment

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        with self._environment.begin(buffers=False) as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values as one moment shows them."""
        with self._environment.begin(buffers=False) as transaction:
            return [transaction.get(key) for key in keys]

    def put_many(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Write in transactions of bounded size, each durable when it returns."""
        iterator = iter(items)
        try:
            while batch := list(islice(iterator, _BATCH)):
                with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
                    cursor.putmulti(batch)
        except lmdb.MapFullError as error:
            raise StoreError(f"The store in '{self._path}' is full. Free disk space, or use a Redis store.") from error

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return items in the order of their keys, as one moment shows them."""
        with self._environment.begin(buffers=False) as transaction, transaction.cursor() as cursor:
            if not cursor.set_range(prefix):
                return
            for key, value in cursor:
                if not key.startswith(prefix):
                    return
                yield key, value

    def delete_prefix(self, prefix: bytes) -> None:
        """Remove all items whose key begins with ``prefix``."""
        with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            found = cursor.set_range(prefix)
            while found and cursor.key().startswith(prefix):
                found = cursor.delete()

    def close(self) -> None:
        """Let the file go when the last holder in this process does."""
        if self._closed:
            return
        self._closed = True
        with _shared_lock:
            environment, holders = _shared[self._path]
            if holders > 1:
                _shared[self._path] = (environment, holders - 1)
            else:
                del _shared[self._path]
                environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open(folder: Path) -> Any:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return lmdb.open(str(folder), map_size=_MAP_BYTES, max_readers=512)
    except (lmdb.Error, OSError) as error:
        raise StoreError(
            f"The store in '{folder}' cannot be opened: {error}. Check the folder, or delete it."
        ) from error
