"""One row of the graph with what belongs to it: its own values, the rows it refers to, and those that refer to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import Snapshot, from_micros, to_micros
from forekey.schema import EdgeType

_NEWEST = 10
"""Rows of one table that are shown."""


@dataclass(frozen=True, slots=True)
class RelatedRows:
    """The newest rows of ``table`` that refer to the row by ``relation`` (``table.column``), newest first.

    ``columns`` are their columns and what their other foreign keys name, ``rows`` their values, ``times`` when each
    happened; ``total`` counts them all.
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
    values = dict(zip(snapshot.rows(table).column_names, _values(snapshot.rows(table).slice(row, 1))[0], strict=True))
    related = [
        *(_parent(snapshot, i, row, now) for i, e in enumerate(snapshot.edge_types) if e.child == table),
        *(_children(snapshot, i, row, now) for i, e in enumerate(snapshot.edge_types) if e.parent == table),
    ]
    return EntityRows(
        table, snapshot.keys(table)[row].as_py(), _moment(int(times[row])) if times is not None else None, values,
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
    snapshot: Snapshot, table: str, relation: str, rows: NDArray[np.int32], total: int, *, is_parent: bool
) -> RelatedRows:
    known, times = snapshot.schema.table(table), snapshot.times(table)
    found = snapshot.rows(table).take(pa.array(rows.astype(np.int64)))
    keys = found.column(known.primary_key).to_pylist() if known.primary_key else [None] * len(rows)
    when = [_moment(int(times[r])) if times is not None else None for r in rows.tolist()]
    if known.time_column in found.column_names:
        found = found.drop_columns([known.time_column])  # it stands before the others
    for edge in snapshot.edge_types:
        if edge.child == table and f"{edge.child}.{edge.column}" != relation:
            found = found.append_column(edge.column, _referred(snapshot, edge, rows))
    return RelatedRows(
        table, relation, is_parent, total, tuple(found.column_names), tuple(_values(found)), tuple(keys), tuple(when)
    )


def _referred(snapshot: Snapshot, edge: EdgeType, rows: NDArray[np.int32]) -> pa.ChunkedArray:
    """Return the keys that a foreign key names; NULL where it names no row."""
    parents = snapshot.parents(edge)[rows]
    return snapshot.keys(edge.parent).take(pa.array(parents, mask=parents < 0))


def _values(found: pa.Table) -> list[tuple[Any, ...]]:
    """Return rows as Python values; a moment that Python has no value for, as text."""
    columns = []
    for column in found.columns:
        try:
            columns.append(column.to_pylist())
        except (OverflowError, ValueError):
            columns.append(pc.cast(column, pa.string()).to_pylist())
    return list(zip(*columns, strict=True)) if columns else [() for _ in range(len(found))]


def _moment(micros: int) -> datetime | None:
    try:
        return from_micros(micros)
    except (OverflowError, ValueError):
        return None
