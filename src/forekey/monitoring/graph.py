"""The graph itself: how large, how connected, how fresh, how much it grew."""

from __future__ import annotations

from dataclasses import dataclass

from forekey.graph import MICROS_PER_DAY, Snapshot, SnapshotStore, from_micros, to_micros


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


def graph_statistics(snapshot: Snapshot, store: SnapshotStore) -> tuple[list[TableStatistics], list[EdgeStatistics]]:
    """Read the statistics that the build left in the manifest."""
    parent = store.parent_of(snapshot)
    return [_table(snapshot, parent, t) for t in snapshot.schema.names], [
        _edge(snapshot, str(e)) for e in snapshot.edge_types
    ]


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
    keys = entry.edges + entry.orphans
    degree = entry.degree
    return EdgeStatistics(
        edge_type,
        entry.edges,
        degree["mean"],
        degree["median"],
        degree["max"],
        degree["isolated"],
        round(entry.orphans / keys, 6) if keys else 0.0,
    )
