"""A trained model bound to a snapshot, ready to answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.features import FeatureStore
from forekey.graph import Seeds
from forekey.inference.blend import Blend
from forekey.inference.collate import Collator
from forekey.inference.layerwise import embed_all
from forekey.nn import GraphModel
from forekey.objectives import Objective, PointwiseObjective, Predictions, Raw
from forekey.sampling import NeighborPlan, NeighborSampler
from forekey.stages import stage

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
        objective: Objective,
        blend: Blend | None = None,
    ) -> None:
        self.model = model.eval() if model is not None else None
        self.features = features
        self.objective = objective
        self.blend = blend if blend is not None else Blend()
        self.plan = NeighborPlan(plan.num_neighbors, "most_recent", plan.overrides)
        self._sampler = NeighborSampler(features.view, self.plan)
        self._collate = Collator(features)

    def predict(
        self, seeds: Seeds, window_features: NDArray[np.float32] | None = None, *, embed: bool = True
    ) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings ``[n, channels]`` of some entities.

        ``window_features`` are those of the same seeds, where they were computed before.
        Without ``embed``, trees leave out their embeddings, which then have no columns.
        """
        if window_features is None:
            with stage("window features"):
                window_features = self.features.window_features(seeds)
        if self.model is None:
            embeddings = self._tree_embeddings(window_features, len(seeds), embed=embed)
            raw = None
        else:
            raw, embeddings = self.network(seeds, window_features)
        with stage("trees"):
            return self._predictions(self.final_raw(raw, window_features)), embeddings

    def prepare(self) -> None:
        """Encode all rows that the network may read, so that no prediction waits for it."""
        if self.model is not None:
            self.features.tables.prepare(self.model.config.types_at(0))

    @property
    def entity(self) -> str:
        """Return the entity table."""
        if self.model is not None:
            return self.model.config.entity
        assert self.features.spec.windows is not None
        return self.features.spec.windows.entity

    @property
    def graph_model(self) -> GraphModel:
        """Return the network of a predictor that has one."""
        assert self.model is not None
        return self.model

    @torch.no_grad()
    def network(self, seeds: Seeds, window_features: NDArray[np.float32] | None) -> tuple[Raw, NDArray[np.float32]]:
        """Return the raw outputs of the network alone, ``[n, outputs]``, and embeddings."""
        model = self.graph_model
        tables = model.config.types_at(0)
        raw = np.zeros((len(seeds), model.config.outputs))
        embeddings = np.zeros((len(seeds), model.config.channels), np.float32)
        for part, some in seeds.batches(_BATCH) if len(seeds) else ():
            past = None if window_features is None else window_features[part]
            with stage("sample"):
                sampled = self._sampler.sample(some)
            with stage("encode"):
                batch = self._collate(sampled, tables, past)
            with stage("network"):
                embedding, output = model(batch)
            embeddings[part], raw[part] = embedding.numpy(), output.numpy()
        return raw, embeddings

    @property
    def pointwise(self) -> PointwiseObjective:
        """Return the objective of a predictor that is not one of the two networks of a ranking."""
        assert isinstance(self.objective, PointwiseObjective)
        return self.objective

    def final_raw(self, network: Raw | None, window_features: NDArray[np.float32] | None) -> Raw:
        """Return final raw outputs from those of the network (None without one) and window features."""
        return self.blend.outputs(network, window_features, self.objective)

    def _predictions(self, raw: Raw) -> Predictions:
        return self.pointwise.predictions(raw)

    @torch.no_grad()
    def predict_all(self, as_of: int, workspace: Path) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings of every visible row of the entity table, computed layer by layer."""
        if self.model is None:
            return self._trees_all(as_of)
        embeddings = embed_all(self.model, self.features, as_of, workspace)
        raw = np.concatenate([self.final_raw(*part) for part in self._heads(embeddings, as_of)])
        return self._predictions(raw), embeddings

    @torch.no_grad()
    def network_all(self, as_of: int, workspace: Path) -> tuple[Raw, NDArray[np.float32]]:
        """Return the raw outputs of the network alone for every visible row, and embeddings, layer by layer."""
        embeddings = embed_all(self.graph_model, self.features, as_of, workspace)
        return np.concatenate([raw for raw, _ in self._heads(embeddings, as_of)]), embeddings

    def predictions_all(self, as_of: int, workspace: Path) -> Predictions:
        """Return the predictions of every visible row of the entity table, without embeddings where that is less."""
        return (self._trees_all(as_of, embed=False) if self.model is None else self.predict_all(as_of, workspace))[0]

    def _trees_all(self, as_of: int, *, embed: bool = True) -> tuple[Predictions, NDArray[np.float32]]:
        """Return predictions and embeddings of every visible row by trees alone, part by part."""
        parts = []
        for _, seeds in self._everyone(as_of).batches(_CHUNK):
            described = self.features.window_features(seeds)
            embedded = self._tree_embeddings(described, len(seeds), embed=embed)
            parts.append((self.final_raw(None, described), embedded))
        raw, embeddings = zip(*parts, strict=True)
        return self._predictions(np.concatenate(raw)), np.concatenate(embeddings)

    def _everyone(self, as_of: int) -> Seeds:
        """Return all entities that are there at a moment."""
        return Seeds.at(self.entity, self.features.view.presence(self.entity).at(as_of), as_of)

    def _tree_embeddings(
        self, window_features: NDArray[np.float32] | None, rows: int, *, embed: bool
    ) -> NDArray[np.float32]:
        if not embed:
            return np.zeros((rows, 0), np.float32)
        if self.blend.trees is None or window_features is None:
            return np.zeros((rows, 1), np.float32)
        return self.blend.trees.embed(window_features, TREE_CHANNELS)

    def _heads(self, embeddings: NDArray[np.float32], as_of: int) -> Iterator[tuple[Raw, NDArray[np.float32] | None]]:
        """Read raw outputs off embeddings, part by part, with the window features of each part."""
        for position, seeds in self._everyone(as_of).batches(_CHUNK):
            part, window_features = torch.from_numpy(embeddings[position]), self.features.window_features(seeds)
            described = torch.from_numpy(window_features) if window_features is not None else None
            yield self.graph_model.head(part, described).numpy().astype(np.float64), window_features
