"""A table on its way into a snapshot: blocks written as rows stream by, times and key numbers in memory."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.graph.block_store import BlockStore, FileRef, Writer
from forekey.graph.change_detection import Seen, Survey
from forekey.graph.key_index import KeyIndex
from forekey.graph.rows import Staging, canonical, contents, missing_of
from forekey.graph.statistics import Sketch, sketch_rows

ROW_BLOCK = 1 << 18
"""Rows per block of a table."""

Keys = tuple[NDArray[np.int64], NDArray[np.bool_]]
"""Numbers of foreign keys, and which of them are there (not NULL)."""


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Up to :data:`ROW_BLOCK` consecutive rows (Arrow IPC), and their sketch (JSON)."""

    rows: FileRef
    length: int
    sketch: FileRef

    def to_list(self) -> list[Any]:
        """JSON form."""
        return [*self.rows.to_list(), self.length, *self.sketch.to_list()]

    @classmethod
    def from_list(cls, data: list[Any]) -> RowBlock:
        """Read what :meth:`to_list` wrote."""
        return cls(FileRef(data[0], data[1]), data[2], FileRef(data[3], data[4]))


@dataclass(frozen=True)
class Kept:
    """The leading rows that a table has in common with the previous snapshot."""

    length: int = 0
    blocks: tuple[RowBlock, ...] = ()
    tail: pa.Table | None = None  # the rows after the last whole block
    index: KeyIndex = field(default_factory=KeyIndex)
    times: NDArray[np.int64] | None = None
    unreadable: dict[str, NDArray[np.int32]] = field(default_factory=dict)


@dataclass
class Written:
    """Rows written behind the kept ones."""

    blocks: list[RowBlock]
    length: int
    times: NDArray[np.int64] | None
    numbers: NDArray[np.int64] | None
    foreign: dict[str, Keys]
    undated: int = 0
    dropped: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """Times of rows left out, by reason (zeros in a table without times)."""
    unreadable: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    """Rows, ascending, whose value of a column does not read as the column's type: NULL to the graph."""
    repeated: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Numbers of keys of which rows were left out as duplicates, ascending."""


class RowWriter:
    """Takes staged batches in canonical order, leaves out what cannot be a node, and writes blocks."""

    def __init__(self, writer: Writer, staging: Staging, kept: Kept) -> None:
        self._writer, self._staging, self._kept = writer, staging, kept
        self._pending: list[pa.Table] = [kept.tail] if kept.tail is not None else []
        self._blocks: list[Future[RowBlock]] = []
        self._times: list[NDArray[np.int64]] = []
        self._numbers: list[NDArray[np.int64]] = []
        self._foreign: dict[str, tuple[list[NDArray[np.int64]], list[NDArray[np.bool_]]]] = {
            c: ([], []) for c in staging.forms
        }
        self._undated = 0
        self._dropped: dict[str, list[NDArray[np.int64]]] = {}
        self._unreadable: dict[str, list[NDArray[np.int32]]] = {}
        self._repeated: list[NDArray[np.int64]] = []
        self._length = 0

    def write(self, batches: pa.RecordBatchReader) -> Written:
        """Write all batches."""
        for batch in batches:
            self._add(self._usable(batch))
        if self._pending:
            self._flush(final=True)
        elif not self._blocks and not self._kept.blocks:
            # An empty table has one empty block, which knows its columns.
            nothing = contents(pa.Table.from_batches([], schema=batches.schema))
            self._blocks.append(self._writer.submit(put_rows, self._writer.pool, nothing, self._staging))
        return Written(
            [*self._kept.blocks, *(f.result() for f in self._blocks)],
            self._length,
            _joined(self._times) if self._staging.table.time_column is not None else None,
            _joined(self._numbers) if self._staging.table.primary_key is not None else None,
            {c: (_joined(numbers), _joined(there, np.bool_)) for c, (numbers, there) in self._foreign.items()},
            self._undated,
            {reason: _joined(times) for reason, times in self._dropped.items()},
            {column: _joined(rows) for column, rows in self._unreadable.items()},
            np.unique(_joined(self._repeated)),
        )

    def _usable(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Leave out and count rows without a time or key, and those whose key an older row has."""
        table = self._staging.table
        if table.time_column is not None and (time := batch.column(self._staging.c(table.time_column))).null_count:
            self._undated += time.null_count
            batch = batch.filter(time.is_valid())
        if table.primary_key is not None:
            key = batch.column(self._staging.c(table.primary_key))
            if key.null_count:
                batch = self._drop(batch, missing_of(key), "no key")
            if self._kept.length and len(batch):
                numbers = batch.column("p").to_numpy()
                known = self._kept.index.find(numbers) >= 0
                self._repeated.append(numbers[known])
                batch = self._drop(batch, known, "duplicate key")
        return batch

    def _drop(self, batch: pa.RecordBatch, unfit: NDArray[np.bool_], reason: str) -> pa.RecordBatch:
        if not unfit.any():
            return batch
        time = self._staging.table.time_column
        gone = batch.filter(pa.array(unfit))
        times = _micros(gone.column(self._staging.c(time))) if time is not None else np.zeros(len(gone), np.int64)
        self._dropped.setdefault(reason, []).append(times)
        return batch.filter(pa.array(~unfit))

    def _add(self, batch: pa.RecordBatch) -> None:
        """Take a batch in. What is kept of it in memory is copied: a view would hold on to all of its columns."""
        if len(batch) == 0:
            return
        table = self._staging.table
        if table.time_column is not None:
            self._times.append(_micros(batch.column(self._staging.c(table.time_column))))
        if table.primary_key is not None:
            self._numbers.append(batch.column("p").to_numpy().copy())
        for name, (numbers, there) in self._foreign.items():
            column = batch.column(self._staging.f(name))
            numbers.append(column.fill_null(0).to_numpy().copy())
            there.append(~missing_of(column))
        for name in batch.schema.names:
            if name.startswith("u") and len(rows := np.flatnonzero(batch.column(name).to_numpy(zero_copy_only=False))):
                self._unreadable.setdefault(name.split(":", 1)[1], []).append(
                    (rows + self._kept.length + self._length).astype(np.int32)
                )
        self._length += len(batch)
        self._pending.append(contents(pa.Table.from_batches([batch])))
        if sum(len(p) for p in self._pending) >= ROW_BLOCK:
            self._flush()

    def _flush(self, *, final: bool = False) -> None:
        rows = pa.concat_tables(self._pending)
        while len(rows) >= ROW_BLOCK or (final and len(rows)):
            self._blocks.append(self._writer.submit(put_rows, self._writer.pool, rows[:ROW_BLOCK], self._staging))
            rows = rows[ROW_BLOCK:]
        self._pending = [rows] if len(rows) else []


def put_rows(pool: BlockStore, rows: pa.Table, staging: Staging) -> RowBlock:
    """Write one block and its sketch."""
    clean = canonical(rows.combine_chunks())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, clean.schema) as out:
        out.write_table(clean)
    sketch = json.dumps(sketch_rows(clean, staging.table)).encode()
    return RowBlock(pool.put(sink.getvalue()), len(clean), pool.put(sketch))


def read_sketch(pool: BlockStore, block: RowBlock) -> Sketch:
    """Read the sketch of a block."""
    sketch: Sketch = json.loads(bytes(pool.buffer(block.sketch)))
    return sketch


def read_rows(pool: BlockStore, block: RowBlock) -> pa.Table:
    """Map the rows of a block."""
    return pa.ipc.open_file(pool.buffer(block.rows)).read_all()


@dataclass
class Draft:
    """A table as the snapshot to come will have it."""

    staging: Staging
    blocks: list[RowBlock]
    length: int
    kept: int
    """How many leading rows are those of the previous snapshot, in their places."""
    times: NDArray[np.int64] | None
    index: KeyIndex
    foreign: dict[str, Keys]
    """Foreign keys of the rows after the kept ones."""
    moved: NDArray[np.int32] | None
    """Row of each row of the previous snapshot, -1 where it is gone; None if all are in their places."""
    read: int
    undated: int
    dropped: dict[str, NDArray[np.int64]]
    """Times of rows left out, by reason, ascending."""
    how: str
    unreadable: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    """Rows, ascending, whose value of a column does not read as the column's type."""
    repeated: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Numbers of keys of which rows were left out as duplicates, ascending."""
    deleted: int = 0
    placeholders: int = 0
    updated_until: int | None = None
    survey: tuple[int, Survey] | None = None
    """What the source said of the rows up to a mark that were known, when they were not read again."""
    hashed: tuple[int, int] | None = None
    """How many rows of the source, each with a time (or key), were read now, and the sum of their hashes."""
    seen: Seen | None = None

    def rows_read_until(self, mark: int) -> int:
        """How many rows at or before a mark, each with a time (or, in a table without times, a key), were read."""
        if self.times is None:
            return self.length + len(self.dropped.get("duplicate key", ()))
        return sum(int(np.searchsorted(t, mark, "right")) for t in (self.times, *self.dropped.values()))

    @property
    def quarantined(self) -> dict[str, int]:
        """How many rows were left out, by reason."""
        counts = {
            "deleted": self.deleted,
            "no time": self.undated,
            **{reason: len(times) for reason, times in self.dropped.items()},
        }
        return {reason: n for reason, n in counts.items() if n}

    @property
    def watermark(self) -> int | None:
        """The newest time of any row read, left out or not: an update starts after it."""
        if self.times is None:
            return None
        return max((int(t[-1]) for t in (self.times, *self.dropped.values()) if len(t)), default=None)


def _micros(column: pa.Array) -> NDArray[np.int64]:
    values: NDArray[np.int64] = column.cast(pa.int64()).to_numpy().copy()
    return values


def _joined(parts: list[NDArray[Any]], dtype: Any = np.int64) -> NDArray[Any]:
    """Join arrays into one, letting each go as it is copied."""
    whole, at = np.empty(sum(map(len, parts)), parts[0].dtype if parts else dtype), 0
    parts.reverse()
    while parts:
        part = parts.pop()
        whole[at : at + len(part)] = part
        at += len(part)
    return whole
