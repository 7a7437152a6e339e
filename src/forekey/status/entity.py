"""One row of the graph with what belongs to it: its own values, the rows it refers to, and those that refer to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from forekey.graph import Snapshot, from_micros, to_micros

_NEWEST = 10
"""Rows of one table that are shown."""


@dataclass(frozen=True, slots=True)
class RelatedRows:
    """The newest rows of ``table`` that refer to the row by ``relation`` (``table.column``), newest first.

    ``columns`` are their columns, ``rows`` their values, ``times`` when each happened; ``total`` counts them all.
    Where ``is_parent``, it is the one row that the row itself refers to.
    """

    table: str
    relation: str
    is_parent: bool
    total: int
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    keys: tuple[Any, ...]
    times: tuple[datetime | None, ...]


@dataclass(frozen=True, slots=True)
class EntityRows:
    """One row as of the snapshot."""

    table: str
    key: Any
    time: datetime | None
    values: dict[str, Any]
    related: tuple[RelatedRows, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def entity_rows(snapshot: Snapshot, table: str, key: Any) -> EntityRows | None:
    """Return a row by its key with its neighbours as of the snapshot; None for one that is not there by then."""
    row = int(snapshot.lookup(table, [key])[0])
    now = to_micros(snapshot.as_of)
    if row < 0 or not snapshot.presence(table).of(np.array([row], np.int32), np.array([now]))[0]:
        return None
    times = snapshot.times(table)
    values = snapshot.rows(table).slice(row, 1).to_pylist()[0]
    related = [
        *(_parent(snapshot, i, row, now) for i, e in enumerate(snapshot.edge_types) if e.child == table),
        *(_children(snapshot, i, row, now) for i, e in enumerate(snapshot.edge_types) if e.parent == table),
    ]
    return EntityRows(
        table, snapshot.keys(table)[row].as_py(), from_micros(int(times[row])) if times is not None else None, values,
        tuple(r for r in related if r is not None),
    )  # fmt: skip


def _parent(snapshot: Snapshot, number: int, row: int, now: int) -> RelatedRows | None:
    edge = snapshot.edge_types[number]
    parent = np.array([snapshot.parents(edge)[row]], np.int32)
    if parent[0] < 0 or not snapshot.presence(edge.parent).of(parent, np.array([now]))[0]:
        return None
    return _related(snapshot, edge.parent, f"{edge.child}.{edge.column}", parent, 1, is_parent=True)


def _children(snapshot: Snapshot, number: int, row: int, now: int) -> RelatedRows:
    edge = snapshot.edge_types[number]
    adjacency, one = snapshot.adjacency(edge), np.array([row], np.int32)
    degrees = adjacency.degrees(one, np.array([now]))
    total = int(degrees.sum())
    rows, _ = adjacency.newest(one, degrees, np.array([min(total, _NEWEST)], np.int64))
    return _related(snapshot, edge.child, f"{edge.child}.{edge.column}", rows, total, is_parent=False)


def _related(
    snapshot: Snapshot, table: str, relation: str, rows: np.ndarray[Any, Any], total: int, *, is_parent: bool
) -> RelatedRows:
    known, times = snapshot.schema.table(table), snapshot.times(table)
    found = snapshot.rows(table).take(pa.array(rows.astype(np.int64)))
    columns = tuple(found.column_names)  # a foreign key's column is an edge, and not kept
    keys = found.column(known.primary_key).to_pylist() if known.primary_key else [None] * len(rows)
    when = [from_micros(int(times[r])) if times is not None else None for r in rows.tolist()]
    values = [tuple(r[c] for c in columns) for r in found.to_pylist()]
    return RelatedRows(table, relation, is_parent, total, columns, tuple(values), tuple(keys), tuple(when))
