"""The whole story, a function a step. Everything here calls rooms and returns values; nothing prints.

init ─► snapshot ─► train ─► embed ─► (store, serve)
            ▲         ▲                     │
            └─────────┴──── retrain ◄── monitor
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forekey.errors import (
    ForekeyError,
    PQLError,
    ProjectError,
    SchemaError,
    SourceError,
    SourceUnavailable,
    TaskError,
    TrackingError,
    UnknownEntity,
)
from forekey.project import (
    CONFIG_NAME,
    Config,
    PQLTask,
    Project,
    TableConfig,
    TaskConfig,
    graph_settings,
    idle_settings,
    record_export,
    recorded_exports,
    render_config,
    substitute,
    write_atomically,
)
from forekey.schema import Schema
from forekey.secrets import with_variables, without_password

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from forekey.graph import Difference, Finding, Integrity, Snapshot, SnapshotStore
    from forekey.inference import AnyPredictor, BatchPredictions
    from forekey.monitoring import MonitorReport
    from forekey.registry import ModelVersion, Registry
    from forekey.retraining import Challenge, Decision
    from forekey.source import ConfiguredSource, Inference, Source
    from forekey.store import PredictionLog
    from forekey.task import Metrics, Task
    from forekey.training import TrainConfig, TrainReport


KEPT_SNAPSHOTS = 5
"""How many snapshots a project keeps beside the files that they share."""


@dataclass(frozen=True)
class Listener:
    """Who hears of progress: ``step`` gets a line, ``epoch`` a :class:`forekey.training.loop.Epoch`."""

    step: Callable[[str], None] = lambda _: None
    epoch: Callable[[Any], None] = lambda _: None


SILENT = Listener()


@dataclass(frozen=True)
class Initialized:
    """A new project and what was inferred for it."""

    project: Project
    url: str
    inference: Inference
    tasks: tuple[str, ...]


def init(url: str, root: Path, *, tasks: dict[str, TaskConfig] | None = None, force: bool = False) -> Initialized:
    """Introspect a source and write forekey.yaml, with what was guessed marked by comments."""
    from forekey.source import (
        infer_schema,
        normalize_url,
        open_source,
        relbench_project,
    )

    path = root / CONFIG_NAME
    if path.exists() and not force:
        raise ProjectError(f"'{path}' exists already. Edit it, or write it anew with --force (in Python, force=True).")
    own_url = normalize_url(substitute(url, "The source"), Path.cwd(), root)
    with open_source(own_url, root) as source:
        inference = infer_schema(source)
    if not inference.schema.tables:
        where = without_password(own_url)
        reasons = "".join(f" {why}" for why in {**inference.unreadable, **inference.exports}.values())
        raise SourceError(
            f"'{where}' has no tables that can be read. Name the right database, or the right schema.{reasons}"
        )
    official, as_of = relbench_project(own_url, root)
    kept_url, variables = with_variables(url if "${" in url else own_url)
    for name, value in variables.items():
        os.environ.setdefault(name, substitute(value, "The source"))
    config = Config(source=kept_url, as_of=as_of, tables=inference.tables(), tasks={**official, **(tasks or {})})
    left_out = [f"Left out: {name}. {why}" for name, why in {**inference.unreadable, **inference.exports}.items()]
    header = "\n".join(["Written by `forekey init`; edit freely. Comments say what was guessed, and why.", *left_out])
    write_atomically(path, render_config(config, inference.comments(), header))
    return Initialized(Project.open(root), kept_url, inference, tuple(config.tasks))


def snapshot(
    project: Project, *, full: bool = False, as_of: datetime | None = None, listener: Listener = SILENT
) -> Snapshot:
    """Build or update the graph, and publish it."""
    from forekey.features import TextCache

    built = _build(project, full=full, as_of=as_of, listener=listener)
    store = snapshots(project)
    store.prune(KEPT_SNAPSHOTS)
    TextCache(project.place("encoded")).sweep(store.pool.folder)
    return built


def _build(
    project: Project,
    *,
    full: bool = False,
    as_of: datetime | None = None,
    publish: bool = True,
    listener: Listener = SILENT,
) -> Snapshot:
    from forekey.graph import ReadSettings, build_snapshot

    store = snapshots(project)
    with store.building(), _source(project) as source:
        known = store.known_columns()
        schema = _schema(project, source, known)
        gone = sorted(known - {(t.name, c.name) for t in schema.tables for c in t.columns})
        moment = as_of or project.config.as_of
        settings = {
            name: ReadSettings(table.lookback_days, table.updated_at, table.deleted_at, table.watermark)
            for name, table in project.config.tables.items()
        }
        return build_snapshot(
            source,
            schema,
            store,
            as_of=moment,
            full=full,
            settings=settings,
            configured=graph_settings(project.config),
            gone=gone,
            progress=listener.step,
            publish=publish,
        )


def current_graph(project: Project, listener: Listener = SILENT) -> Snapshot:
    """Return the newest snapshot; built if there is none, updated if forekey.yaml has changed since, saying so."""
    newest = snapshots(project).current_or_none()
    if newest is None:
        listener.step("building the graph: there is no snapshot yet")
        return snapshot(project, listener=listener)
    changed = _changed_settings(project, newest)
    if not changed:
        return newest
    listener.step(f"updating the graph: {changed} in {CONFIG_NAME} since snapshot {newest.id}")
    return snapshot(project, listener=listener)


def _changed_settings(project: Project, built: Snapshot) -> str:
    """Say what forekey.yaml says otherwise than when a snapshot was built; nothing if that is not so."""
    from forekey.secrets import without_password

    if built.manifest["source"] != without_password(project.config.source):
        return "source has changed"
    before, now = built.manifest.get("configured", {}), graph_settings(project.config)
    names = sorted(n for n in {*before, *now} if before.get(n) != now.get(n))
    tables = [f"'{n}'" for n in names if n][:4]
    more = ", …" if len(names) > len(tables) + ("" in names) else ""
    return f"the settings of {', '.join(tables)}{more} have changed" if tables else "as_of has changed" if names else ""


def compare_snapshots(project: Project, before: str, after: str) -> Difference:
    """Say what is different between two snapshots of a project; ids may be cut short."""
    from forekey.graph import compare

    store = snapshots(project)
    return compare(store.find(before), store.find(after))


def check(project: Project) -> Integrity:
    """Judge keys, foreign keys, times and leak risks of the database as it is now, by what forekey.yaml says.

    The files of the newest snapshot are held against their hashes; then every row is read again, and the snapshot that
    this would give is judged. Nothing is published.
    """
    from forekey.graph import (
        Finding,
        Integrity,
        check_integrity,
        check_readings,
        check_times,
        untimed_note,
    )
    from forekey.source import unnamed_columns
    from forekey.task import restating_columns

    newest = snapshots(project).current_or_none()
    if newest is not None:
        newest.verify()
    project, broken = _without_broken_tables(project)
    current = _build(project, full=True, publish=False)
    found = check_integrity(current)
    errors, more = [*broken, *found.errors], list(found.warnings)
    more += [Finding(s.where, f"the setting does nothing: {s.why}", s.how) for s in idle_settings(project.config)]
    with _source(project) as source:
        more += check_times(source, current.schema)
        more += check_readings(source, project.config, current.schema)
        more += [
            Finding(f"{t}.{c}", "forekey.yaml does not name this column", "Name it under columns: to learn from it.")
            for t, c in unnamed_columns(source, project.config)
        ]
        for name in project.config.tasks:
            try:
                task = find_task(project, current.schema, name)
            except (PQLError, TaskError, SchemaError) as error:
                errors.append(Finding(f"tasks.{name}", str(error).splitlines()[0], "Mend the task in forekey.yaml."))
                continue
            more += _idle_in_static_tasks(task)
            try:
                examples = task.labels(source, current).split("train")
            except SourceUnavailable:
                raise
            except (TaskError, SourceError) as error:
                kind = more if isinstance(error, TaskError) else errors
                kind.append(Finding(f"tasks.{name}", str(error).splitlines()[0], "It has no labels until that is so."))
                continue
            finally:
                source.release()
            more += restating_columns(task, current, examples)
    note = untimed_note(current.schema)
    return Integrity(tuple(errors), tuple(more), (note,) if note is not None else ())


def _idle_in_static_tasks(task: Task) -> list[Finding]:
    """Name the settings for anchor times of a query that has none of its own."""
    from forekey.graph import Finding

    if task.bound is None or not task.bound.is_static:
        return []
    given = [s for s in ("max_anchors", "step_days") if getattr(task.config, s) is not None]
    why = "the setting does nothing: the target looks at no window, so there are no anchor times to choose"
    return [Finding(f"tasks.{task.name}.{setting}", why, "Remove it.") for setting in given]


def _without_broken_tables(project: Project) -> tuple[Project, list[Finding]]:
    """Return the project without the tables that cannot be read as forekey.yaml says, and what is wrong with these.

    Each table is tried by itself, and only where they cannot all be read together. Where none can be blamed, the error
    of the whole stands.
    """
    from forekey.graph import Finding
    from forekey.source import configured_schema

    def readable(tables: dict[str, TableConfig]) -> ForekeyError | None:
        part = replace(project, config=project.config.model_copy(update={"tables": tables}))
        try:
            with _source(part) as source:
                configured_schema(source, part.config, snapshots(project).known_columns())
        except SourceUnavailable:
            raise
        except (SchemaError, SourceError) as error:
            return error
        return None

    tables = project.config.tables
    if (whole := readable(tables)) is None or len(tables) < 2:
        return project, []
    alone = {n: t.model_copy(update={"foreign_keys": {}, "time_from": None}) for n, t in tables.items()}
    wrong = {name: error for name, entry in alone.items() if (error := readable({name: entry})) is not None}
    kept = _referring_to(tables, set(tables) - set(wrong))
    if not wrong or readable(kept) is not None:
        raise whole
    found = [Finding(n, str(error).splitlines()[0], "Mend the table, or its entry.") for n, error in wrong.items()]
    return replace(project, config=project.config.model_copy(update={"tables": kept})), found


def _referring_to(tables: dict[str, TableConfig], there: set[str]) -> dict[str, TableConfig]:
    """Return those tables that are there, without references to others."""
    kept = {}
    for name in (n for n in tables if n in there):
        foreign = {c: fk for c, fk in tables[name].foreign_keys.items() if fk.table in there}
        time_from = tables[name].time_from if tables[name].time_from in foreign else None
        kept[name] = tables[name].model_copy(update={"foreign_keys": foreign, "time_from": time_from})
    return kept


@dataclass(frozen=True)
class Labelled:
    """The labels of a task: its type and why, the SQL, anchors, statistics, and the table itself.

    ``shown`` is the SQL without what it repeats for each anchor time; ``account`` says what became of the labels.
    """

    task: Task
    sql: str | None
    shown: str | None
    anchors: dict[str, list[str]]
    statistics: dict[str, dict[str, Any]]
    dropped: dict[str, int]
    account: str
    table: pa.Table
    warnings: tuple[str, ...] = ()
    """What is doubtful about them: rows far off in time, splits whose labels are alike or far from the others'."""
    notes: tuple[str, ...] = ()
    """What a reader should know: which tables have no time."""


def labels(project: Project, name_or_pql: str, *, listener: Listener = SILENT) -> Labelled:
    """Make the label table of a task, or of a query given on the spot."""
    from forekey.graph import untimed_note
    from forekey.query import shortened
    from forekey.task import label_doubts

    _check_name(project, name_or_pql)
    current = current_graph(project, listener)
    with _source(project) as source:
        task = find_task(project, current.schema, name_or_pql)
        made = task.labels(source, current)
        statement, plan = task.label_statement(current), task.plan(current)
        sql = source.sql(statement) if statement is not None else None
        shown = source.sql(shortened(statement)) if statement is not None else None
    account = made.account("labels" if task.bound is None else "pairs of entity and anchor time")
    anchors = {s: [a.isoformat() for a in getattr(plan, s)] for s in ("train", "val", "test")} if plan else {}
    doubts = (*task.period_notes(current), *label_doubts(made))
    note = untimed_note(current.schema)
    return Labelled(
        task,
        sql,
        shown,
        anchors,
        made.statistics(),
        made.dropped,
        account,
        made.table,
        doubts,
        (note,) if note is not None else (),
    )


def train(
    project: Project,
    name: str,
    *,
    preset: str = "normal",
    seed: int = 0,
    search_minutes: float | None = None,
    listener: Listener = SILENT,
) -> TrainReport:
    """Train a task on the newest snapshot; the first model of a task becomes its champion.

    ``search_minutes`` is how long to look for better settings first; None for what the preset says.
    """
    from forekey.training import log_version, train_task

    _check_name(project, name)
    current = current_graph(project, listener)
    with _source(project) as source:
        task = find_task(project, current.schema, name)
        config = train_config(preset, seed)
        if search_minutes is not None:
            config = replace(config, search_seconds=60 * search_minutes)
        version, report = train_task(
            task, current, source, registry(project), config, progress=listener.step, on_epoch=listener.epoch
        )
    if registry(project).champion_or_none(task.name) is None:
        registry(project).promote(task.name, version.version, "the first model of the task")
    if project.config.mlflow is not None:
        listener.step("telling MLflow")
        try:
            log_version(project.config.mlflow, version, project.place("mlflow"))
        except TrackingError as error:
            report = replace(report, notes=(*report.notes, str(error)))
    return report


def evaluate(
    project: Project,
    name: str,
    *,
    split: str = "test",
    at: datetime | None = None,
    version: str | None = None,
    listener: Listener = SILENT,
) -> tuple[ModelVersion, Metrics, int]:
    """Score a version (default: the champion) on a split, or on all labels at one anchor time."""
    from forekey.training import evaluate_examples, resolve_examples

    _check_name(project, name)
    current = current_graph(project, listener)
    with _source(project) as source:
        task = find_task(project, current.schema, name)
        models = registry(project)
        chosen = models.get(task.name, version) if version else models.champion(task.name)
        examples = task.complete_labels_at(source, current, at) if at else task.labels(source, current).split(split)
    resolved = resolve_examples(current, task, examples)
    if len(resolved) == 0:
        raise TaskError(f"Task '{task.name}' has no labels {f'at {at}' if at else f'in the {split} split'}.")
    predictor = predictor_of(project, chosen, task, current, resolved.times)
    return chosen, evaluate_examples(predictor, task, resolved, chosen.manifest["train_std"]), len(resolved)


@dataclass(frozen=True)
class Embedded:
    """What one pass of embedding wrote; ``eligible`` counts the entities that the task speaks of now."""

    task: str
    version: str
    model_version: str
    as_of: str
    entities: int
    eligible: int
    seconds: float


def embed(project: Project, name: str, *, listener: Listener = SILENT) -> Embedded:
    """Embed and predict every entity as of the newest snapshot; write them to the store and to the log."""
    from forekey.store import EmbeddingStore, LoggedBatch, open_store

    started = time.perf_counter()
    listener.step(f"embedding every entity of {name}")
    batch = predict(project, name, listener=listener)
    version = batch.embedding_version()
    with open_store(project) as store:
        EmbeddingStore(store).publish(version, batch.keys, batch.stored(), batch.embeddings, batch.eligible)
    rows = batch.table().drop_columns(["as_of", "model_version"])
    logged = LoggedBatch(version.as_of, version.model_version, rows)
    prediction_log(project).append(version.task, logged)
    return Embedded(
        version.task,
        version.version,
        version.model_version,
        version.as_of,
        len(batch.keys),
        int(batch.eligible.sum()),
        round(time.perf_counter() - started, 3),
    )


def predict(
    project: Project, name: str, *, as_of: datetime | None = None, listener: Listener = SILENT
) -> BatchPredictions:
    """Predict every entity visible at a time (default: the snapshot's), layer by layer over the whole graph."""
    from forekey.graph import in_utc, to_micros
    from forekey.inference import predict_everyone

    _check_name(project, name)
    current = current_graph(project, listener)
    task = find_task(project, current.schema, name)
    model = registry(project).champion(task.name)
    moment = in_utc(as_of) if as_of is not None else current.as_of
    with _source(project) as source:
        task.check_ids(current)
        population = task.population(source, current, moment)
    predictor = predictor_of(project, model, task, current, np.array([to_micros(moment)]))
    return predict_everyone(predictor, model, task, population, moment, project.place("scratch"))


def explain(
    project: Project, name: str, entity_id: Any, *, as_of: datetime | None = None, listener: Listener = SILENT
) -> dict[str, Any]:
    """Say what drives the champion's prediction for one entity (default: as of the newest snapshot)."""
    from forekey.graph import in_utc, to_micros
    from forekey.inference import explain_entity

    _check_name(project, name)
    current = current_graph(project, listener)
    task = find_task(project, current.schema, name)
    model = registry(project).champion(task.name)
    now = to_micros(in_utc(as_of) if as_of is not None else current.as_of)
    entity = task.entity.name
    row = int(current.lookup(entity, [entity_id])[0])
    if not 0 <= row < int(current.visible(entity, np.array([now]))[0]):
        raise UnknownEntity(
            f"There is no entity '{entity_id}' for task '{task.name}' at that time. "
            f"Ids are primary keys of '{entity}', {_such_as(current, entity)}."
        )
    told = explain_entity(predictor_of(project, model, task, current, np.array([now])), row, now)
    return {"task": task.name, "entity_id": entity_id, **told, "model_version": model.version}


def _such_as(current: Snapshot, table: str) -> str:
    """Say what the primary keys of a table look like."""
    keys, kind = current.keys(table).slice(0, 2).to_pylist(), current.keys(table).type
    return f"of type {kind}, such as {' and '.join(map(repr, keys))}" if keys else "which has no rows"


def write_back(project: Project, table: str, rows: pa.Table) -> None:
    """Write a table into the source database, replacing one of an earlier export and no other."""
    from forekey.source import open_source

    if table in project.config.tables:
        raise ProjectError(f"'{table}' is a table that the graph is made of. Choose another name for the export.")
    with open_source(project.config.source, project.root, writable=True) as source:
        if table not in recorded_exports(project.root) and table in {t.name for t in source.tables()}:
            raise ProjectError(
                f"'{table}' is in the database already, and no export of this project made it. "
                "Choose another name, or drop it yourself."
            )
        record_export(project.root, table)
        source.write_table(table, rows)


def monitor(project: Project, *, listener: Listener = SILENT) -> MonitorReport:
    """Look once: drift, graph statistics, freshness, latency, and the quality of predictions whose time has come."""
    from forekey.monitoring import observe

    current, models = current_graph(project, listener), registry(project)
    tasks = {t: find_task(project, current.schema, t) for t in models.tasks() if t in project.config.tasks}
    with _source(project) as source:
        report = observe(
            current, snapshots(project), models, tasks, source, prediction_log(project), project.place("serving")
        )
    write_atomically(project.place("reports") / "monitor.json", json.dumps(report.to_dict(), indent=1))
    return report


def advise(project: Project, report: MonitorReport) -> dict[str, Decision]:
    """Say, per task, whether what the monitors saw calls for retraining by the settings of forekey.yaml."""
    from forekey.retraining import should_retrain
    from forekey.task import TaskType

    found = {}
    for name in report.drift:
        task_type = TaskType(registry(project).champion(name).manifest["task_type"])
        found[name] = should_retrain(name, task_type, report, project.config.retrain)
    return found


def retrain(
    project: Project, name: str, *, preset: str | None = None, seed: int = 0, listener: Listener = SILENT
) -> Challenge:
    """Train a challenger, hold it against the champion on the newest window, promote or keep, refresh embeddings.

    Without a ``preset`` the challenger is trained by the champion's settings, what a search found among them.
    """
    from forekey.retraining import Challenge, judge
    from forekey.training import evaluate_examples, resolve_examples, train_task

    _check_name(project, name)
    current, models = current_graph(project, listener), registry(project)
    task = find_task(project, current.schema, name)
    champion = models.champion(task.name)
    config = _as_before(champion, seed) if preset is None else train_config(preset, seed)
    with _source(project) as source:
        challenger, report = train_task(
            task, current, source, models, config, progress=listener.step, on_epoch=listener.epoch
        )
        examples = task.labels(source, current).split("test")
    newest = resolve_examples(current, task, examples)
    predictor = predictor_of(project, champion, task, current, newest.times)
    scores = evaluate_examples(predictor, task, newest, challenger.manifest["train_std"])
    verdict = judge(task.task_type, scores, report.metrics["test"], project.config.retrain.min_gain)
    if verdict.promote:
        models.promote(task.name, challenger.version, verdict.reason)
    embedded = embed(project, name, listener=listener)
    return Challenge(
        name,
        champion.version,
        challenger.version,
        scores,
        report.metrics["test"],
        len(newest),
        verdict,
        embedded.version,
    )


def find_task(project: Project, schema: Schema, name_or_pql: str) -> Task:
    """Return a task of forekey.yaml by name, or the task that a query states."""
    from forekey.query import parse, to_pql
    from forekey.task import define_task

    if name_or_pql not in project.config.tasks and _is_query(name_or_pql):
        # A query given on the spot keeps its models under a name that follows from what it asks, whoever of.
        general = to_pql(replace(parse(name_or_pql), ids=None))
        own = hashlib.blake2b(general.encode(), digest_size=4).hexdigest()
        return define_task(f"query-{own}", project, schema, PQLTask(query=name_or_pql))
    return define_task(name_or_pql, project, schema)


def _check_name(project: Project, name_or_pql: str) -> None:
    """Refuse a name that is no task's before anything is read."""
    if not _is_query(name_or_pql):
        project.task(name_or_pql)


def _is_query(name_or_pql: str) -> bool:
    return re.match(r"(\s|#.*\n)*predict\s", name_or_pql, re.IGNORECASE) is not None


def train_config(preset: str, seed: int) -> TrainConfig:
    """Return the settings of a preset."""
    from forekey.training import PRESETS, TrainConfig

    if preset not in PRESETS:
        raise TaskError(f"There is no preset '{preset}'. Use one of: {', '.join(PRESETS)}.")
    return TrainConfig(preset=preset, seed=seed, **PRESETS[preset])


def _as_before(version: ModelVersion, seed: int) -> TrainConfig:
    """Return the settings that a version was trained by; what was searched for then is not searched for again."""
    from forekey.training import TrainConfig

    return replace(TrainConfig.from_dict(version.manifest["config"]), seed=seed, search_seconds=0.0)


def snapshots(project: Project) -> SnapshotStore:
    """Return the project's snapshots."""
    from forekey.graph import SnapshotStore

    return SnapshotStore(project.place("snapshots"))


def registry(project: Project) -> Registry:
    """Return the project's model versions."""
    from forekey.registry import Registry

    return Registry(project.place("models"))


def prediction_log(project: Project) -> PredictionLog:
    """Return the log of the project's predictions."""
    from forekey.store import PredictionLog

    return PredictionLog(project.place("predictions"))


def predictor_of(
    project: Project, version: ModelVersion, task: Task, current: Snapshot, moments: NDArray[np.int64]
) -> AnyPredictor:
    """Bind a version to a snapshot, with the labels that were known at the moments it will be asked about."""
    from forekey.inference import load_predictor, past_for

    asked = np.unique(moments).tolist()
    past = past_for(version, task, lambda: _source(project), current, asked, project.place("past"))
    return load_predictor(version, current, past, project.place("encoded"))


def _source(project: Project) -> ConfiguredSource:
    from forekey.source import ConfiguredSource, source_on_demand

    config = project.config
    source = source_on_demand(config.source, project.root, timeout_seconds=config.statement_timeout_seconds)
    return ConfiguredSource(source, config)


def _schema(project: Project, source: Source, known: set[tuple[str, str]]) -> Schema:
    from forekey.source import configured_schema

    if not project.config.tables:
        raise ProjectError(f"{CONFIG_NAME} lists no tables. Name those to use under tables:, or run `forekey init`.")
    return configured_schema(source, project.config, known)
