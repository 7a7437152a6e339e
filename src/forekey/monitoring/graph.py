"""One look at rows and edges: tables and edge types as they stand, and how they moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from forekey.graph import MICROS_PER_DAY, Micros, Snapshot, SnapshotStore, dense_period, from_micros, to_micros
from forekey.monitoring import data_findings as say
from forekey.monitoring.arrivals import Arrivals, LeftOut, Silence, arrivals, left_out, silence
from forekey.monitoring.columns import ColumnDrift, timed_columns, untimed_columns
from forekey.monitoring.connections import EdgeDrift, edge_drift
from forekey.monitoring.finding import Finding
from forekey.monitoring.periods import FEWEST, Periods, periods_of
from forekey.monitoring.shift import share_shift
from forekey.monitoring.watched import Watched
from forekey.schema import EdgeType, TableSchema


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """One node type. ``growth`` is rows gained since the parent snapshot; ``age_days`` the age of the newest row."""

    table: str
    nodes: int
    growth: int | None
    quarantined: int
    newest: str | None
    age_days: float | None


@dataclass(frozen=True, slots=True)
class EdgeStatistics:
    """One edge type: children per parent, and the share of keys that found no parent."""

    edge_type: str
    edges: int
    mean_degree: float
    median_degree: float
    max_degree: int
    isolated: int
    orphan_rate: float


@dataclass
class Movement:
    """How rows and edges moved, and what could not be measured, and why."""

    columns: list[ColumnDrift] = field(default_factory=list)
    edges: list[EdgeDrift] = field(default_factory=list)
    arrivals: list[Arrivals] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    unmeasured: dict[str, str] = field(default_factory=dict)


def graph_statistics(snapshot: Snapshot, store: SnapshotStore) -> tuple[list[TableStatistics], list[EdgeStatistics]]:
    """Read the statistics that the build left in the manifest."""
    parent = store.parent_of(snapshot)
    return [_table(snapshot, parent, t) for t in snapshot.schema.names], [
        _edge(snapshot, str(e)) for e in snapshot.edge_types
    ]


def newest_moment(snapshot: Snapshot) -> int:
    """Return the moment that counts as now (microseconds): the newest time of rows that do not lie far from all others.

    A moment far in the future, or one placeholder, must not make every table seem to have stopped.
    """
    ends = []
    for table in snapshot.schema.names:
        times = snapshot.times(table)
        dense = dense_period(times) if times is not None else None
        if dense is not None:
            ends.append(dense.last)
    return min(max(ends, default=to_micros(snapshot.as_of)), to_micros(snapshot.as_of))


def movement(snapshot: Snapshot, trained_on: Snapshot | None, champions: Sequence[Watched]) -> Movement:
    """Compare the newest rows with those that the champions were trained on; without any, with all earlier ones.

    A column is compared with what the oldest champion that reads it was trained on, rows and edges with all that any
    was.
    """
    now, found = newest_moment(snapshot), Movement()
    until = max((w.trained_until for w in champions), default=now)
    cut: dict[str, Periods] = {}
    for table in snapshot.schema.tables:
        times = snapshot.times(table.name)
        if times is None:
            _untimed(snapshot, trained_on, table, champions, found)
            continue
        quiet = silence(table.name, times, now)
        stopped = quiet is not None and quiet.days > quiet.allowed
        # A table that is loaded nightly ends earlier than one that streams: its days end where its rows do.
        end = now if stopped else _newest(times, now)
        for moment, columns in _columns_by_moment(table, champions, now).items():
            periods = periods_of(times, end, moment)
            if not isinstance(periods, str):
                found.columns += timed_columns(snapshot, table.name, columns, periods)
        periods = periods_of(times, end, until)
        if isinstance(periods, str):
            found.unmeasured[table.name] = periods
        else:
            cut[table.name] = periods
            found.left_out += _left_out(snapshot, table.name, periods)
        came = arrivals(table.name, times, end)
        found.arrivals += [came] if came is not None else []
        found.silences += [quiet] if quiet is not None else []
    plan = champions[0].plan if champions else None
    for edge in snapshot.edge_types:
        if edge.child in cut:
            found.edges.append(edge_drift(snapshot, edge, cut[edge.child], plan))
        elif snapshot.times(edge.child) is None:
            found.unmeasured[str(edge)] = f"{edge.child} has no time"
    weighted = [_weighted(c, champions) for c in found.columns]
    found.columns, found.edges, found.left_out = say.discovered(weighted, found.edges, found.left_out)
    return found


def _newest(times: Micros, now: int) -> int:
    """Return the newest time of a table up to now."""
    rows = int(np.searchsorted(times, now, side="right"))
    return int(times[rows - 1]) if rows else now


def _columns_by_moment(table: TableSchema, champions: Sequence[Watched], now: int) -> dict[int, list[str]]:
    """Return the columns of a table that champions read, by the moment up to which the oldest of these was trained."""
    found: dict[int, list[str]] = {}
    for column in _columns(table, champions):
        known = [w.trained_until for w in champions if (table.name, column) in w.columns]
        found.setdefault(min(known, default=now), []).append(column)
    return found


def findings(found: Movement, edges: Sequence[EdgeType], champions: Sequence[Watched]) -> list[Finding]:
    """Say what moved and what that means."""
    known = {str(e): e for e in edges}
    said: list[Finding] = []
    for column in found.columns:
        tasks = tuple(w.task for w in champions if (column.table, column.column) in w.columns)
        said += say.of_column(column, tasks)
    for drift in found.edges:
        edge = known[drift.edge_type]
        said += say.of_edge(drift, edge.child, edge.column, edge.parent, _reading(champions, edge.child, edge.parent))
    said += [say.of_arrivals(a, _reading(champions, a.table)) for a in found.arrivals]
    said += [say.of_silence(s, _reading(champions, s.table)) for s in found.silences]
    said += [say.of_left_out(r, _reading(champions, r.table)) for r in found.left_out]
    # What no champion reads harms no prediction.
    return [replace(f, critical=None) if champions and not f.tasks else f for f in said]


def _reading(champions: Sequence[Watched], *tables: str) -> tuple[str, ...]:
    return tuple(w.task for w in champions if w.tables & set(tables))


def _columns(table: TableSchema, champions: Sequence[Watched]) -> list[str]:
    """Return the columns of a table that a champion reads; all of them where there is no champion."""
    own = [c.name for c in table.columns if c.name not in table.keys | {table.time_column}]
    read = {c for w in champions for t, c in w.columns if t == table.name}
    return [c for c in own if c in read] if champions else own


def _weighted(drift: ColumnDrift, champions: Sequence[Watched]) -> ColumnDrift:
    """Return a drift with the greatest weight that any champion gives the column."""
    weights = [w.columns.get((drift.table, drift.column)) for w in champions]
    known = [w for w in weights if w is not None]
    return replace(drift, weight=max(known) if known else None)


def _untimed(
    snapshot: Snapshot, trained_on: Snapshot | None, table: TableSchema, champions: Sequence[Watched], found: Movement
) -> None:
    """Compare a table without a time with what it was when models were trained, where that is still there."""
    if not champions:
        return
    if trained_on is None or table.name not in trained_on.schema.names:
        found.unmeasured[table.name] = "it has no time, and the snapshot that models were trained on is gone"
        return
    if trained_on.blocks(table.name) == snapshot.blocks(table.name):
        return
    before, now = trained_on.rows(table.name), snapshot.rows(table.name)
    if min(len(before), len(now)) < FEWEST:
        found.unmeasured[table.name] = f"{min(len(before), len(now)):,} rows on one side, and {FEWEST} are needed"
        return
    shared = [table.column(c) for c in _columns(table, champions) if c in before.column_names]
    same = [c for c in shared if before.schema.field(c.name).type == now.schema.field(c.name).type]
    found.columns += untimed_columns(before, now, table.name, same)


def _left_out(snapshot: Snapshot, table: str, periods: Periods) -> list[LeftOut]:
    lost = left_out(snapshot, table, periods.edges)
    if not lost.any():
        return []
    every = lost + periods.sizes
    shift = share_shift(lost, every, periods, 0.005)
    before = lost[periods.reference].sum() / max(every[periods.reference].sum(), 1)
    return [LeftOut(table, shift, float(before), float(lost[-1] / max(every[-1], 1)))]


def _table(snapshot: Snapshot, parent: Snapshot | None, table: str) -> TableStatistics:
    entry = snapshot.manifest.tables[table]
    known = parent is not None and table in parent.schema.names
    growth = entry.nodes - parent.num_nodes(table) if known and parent is not None else None
    newest = entry.newest
    age = (to_micros(snapshot.as_of) - newest) / MICROS_PER_DAY if newest is not None else None
    return TableStatistics(
        table,
        entry.nodes,
        growth,
        entry.left_out,
        from_micros(newest).isoformat() if newest is not None else None,
        round(age, 3) if age is not None else None,
    )


def _edge(snapshot: Snapshot, edge_type: str) -> EdgeStatistics:
    entry = snapshot.manifest.edges[edge_type]
    degree = entry.degree
    return EdgeStatistics(
        edge_type,
        entry.edges,
        degree["mean"],
        degree["median"],
        degree["max"],
        degree["isolated"],
        round(entry.orphan_share, 6),
    )
