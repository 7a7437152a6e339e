"""Training the two networks of a ranking: vectors of entities and of items that they go on to meet become alike.

Each step takes entities of one moment, all items they meet and some others, and lowers the softmax loss of the items
met, shared out evenly among them (sampled softmax: Jean et al. 2015; two-tower models: Yi et al., RecSys 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forekey.graph import Seeds
from forekey.inference import Collator, Predictor, Ranker
from forekey.nn import GraphBatch
from forekey.sampling import NeighborSampler
from forekey.training.config import TrainConfig
from forekey.training.epochs import Learner, Watch, ahead
from forekey.training.evaluate import Resolved, evaluate_examples, some_of

_QUERIES = 256
_ITEMS = 256
_MAX_VALIDATION = 2_000


class TwoTowerLearner(Learner):
    """The networks for entities and items of a ranker, its training examples, and those it is judged on."""

    time_share = 0.5

    def __init__(self, ranker: Ranker, train: Resolved, val: Resolved, config: TrainConfig) -> None:
        self.networks = {"entities": ranker.entities.graph_model, "items": ranker.items.graph_model}
        self.objective = ranker.objective
        self._ranker, self._train, self._config = ranker, train, config
        self._val = some_of(val, _MAX_VALIDATION)

    def epoch(self, number: int, optimizer: torch.optim.Optimizer, watch: Watch) -> float:
        """Learn from all training examples once, moment by moment."""
        total, count = 0.0, 0
        for step in _steps(self._ranker, self._train, self._config, number):
            own, items = self.networks["entities"](step.entities)[1], self.networks["items"](step.items)[1]
            logs = torch.log_softmax(own @ items.T / math.sqrt(own.shape[1]), dim=1)
            loss = self.step(optimizer, -(step.goal * logs).sum(dim=1).mean())
            total, count = total + loss * len(own), count + len(own)
            if watch.is_over:
                break
        self._ranker.forget()
        return total / max(count, 1)

    def score(self) -> float | None:
        """Return the mean average precision on validation."""
        return evaluate_examples(self._ranker, self._val)[self.objective.metric]

    def restore(self, state: dict[str, Any]) -> None:
        """Take parameters; vectors that were kept are forgotten."""
        super().restore(state)
        self._ranker.forget()


@dataclass(frozen=True)
class _Step:
    """Entities and items of one moment, and how much of each entity's label each item is, ``[entities, items]``."""

    entities: GraphBatch
    items: GraphBatch
    goal: Tensor


def _steps(ranker: Ranker, train: Resolved, config: TrainConfig, epoch: int) -> Iterator[_Step]:
    rng = np.random.default_rng((config.seed, epoch))
    which = train.seeds.moments()[1]
    shuffled = rng.permutation(len(train))
    grouped = shuffled[np.argsort(which[shuffled], kind="stable")]
    edges = np.flatnonzero(np.diff(which[grouped])) + 1
    parts = [g[i : i + _QUERIES] for g in np.split(grouped, edges) for i in range(0, len(g), _QUERIES)]
    chosen = [(parts[i], int(rng.integers(1 << 31))) for i in rng.permutation(len(parts))[: config.max_batches]]
    towers = [_Tower.of(t, config) for t in (ranker.entities, ranker.items)]

    def make(part: tuple[NDArray[np.int64], int]) -> _Step | None:
        queries, seed = part
        there = ranker.features.view.presence(ranker.pairs.spec.items)
        visible = int(there.bounds(train.seeds.cutoffs[queries[:1]])[0])
        items, goal = _sampled_items(train.target[queries], visible, np.random.default_rng(seed))
        some = goal.any(axis=1)
        if not some.any():
            return None
        kept = queries[some]
        own = train.seeds.take(kept)
        window_features = train.window_features[kept] if train.window_features is not None else None
        return _Step(
            towers[0].batch(own, seed, window_features),
            towers[1].batch(Seeds.at(ranker.pairs.spec.items, items, own.times[0], own.cutoffs[0]), seed),
            torch.from_numpy(goal[some] / goal[some].sum(axis=1, keepdims=True)),
        )

    yield from (step for step in ahead(make, chosen) if step is not None)


def _sampled_items(
    labels: NDArray[Any], visible: int, rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the items that some labels list, as far as there, with others drawn; and which label has which."""
    listed = np.unique([i for items in labels for i in items if 0 <= i < visible]).astype(np.int64)
    listed = rng.permutation(listed)[: 2 * _ITEMS]
    drawn = np.arange(visible) if visible <= _ITEMS else rng.choice(visible, _ITEMS, replace=False)
    items = np.union1d(listed, drawn).astype(np.int32)
    goal = np.stack([np.isin(items, list(label)) for label in labels]).astype(np.float32)
    return items, goal


@dataclass(frozen=True)
class _Tower:
    """What makes batches for one tower."""

    predictor: Predictor
    sampler: NeighborSampler
    assemble: Collator

    @classmethod
    def of(cls, predictor: Predictor, config: TrainConfig) -> _Tower:
        features = predictor.features
        return cls(predictor, NeighborSampler(features.view, config.neighbors), Collator(features))

    def batch(self, seeds: Seeds, seed: int, window_features: NDArray[np.float32] | None = None) -> GraphBatch:
        subgraph = self.sampler.sample(seeds, seed)
        past = self.predictor.features.window_features(seeds) if window_features is None else window_features
        return self.assemble(subgraph, self.predictor.graph_model.config.types_at(0), past)
