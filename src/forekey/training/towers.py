"""Training two towers: the vectors of entities and of the items they go on to meet are drawn together.

Each step takes entities of one moment, all items they meet and some others, and lowers the softmax loss of the items
met, shared out evenly among them (sampled softmax: Jean et al. 2015; two towers: Yi et al., RecSys 2019).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forekey.errors import ModelError
from forekey.graph import Seeds
from forekey.inference import Assembler, Predictor, Ranker
from forekey.nn import GraphBatch
from forekey.sampling import NeighborSampler
from forekey.task import Task, better, default_metric
from forekey.training.checkpoint import Checkpoint
from forekey.training.config import TrainConfig
from forekey.training.evaluate import Resolved, evaluate_examples
from forekey.training.loop import Epoch, ahead, optimizer_of

_QUERIES = 256
_ITEMS = 256
_MAX_VALIDATION = 2_000


@dataclass(frozen=True)
class _Step:
    """Entities and items of one moment, and how much of each entity's label each item is, ``[entities, items]``."""

    entities: GraphBatch
    items: GraphBatch
    goal: Tensor


def fit_towers(
    ranker: Ranker,
    task: Task,
    train: Resolved,
    val: Resolved,
    config: TrainConfig,
    on_epoch: Callable[[Epoch], None],
    checkpoint: Checkpoint,
) -> list[Epoch]:
    """Train both towers in place; they are left with the parameters of their best epoch on validation.

    A run that finds its ``checkpoint`` goes on after the epoch that was finished last.
    """
    started = time.perf_counter()
    optimizer = _optimizer(ranker, config)
    few = np.random.default_rng(0).permutation(len(val))[:_MAX_VALIDATION]
    judged = val.only(np.sort(few)) if len(val) > _MAX_VALIDATION else val
    metric, found = default_metric(task.task_type)[0], list[Epoch]()
    best: tuple[float | None, list[dict[str, Any]]] = (None, [])
    since_best = 0
    towers = ranker.entities.graph_model, ranker.items.graph_model
    if (state := checkpoint.load()) is not None:
        for tower, parameters in zip(towers, state["towers"], strict=True):
            tower.load_state_dict(parameters)
        optimizer.load_state_dict(state["optimizer"])
        found, best, since_best = [Epoch(**e) for e in state["history"]], tuple(state["best"]), state["since_best"]
        started -= found[-1].seconds
    deadline = started + config.max_seconds / 2
    for number in range(len(found) + 1, config.max_epochs + 1):
        if since_best >= config.patience:
            break  # stopped before it was cut off
        loss = _one_epoch(ranker, train, optimizer, config, number, deadline)
        ranker.forget()
        score = evaluate_examples(ranker, task, judged)[metric]
        improved = better(task.task_type, score, best[0]) or number == 1
        since_best = 0 if improved else since_best + 1
        if improved:
            best = (score, [copy.deepcopy(tower.state_dict()) for tower in towers])
        seconds = round(time.perf_counter() - started, 2)
        found.append(Epoch(number, config.max_epochs, loss, metric, score, improved, seconds))
        checkpoint.save(
            {
                "towers": [tower.state_dict() for tower in towers],
                "optimizer": optimizer.state_dict(),
                "history": [e.to_dict() for e in found],
                "best": best,
                "since_best": since_best,
            }
        )
        on_epoch(found[-1])
        if since_best >= config.patience or time.perf_counter() > deadline:
            break
    for tower, parameters in zip(towers, best[1], strict=True):
        tower.load_state_dict(parameters)
    ranker.forget()
    return found


def fit_towers_again(ranker: Ranker, train: Resolved, config: TrainConfig, epochs: int) -> None:
    """Train both towers in place for as many epochs as proved best, with nothing held back to stop by."""
    optimizer = _optimizer(ranker, config)
    deadline = time.perf_counter() + config.max_seconds / 2
    for number in range(1, epochs + 1):
        _one_epoch(ranker, train, optimizer, config, number, deadline)
    ranker.forget()


def _optimizer(ranker: Ranker, config: TrainConfig) -> torch.optim.Optimizer:
    return optimizer_of([*ranker.entities.graph_model.parameters(), *ranker.items.graph_model.parameters()], config)


def _one_epoch(
    ranker: Ranker,
    train: Resolved,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    epoch: int,
    deadline: float,
) -> float:
    models = ranker.entities.graph_model, ranker.items.graph_model
    for model in models:
        model.train()
    torch.manual_seed((config.seed << 20) + epoch)
    total, count = 0.0, 0
    for step in _steps(ranker, train, config, epoch):
        own, known = models[0](step.entities)[1], models[1](step.items)[1]
        logs = torch.log_softmax(own @ known.T / math.sqrt(own.shape[1]), dim=1)
        loss = -(step.goal * logs).sum(dim=1).mean()
        if not math.isfinite(loss.item()):
            raise ModelError("The training loss is not finite. Check the tables for infinite or absurd values.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for m in models for p in m.parameters()], 1.0)
        optimizer.step()
        total, count = total + loss.item() * len(own), count + len(own)
        if time.perf_counter() > deadline:
            break
    for model in models:
        model.eval()
    return total / max(count, 1)


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
        history = train.history[kept] if train.history is not None else None
        return _Step(
            towers[0].batch(own, seed, history),
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
    assemble: Assembler

    @classmethod
    def of(cls, predictor: Predictor, config: TrainConfig) -> _Tower:
        features = predictor.features
        return cls(predictor, NeighborSampler(features.view, config.neighbors), Assembler(features))

    def batch(self, seeds: Seeds, seed: int, history: NDArray[np.float32] | None = None) -> GraphBatch:
        subgraph = self.sampler.sample(seeds, seed)
        past = self.predictor.features.history(seeds) if history is None else history
        return self.assemble(subgraph, self.predictor.graph_model.config.types_at(0), past)
