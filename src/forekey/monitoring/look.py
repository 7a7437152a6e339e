"""One look at everything: quality, drift of data and graph, what is stored, how the service does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from forekey.errors import ForekeyError, SnapshotError
from forekey.graph import Snapshot, schema_changes
from forekey.monitoring import quality_findings as say
from forekey.monitoring.alerts import alerts_of, configured, judged
from forekey.monitoring.data_findings import of_schema
from forekey.monitoring.finding import Finding, State
from forekey.monitoring.graph import Movement, findings, graph_statistics, movement
from forekey.monitoring.history import MonitorHistory
from forekey.monitoring.quality import Quality, Scored, score_predictions
from forekey.monitoring.report import DriftLine, LogLine, MonitorReport, worst_first
from forekey.monitoring.traffic import latency, of_latency, of_log, of_source
from forekey.monitoring.watched import Watched
from forekey.objectives import HeldOut
from forekey.registry import ModelVersion
from forekey.source import Source
from forekey.store import EmbeddingStore
from forekey.task import Task
from forekey.workspace import Workspace

_LINES = 200
"""Anchors of a task whose quality a report holds; the history has all."""
_OF_COLUMNS = ("column drift", "missing values", "new values")


def observe(
    workspace: Workspace,
    snapshot: Snapshot,
    tasks: Mapping[str, Task],
    source: Source,
    broken: Mapping[str, str] = MappingProxyType({}),
) -> MonitorReport:
    """Look at everything once, and keep what was measured. Of the project, only ``.forekey/monitor/`` changes.

    ``broken`` says of tasks that have models why they cannot be asked any more.
    """
    history = MonitorHistory(workspace.place("monitor"))
    champions = {t: v for t in tasks if (v := workspace.registry.champion_or_none(t)) is not None}
    watched = [Watched.of(v, tasks[t].labels.target_tables) for t, v in champions.items()]
    trained_on = _trained_on(workspace, watched)
    moved = movement(snapshot, trained_on, watched)
    found: list[Finding] = findings(moved, snapshot.edge_types, watched)
    found += _of_schema(snapshot, trained_on, watched)
    found += [_of_broken(name, why) for name, why in broken.items()]
    scored = {}
    for name in champions:
        try:
            scored[name] = _scored(workspace, tasks[name], source, snapshot, history)
        except ForekeyError as error:
            scored[name] = Scored()
            found.append(_of_broken(name, str(error)))
    for name, version in champions.items():
        found += _of_task(workspace, tasks[name], version, scored[name])
    routes, counts = latency(workspace.place("serving")), workspace.predictions.counts()
    found += [
        *_of_store(workspace, [tasks[t] for t in champions], snapshot),
        *of_latency(routes, history.requests()),
        of_log(counts),
    ]
    found += of_source(history.looks(), workspace.clock(), snapshot.as_of, tuple(champions))
    before = history.last()
    states = judged(configured(found, workspace.config.monitor), before)
    quality = tuple(q for s in scored.values() for q in s.quality[-_LINES:])
    for name, version in champions.items():
        if tasks[name].items is not None:
            moved.unmeasured[f"predictions of {name}"] = "rankings are compared by their quality only"
        elif not HeldOut.exists(version.folder):
            moved.unmeasured[f"predictions of {name}"] = f"{version.version} has no predictions held out; train again"
    at = workspace.clock().isoformat()
    history.add(at, (snapshot.id, snapshot.as_of.isoformat()), states, quality)
    history.keep_requests(routes)
    tables, edges = graph_statistics(snapshot, workspace.snapshots)
    unscorable = sum((s.unscorable for s in scored.values()), Counter[str]())
    waiting = sum(s.waiting for s in scored.values())
    lines = _drift_lines(moved, {(f.monitor, f.subject): (f, state) for f, state, _ in states})
    log = LogLine(counts.written, counts.lost, waiting, dict(unscorable))
    return MonitorReport(
        at, snapshot.id, snapshot.as_of.isoformat(), State.worst([state for _, state, _ in states]),
        alerts_of(states, before), quality, lines, tuple(tables), tuple(edges), routes, log,
        dict(Counter(f.monitor for f, _, _ in states)), moved.unmeasured,
    )  # fmt: skip


def _of_broken(task: str, why: str) -> Finding:
    """Return that a task cannot be asked any more: nobody knows how good its predictions are."""
    todo = "See tasks: in forekey.yaml, and `forekey snapshot --diff`."
    return Finding("task", task, 1.0, 1.0, 1.0, True, why, None, todo, (task,))


def _scored(workspace: Workspace, task: Task, source: Source, snapshot: Snapshot, history: MonitorHistory) -> Scored:
    versions = {v.version: v for v in workspace.registry.versions(task.name)}
    return score_predictions(task, source, snapshot, workspace.predictions, versions, history.quality(task.name))


def _of_task(workspace: Workspace, task: Task, version: ModelVersion, scored: Scored) -> Iterable[Finding]:
    own: list[Quality] = [q for q in scored.quality if q.version == version.version]
    yield from say.of_quality(own, task.kind.higher_is_better)
    yield from say.of_predictions(task, workspace.predictions, version)


def _of_schema(snapshot: Snapshot, trained_on: Snapshot | None, watched: list[Watched]) -> list[Finding]:
    if trained_on is None:
        return []
    changes = schema_changes(trained_on.schema, snapshot.schema)
    return [of_schema(changes, tuple(w.task for w in watched))]


def _of_store(workspace: Workspace, tasks: list[Task], snapshot: Snapshot) -> list[Finding]:
    """Return whether the store answers, and how old what lies there is."""
    found: list[Finding] = []
    names = tuple(t.name for t in tasks)
    try:
        with workspace.store() as store:
            stored = EmbeddingStore(store)
            for task in tasks:
                found += say.of_stored(task, stored.current(task.name), snapshot)
    except ForekeyError as error:
        todo = "See store: in forekey.yaml, and whether it runs."
        found.append(Finding("store", "store", 1.0, 1.0, 1.0, True, str(error), None, todo, names))
    return found


def _drift_lines(moved: Movement, states: Mapping[tuple[str, str], tuple[Finding, State]]) -> tuple[DriftLine, ...]:
    lines = []
    for c in moved.columns:
        own = [states[m, c.name] for m in _OF_COLUMNS if (m, c.name) in states]
        if not own:
            continue  # forekey.yaml says to ignore it
        worst = max(own, key=lambda pair: (pair[1].rank, pair[0].value / max(pair[0].limit, 1e-9)))
        lines.append(
            DriftLine(
                c.table,
                c.column,
                worst[0].tasks,
                worst[1],
                c.shape.size,
                c.shape.allowed,
                c.shape.p_value,
                c.weight,
                c.null_rate,
                c.unseen_rate,
                c.reference_rows,
                c.new_rows,
                c.days,
                worst[0].what,
            )
        )
    return worst_first(lines)


def _trained_on(workspace: Workspace, watched: list[Watched]) -> Snapshot | None:
    """Open the oldest snapshot that a champion was trained on; None if it is gone."""
    oldest = min(watched, key=lambda w: w.trained_until, default=None)
    try:
        return workspace.snapshots.open(oldest.version.manifest.snapshot) if oldest is not None else None
    except SnapshotError:
        return None
