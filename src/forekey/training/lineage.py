"""What every version is made of, whatever its task: its network's shape, and where it comes from."""

from __future__ import annotations

import hashlib
import json

import torch

from forekey import __version__
from forekey.features import WIDTH, FeatureStore
from forekey.graph import Snapshot, from_micros
from forekey.nn import PARAMETERS, ModelConfig, RelationSpec, TableSpec
from forekey.registry import ModelManifest
from forekey.sampling import relations_of
from forekey.task import LabelTable, Task, task_doubts
from forekey.training.config import TrainConfig
from forekey.training.job import TrainJob


def network_of(entity: str, features: FeatureStore, config: TrainConfig, outputs: int) -> ModelConfig:
    """Return the shape of a network that answers about rows of a table."""
    plan, schema = config.neighbors, features.view.schema
    tables = tuple(
        TableSpec(t.table, t.num_values, t.vocabularies, schema.table(t.table).time_column is not None)
        for t in features.spec.tables
    )
    relations = tuple(
        RelationSpec(str(r), r.dst, r.src, tuple(plan.budget(r, h) for h in range(plan.hops)), r.up)
        for r in relations_of(schema)
    )
    return ModelConfig(
        entity,
        tables,
        relations,
        plan.hops,
        config.channels,
        outputs,
        config.dropout,
        len(features.features),
        config.aggregation,
    )


def lineage(job: TrainJob, config: TrainConfig) -> ModelManifest:
    """Return what a manifest says of where a version comes from; ``config`` are the settings that were used at last."""
    task, snapshot, labels = job.task, job.snapshot, job.labels
    return ModelManifest(
        task_type=str(task.task_type),
        task_config=task.config.model_dump(mode="json"),
        snapshot=snapshot.id,
        snapshot_as_of=snapshot.as_of.isoformat(),
        feature_cutoff=from_micros(job.cutoff).isoformat(),
        signature=snapshot.schema.to_dict(),
        config=config.to_dict(),
        code_version=__version__,
        torch_version=torch.__version__,
        labels=labels.statistics(),
        dropped=labels.dropped,
        unknown_entities={name: r.unknown for name, r in job.splits.items()},
        default_metric=task.kind.metric,
        warnings=list(task_doubts(task, labels)),
        notes=[*task.labels.period_notes(snapshot), *_notes(task, labels)],
    )


_ASSUMED = "ASSUMING picked the examples for which it held: a correlation, not what happens if one makes it hold."


def _notes(task: Task, labels: LabelTable) -> list[str]:
    """Return what a reader of the report must know of the task."""
    if task.bound is None:
        return [labels.account()] if any(labels.dropped.values()) else []
    unknown = labels.dropped.get("unknown entity", 0)
    notes = [f"{unknown:,} labels were dropped: their entity is not in the snapshot."] if unknown else []
    if task.bound is not None and task.bound.query.assuming is not None:
        notes.append(_ASSUMED)
    return notes


def text_width(task: Task) -> int:
    """Return how long the vectors of texts are by forekey.yaml; 0 where words are hashed."""
    return WIDTH if task.project.config.texts == "embedded" else 0


def run_id(task: Task, snapshot: Snapshot, config: TrainConfig) -> str:
    """Name a run after everything that it depends on."""
    facts = [
        snapshot.id,
        task.project.config.texts,
        task.config.model_dump(mode="json"),
        config.to_dict(),
        __version__,
        PARAMETERS,
        torch.__version__,
    ]
    return hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=8).hexdigest()
