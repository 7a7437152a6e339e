"""Training a network on labels of examples: batches sampled ahead of the trainer, the loss of the kind of task."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forekey.features import FeatureStore
from forekey.inference import Collator, Predictor
from forekey.nn import GraphBatch, GraphModel
from forekey.objectives import PointwiseObjective
from forekey.sampling import NeighborSampler
from forekey.training.config import TrainConfig
from forekey.training.epochs import Learner, Watch, ahead, optimizer_of
from forekey.training.evaluate import Resolved, evaluate_examples, some_of
from forekey.training.losses import example_loss, targets

_MAX_VALIDATION = 20_000
_MIN_BATCH = 32
_PROBED = 3


class PointwiseLearner(Learner):
    """A network, its training examples, and those it is judged on (none where it is trained once more)."""

    objective: PointwiseObjective

    def __init__(
        self,
        model: GraphModel,
        features: FeatureStore,
        objective: PointwiseObjective,
        examples: tuple[Resolved, Resolved | None],
        config: TrainConfig,
    ) -> None:
        self.networks, self.objective = {"network": model}, objective
        self._model, self._features, self._config = model, features, config
        self._train, val = examples
        self._val = some_of(val, _MAX_VALIDATION) if val is not None else None
        self._predictor = Predictor(model, features, config.neighbors, objective)
        self._target = targets(objective, self._train.target)
        given = self._train.examples.weight
        self._weight = torch.from_numpy(given.astype(np.float32)) if given is not None else None

    def epoch(self, number: int, optimizer: torch.optim.Optimizer, watch: Watch) -> float:
        """Learn from all training examples once, or from as many as an epoch may have."""
        config, count, total = self._config, 0, 0.0
        most = min(len(self._train), config.max_batches * config.batch_size)
        for batch, chosen in _batches(self._model, self._features, self._train, config, number):
            _slow_down(optimizer, config, watch.share(count / max(most, 1)))
            _, output = self._model(batch)
            weight = self._weight[chosen] if self._weight is not None else None
            loss = self.step(optimizer, example_loss(self.objective.loss, output, self._target[chosen], weight))
            total, count = total + loss * len(chosen), count + len(chosen)
            watch.report(min(count / most, 1.0))
            if watch.is_over:
                break
        return total / max(count, 1)

    def score(self) -> float | None:
        """Return the default metric on validation."""
        assert self._val is not None
        return evaluate_examples(self._predictor, self._val)[self.objective.metric]


def probe(
    model: GraphModel, features: FeatureStore, train: Resolved, objective: PointwiseObjective, config: TrainConfig
) -> float:
    """Return how many seconds one batch takes, sampling included; the model is thrown away."""
    target, optimizer = targets(objective, train.target), optimizer_of(model.parameters(), config)
    few = replace(config, max_batches=_PROBED)
    started = 0.0
    for number, (batch, chosen) in enumerate(_batches(model, features, train, few, 1)):
        if number == 1:  # the first one loads and compiles what all need
            started = time.perf_counter()
        _, output = model(batch)
        example_loss(objective.loss, output, target[chosen], None).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        count = number
    return (time.perf_counter() - started) / count if started else 0.1


def _slow_down(optimizer: torch.optim.Optimizer, config: TrainConfig, done: float) -> None:
    """Lower the learning rate linearly to 0 over all of training (Defazio et al. 2023)."""
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * (max(1.0 - done, 0.0) if config.decay else 1.0)


def _batches(
    model: GraphModel, features: FeatureStore, train: Resolved, config: TrainConfig, epoch: int
) -> Iterator[tuple[GraphBatch, Tensor]]:
    """Sample batches in a thread of their own (the sampler releases the interpreter's lock), a few ahead."""
    order = np.random.default_rng((config.seed, epoch)).permutation(len(train))
    size = min(config.batch_size, max(_MIN_BATCH, len(train) // config.min_batches))
    parts = [order[i : i + size] for i in range(0, len(order), size)][: config.max_batches]
    sampler, assemble = NeighborSampler(features.view, config.neighbors), Collator(features)
    tables = model.config.types_at(0)

    def make(part: NDArray[np.int64]) -> tuple[GraphBatch, Tensor]:
        number = (config.seed << 20) + epoch
        seeds = train.seeds.take(part)
        subgraph = sampler.sample(seeds, number)
        # Window features of very many examples are computed as they come.
        window_features = (
            train.window_features[part] if train.window_features is not None else features.window_features(seeds)
        )
        return assemble(subgraph, tables, window_features), torch.from_numpy(part)

    yield from ahead(make, parts)
