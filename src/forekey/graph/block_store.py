"""A folder of blocks named by their contents: written once, never changed, shared between snapshots.

Arrays are cut into blocks of :data:`ARRAY_BLOCK` values and mapped back as one; what two snapshots have in common at
the front of an array, they share, so that a snapshot that grew costs the disk what it grew by.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.errors import SnapshotError
from forekey.files import flush_folder, sweep_drafts, write_whole
from forekey.graph.mapping import map_files

_DIGITS = 32
"""Of a block's SHA-256, in its name. Processors have instructions for it: twice as fast here as BLAKE2."""

ARRAY_BLOCK = 1 << 20
"""Values per block of an array: a multiple of the page size of every machine, so that blocks can be mapped in a row."""


@dataclass(frozen=True, slots=True)
class FileRef:
    """One file of the pool: the hash of its bytes, and how many there are."""

    digest: str
    size: int

    def to_list(self) -> list[Any]:
        """JSON form."""
        return [self.digest, self.size]


@dataclass(frozen=True, slots=True)
class ArrayRef:
    """An array of the pool: little-endian values of ``dtype``, cut into blocks."""

    dtype: str
    length: int
    blocks: tuple[FileRef, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"dtype": self.dtype, "length": self.length, "blocks": [b.to_list() for b in self.blocks]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ArrayRef:
        """Read what :meth:`to_dict` wrote."""
        return cls(data["dtype"], data["length"], tuple(FileRef(*b) for b in data["blocks"]))


class BlockStore:
    """Put blocks in, map them back. A file is in the pool whole or not at all."""

    def __init__(self, folder: Path, *, rewrite: bool = False) -> None:
        self.folder = folder
        self._rewrite = rewrite  # also what seems to be here: it may have been damaged

    def path(self, ref: FileRef) -> Path:
        """Where the file lies."""
        return self.folder / ref.digest

    def put(self, contents: bytes | memoryview | pa.Buffer) -> FileRef:
        """Store some bytes; those that are here already are not written again."""
        view = memoryview(contents)
        ref = FileRef(hashlib.sha256(view).hexdigest()[:_DIGITS], view.nbytes)
        target = self.path(ref)
        if not self._rewrite and target.is_file() and target.stat().st_size == ref.size:
            os.utime(target)  # as good as new: a sweep in another process must not take it
            return ref
        # The folder is flushed once, before a manifest names what is in it.
        write_whole(target, view, flush_name=False)
        return ref

    def put_array(self, array: NDArray[Any], same_as: ArrayRef | None = None, same: int = 0) -> ArrayRef:
        """Store an array, whose first ``same`` values are known to be those of ``same_as``."""
        plain = np.ascontiguousarray(array)
        shared = () if same_as is None else same_as.blocks[: min(same, same_as.length) // ARRAY_BLOCK]
        starts = range(len(shared) * ARRAY_BLOCK, len(plain), ARRAY_BLOCK)
        fresh = [self.put(plain[i : i + ARRAY_BLOCK].view(np.uint8).data) for i in starts]
        return ArrayRef(plain.dtype.str, len(plain), (*shared, *fresh))

    def array(self, ref: ArrayRef) -> NDArray[Any]:
        """Map an array, read-only."""
        raw = map_files([(self.check(b), b.size) for b in ref.blocks])
        dtype = np.dtype(ref.dtype)
        if len(raw) != ref.length * dtype.itemsize:
            raise SnapshotError(_damaged(self.folder))
        return raw.view(dtype)

    def buffer(self, ref: FileRef) -> pa.Buffer:
        """Map a file as an Arrow buffer."""
        return pa.py_buffer(map_files([(self.check(ref), ref.size)]))

    def verify(self, ref: FileRef) -> None:
        """Read the whole file and compare it with its name."""
        with self.check(ref).open("rb") as handle:
            if hashlib.file_digest(handle, "sha256").hexdigest()[:_DIGITS] != ref.digest:
                raise SnapshotError(_damaged(self.path(ref)))

    def sweep(self, keep: set[str], min_age_seconds: float) -> int:
        """Delete files that are not in ``keep`` and drafts of processes that are gone; return how many.

        Files younger than ``min_age_seconds`` stay: a build in another process may be about to name them.
        """
        gone, now = sweep_drafts(self.folder), time.time()
        for file in self.folder.glob("*"):
            unnamed = not file.name.startswith(".") and file.name not in keep
            if unnamed and now - file.stat().st_mtime >= min_age_seconds:
                file.unlink(missing_ok=True)
                gone += 1
        return gone

    def flush(self) -> None:
        """Flush the names of the files to the disk, before a manifest that lists them is written."""
        if self.folder.is_dir():
            flush_folder(self.folder)

    def check(self, ref: FileRef) -> Path:
        """Return where a file lies; refuse one that is not there in its full length."""
        path = self.path(ref)
        try:
            intact = path.stat().st_size == ref.size
        except FileNotFoundError:
            intact = False
        if not intact:
            raise SnapshotError(_damaged(path))
        return path


class Writer:
    """Hashing and writing beside the work that makes the blocks: a thread, a bounded queue, results in order."""

    def __init__(self, pool: BlockStore, ahead: int = 2) -> None:
        self.pool = pool
        self._threads = ThreadPoolExecutor(1, "forekey-writer")
        self._ahead = ahead
        self._waiting: list[Future[Any]] = []

    def submit(self, job: Any, *arguments: Any) -> Future[Any]:
        """Run ``job(*arguments)`` beside; block while too much waits, so that memory stays bounded."""
        self._waiting = [f for f in self._waiting if not f.done()]
        if len(self._waiting) >= self._ahead:
            self._waiting.pop(0).result()
        future = self._threads.submit(job, *arguments)
        self._waiting.append(future)
        return future

    def close(self) -> None:
        """Let the thread go; what has not begun is given up."""
        self._threads.shutdown(cancel_futures=True)


@contextmanager
def writer(pool: BlockStore) -> Iterator[Writer]:
    """Write beside the work of the ``with`` block."""
    own = Writer(pool)
    try:
        yield own
    finally:
        own.close()


def _damaged(path: Path) -> str:
    return (
        f"The snapshot is damaged: '{path}' is missing, cut short or changed. "
        "Run `forekey snapshot --full` to build it again from the source."
    )
