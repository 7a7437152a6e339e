"""What rows without a time looked like before they changed.

A row that carries no time is visible always. If an update finds it changed, its old contents stay what a query before
that moment sees, so that training on the past does not learn from today's attributes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey import duckdb_session
from forekey.graph.timestamps import Micros

Moments = NDArray[np.int64]


@dataclass(frozen=True)
class Versions:
    """Former contents ``rows``, of the nodes ``nodes [len(rows)] int32``, each seen before ``until`` (microseconds).

    Ordered by node, then ``until``.
    """

    rows: pa.Table
    nodes: NDArray[np.int32]
    until: Micros

    def __len__(self) -> int:
        return len(self.nodes)

    def at(self, rows: NDArray[np.int32], moments: Moments, num_nodes: int) -> NDArray[np.int32]:
        """Return, per row and moment, which contents were there: the row itself, or ``num_nodes`` + a version.

        The first version that was still seen at the moment (``moment < until``) is the one.
        """
        low, high = np.searchsorted(self.nodes, rows, "left"), np.searchsorted(self.nodes, rows, "right")
        end = high.copy()
        while (open_ := low < high).any():
            middle = np.minimum((low + high) // 2, len(self.nodes) - 1)
            seen = self.until[middle] <= moments
            low = np.where(open_ & seen, middle + 1, low)
            high = np.where(open_ & ~seen, middle, high)
        return np.where(low < end, num_nodes + low, rows).astype(np.int32)


def changed_rows(
    before: pa.Table, now: pa.Table, moved: NDArray[np.int32], late: Collection[str] = ()
) -> NDArray[np.int32]:
    """Return which rows of ``before`` stand in ``now`` (at ``moved``, -1: nowhere) with other contents.

    Columns that only one of the two has do not count, but for those that the source got since (``late``): they were
    NULL before.
    """
    shared = [f.name for f in now.schema if f.name in before.schema.names or f.name in late]
    if not shared or len(before) == 0:
        return np.empty(0, np.int32)
    before = _like(now, before)
    stayed = np.flatnonzero(moved >= 0).astype(np.int32)
    places = [str(i) for i in range(len(shared))]  # DuckDB tells no names apart that differ in case alone
    one = before.select(shared).take(pa.array(stayed)).rename_columns(places).append_column("row", pa.array(stayed))
    now_there = now.select(shared).take(pa.array(moved[stayed]))
    two = now_there.rename_columns(places).append_column("row", pa.array(stayed))
    with duckdb_session.connect() as connection:
        connection.register("one", one)
        connection.register("two", two)
        differ = connection.sql("SELECT * FROM one EXCEPT SELECT * FROM two").to_arrow_table()
    found: NDArray[np.int32] = np.sort(differ.column("row").to_numpy())
    return found


def carry(
    before: Versions | None,
    old: pa.Table,
    now: pa.Table,
    moved: NDArray[np.int32],
    seen: int,
    late: Collection[str] = (),
) -> Versions:
    """Return the versions of a table after an update seen at ``seen``: those there were, and what changed just now."""
    changed = changed_rows(old, now, moved, late)
    parts: list[pa.Table] = []
    nodes: list[NDArray[np.int32]] = []
    until: list[NDArray[np.int64]] = []
    if before is not None and len(before):
        still = moved[before.nodes]
        stays = np.flatnonzero(still >= 0)
        parts, nodes, until = [_like(now, before.rows.take(pa.array(stays)))], [still[stays]], [before.until[stays]]
        # Contents that came and went at one moment were never seen.
        changed = changed[~np.isin(moved[changed], still[stays][before.until[stays] == seen])]
    parts.append(_like(now, old.take(pa.array(changed))))
    nodes.append(moved[changed])
    until.append(np.full(len(changed), seen, np.int64))
    rows, all_nodes, all_until = pa.concat_tables(parts), np.concatenate(nodes), np.concatenate(until)
    order = np.lexsort((all_until, all_nodes))
    return Versions(rows.take(pa.array(order)).combine_chunks(), all_nodes[order].astype(np.int32), all_until[order])


def _like(model: pa.Table, rows: pa.Table) -> pa.Table:
    """Return rows with the columns and types of another table; what they lack, or cannot be as that type, is NULL."""
    return pa.table({f.name: _as(rows, f) for f in model.schema})


def _as(rows: pa.Table, field: pa.Field) -> Any:
    if field.name not in rows.schema.names:
        return pa.nulls(len(rows), field.type)
    try:
        return rows.column(field.name).cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(rows), field.type)
