"""Models with random parameters: enough to tell whether two ways of computing agree."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import torch

from forekey import pipeline
from forekey.features import FeatureStore, fit_features
from forekey.graph import Snapshot, to_micros
from forekey.inference import Predictor
from forekey.nn import Aggregation, GraphModel, ModelConfig, RelationSpec, TableSpec
from forekey.objectives import BinaryObjective
from forekey.sampling import NeighborPlan, relations_of
from forekey.workspace import Workspace


def random_predictor(
    snapshot: Snapshot,
    entity: str,
    cutoff: datetime,
    plan: NeighborPlan | None = None,
    channels: int = 8,
    seed: int = 0,
    aggregation: Aggregation = "mean",
) -> Predictor:
    """Build an untrained model on a snapshot, its statistics fitted up to ``cutoff``."""
    plan = plan or NeighborPlan((4, 3))
    spec = fit_features(snapshot, to_micros(cutoff))
    config = ModelConfig(
        entity,
        tuple(
            TableSpec(t.table, t.num_values, t.vocabularies, snapshot.schema.table(t.table).time_column is not None)
            for t in spec.tables
        ),
        tuple(
            RelationSpec(str(r), r.dst, r.src, tuple(plan.budget(r, h) for h in range(plan.hops)), r.up)
            for r in relations_of(snapshot.schema)
        ),
        plan.hops,
        channels,
        1,
        0.0,
        aggregation=aggregation,
    )
    torch.manual_seed(seed)
    return Predictor(GraphModel(config), FeatureStore(snapshot, spec), plan, BinaryObjective())


def champion_of(project: Workspace, task: str, *moments: int) -> Predictor:
    """Bind a task's champion to the newest snapshot, ready to be asked about moments (default: the snapshot's)."""
    current = project.snapshots.current()
    found = pipeline.find_task(project, current.schema, task)
    asked = np.array(moments or [to_micros(current.as_of)])
    return pipeline.predictor_of(project, project.registry.champion(task), found, current, asked)
