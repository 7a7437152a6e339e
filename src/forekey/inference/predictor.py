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
TREE_CHANNELS = 64
"""How long the embeddings of trees are at most."""


class Predictor:
    """Predicts for rows of the entity table at given times; always by the most recent neighbours.

    ``model`` is None where trees alone predict; embeddings are then theirs (see :meth:`Trees.embed`).
    """

    def __init__(
        self,
        model: GraphModel | None,
        features: FeatureStore,
        plan: NeighborPlan,
        transform: OutputTransform,
        final: FinalStage | None = None,
    ) -> None:
        self.model = model.eval() if model is not None else None
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
        *,
        embed: bool = True,
    ) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings ``[n, channels]`` for rows as seen at ``times [n] int64``.

        ``seen_until [n]`` is up to when the graph is seen, where that is earlier; ``history`` spares computing again
        what :meth:`forekey.features.FeatureStore.history` gave for the same rows. Without ``embed``, trees leave out
        their embeddings, which then have no columns.
        """
        if history is None:
            history = self.features.history(rows, times, seen_until)
        if self.model is None:
            return self.conclude(None, history), self._tree_embeddings(history, len(rows), embed=embed)
        raw, embeddings = self.network(rows, times, seen_until, history)
        return self.conclude(raw, history), embeddings

    @property
    def graph_model(self) -> GraphModel:
        """Return the network of a predictor that has one."""
        assert self.model is not None
        return self.model

    @torch.no_grad()
    def network(
        self,
        rows: NDArray[np.int32],
        times: Micros,
        seen_until: Micros | None,
        history: NDArray[np.float32] | None,
    ) -> tuple[Raw, NDArray[np.float32]]:
        """Return what the network alone says, raw outputs ``[n, outputs]``, and embeddings."""
        model = self.graph_model
        tables = model.config.types_at(0)
        raw = np.zeros((len(rows), self.transform.outputs))
        embeddings = np.zeros((len(rows), model.config.channels), np.float32)
        for first in range(0, len(rows), _BATCH):
            part = slice(first, first + _BATCH)
            seen = None if seen_until is None else seen_until[part]
            subgraph = self._sampler.sample(model.config.entity, rows[part], times[part], seen_until=seen)
            past = None if history is None else history[part]
            embedding, output = model(self._assemble(subgraph, tables, past))
            embeddings[part], raw[part] = embedding.numpy(), output.numpy()
        return raw, embeddings

    def conclude(self, raw: Raw | None, history: NDArray[np.float32] | None) -> Predictions:
        """Return predictions from the network's raw outputs (None without one) and window features."""
        return predictions_from(self.final.apply(raw, history, self.transform.task_type), self.transform)

    @torch.no_grad()
    def predict_all(self, as_of: int, workspace: Path) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings of every visible row of the entity table, computed layer by layer."""
        if self.model is None:
            return self._trees_all(as_of)
        embeddings = embed_all(self.model, self.features, as_of, workspace)
        return np.concatenate([self.conclude(*part) for part in self._heads(embeddings, as_of)]), embeddings

    @torch.no_grad()
    def network_all(self, as_of: int, workspace: Path) -> tuple[Raw, NDArray[np.float32]]:
        """Return what the network alone says of every visible row, and embeddings, computed layer by layer."""
        embeddings = embed_all(self.graph_model, self.features, as_of, workspace)
        return np.concatenate([raw for raw, _ in self._heads(embeddings, as_of)]), embeddings

    def predictions_all(self, as_of: int, workspace: Path) -> Predictions:
        """Return the predictions of every visible row of the entity table, without embeddings where that is less."""
        return (self._trees_all(as_of, embed=False) if self.model is None else self.predict_all(as_of, workspace))[0]

    def _trees_all(self, as_of: int, *, embed: bool = True) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings of every visible row by trees alone, part by part."""
        history = self.features.spec.history
        assert history is not None
        visible = int(self.features.snapshot.visible(history.entity, np.array([as_of]))[0])
        parts = []
        for first in range(0, max(visible, 1), _CHUNK):
            rows = np.arange(first, min(first + _CHUNK, visible), dtype=np.int32)
            described = self.features.history(rows, np.full(len(rows), as_of, np.int64))
            embedded = self._tree_embeddings(described, len(rows), embed=embed)
            parts.append((self.conclude(None, described), embedded))
        predictions, embeddings = zip(*parts, strict=True)
        return np.concatenate(predictions), np.concatenate(embeddings)

    def _tree_embeddings(self, history: NDArray[np.float32] | None, rows: int, *, embed: bool) -> NDArray[np.float32]:
        if not embed:
            return np.zeros((rows, 0), np.float32)
        if self.final.trees is None or history is None:
            return np.zeros((rows, 1), np.float32)
        return self.final.trees.embed(history, TREE_CHANNELS)

    def _heads(self, embeddings: NDArray[np.float32], as_of: int) -> Iterator[tuple[Raw, NDArray[np.float32] | None]]:
        """Read raw outputs off embeddings, part by part, with the window features of each part."""
        for first in range(0, max(len(embeddings), 1), _CHUNK):
            part = torch.from_numpy(embeddings[first : first + _CHUNK])
            rows = np.arange(first, first + len(part), dtype=np.int32)
            history = self.features.history(rows, np.full(len(rows), as_of, np.int64))
            yield self.graph_model.head(part, self._assemble.scaled(history)).numpy().astype(np.float64), history
