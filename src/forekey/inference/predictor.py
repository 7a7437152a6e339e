"""A trained model bound to a snapshot, ready to answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.features import FeatureStore
from forekey.graph import Micros
from forekey.inference.assemble import Assembler
from forekey.inference.final import FinalStage, Raw
from forekey.inference.layerwise import embed_all
from forekey.inference.output import OutputTransform, Predictions, predictions_from
from forekey.nn import GraphModel
from forekey.sampling import NeighborPlan, NeighborSampler

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
        return np.concatenate([self.conclude(*part) for part in self._heads(embeddings, as_of)]), embeddings

    @torch.no_grad()
    def network_all(self, as_of: int, workspace: Path) -> tuple[Raw, NDArray[np.float32]]:
        """Return what the network alone says of every visible row, and embeddings, computed layer by layer."""
        embeddings = embed_all(self.model, self.features, as_of, workspace)
        return np.concatenate([raw for raw, _ in self._heads(embeddings, as_of)]), embeddings

    def _heads(self, embeddings: NDArray[np.float32], as_of: int) -> Iterator[tuple[Raw, NDArray[np.float32] | None]]:
        """Read raw outputs off embeddings, part by part, with the pasts in numbers of each part."""
        for first in range(0, max(len(embeddings), 1), _CHUNK):
            part = torch.from_numpy(embeddings[first : first + _CHUNK])
            rows = np.arange(first, first + len(part), dtype=np.int32)
            history = self.features.history(rows, np.full(len(rows), as_of, np.int64))
            yield self.model.head(part, self._assemble.scaled(history)).numpy().astype(np.float64), history
