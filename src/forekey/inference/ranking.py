"""Rankings: which items an entity will meet, found by candidates and scored twice.

Two towers, one network for entities and one for items, put both in one space, where the product of two vectors says how
well they go together (retrieval by it finds items that nothing links to the entity yet). Boosted trees score pairs by
what passed between them; the two scores are blended, and how much each counts is chosen on validation. Trees see only
numbers that are the same to the bit in every way of computing them, so all ways of predicting agree. A quick ranking
has trees alone, and finds candidates by rows that join both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from forekey.features import FeatureStore, PairFeatures
from forekey.graph import Seeds
from forekey.inference.blend import Trees
from forekey.inference.predictor import Predictor
from forekey.nn import WindowScale
from forekey.objectives import Ranking, RankingObjective

_QUERIES = 1_000
_RETRIEVED = 60

Vectors = NDArray[np.float32]


class RankBlend(nn.Module):
    """How two scores become one: ``weight`` is the towers', the trees have the rest; each is divided by its scale.

    All numbers are buffers in float64; a blend is not changed once it is made.
    """

    _numbers: Tensor

    def __init__(
        self, weight: float = 1.0, trees: Trees | None = None, tower_scale: float = 1.0, tree_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.trees = trees
        self.register_buffer("_numbers", torch.tensor([weight, tower_scale, tree_scale], dtype=torch.float64))

    @property
    def weight(self) -> float:
        """Return how much the towers count, from 0 to 1."""
        return float(self._numbers[0])

    @property
    def tower_scale(self) -> float:
        """Return what the towers' scores are divided by."""
        return float(self._numbers[1])

    @property
    def tree_scale(self) -> float:
        """Return what the trees' scores are divided by."""
        return float(self._numbers[2])

    def mix(self, towers: NDArray[np.float64], trees: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each pair."""
        score: NDArray[np.float64] = self.weight * (towers / self.tower_scale)
        return score if self.trees is None else score + (1.0 - self.weight) * (trees / self.tree_scale)

    def with_trees(self, trees: Trees | None) -> RankBlend:
        """Return the blend with other trees."""
        return RankBlend(self.weight, trees, self.tower_scale, self.tree_scale)

    @classmethod
    def from_state(cls, state: dict[str, Tensor], trees: Trees | None) -> RankBlend:
        """Return the blend whose ``state_dict`` is given."""
        weight, tower_scale, tree_scale = state["_numbers"].tolist()
        return cls(weight, trees, tower_scale, tree_scale)


@dataclass(frozen=True)
class Pairs:
    """The candidates of some entities: those of query ``q`` are ``items[ptr[q] : ptr[q + 1]]``.

    ``towers [pairs]`` is what the towers say of each, ``features [pairs, features]`` describe it.
    """

    ptr: NDArray[np.int64]
    items: NDArray[np.int32]
    towers: NDArray[np.float64]
    features: NDArray[np.float32]

    def best(self, score: NDArray[np.float64], top: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the best items of each query and their scores, ``[n, top]``; -1 and NaN where there are fewer."""
        queries = len(self.ptr) - 1
        items = np.full((queries, top), -1, np.int32)
        scores = np.full((queries, top), np.nan)
        query = np.repeat(np.arange(queries), np.diff(self.ptr))
        order = np.lexsort((self.items, -score, query))
        position = np.arange(len(order)) - self.ptr[query[order]]
        kept = order[position < top]
        items[query[kept], position[position < top]] = self.items[kept]
        scores[query[kept], position[position < top]] = score[kept]
        return items, scores


class Ranker:
    """Ranks items for rows of the entity table at given times; a :class:`Predictor` of rankings.

    Where ``entities`` and ``items`` have no network, trees alone rank; an entity's embedding is its window features,
    scaled by ``scale``.
    """

    def __init__(
        self,
        entities: Predictor,
        items: Predictor,
        pairs: PairFeatures,
        blend: RankBlend,
        top: int,
        scale: WindowScale,
    ) -> None:
        self.entities, self.items = entities, items
        self.pairs = pairs
        self.blend = blend
        self.top = top
        self._scale = scale
        self.objective = RankingObjective()
        self._held: tuple[tuple[int, int], Vectors] | None = None

    @property
    def has_towers(self) -> bool:
        """Whether there are networks beside the trees."""
        return self.entities.model is not None

    @property
    def features(self) -> FeatureStore:
        """Return the encoded tables of the snapshot that this is bound to."""
        return self.entities.features

    @property
    def entity(self) -> str:
        """Return the entity table."""
        return self.pairs.spec.entity

    def predict(
        self, seeds: Seeds, window_features: NDArray[np.float32] | None = None, *, embed: bool = True
    ) -> tuple[Ranking, Vectors]:
        """Return rankings and the entities' vectors."""
        items, scores = np.full((len(seeds), self.top), -1, np.int32), np.full((len(seeds), self.top), np.nan)
        vectors = np.zeros((len(seeds), self._width), np.float32)
        for part, pairs, own in self.scored(seeds, window_features):
            (items[part], scores[part]), vectors[part] = self.best(pairs), own
        return self._ranking(items, scores), vectors

    def prepare(self) -> None:
        """Encode all rows that the networks may read, so that no prediction waits for it."""
        self.entities.prepare()
        self.items.prepare()

    @property
    def _width(self) -> int:
        """Return how many numbers an entity's vector has."""
        if self.has_towers:
            return self.entities.graph_model.config.outputs
        return len(self._scale.center)

    def _own(self, seeds: Seeds, past: NDArray[np.float32] | None) -> Vectors:
        """Return the entities' vectors: of their tower, or without one their window features, scaled."""
        if self.has_towers:
            return self.entities.network(seeds, past)[0].astype(np.float32)
        if past is None:
            return np.zeros((len(seeds), self._width), np.float32)
        return self._scale(torch.from_numpy(past))[:, : self._width].numpy()  # type: ignore[no-any-return]

    def best(self, pairs: Pairs) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the best of some candidates and their scores, ``[queries, top]``."""
        trees = self.blend.trees.raw(pairs.features)[:, 0] if self.blend.trees is not None else np.zeros(0)
        return pairs.best(self.blend.mix(pairs.towers, trees), self.top)

    def _ranking(self, items: NDArray[np.int32], scores: NDArray[np.float64]) -> Ranking:
        return Ranking(items, scores, self.features.view.keys(self.pairs.spec.items))

    def scored(
        self, seeds: Seeds, window_features: NDArray[np.float32] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], Pairs, Vectors]]:
        """Find and describe candidates, moment by moment: which of the seeds, their candidates, their vectors."""
        moments, which = seeds.moments()
        for m in range(len(moments)):
            every = np.flatnonzero(which == m)
            known = self.item_vectors(int(moments[m, 0]), int(moments[m, 1])) if self.has_towers else None
            for first in range(0, len(every), _QUERIES):
                part = every[first : first + _QUERIES]
                some = seeds.take(part)
                own = self._own(
                    some, self.features.window_features(some) if window_features is None else window_features[part]
                )
                yield part, self.pairs_of(some, own, known), own

    def pairs_of(self, seeds: Seeds, own: Vectors, known: Vectors | None) -> Pairs:
        """Find and describe the candidates of entities whose vectors are ``own``, among items whose are ``known``."""
        products = own @ known.T if known is not None else None
        retrieved = _most(products, min(_RETRIEVED, products.shape[1])) if products is not None else None
        ptr, items = self.pairs.candidates(seeds, retrieved)
        query = np.repeat(np.arange(len(seeds)), np.diff(ptr))
        features = self.pairs.compute(seeds, ptr, items)
        towers = products[query, items].astype(np.float64) if products is not None else np.zeros(len(items))
        return Pairs(ptr, items, towers, features)

    def forget(self) -> None:
        """Forget vectors that were kept: the towers have changed."""
        self._held = None

    def item_vectors(self, time: int, cut: int) -> Vectors:
        """Return the vector of each item that was there, ``[items, channels]``; those of the last moment are kept."""
        held = self._held  # read once: another thread may ask about another moment
        if held is None or held[0] != (time, cut):
            items = self.pairs.spec.items
            every = Seeds.at(items, self.features.view.presence(items).at(cut), time, cut)
            past = self.items.features.window_features(every)
            held = ((time, cut), self.items.network(every, past)[0].astype(np.float32))
            self._held = held
        return held[1]

    def predictions_all(self, as_of: int, workspace: Path) -> Ranking:
        """Return the rankings of every visible row of the entity table."""
        return self.predict_all(as_of, workspace)[0]

    def predict_all(self, as_of: int, workspace: Path) -> tuple[Ranking, Vectors]:
        """Return rankings and vectors of every visible row of the entity table; towers layer by layer."""
        everyone = Seeds.at(self.entity, self.features.view.presence(self.entity).at(as_of), as_of)
        if not self.has_towers:
            return self.predict(everyone)
        own = self.entities.network_all(as_of, workspace)[0].astype(np.float32)
        known = self.items.network_all(as_of, workspace)[0].astype(np.float32)
        items, scores = np.full((len(own), self.top), -1, np.int32), np.full((len(own), self.top), np.nan)
        for part, seeds in everyone.batches(_QUERIES) if len(own) else ():
            items[part], scores[part] = self.best(self.pairs_of(seeds, own[part], known))
        return self._ranking(items, scores), own


def _most(products: Vectors, most: int) -> NDArray[np.int32]:
    """Return the columns of the greatest values of each row, ``[n, most] int32``, in no order."""
    if most == products.shape[1]:
        return np.broadcast_to(np.arange(most, dtype=np.int32), products.shape)
    return np.argpartition(-products, most - 1, axis=1)[:, :most].astype(np.int32)
