"""Taking a few rows out of a table that lies in many blocks.

Arrow joins all blocks of a column before it takes anything from it, which costs milliseconds for a single row of a
large table. Here rows are taken block by block.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_FEW = 4
"""Of so many rows, fewer than one is wanted: otherwise joining the blocks is the shorter way."""


def take_rows(table: pa.Table, rows: NDArray[np.integer]) -> pa.Table:
    """Return some rows of a table, ``rows [n]`` by position, in the order given."""
    blocks = table.column(0).num_chunks if table.num_columns else 0
    if blocks <= 1 or len(rows) == 0 or _FEW * len(rows) >= len(table):
        return table.take(pa.array(rows))
    batches = table.to_batches()
    ends = np.cumsum([len(batch) for batch in batches])
    block = np.searchsorted(ends, rows, "right")
    order = np.argsort(block, kind="stable")
    parts, first = [], 0
    for number, count in zip(*np.unique(block, return_counts=True), strict=True):
        own = order[first : first + count]
        begin = ends[number] - len(batches[number])
        parts.append(batches[number].take(pa.array(rows[own] - begin)))
        first += count
    taken = pa.Table.from_batches(parts).combine_chunks()
    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    return taken.take(pa.array(back))


def take_values(column: pa.ChunkedArray, rows: NDArray[np.integer]) -> pa.Array:
    """Return some values of a column, ``rows [n]`` by position, in the order given."""
    taken = take_rows(pa.table({"values": column}), rows).column(0).combine_chunks()
    return taken if isinstance(taken, pa.Array) else taken.chunk(0)
