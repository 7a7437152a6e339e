"""A folder of files named by their contents: written once, never changed, shared between snapshots."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.errors import SnapshotError
from forekey.project import process_alive

_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class FileRef:
    """One file of the pool: the hash of its bytes, and how many there are."""

    digest: str
    size: int

    def to_list(self) -> list[Any]:
        """JSON form."""
        return [self.digest, self.size]


class Pool:
    """Put files in, map them back. A file is in the pool whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, ref: FileRef) -> Path:
        """Where the file lies."""
        return self._folder / ref.digest

    def put_array(self, array: NDArray[Any]) -> FileRef:
        """Store an array as a .npy file."""
        draft = self._draft()
        with draft.open("wb") as handle:
            np.save(handle, np.ascontiguousarray(array), allow_pickle=False)
        return self._keep(draft)

    def put_table(self, table: pa.Table, batch_rows: int) -> FileRef:
        """Store a table as an uncompressed Arrow IPC file in batches of fixed size."""
        draft = self._draft()
        with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            for batch in table.combine_chunks().to_batches(max_chunksize=batch_rows):
                writer.write_batch(batch)
        return self._keep(draft)

    def array(self, ref: FileRef) -> NDArray[Any]:
        """Map an array, read-only."""
        self.check(ref)
        try:
            return np.load(self.path(ref), mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except ValueError as error:
            raise SnapshotError(_damaged(self.path(ref))) from error

    def table(self, ref: FileRef) -> pa.Table:
        """Map a table; no row is read until it is used."""
        self.check(ref)
        try:
            return pa.ipc.open_file(pa.memory_map(str(self.path(ref)))).read_all()
        except pa.ArrowInvalid as error:
            raise SnapshotError(_damaged(self.path(ref))) from error

    def verify(self, ref: FileRef) -> None:
        """Read the whole file and compare it with its name."""
        self.check(ref)
        if _digest(self.path(ref)) != ref.digest:
            raise SnapshotError(_damaged(self.path(ref)))

    def sweep(self, keep: set[str], min_age_seconds: float) -> int:
        """Delete files that are not in ``keep`` and drafts of processes that are gone; return how many.

        Files younger than ``min_age_seconds`` stay: a build in another process may be about to name them.
        """
        gone, now = 0, time.time()
        for file in self._folder.glob("*"):
            abandoned = file.name.startswith(".draft") and not process_alive(int(file.name.split("-")[1]))
            unnamed = not file.name.startswith(".") and file.name not in keep
            if abandoned or (unnamed and now - file.stat().st_mtime >= min_age_seconds):
                file.unlink(missing_ok=True)
                gone += 1
        return gone

    def _draft(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f".draft-{os.getpid()}-{os.urandom(4).hex()}"

    def _keep(self, draft: Path) -> FileRef:
        descriptor = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        ref = FileRef(_digest(draft), draft.stat().st_size)
        draft.replace(self.path(ref))
        return ref

    def check(self, ref: FileRef) -> None:
        """Refuse a file that is not there in its full length."""
        path = self.path(ref)
        if not path.is_file() or path.stat().st_size != ref.size:
            raise SnapshotError(_damaged(path))


def _digest(path: Path) -> str:
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _damaged(path: Path) -> str:
    return (
        f"The snapshot is damaged: '{path}' is missing, cut short or changed. "
        "Run `forekey snapshot --full` to build it again from the source."
    )
