"""Codes and vectors of texts, kept per block of a snapshot: what was encoded once is not encoded again.

Texts are what is slow to encode (of a million rows 2.5 s, where a number takes 0.01 s and a moment 0.2 s), and their
codes depend on no statistics: they are the same for every model, and blocks are shared between snapshots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey import __version__
from forekey.features.embedder import WIDTH, embed_texts
from forekey.features.statistics import TEXT_BUCKETS
from forekey.files import is_draft, sweep_drafts, whole
from forekey.graph import GraphView


class TextCache:
    """A folder of arrays, one file a block and column; a file is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def codes(self, view: GraphView, table: str, column: str, slots: int) -> NDArray[np.int32]:
        """Return the codes of a column of all contents of a table, ``[rows, slots]``, its first code being 1."""
        from forekey.features.encode import text_codes

        made_by = f"codes/{TEXT_BUCKETS}/{slots}/{column}"
        found: NDArray[np.int32] = self._kept(view, table, column, made_by, lambda v: text_codes(v, slots, 1))
        return found if len(found) else np.zeros((0, slots), np.int32)

    def vectors(self, view: GraphView, table: str, column: str) -> NDArray[np.float32]:
        """Return the vectors of a column of all contents of a table, ``[rows, width] float32``."""
        found: NDArray[np.float32] = self._kept(view, table, column, f"vectors/{WIDTH}/{column}", embed_texts)
        return found if len(found) else np.zeros((0, WIDTH), np.float32)

    def _kept(
        self, view: GraphView, table: str, column: str, made_by: str, make: Callable[[pa.ChunkedArray], NDArray[Any]]
    ) -> NDArray[Any]:
        """Read what was made of each block before, or make and keep it."""
        values, at, found = view.all_contents(table).column(column), 0, []
        name = hashlib.blake2b(f"{__version__}/{made_by}".encode(), digest_size=8).hexdigest()
        for digest, length in view.parts(table):
            path = self.folder / f"{digest}-{name}.npy"
            made = _read(path, length)
            if made is None:
                made = make(values.slice(at, length))
                self._write(path, made)
            found.append(made)
            at += length
        return np.concatenate(found) if found else np.zeros((0, 0))

    def sweep(self, blocks: Path) -> None:
        """Delete what was made of blocks that are no longer in a snapshot's folder of blocks, and abandoned drafts."""
        sweep_drafts(self.folder)
        for file in self.folder.glob("*.npy"):
            if is_draft(file):
                continue  # on its way, in this process or another
            if not (blocks / file.name.split("-")[0]).exists():
                file.unlink(missing_ok=True)

    def _write(self, path: Path, made: NDArray[Any]) -> None:
        with whole(path) as draft:
            np.save(draft, made)


def _read(path: Path, length: int) -> NDArray[Any] | None:
    try:
        made: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile):
        return None
    return made if made.ndim == 2 and len(made) == length else None
