"""Models: trained, scored, asked, explained, challenged."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from forekey.errors import ModelError, ProjectError, TaskError, TrackingError, UnknownEntity
from forekey.objectives import objective_of
from forekey.pipeline.graphs import current_graph
from forekey.pipeline.parts import SILENT, Listener, check_name, find_task, predictor_of
from forekey.project import record_export, recorded_exports
from forekey.task import TaskType
from forekey.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from forekey.graph import Snapshot
    from forekey.inference import BatchPredictions
    from forekey.objectives import Metrics
    from forekey.registry import ModelVersion
    from forekey.retraining import Challenge
    from forekey.training import TrainConfig, TrainReport


def train(
    workspace: Workspace,
    name: str,
    *,
    preset: str = "normal",
    seed: int = 0,
    search_minutes: float | None = None,
    minutes: float | None = None,
    importance: bool = True,
    listener: Listener = SILENT,
) -> TrainReport:
    """Train a task on the newest snapshot; its version becomes the champion where there is none that fits the data.

    ``search_minutes`` is how long to look for better settings first; None for what the preset says. ``minutes`` is how
    long training may take in all; without ``importance`` it is not measured what counts.
    """
    from forekey.features import sweep_encoded
    from forekey.training import log_version, train_task

    check_name(workspace, name)
    current = current_graph(workspace, listener)
    with workspace.source() as source:
        task = find_task(workspace, current.schema, name)
        config = train_config(preset, seed, task.task_type)
        if search_minutes is not None:
            config = replace(config, search_seconds=60 * search_minutes)
        if minutes is not None:
            config = replace(config, search_seconds=min(config.search_seconds, 20 * minutes))
        if not importance:
            config = replace(config, importance=False)
        with workspace.training(task.name, lambda: listener.note(_waiting(task.name))):
            version, report = train_task(
                task, current, source, workspace.registry, config, minutes=minutes, listener=listener
            )
    sweep_encoded(workspace.place("encoded"), workspace.snapshots.pool.folder)
    note = _champion_if_none_fits(workspace, task.name, version, current)
    report = replace(report, notes=(*report.notes, *note))
    if workspace.config.mlflow is not None:
        listener.step("telling MLflow")
        try:
            log_version(workspace.config.mlflow, version, workspace.place("mlflow"))
        except TrackingError as error:
            report = replace(report, notes=(*report.notes, str(error)))
    return report


def _waiting(task: str) -> str:
    return f"Another process is training '{task}': this one waits for it."


def _champion_if_none_fits(workspace: Workspace, task: str, version: ModelVersion, current: Snapshot) -> list[str]:
    """Make a version the champion if there is none that can be loaded and that the graph has all columns for."""
    from forekey.inference import check_signature

    models = workspace.registry
    champion = models.champion_or_none(task)
    if champion is None:
        models.promote(task, version.version, "the first model of the task")
        return []
    why = "" if champion.is_intact else f"{champion.version} cannot be loaded"
    try:
        check_signature(champion, current.schema)
    except ModelError:
        why = why or f"{champion.version} needs columns that the graph has no more"
    if why:
        models.promote(task, version.version, why)
        return [f"{version.version} is the champion now: {why}. `forekey embed {task}` stores its predictions."]
    return []


def evaluate(
    workspace: Workspace,
    name: str,
    *,
    split: str = "test",
    at: datetime | None = None,
    version: str | None = None,
    listener: Listener = SILENT,
) -> tuple[ModelVersion, Metrics, int]:
    """Score a version (default: the champion) on a split, or on all labels at one anchor time."""
    from forekey.training import evaluate_examples, resolve_examples

    check_name(workspace, name)
    current = current_graph(workspace, listener)
    with workspace.source() as source:
        task = find_task(workspace, current.schema, name)
        models = workspace.registry
        chosen = models.get(task.name, version) if version else models.champion(task.name)
        examples = (
            task.labels.complete_at(source, current, at) if at else task.labels.make(source, current).split(split)
        )
    resolved = resolve_examples(current, task, examples)
    if len(resolved) == 0:
        raise TaskError(f"Task '{task.name}' has no labels {f'at {at}' if at else f'in the {split} split'}.")
    predictor = predictor_of(workspace, chosen, task, current, resolved.times)
    return chosen, evaluate_examples(predictor, resolved), len(resolved)


@dataclass(frozen=True)
class Embedded:
    """What one pass of embedding wrote; ``eligible`` counts the entities that the task is about now."""

    task: str
    version: str
    model_version: str
    as_of: str
    entities: int
    eligible: int
    seconds: float
    kind: str = "network"
    """What the vectors are of: a network, or trees where there is none."""


def embed(workspace: Workspace, name: str, *, listener: Listener = SILENT) -> Embedded:
    """Embed and predict every entity as of the newest snapshot; write them to the store and to the log."""
    from forekey.store import EmbeddingStore, LoggedBatch

    started = time.perf_counter()
    listener.step(f"embedding every entity of {name}")
    batch = _computed(workspace, name, None, listener)
    stored = batch.predictions.compact()
    version = batch.embedding_version(stored, workspace.clock())
    with workspace.store() as store:
        EmbeddingStore(store).publish(version, batch.keys, stored, batch.embeddings, batch.eligible)
    rows = batch.table().drop_columns(["as_of", "model_version"])
    logged = LoggedBatch(version.as_of, version.model_version, rows)
    workspace.predictions.append(version.task, logged, batch.embeddings)
    return Embedded(
        version.task,
        version.version,
        version.model_version,
        version.as_of,
        len(batch.keys),
        int(batch.eligible.sum()),
        round(time.perf_counter() - started, 3),
        version.kind,
    )


def predict(
    workspace: Workspace, name: str, *, as_of: datetime | None = None, listener: Listener = SILENT
) -> BatchPredictions:
    """Predict every entity visible at a time (default: the snapshot's): what is stored already, else computed."""
    from forekey.pipeline.stored import stored_batch

    check_name(workspace, name)
    current = current_graph(workspace, listener)
    task = find_task(workspace, current.schema, name)
    model = workspace.registry.champion(task.name)
    return stored_batch(workspace, task, model, current, as_of) or _computed(workspace, name, as_of, listener)


def _computed(workspace: Workspace, name: str, as_of: datetime | None, listener: Listener) -> BatchPredictions:
    """Predict every entity layer by layer over the whole graph."""
    from forekey.graph import in_utc, to_micros
    from forekey.inference import predict_everyone

    check_name(workspace, name)
    current = current_graph(workspace, listener)
    task = find_task(workspace, current.schema, name)
    model = workspace.registry.champion(task.name)
    moment = in_utc(as_of) if as_of is not None else current.as_of
    with workspace.source() as source:
        task.labels.check_ids(current)
        population = task.labels.population(source, current, moment)
    predictor = predictor_of(workspace, model, task, current, np.array([to_micros(moment)]))
    return predict_everyone(predictor, model, task, population, moment, workspace.place("scratch"))


def explain(
    workspace: Workspace, name: str, entity_id: Any, *, as_of: datetime | None = None, listener: Listener = SILENT
) -> dict[str, Any]:
    """Say what drives the champion's prediction for one entity (default: as of the newest snapshot)."""
    from forekey.graph import in_utc, to_micros
    from forekey.inference import explain_entity

    check_name(workspace, name)
    current = current_graph(workspace, listener)
    task = find_task(workspace, current.schema, name)
    model = workspace.registry.champion(task.name)
    now = to_micros(in_utc(as_of) if as_of is not None else current.as_of)
    entity = task.entity.name
    row = int(current.lookup(entity, [entity_id])[0])
    if not 0 <= row < int(current.visible(entity, np.array([now]))[0]):
        raise UnknownEntity(
            f"There is no entity '{entity_id}' for task '{task.name}' at that time. "
            f"Ids are primary keys of '{entity}', {_such_as(current, entity)}."
        )
    told = explain_entity(predictor_of(workspace, model, task, current, np.array([now])), row, now)
    return {"task": task.name, "entity_id": entity_id, **told, "model_version": model.version}


def _such_as(current: Snapshot, table: str) -> str:
    """Say what the primary keys of a table look like."""
    keys, kind = current.keys(table).slice(0, 2).to_pylist(), current.keys(table).type
    return f"of type {kind}, such as {' and '.join(map(repr, keys))}" if keys else "which has no rows"


def write_back(workspace: Workspace, table: str, rows: pa.Table) -> None:
    """Write a table into the source database, replacing one of an earlier export and no other."""
    from forekey.source import open_source

    if table in workspace.config.tables:
        raise ProjectError(f"'{table}' is a table that the graph is made of. Choose another name for the export.")
    with open_source(workspace.config.source, workspace.root, writable=True) as source:
        if table not in recorded_exports(workspace.root) and table in {t.name for t in source.tables()}:
            raise ProjectError(
                f"'{table}' is in the database already, and no export of this project made it. "
                "Choose another name, or drop it yourself."
            )
        record_export(workspace.root, table)
        source.write_table(table, rows)


def retrain(
    workspace: Workspace, name: str, *, preset: str | None = None, seed: int = 0, listener: Listener = SILENT
) -> Challenge:
    """Train a challenger, hold it against the champion on the newest window, promote or keep, refresh embeddings.

    Without a ``preset`` the challenger is trained by the champion's settings, what a search found among them.
    """
    from forekey.inference import check_signature
    from forekey.retraining import Challenge, judge
    from forekey.training import evaluate_examples, interval_of_difference, resolve_examples, train_task

    check_name(workspace, name)
    current, models = current_graph(workspace, listener), workspace.registry
    task = find_task(workspace, current.schema, name)
    champion = models.champion(task.name)
    champion.check()
    check_signature(champion, current.schema)
    config = _as_before(champion, seed) if preset is None else train_config(preset, seed, task.task_type)
    waiting = workspace.training(task.name, lambda: listener.note(_waiting(task.name)))
    with workspace.source() as source:
        with waiting:
            challenger, report = train_task(task, current, source, models, config, listener=listener)
        examples = task.labels.make(source, current).split("test")
    newest = resolve_examples(current, task, examples)
    predictor = predictor_of(workspace, champion, task, current, newest.times)
    scores = evaluate_examples(predictor, newest)
    listener.step("comparing with the champion")
    new = predictor_of(workspace, challenger, task, current, newest.times)
    between = interval_of_difference(newest, new, predictor)
    verdict = judge(task.task_type, scores, report.metrics["test"], workspace.config.retrain.min_gain, between)
    if verdict.promote:
        models.promote(task.name, challenger.version, verdict.reason)
    embedded = embed(workspace, name, listener=listener)
    return Challenge(
        name,
        champion.version,
        challenger.version,
        scores,
        report.metrics["test"],
        len(newest),
        verdict,
        embedded.version,
        between,
    )


def train_config(preset: str, seed: int, task_type: TaskType | None = None) -> TrainConfig:
    """Return the settings of a preset for a kind of task."""
    from forekey.training import PRESETS, RANKING_PRESETS, TrainConfig

    if preset not in PRESETS:
        raise TaskError(f"There is no preset '{preset}'. Use one of: {', '.join(PRESETS)}.")
    own = RANKING_PRESETS.get(preset, {}) if task_type is not None and objective_of(task_type).ranks_items else {}
    return TrainConfig(preset=preset, seed=seed, **{**PRESETS[preset], **own})


def _as_before(version: ModelVersion, seed: int) -> TrainConfig:
    """Return the settings that a version was trained by; what was searched for then is not searched for again."""
    from forekey.training import TrainConfig

    return replace(TrainConfig.from_dict(version.manifest.config), seed=seed, search_seconds=0.0)
