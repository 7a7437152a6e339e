"""The state of a project in one value: is all well, what each task does, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from forekey.errors import ForekeyError, PQLError, SnapshotError
from forekey.graph import Snapshot
from forekey.monitoring import Alert, MonitorReport, Quality, State
from forekey.notebooks import as_table
from forekey.project import PQLTask, TaskConfig
from forekey.query import in_words, parse
from forekey.registry import ModelVersion
from forekey.secrets import without_password
from forekey.store import EmbeddingStore, EmbeddingVersion, KeyValueStore, read_requests, read_tasks
from forekey.workspace import Workspace

_POINTS = 60
_STEPS, _STALE_DAYS = 3, 8.0
"""After so many days without a run of the monitors, nothing is known any more."""
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class SnapshotStatus:
    """The newest snapshot: the moment it shows, when it was built, how old both are in seconds, and how large it is."""

    id: str
    as_of: str
    built_at: str
    data_age_seconds: float
    build_age_seconds: float
    nodes: int
    edges: int


@dataclass(frozen=True, slots=True)
class QualityPoint:
    """The quality of predictions as of one time, as a plot has it; see :class:`forekey.monitoring.Quality`."""

    anchor: str
    version: str
    n: int
    realized: float | None
    low: float | None
    high: float | None
    estimated: float | None
    estimated_low: float | None
    estimated_high: float | None

    @classmethod
    def of(cls, quality: Quality) -> QualityPoint:
        """Return the point of one line of a report."""
        return cls(**{name: getattr(quality, name) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task.

    ``promised`` is the champion's test metric with its interval, ``realized`` that of the newest predictions whose
    labels are in, ``estimated`` what the newest predictions promise. ``champion_since`` and ``champion_reason`` are
    of the last promotion.
    """

    task: str
    query: str | None
    words: str | None
    """The query as a question in plain English."""
    entity: str | None
    """The table whose rows are predicted for."""
    task_type: str | None
    state: State
    champion: str | None
    trained_at: str | None
    trained_as_of: str | None
    champion_since: str | None
    champion_reason: str | None
    versions: int
    newest: str | None
    """The version that was trained last, ``newest_at`` when; it need not be the champion."""
    newest_at: str | None
    metric: str | None
    promised: float | None
    promised_low: float | None
    promised_high: float | None
    baseline: str | None
    baseline_score: float | None
    realized: float | None
    realized_at: str | None
    estimated: float | None
    stored_version: str | None
    stored_model: str | None
    stored_as_of: str | None
    stored_entities: int | None
    behind_days: float | None
    """How many days the data reach beyond what is stored; None where nothing is stored."""
    alerts: int = 0
    requests: int = 0
    """Requests for predictions that the service answered of late."""
    broken: str | None = None
    """Why its models cannot be read, if so."""
    quality: tuple[QualityPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do, as a command to copy, and why."""

    command: str
    why: str


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """The state of a project.

    ``alerts`` are of the last run of the monitors, at ``monitored_at``; ``state`` is the worst of theirs and of what
    can be seen now.
    """

    project: str
    source: str
    at: str
    headline: str
    """Whether all is well, in a few words."""
    state: State
    monitored_at: str | None
    snapshot: SnapshotStatus | None
    tasks: tuple[TaskStatus, ...]
    alerts: tuple[Alert, ...]
    requests: int
    store: str
    next: tuple[NextStep, ...] = field(default=())

    def __repr__(self) -> str:
        snapshot = f"data as of {self.snapshot.as_of[:10]}" if self.snapshot else "no snapshot"
        trained = sum(t.champion is not None for t in self.tasks)
        return f"ProjectStatus({self.project}: {self.state}, {snapshot}, {trained} of {len(self.tasks)} tasks trained)"

    def _repr_html_(self) -> str:
        heads = ["task", "state", "champion", "metric", "promised", "realized", "stored as of"]
        names = ("task", "state", "champion", "metric", "promised", "realized", "stored_as_of")
        return as_table(heads, ([getattr(t, n) for n in names] for t in self.tasks), repr(self))

    def to_dict(self) -> dict[str, Any]:
        """JSON form of ``forekey status --json`` and ``GET /status``."""
        return asdict(self)


def project_status(workspace: Workspace, store: KeyValueStore | None = None) -> ProjectStatus:
    """Read the state of a project; nothing is computed and the database is not asked.

    Without an open ``store``, that of the project is opened for the moment; where it does not answer, that is said.
    """
    snapshot, broken = _snapshot(workspace)
    report = last_report(workspace)
    stored, health = _stored(workspace, store)
    requests = sum(c.statuses.total() for c in read_requests(workspace.place("serving")).values())
    asked = read_tasks(workspace.place("serving"))
    described = (_task(workspace, name, snapshot, stored.get(name), report) for name in workspace.config.tasks)
    tasks = tuple(replace(t, requests=asked[t.task]) for t in described)
    now = workspace.clock()
    words, state = _headline(workspace, snapshot, health, tasks, report)
    return ProjectStatus(
        workspace.root.resolve().name, without_password(workspace.config.source), now.isoformat(), words, state,
        report.at if report is not None else None,
        _snapshot_status(snapshot, now) if snapshot is not None else None, tasks,
        report.alerts if report is not None else (), requests, health,
        tuple(_next(workspace, snapshot, broken, tasks, report)),
    )  # fmt: skip


def last_report(workspace: Workspace) -> MonitorReport | None:
    """Return what the monitors saw when they last looked; None if they never did, or another version of them."""
    path = workspace.machine / "reports" / "monitor.json"
    try:
        return MonitorReport.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _snapshot(workspace: Workspace) -> tuple[Snapshot | None, str | None]:
    try:
        return workspace.snapshots.current_or_none(), None
    except SnapshotError as error:
        return None, str(error)


def _snapshot_status(snapshot: Snapshot, now: datetime) -> SnapshotStatus:
    facts = snapshot.manifest
    built = datetime.fromisoformat(facts.created_at)
    return SnapshotStatus(
        snapshot.id, snapshot.as_of.isoformat(), facts.created_at, (now - snapshot.as_of).total_seconds(),
        (now - built.replace(tzinfo=None)).total_seconds(), facts.num_nodes, facts.num_edges,
    )  # fmt: skip


def _stored(workspace: Workspace, store: KeyValueStore | None) -> tuple[dict[str, EmbeddingVersion], str]:
    """Return what is stored by task, and "ok" or why the store does not answer."""
    if store is None:
        try:
            with workspace.store() as opened:
                return _stored(workspace, opened)
        except ForekeyError as error:
            return {}, str(error)
    try:
        kept = EmbeddingStore(store)
        return {t: v for t in workspace.config.tasks if (v := kept.current(t)) is not None}, "ok"
    except ForekeyError as error:
        return {}, str(error)


def _described(
    workspace: Workspace,
    name: str,
    snapshot: Snapshot | None,
    stored: EmbeddingVersion | None,
    report: MonitorReport | None,
) -> TaskStatus:
    models = workspace.registry
    champion, promotions, every = models.champion_or_none(name), models.history(name), models.versions(name)
    facts = champion.manifest if champion is not None else None
    alerts = report.alerts_of(name) if report is not None else ()
    quality = [q for q in report.quality if q.task == name] if report is not None else []
    final = next((q for q in reversed(quality) if q.is_final and champion and q.version == champion.version), None)
    newest = next((q for q in reversed(quality) if champion is not None and q.version == champion.version), None)
    interval = facts.intervals.get("model", [None, None]) if facts is not None else [None, None]
    metric = facts.default_metric if facts is not None else None
    best, best_score = _best_baseline(champion)
    asked = question(workspace.config.tasks[name])
    return TaskStatus(
        name, asked.query, asked.words, asked.entity, facts.task_type if facts is not None else None,
        State.worst([a.state for a in alerts]), champion.version if champion is not None else None,
        facts.created_at if facts is not None else None, facts.snapshot_as_of if facts is not None else None,
        promotions[-1]["at"] if promotions else None, promotions[-1]["reason"] if promotions else None,
        len(every), every[-1].version if every else None, every[-1].manifest.created_at if every else None, metric,
        facts.metrics.get("test", {}).get(metric or "") if facts is not None else None, interval[0], interval[1],
        best, best_score,
        final.realized if final is not None else None, final.anchor if final is not None else None,
        newest.estimated if newest is not None else None, stored.version if stored is not None else None,
        stored.model_version if stored is not None else None, stored.as_of if stored is not None else None,
        stored.entities if stored is not None else None,
        _behind(stored, snapshot), len(alerts), 0, None, tuple(QualityPoint.of(q) for q in quality[-_POINTS:]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """What a task asks: its query, the same in words, and the table of its entities; None what is not known."""

    query: str | None
    words: str | None
    entity: str | None


def question(config: TaskConfig) -> Question:
    """Return what a task asks; a query may be wrong, and labels may be ready-made."""
    if not isinstance(config, PQLTask):
        return Question(None, None, config.entity.key.rpartition(".")[0])
    try:
        query = parse(config.query)
    except PQLError:
        return Question(config.query, None, None)
    return Question(config.query, in_words(query), query.entity.table)


def _task(
    workspace: Workspace,
    name: str,
    snapshot: Snapshot | None,
    stored: EmbeddingVersion | None,
    report: MonitorReport | None,
) -> TaskStatus:
    """Describe a task; one whose models cannot be read must not hide the others."""
    try:
        return _described(workspace, name, snapshot, stored, report)
    except ForekeyError as error:
        empty: dict[str, Any] = dict.fromkeys(TaskStatus.__slots__)
        asked = question(workspace.config.tasks[name])
        known = {"query": asked.query, "words": asked.words, "entity": asked.entity, "versions": 0, "alerts": 0}
        said = {"task": name, "state": State.CRITICAL, "broken": str(error), "quality": ()}
        return TaskStatus(**{**empty, **known, **said})


def _headline(
    workspace: Workspace,
    snapshot: Snapshot | None,
    store: str,
    tasks: tuple[TaskStatus, ...],
    report: MonitorReport | None,
) -> tuple[str, State]:
    """Say in a few words whether all is well, the worst first."""
    state = report.state if report is not None else State.OK
    if snapshot is None or not any(t.champion or t.broken for t in tasks):
        return "Not set up yet", state
    if store != "ok":
        return "The store does not answer", State.CRITICAL
    if state is State.CRITICAL or any(t.broken for t in tasks):
        return "Something is wrong", State.CRITICAL
    if report is None:
        return "Not monitored yet", State.OK
    waiting = [t.task for t in tasks if t.champion is None or t.stored_version is None]
    if state is State.WARNING:
        return "There are warnings", State.WARNING
    if (workspace.clock() - datetime.fromisoformat(report.at)).total_seconds() > _STALE_DAYS * _DAY:
        return f"Not monitored since {report.at[:10]}", State.WARNING
    if waiting:
        return f"All is well, but {', '.join(waiting[:3])} cannot be served yet", State.OK
    return "All is well", State.OK


def _best_baseline(champion: ModelVersion | None) -> tuple[str | None, float | None]:
    if champion is None:
        return None, None
    facts = champion.manifest
    name = (facts.comparison or {}).get("baseline")
    return name, facts.baselines.get(name or "", {}).get("test", {}).get(facts.default_metric)


def _behind(stored: EmbeddingVersion | None, snapshot: Snapshot | None) -> float | None:
    if stored is None or snapshot is None:
        return None
    return round((snapshot.as_of - datetime.fromisoformat(stored.as_of)).total_seconds() / _DAY, 2)


def _next(
    workspace: Workspace,
    snapshot: Snapshot | None,
    broken: str | None,
    tasks: tuple[TaskStatus, ...],
    report: MonitorReport | None,
) -> Iterator[NextStep]:
    """Say what is missing on the way, in its order, and then what the worst alerts ask for."""
    if broken is not None:
        yield NextStep("forekey snapshot --full", broken)
    elif snapshot is None:
        yield NextStep("forekey snapshot", "there is no graph yet")
    if not tasks:
        yield NextStep('forekey ask . "PREDICT …"', "forekey.yaml has no task yet: try a question, then add it")
    yield from _to_train(tasks)
    if any(t.champion is not None for t in tasks) and snapshot is not None:
        if report is None:
            yield NextStep("forekey monitor", "the monitors have not run yet")
        elif report.snapshot != snapshot.id:
            yield NextStep("forekey monitor", "new rows came since the monitors last ran")
    if report is not None:
        asked: dict[str, list[Alert]] = {}
        for alert in report.alerts:
            asked.setdefault(_command_of(alert), []).append(alert)
        yield from [NextStep(command, _why(alerts)) for command, alerts in asked.items()][:_STEPS]


def _to_train(tasks: tuple[TaskStatus, ...]) -> Iterator[NextStep]:
    for task in tasks:
        if task.champion is None:
            yield NextStep(f"forekey train {task.task}", f"{task.task} has no model yet")
        elif task.stored_version is None:
            yield NextStep(f"forekey embed {task.task}", f"nothing is stored of {task.task}")


def _why(alerts: list[Alert]) -> str:
    """Say what the worst of some alerts is, and how many more there are."""
    worst = f"{alerts[0].monitor} of {alerts[0].subject}: {alerts[0].what}"
    return f"{worst}; and {len(alerts) - 1} more" if len(alerts) > 1 else worst


def _command_of(alert: Alert) -> str:
    """Return the command that an alert asks for; the one that shows more if it names none."""
    parts = alert.todo.split("`")
    return parts[1] if len(parts) > 2 else "forekey monitor -v"
