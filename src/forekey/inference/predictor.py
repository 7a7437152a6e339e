"""A trained model bound to a snapshot, ready to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.errors import ModelError
from forekey.features import FeatureSpec, FeatureStore
from forekey.graph import Micros, Snapshot
from forekey.inference.assemble import Assembler
from forekey.inference.final import FinalStage, Raw
from forekey.inference.layerwise import embed_all
from forekey.inference.output import OutputTransform, Predictions, predictions_from
from forekey.nn import GraphModel, ModelConfig
from forekey.registry import ModelVersion
from forekey.sampling import NeighborPlan, NeighborSampler
from forekey.schema import Schema, Stype, TableSchema
from forekey.source import Source
from forekey.task import PastLabels, Task, remembered_past

_BATCH = 512
_CHUNK = 20_000


class Predictor:
    """Predicts for rows of the entity table at given times; always by the most recent neighbours."""

    def __init__(
        self,
        model: GraphModel,
        features: FeatureStore,
        plan: NeighborPlan,
        transform: OutputTransform,
        final: FinalStage | None = None,
    ) -> None:
        self.model = model.eval()
        self.features = features
        self.transform = transform
        self.final = final or FinalStage()
        self.plan = NeighborPlan(plan.num_neighbors, "most_recent", plan.overrides)
        self._sampler = NeighborSampler(features.snapshot, self.plan)
        self._assemble = Assembler(features)

    def predict(
        self,
        rows: NDArray[np.int32],
        times: Micros,
        seen_until: Micros | None = None,
        history: NDArray[np.float32] | None = None,
    ) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings ``[n, channels]`` for rows as seen at ``times [n] int64``.

        ``seen_until [n]`` is up to when the graph is seen, where that is earlier; ``history`` spares computing again
        what :meth:`forekey.features.FeatureStore.history` gave for the same rows.
        """
        if history is None:
            history = self.features.history(rows, times, seen_until)
        raw, embeddings = self.network(rows, times, seen_until, history)
        return self.conclude(raw, history), embeddings

    @torch.no_grad()
    def network(
        self,
        rows: NDArray[np.int32],
        times: Micros,
        seen_until: Micros | None,
        history: NDArray[np.float32] | None,
    ) -> tuple[Raw, NDArray[np.float32]]:
        """Return what the network alone says, raw outputs ``[n, outputs]``, and embeddings."""
        tables = self.model.config.types_at(0)
        raw = np.zeros((len(rows), self.transform.outputs))
        embeddings = np.zeros((len(rows), self.model.config.channels), np.float32)
        for first in range(0, len(rows), _BATCH):
            part = slice(first, first + _BATCH)
            seen = None if seen_until is None else seen_until[part]
            subgraph = self._sampler.sample(self.model.config.entity, rows[part], times[part], seen_until=seen)
            past = None if history is None else history[part]
            embedding, output = self.model(self._assemble(subgraph, tables, past))
            embeddings[part], raw[part] = embedding.numpy(), output.numpy()
        return raw, embeddings

    def conclude(self, raw: Raw, history: NDArray[np.float32] | None) -> Predictions:
        """Return predictions from what the network said and the past in numbers."""
        return predictions_from(self.final.apply(raw, history, self.transform.task_type), self.transform)

    @torch.no_grad()
    def predict_all(self, as_of: int, workspace: Path) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings of every visible row of the entity table, computed layer by layer."""
        embeddings = embed_all(self.model, self.features, as_of, workspace)
        found = []
        for first in range(0, max(len(embeddings), 1), _CHUNK):
            part = torch.from_numpy(embeddings[first : first + _CHUNK])
            rows = np.arange(first, first + len(part), dtype=np.int32)
            history = self.features.history(rows, np.full(len(rows), as_of, np.int64))
            raw = self.model.head(part, self._assemble.scaled(history)).numpy().astype(np.float64)
            found.append(self.conclude(raw, history))
        return np.concatenate(found), embeddings


def load_predictor(version: ModelVersion, snapshot: Snapshot, past: PastLabels | None = None) -> Predictor:
    """Load a model version onto a snapshot; :class:`ModelError` says what the snapshot lacks for it.

    ``past`` holds the labels that entities had before, for models that look at them (see :func:`past_for`).
    """
    manifest = version.manifest
    check_signature(Schema.from_dict(manifest["signature"]), snapshot.schema, version.name)
    model = GraphModel(ModelConfig.from_dict(manifest["model"]))
    try:
        model.load_state_dict(torch.load(version.weights, weights_only=True))
    except (OSError, RuntimeError, KeyError, EOFError, UnpicklingError) as error:
        raise ModelError(f"The weights of {version.name} cannot be read. Train the task again.") from error
    features = FeatureStore(snapshot, FeatureSpec.from_dict(version.features()), past)
    transform = OutputTransform.from_dict(manifest["output"])
    final = FinalStage.load(manifest.get("final"), version.folder)
    return Predictor(model, features, NeighborPlan.from_dict(manifest["neighbors"]), transform, final)


def past_for(
    version: ModelVersion,
    task: Task,
    open_source: Callable[[], AbstractContextManager[Source]],
    snapshot: Snapshot,
    moments: Iterable[int],
    folder: Path,
) -> PastLabels | None:
    """Return the labels known at some moments, for a model that looks at them; gathered once, kept in ``folder``."""
    history = version.features().get("history")
    if history is None or not history["past_labels"]:
        return None
    classes = tuple(version.manifest["output"]["classes"])
    return remembered_past(task, open_source, snapshot, moments, classes, folder)


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
