"""The graph as it stands: tables with their columns, foreign keys, and what the monitors say of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from forekey.graph import MICROS_PER_DAY, Snapshot, from_micros, to_micros
from forekey.monitoring import Alert, MonitorReport, State
from forekey.schema import TableSchema


@dataclass(frozen=True, slots=True)
class ColumnStatus:
    """A column: its type, its share of NULLs, and its stability index since training where that was measured."""

    column: str
    stype: str
    null_rate: float | None
    psi: float | None
    state: State


@dataclass(frozen=True, slots=True)
class TableStatus:
    """A table as a node type; ``age_days`` is how much older its newest row is than the snapshot."""

    table: str
    nodes: int
    quarantined: int
    primary_key: str | None
    time_column: str | None
    newest: str | None
    age_days: float | None
    state: State
    columns: tuple[ColumnStatus, ...]


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """A foreign key as an edge type; ``match_rate`` is the share of keys that are not NULL and name a row."""

    edge_type: str
    child: str
    column: str
    parent: str
    edges: int
    null_keys: int
    orphans: int
    match_rate: float
    mean_degree: float
    median_degree: float
    max_degree: int
    isolated: int
    state: State


@dataclass(frozen=True, slots=True)
class GraphStatus:
    """The newest snapshot, table by table and edge type by edge type."""

    snapshot: str
    as_of: str
    tables: tuple[TableStatus, ...]
    edges: tuple[EdgeStatus, ...]

    def __repr__(self) -> str:
        return f"GraphStatus(as of {self.as_of}, {len(self.tables)} tables, {len(self.edges)} edge types)"

    def to_dict(self) -> dict[str, Any]:
        """JSON form of ``GET /graph``."""
        return asdict(self)


def graph_status(snapshot: Snapshot, report: MonitorReport | None) -> GraphStatus:
    """Describe a snapshot by its manifest and by what the monitors last saw."""
    alerts = report.alerts if report is not None else ()
    return GraphStatus(
        snapshot.id, snapshot.as_of.isoformat(),
        tuple(_table(snapshot, table, report, alerts) for table in snapshot.schema.tables),
        tuple(_edge(snapshot, i, alerts) for i in range(len(snapshot.edge_types))),
    )  # fmt: skip


def _table(
    snapshot: Snapshot, table: TableSchema, report: MonitorReport | None, alerts: tuple[Alert, ...]
) -> TableStatus:
    facts = snapshot.manifest.tables[table.name]
    age = None if facts.newest is None else (to_micros(snapshot.as_of) - facts.newest) / MICROS_PER_DAY
    drift = {d.column: d for d in report.drift if d.table == table.name} if report is not None else {}
    columns = tuple(
        ColumnStatus(
            c.name, str(c.stype), facts.columns[c.name]["null_rate"] if c.name in facts.columns else None,
            drift[c.name].psi if c.name in drift else None, drift[c.name].state if c.name in drift else State.OK,
        )
        for c in table.columns
    )  # fmt: skip
    own = [a.state for a in alerts if a.subject == table.name or a.subject.startswith(f"{table.name}.")]
    return TableStatus(
        table.name, facts.nodes, facts.left_out, table.primary_key, table.time_column,
        from_micros(facts.newest).isoformat() if facts.newest is not None else None,
        round(age, 3) if age is not None else None, State.worst(own), columns,
    )  # fmt: skip


def _edge(snapshot: Snapshot, number: int, alerts: tuple[Alert, ...]) -> EdgeStatus:
    edge = snapshot.edge_types[number]
    facts = snapshot.manifest.edges[str(edge)]
    named = {str(edge), f"{edge.child}.{edge.column}"}
    keys = facts.edges + facts.orphans
    return EdgeStatus(
        str(edge), edge.child, edge.column, edge.parent, facts.edges, facts.null_keys, facts.orphans,
        round(facts.edges / keys, 6) if keys else 1.0, facts.degree["mean"], facts.degree["median"],
        facts.degree["max"], facts.degree["isolated"], State.worst([a.state for a in alerts if a.subject in named]),
    )  # fmt: skip
