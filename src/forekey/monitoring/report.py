"""One pass of the monitors, as one value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from forekey.errors import SnapshotError
from forekey.graph import Snapshot, SnapshotStore, to_micros
from forekey.monitoring.drift import ColumnDrift, column_drift, prediction_drift
from forekey.monitoring.graph import EdgeStatistics, TableStatistics, graph_statistics
from forekey.monitoring.quality import RealizedQuality, realized_quality
from forekey.notebooks import as_table
from forekey.objectives import Numbers
from forekey.registry import ModelVersion
from forekey.source import Source
from forekey.store import PredictionLog, read_requests
from forekey.task import Task
from forekey.workspace import Workspace

_REFERENCE_WINDOWS = 12
"""How many of a task's windows before training ended new rows are compared with."""


@dataclass(frozen=True, slots=True)
class MonitorReport:
    """What the monitors saw.

    ``drift`` compares per task the rows since the champion's snapshot with those before, ``not_measured`` says of which
    tables that could not be done, and why; ``prediction_drift`` is the
    population stability index between a task's last two batches; ``latency`` holds milliseconds per route as the
    service last wrote them.
    """

    at: str
    snapshot: str
    as_of: str
    tables: list[TableStatistics]
    edges: list[EdgeStatistics]
    drift: dict[str, list[ColumnDrift]]
    prediction_drift: dict[str, float]
    quality: list[RealizedQuality]
    latency: dict[str, dict[str, float]]
    not_measured: dict[str, list[str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        moved = max((d.psi for columns in self.drift.values() for d in columns), default=None)
        drift = "no drift measured" if moved is None else f"largest drift PSI {moved:.3g}"
        return f"MonitorReport(as of {self.as_of}, {len(self.quality)} batches scored, {drift})"

    def _repr_html_(self) -> str:
        quality = (
            [q.task, q.as_of, q.model_version, q.examples, name, value, q.expected.get(name)]
            for q in self.quality
            for name, value in list(q.metrics.items())[:1]
        )
        strongest = [(task, d) for task, columns in self.drift.items() for d in columns[:5]]
        heads = ["task", "predicted as of", "model", "examples", "metric", "realized", "expected"]
        drift = ([task, f"{d.table}.{d.column}", d.psi] for task, d in strongest)
        return as_table(heads, quality) + as_table(["task", "column", "PSI since training"], drift, repr(self))

    def to_dict(self) -> dict[str, Any]:
        """JSON form of ``forekey monitor --json``."""
        return asdict(self)


def observe(workspace: Workspace, snapshot: Snapshot, tasks: dict[str, Task], source: Source) -> MonitorReport:
    """Look at everything once. Reads only."""
    snapshots, models, log = workspace.snapshots, workspace.registry, workspace.predictions
    tables, edges = graph_statistics(snapshot, snapshots)
    drift: dict[str, list[ColumnDrift]] = {}
    unmeasured: dict[str, list[str]] = {}
    moved: dict[str, float] = {}
    quality: list[RealizedQuality] = []
    for name, task in tasks.items():
        champion = models.champion_or_none(name)
        if champion is None:
            continue
        trained_on = _snapshot_or_none(snapshots, champion.manifest.snapshot)
        drift[name], unmeasured[name] = column_drift(
            snapshot, _trained_until(champion), trained_on, _REFERENCE_WINDOWS * task.window_days
        )
        quality += realized_quality(task, source, snapshot, log, {v.version: v for v in models.versions(name)})
        shift = _prediction_shift(task, log)
        if shift is not None:
            moved[name] = round(shift, 4)
    return MonitorReport(
        workspace.clock().isoformat(), snapshot.id, snapshot.as_of.isoformat(), tables, edges, drift, moved, quality,
        read_latency(workspace.place("serving")), {name: why for name, why in unmeasured.items() if why},
    )  # fmt: skip


def read_latency(serving: Path) -> dict[str, dict[str, float]]:
    """Return the latencies of the service, all its processes together: requests and milliseconds per route."""
    return {route: counts.quantiles() for route, counts in sorted(read_requests(serving).items())}


def _snapshot_or_none(snapshots: SnapshotStore, name: str) -> Snapshot | None:
    try:
        return snapshots.open(name)
    except SnapshotError:
        return None


def _trained_until(model: ModelVersion) -> int:
    from datetime import datetime

    return to_micros(datetime.fromisoformat(model.manifest.snapshot_as_of))


def _prediction_shift(task: Task, log: PredictionLog) -> float | None:
    batches = log.batches(task.name)
    if len(batches) < 2 or task.kind.predicts is not Numbers:
        return None
    before, now = (b.rows.column("prediction").to_numpy() for b in batches[-2:])
    return prediction_drift(before, now) if len(before) and len(now) else None
