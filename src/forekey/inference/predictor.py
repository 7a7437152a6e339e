"""A trained model bound to a snapshot, ready to answer."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.errors import ModelError
from forekey.features import FeatureSpec, FeatureStore
from forekey.graph import Micros, Snapshot
from forekey.inference.assemble import Assembler
from forekey.inference.layerwise import embed_all
from forekey.inference.output import OutputTransform, Predictions, predictions_from
from forekey.nn import GraphModel, ModelConfig
from forekey.registry import ModelVersion
from forekey.sampling import NeighborPlan, NeighborSampler
from forekey.schema import Schema, Stype, TableSchema

_BATCH = 512


class Predictor:
    """Predicts for rows of the entity table at given times; always by the most recent neighbours."""

    def __init__(
        self, model: GraphModel, features: FeatureStore, plan: NeighborPlan, transform: OutputTransform
    ) -> None:
        self.model = model.eval()
        self.features = features
        self.transform = transform
        self.plan = NeighborPlan(plan.num_neighbors, "most_recent", plan.overrides)
        self._sampler = NeighborSampler(features.snapshot, self.plan)
        self._assemble = Assembler(features)

    @torch.no_grad()
    def predict(self, rows: NDArray[np.int32], times: Micros) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings ``[n, channels]`` for rows as seen at ``times [n] int64``."""
        tables = self.model.config.types_at(0)
        raw, embeddings = [], []
        for first in range(0, len(rows), _BATCH):
            part = slice(first, first + _BATCH)
            subgraph = self._sampler.sample(self.model.config.entity, rows[part], times[part])
            embedding, output = self.model(self._assemble(subgraph, tables))
            embeddings.append(embedding.numpy())
            raw.append(output.numpy())
        if not raw:
            raw = [np.zeros((0, self.transform.outputs), np.float32)]
            embeddings = [np.zeros((0, self.model.config.channels), np.float32)]
        return predictions_from(np.concatenate(raw), self.transform), np.concatenate(embeddings)

    @torch.no_grad()
    def predict_all(self, as_of: int, workspace: Path) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings of every visible row of the entity table, computed layer by layer."""
        embeddings = embed_all(self.model, self.features, as_of, workspace)
        raw = self.model.head(torch.from_numpy(embeddings)).numpy()
        return predictions_from(raw, self.transform), embeddings


def load_predictor(version: ModelVersion, snapshot: Snapshot) -> Predictor:
    """Load a model version onto a snapshot; :class:`ModelError` says what the snapshot lacks for it."""
    manifest = version.manifest
    check_signature(Schema.from_dict(manifest["signature"]), snapshot.schema, version.name)
    model = GraphModel(ModelConfig.from_dict(manifest["model"]))
    try:
        model.load_state_dict(torch.load(version.weights, weights_only=True))
    except (OSError, RuntimeError, KeyError, EOFError, UnpicklingError) as error:
        raise ModelError(f"The weights of {version.name} cannot be read. Train the task again.") from error
    features = FeatureStore(snapshot, FeatureSpec.from_dict(version.features()))
    transform = OutputTransform.from_dict(manifest["output"])
    return Predictor(model, features, NeighborPlan.from_dict(manifest["neighbors"]), transform)


def check_signature(needed: Schema, found: Schema, model: str) -> None:
    """Compare what a model was trained on with what a snapshot has; :class:`ModelError` names all that is missing.

    Columns count by name and meaning: an integer that became a decimal is the same number to a model.
    """
    missing = [part for table in needed.tables for part in _missing_of(table, found)]
    missing += [f"the foreign key {e}" for e in needed.edge_types if e not in found.edge_types]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise ModelError(f"{model} needs {shown}, which the snapshot lacks. Train the task again.")


def _missing_of(table: TableSchema, found: Schema) -> list[str]:
    if table.name not in found.names:
        return [f"the table '{table.name}'"]
    have = {c.name: c.stype for c in found.table(table.name).columns}
    used = [c for c in table.columns if c.stype not in {Stype.ID, Stype.IGNORE}]
    return [f"{table.name}.{c.name} as {c.stype}" for c in used if have.get(c.name) != c.stype]
