"""One look of the monitors, as one value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from forekey.monitoring.alerts import Alert
from forekey.monitoring.finding import State
from forekey.monitoring.graph import EdgeStatistics, TableStatistics
from forekey.monitoring.quality import Quality
from forekey.notebooks import as_table


@dataclass(frozen=True, slots=True)
class DriftLine:
    """How one column that a champion reads moved, as it is printed: ``psi`` of its values, ``allowed`` of that.

    ``weight`` is how much it counts for a model, as a share of the strongest; None if that is not known. ``state`` is
    the worst of its values, NULLs and new values. ``days`` is how long the compared periods are.
    """

    table: str
    column: str
    tasks: tuple[str, ...]
    state: State
    psi: float
    allowed: float
    p_value: float
    weight: float | None
    null_rate: float
    unseen_rate: float
    reference_rows: int
    new_rows: int
    days: int | None
    what: str

    @property
    def name(self) -> str:
        """Return table and column."""
        return f"{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class LogLine:
    """Predictions that services wrote and lost, that wait for labels, and that will never have one, by reason."""

    written: int = 0
    lost: int = 0
    waiting: int = 0
    unscorable: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MonitorReport:
    """What the monitors saw.

    ``alerts`` are what is not as it should be, the worst first. ``quality`` has a line for each model version and
    anchor, ``drift`` one for each column that a champion reads, the furthest beyond what is allowed first. ``latency``
    holds milliseconds and requests per route as the service last wrote them. ``not_measured`` says of which tables
    drift was not measured, and why; ``checked`` counts the measurements by monitor.
    """

    at: str
    snapshot: str
    as_of: str
    state: State
    alerts: tuple[Alert, ...]
    quality: tuple[Quality, ...]
    drift: tuple[DriftLine, ...]
    tables: tuple[TableStatistics, ...]
    edges: tuple[EdgeStatistics, ...]
    latency: dict[str, dict[str, Any]]
    log: LogLine
    checked: dict[str, int] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        worst = ", ".join(f"{a.monitor} of {a.subject}" for a in self.alerts[:3])
        more = f" and {len(self.alerts) - 3} more" if len(self.alerts) > 3 else ""
        return f"MonitorReport(as of {self.as_of}, {self.state}{f': {worst}{more}' if worst else ''})"

    def _repr_html_(self) -> str:
        alerts = ([a.state, a.monitor, a.subject, a.what, a.since, a.todo] for a in self.alerts)
        quality = (
            [q.task, q.version, q.anchor, q.n, q.metric, q.realized, q.estimated, q.expected] for q in self.quality
        )
        heads = ["task", "model", "predicted as of", "n", "metric", "realized", "estimated", "promised"]
        shown = as_table(["", "monitor", "of", "what", "since", "what to do"], alerts, repr(self))
        return shown + as_table(heads, quality)

    def alerts_of(self, task: str) -> tuple[Alert, ...]:
        """Return the alerts that touch a task."""
        return tuple(a for a in self.alerts if task in a.tasks)

    def drift_of(self, task: str) -> tuple[DriftLine, ...]:
        """Return the columns that a task's champion reads."""
        return tuple(d for d in self.drift if task in d.tasks)

    def to_dict(self) -> dict[str, Any]:
        """JSON form of ``forekey monitor --json``."""
        data = asdict(self)
        graph = {"tables": data.pop("tables"), "edges": data.pop("edges"), "not_measured": data.pop("not_measured")}
        return {**data, "graph": graph}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MonitorReport:
        """Read what :meth:`to_dict` wrote; ``LookupError``, ``TypeError`` or ``ValueError`` for something else."""
        graph = data["graph"]
        return cls(
            data["at"], data["snapshot"], data["as_of"], State(data["state"]),
            tuple(Alert(**_typed(a, tasks=tuple(a["tasks"]))) for a in data["alerts"]),
            tuple(Quality.from_dict(q) for q in data["quality"]),
            tuple(DriftLine(**_typed(d, tasks=tuple(d["tasks"]))) for d in data["drift"]),
            tuple(TableStatistics(**t) for t in graph["tables"]), tuple(EdgeStatistics(**e) for e in graph["edges"]),
            data["latency"], LogLine(**data["log"]), data["checked"], graph["not_measured"],
        )  # fmt: skip


def _typed(data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**data, "state": State(data["state"]), **changes}


def worst_first(lines: Iterable[DriftLine]) -> tuple[DriftLine, ...]:
    """Return columns by their state, then by how far they moved and how much they count."""

    def order(line: DriftLine) -> tuple[float, ...]:
        weight = 1.0 if line.weight is None else max(line.weight, 0.01)
        return (-line.state.rank, -line.psi / max(line.allowed, 1e-9) * weight)

    return tuple(sorted(lines, key=lambda d: (*order(d), d.name)))
