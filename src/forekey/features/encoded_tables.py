"""Encoded rows of a graph's tables: by block, cached on disk where blocks are large, mapped and shared by processes.

A block is encoded once for all processes and models that encode it alike; a snapshot shares most blocks with the one
before. Of a block that is not encoded yet, a few rows are encoded by themselves: an online prediction about rows that
are rarely asked for need not wait for their block.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from forekey.features.columns import Encoded
from forekey.features.table_encoder import TableEncoder
from forekey.files import is_draft, sweep_drafts, whole
from forekey.graph import GraphView, take_rows

_SMALL = 8_192
"""Blocks of up to so many rows are encoded at once, in memory: sooner than a file is found."""
_FEW = 1 / 8
"""Once this part of a block's rows was encoded one by one, the whole block is encoded."""
_UNUSED_DAYS = 7.0
_MOST = 4.0
"""How many times the size of the snapshots' blocks the cache may have: each training may learn other statistics."""


class EncodedTables:
    """The encoded tables of one graph; ``cache`` is a folder for blocks, without which they are kept in memory."""

    def __init__(self, view: GraphView, encoders: Iterable[TableEncoder], cache: Path | None = None) -> None:
        self._view = view
        self._groups = {encoder.table: [_Group(view, part, cache) for part in encoder.split()] for encoder in encoders}

    def take(self, table: str, contents: NDArray[np.int32]) -> Encoded:
        """Return encoded rows, numbered as :meth:`forekey.graph.GraphView.contents_at` does."""
        return Encoded.beside([group.take(contents) for group in self._groups[table]], len(contents))

    def num_contents(self, table: str) -> int:
        """Return how many contents the table has now."""
        return len(self._view.all_contents(table))

    def prepare(self, tables: Iterable[str]) -> None:
        """Encode all blocks of some tables, or map them where that was done before."""
        for table in tables:
            for group in self._groups[table]:
                group.prepare()


@dataclass
class _Block:
    """A block of contents ``start`` to ``stop``, how many of its rows were encoded by themselves, and its arrays."""

    digest: str
    start: int
    stop: int
    few: int = 0
    encoded: Encoded | None = None

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass
class _Group:
    """Columns of one table that are cached together."""

    view: GraphView
    encoder: TableEncoder
    cache: Path | None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.blocks, at = list[_Block](), 0
        for digest, length in self.view.parts(self.encoder.table):
            self.blocks.append(_Block(digest, at, at + length))
            at += length
        self.ends = np.array([block.stop for block in self.blocks], np.int64)

    def take(self, contents: NDArray[np.int32]) -> Encoded:
        """Return the encoded columns of some contents."""
        if len(self.blocks) == 1 and (len(contents) == 0 or int(contents.max()) < self.blocks[0].stop):
            return self._of_block(self.blocks[0], contents)
        n = len(contents)
        values = np.empty((n, self.encoder.num_values), np.float32)
        token_ids = np.empty((n, self.encoder.num_tokens), np.int32)
        which = np.searchsorted(self.ends, contents, "right")
        for number in np.flatnonzero(np.bincount(which)) if n else ():
            there = np.flatnonzero(which == number)
            # Rows that came after all blocks were written are encoded as they are asked for.
            live = number == len(self.blocks)
            part = self._alone(contents[there]) if live else self._of_block(self.blocks[number], contents[there])
            values[there], token_ids[there] = part.values, part.token_ids
        return Encoded(values, token_ids)

    def prepare(self) -> None:
        """Encode or map all blocks."""
        for block in self.blocks:
            self._whole(block)

    def _of_block(self, block: _Block, contents: NDArray[np.int32]) -> Encoded:
        """Return the encoded columns of contents that lie in one block."""
        if block.encoded is None and len(block) > _SMALL and not self._map(block):
            block.few += len(contents)
            if block.few <= _FEW * len(block):
                return self._alone(contents)
        return self._whole(block).take(contents - np.int32(block.start))

    def _alone(self, contents: NDArray[np.int32]) -> Encoded:
        """Encode some contents by themselves."""
        rows = self.view.all_contents(self.encoder.table).select(self.encoder.reads)
        return self.encoder.encode(take_rows(rows, contents))

    def _whole(self, block: _Block) -> Encoded:
        """Return a block encoded, from memory, from the disk, or now."""
        if block.encoded is None and not self._map(block):
            with self.lock:
                if block.encoded is None and not self._map(block):
                    rows = self.view.all_contents(self.encoder.table).slice(block.start, len(block))
                    block.encoded = self._kept(block, self.encoder.encode(rows))
        assert block.encoded is not None
        return block.encoded

    def _kept(self, block: _Block, encoded: Encoded) -> Encoded:
        """Write an encoded block that is large, and return it mapped."""
        if self.cache is None or len(block) <= _SMALL:
            return encoded
        try:
            for path, array in zip(self._files(block), (encoded.values, encoded.token_ids), strict=True):
                with whole(path) as draft:
                    np.save(draft, array)
        except OSError:  # a cache that cannot be written is done without
            return encoded
        return encoded if not self._map(block) or block.encoded is None else block.encoded

    def _map(self, block: _Block) -> bool:
        """Map a block's files if they are there, and whole."""
        if self.cache is None or len(block) <= _SMALL:
            return False
        places, rows = self._files(block), len(block)
        values = _mapped(places[0], (rows, self.encoder.num_values), np.float32)
        token_ids = _mapped(places[1], (rows, self.encoder.num_tokens), np.int32)
        if values is None or token_ids is None:
            return False
        block.encoded = Encoded(values, token_ids)
        return True

    def _files(self, block: _Block) -> tuple[Path, Path]:
        assert self.cache is not None
        name = f"{block.digest}-{self.encoder.id}"
        return self.cache / f"{name}.values.npy", self.cache / f"{name}.token_ids.npy"


def _mapped(path: Path, shape: tuple[int, int], dtype: type[np.generic]) -> NDArray[Any] | None:
    """Map an array from a file and mark it as used; None where the file holds something else, or nothing."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile, SyntaxError, TokenError):  # what a damaged header may raise
        return None
    if not isinstance(found, np.ndarray) or found.shape != shape or found.dtype != dtype:
        return None
    with suppress(OSError):  # files of another user, or swept meanwhile: what is mapped stays readable
        os.utime(path)
    return np.asarray(found)


def sweep_encoded(cache: Path, blocks: Path) -> None:
    """Delete what was made of blocks that are in no snapshot any more, what no process opened for a week, and drafts.

    Of the rest, what was opened last is kept, up to :data:`_MOST` times the size of the snapshots' blocks, which lie in
    the folder ``blocks``. What a process has mapped stays readable to it.
    """
    sweep_drafts(cache)
    oldest, left = time.time() - _UNUSED_DAYS * 86_400, _MOST * sum(size for _, size, _ in _listed(blocks, "*"))
    for opened, size, file in sorted(_listed(cache, "*.npy"), reverse=True):
        left -= size
        if left < 0 or opened < oldest or not (blocks / file.name.split("-")[0]).exists():
            file.unlink(missing_ok=True)


def _listed(folder: Path, pattern: str) -> Iterator[tuple[float, int, Path]]:
    """Yield when each file of a folder was opened last, and its size; drafts and files that are gone are left out."""
    for file in folder.glob(pattern):
        if not is_draft(file):  # on its way, in this process or another
            with suppress(FileNotFoundError):  # another process sweeps too
                facts = file.stat()
                yield facts.st_mtime, facts.st_size, file
