"""Train one task on one snapshot: labels, features, model, loop, baselines, report, registered version."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from forekey import __version__
from forekey.errors import TaskError
from forekey.features import FeatureStore, fit_features
from forekey.graph import Snapshot, from_micros, to_micros
from forekey.inference import OutputTransform, Predictor
from forekey.nn import GraphModel, ModelConfig, RelationSpec, TableSpec
from forekey.registry import ModelVersion, Registry
from forekey.sampling import relations_of
from forekey.source import Source
from forekey.task import LabelTable, Task, TaskType, default_metric
from forekey.training.baselines import BaselineData, run_baselines
from forekey.training.config import TrainConfig
from forekey.training.evaluate import Resolved, evaluate_examples, resolve_examples
from forekey.training.loop import Epoch, fit
from forekey.training.report import TrainReport

Progress = Callable[[str], None]


_MAX_CLASSES = 1000


@dataclass(frozen=True)
class _Data:
    labels: LabelTable
    splits: dict[str, Resolved]
    transform: OutputTransform
    features: FeatureStore
    cutoff: int


def train_task(
    task: Task,
    snapshot: Snapshot,
    source: Source,
    registry: Registry,
    config: TrainConfig,
    *,
    baselines: bool = True,
    progress: Progress = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> tuple[ModelVersion, TrainReport]:
    """Train, score on validation and test, hold against baselines, and register the version."""
    started = time.perf_counter()
    default_metric(task.task_type)
    progress("making labels")
    data = _prepare(task, snapshot, source)
    progress(f"training on {len(data.splits['train']):,} examples")
    torch.manual_seed(config.seed)
    model = GraphModel(_model_config(task, snapshot, data, config))
    history = fit(model, data.features, task, data.splits, data.transform, config, on_epoch)
    predictor = Predictor(model, data.features, config.neighbors, data.transform)
    progress("evaluating")
    std = float(data.splits["train"].target.std()) if task.task_type is TaskType.REGRESSION else None
    metrics = {s: evaluate_examples(predictor, task, data.splits[s], std) for s in ("val", "test")}
    held_against = {}
    if baselines:
        until = to_micros(snapshot.as_of)
        held_against = run_baselines(
            BaselineData(task, source, data.features, data.splits, data.transform.classes, until), progress
        )
    manifest = _manifest(task, snapshot, data, model, config, metrics)
    manifest |= {"baselines": held_against, "history": [e.to_dict() for e in history]}
    manifest["seconds"] = round(time.perf_counter() - started, 2)
    version = registry.register(task.name, manifest, data.features.spec.to_dict(), lambda path: _save(model, path))
    return version, TrainReport.from_version(version)


def _prepare(task: Task, snapshot: Snapshot, source: Source) -> _Data:
    labels = task.labels(source, snapshot)
    splits = {name: resolve_examples(snapshot, task, labels.split(name)) for name in ("train", "val", "test")}
    for name in ("train", "val"):
        if len(splits[name]) == 0:
            dropped = ", ".join(f"{n:,} {reason}" for reason, n in labels.dropped.items() if n) or "none were dropped"
            raise TaskError(
                f"Task '{task.name}' has no {name} examples ({dropped}). See `forekey sql {task.name}`; "
                "loosen WHERE, or choose another window."
            )
    transform = _transform(task, splits["train"])
    # Nothing newer than the newest training anchor may shape what the model is fed.
    cutoff = int(splits["train"].times.max())
    spec = fit_features(snapshot, cutoff, task.hidden)
    return _Data(labels, splits, transform, FeatureStore(snapshot, spec), cutoff)


def _transform(task: Task, train: Resolved) -> OutputTransform:
    if task.task_type is TaskType.REGRESSION:
        scale = float(train.target.std())
        return OutputTransform(task.task_type, float(np.median(train.target)), scale if scale > 0 else 1.0)
    if task.task_type is TaskType.FORECASTING:
        scale, frames = float(train.target.std()), train.target.shape[1]
        return OutputTransform(task.task_type, float(np.median(train.target)), scale if scale > 0 else 1.0, (), frames)
    if task.task_type in {TaskType.MULTICLASS_CLASSIFICATION, TaskType.MULTILABEL_CLASSIFICATION}:
        several = task.task_type is TaskType.MULTILABEL_CLASSIFICATION
        counts = Counter(name for label in train.target for name in (label if several else (str(label),)))
        ordered = sorted(counts, key=lambda name: (-counts[name], name))
        if several and len(ordered) > _MAX_CLASSES:
            raise TaskError(
                f"The training labels of '{task.name}' hold {len(ordered):,} classes; CLASSIFY takes up to "
                f"{_MAX_CLASSES}. Use RANK TOP k to rank that many."
            )
        return OutputTransform(task.task_type, classes=tuple(ordered))
    return OutputTransform(task.task_type)


def _model_config(task: Task, snapshot: Snapshot, data: _Data, config: TrainConfig) -> ModelConfig:
    plan = config.neighbors
    tables = tuple(
        TableSpec(t.table, t.numbers, t.num_codes, snapshot.schema.table(t.table).time_column is not None)
        for t in data.features.spec.tables
    )
    relations = tuple(
        RelationSpec(str(r), r.source, r.neighbor, tuple(plan.budget(r, h) for h in range(plan.hops)))
        for r in relations_of(snapshot.schema)
    )
    return ModelConfig(
        task.entity.name, tables, relations, plan.hops, config.channels, data.transform.outputs, config.dropout
    )


def _manifest(
    task: Task, snapshot: Snapshot, data: _Data, model: GraphModel, config: TrainConfig, metrics: dict[str, Any]
) -> dict[str, Any]:
    """Return the version's lineage: everything it was made from."""
    return {
        "task_type": str(task.task_type),
        "task_config": task.config.model_dump(mode="json"),
        "snapshot": snapshot.id,
        "snapshot_as_of": snapshot.as_of.isoformat(),
        "feature_cutoff": from_micros(data.cutoff).isoformat(),
        "signature": snapshot.schema.to_dict(),
        "config": config.to_dict(),
        "code_version": __version__,
        "torch_version": torch.__version__,
        "labels": data.labels.statistics(),
        "dropped": data.labels.dropped,
        "unknown_entities": {name: r.unknown for name, r in data.splits.items()},
        "model": model.config.to_dict(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "neighbors": config.neighbors.to_dict(),
        "output": data.transform.to_dict(),
        "metrics": metrics,
        "default_metric": default_metric(task.task_type)[0],
        "notes": _notes(task),
        "train_std": float(data.splits["train"].target.std()) if task.task_type is TaskType.REGRESSION else None,
    }


def _notes(task: Task) -> list[str]:
    """Return what a reader of the report must know of the task."""
    if task.bound is not None and task.bound.query.assuming is not None:
        return ["ASSUMING picked the examples for which it held: a correlation, not what happens if one makes it hold."]
    return []


def _save(model: GraphModel, path: Path) -> None:
    torch.save(model.state_dict(), path)
