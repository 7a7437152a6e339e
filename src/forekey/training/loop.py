"""The training loop: batches sampled ahead of the trainer, early stopping on the validation score."""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from forekey.errors import ModelError
from forekey.features import FeatureStore
from forekey.inference import Assembler, OutputTransform, Predictor
from forekey.nn import GraphBatch, GraphModel
from forekey.progress import SILENT, Listener
from forekey.sampling import NeighborSampler
from forekey.task import Task, TaskType, better, default_metric
from forekey.training.checkpoint import NOWHERE, Checkpoint
from forekey.training.config import TrainConfig
from forekey.training.evaluate import Resolved, as_numbers, evaluate_examples

_AHEAD = 3
_MAX_VALIDATION = 20_000
_MIN_BATCH = 32
_PROBED = 3
_LATE = 0.25
"""By how much of all time training must be behind its epochs before the learning rate falls by the clock."""


P = TypeVar("P")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass: mean training loss, validation score, whether it is the best so far, seconds since the start."""

    number: int
    of: int
    loss: float
    metric: str
    score: float | None
    best: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def fit(
    model: GraphModel,
    features: FeatureStore,
    task: Task,
    splits: dict[str, Resolved],
    transform: OutputTransform,
    config: TrainConfig,
    listener: Listener = SILENT,
    checkpoint: Checkpoint = NOWHERE,
) -> list[Epoch]:
    """Train ``model`` in place and leave it with the parameters of its best epoch on validation.

    A run that finds its ``checkpoint`` goes on after the epoch that was finished last, and ends as if it had not been
    cut off: every epoch draws its own random numbers.
    """
    started = time.perf_counter()
    target = targets(task.task_type, splits["train"], transform)
    val = _subset(splits["val"], _MAX_VALIDATION)
    optimizer = optimizer_of(model.parameters(), config)
    predictor = Predictor(model, features, config.neighbors, transform)
    metric = default_metric(task.task_type)[0]
    history: list[Epoch] = []
    best: tuple[float | None, dict[str, Any]] = (None, copy.deepcopy(model.state_dict()))
    since_best = 0
    if (state := checkpoint.load()) is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history, best, since_best = [Epoch(**e) for e in state["history"]], tuple(state["best"]), state["since_best"]
        started -= history[-1].seconds
    for number in range(len(history) + 1, config.max_epochs + 1):
        if since_best >= config.patience:
            break  # stopped before it was cut off
        deadline = started + config.max_seconds
        watch = _Watch(started, deadline, listener, number - 1, config.max_epochs)
        loss = _one_epoch(model, features, task, splits["train"], target, optimizer, config, number, watch)
        score = evaluate_examples(predictor, task, val)[metric]
        improved = better(task.task_type, score, best[0]) or number == 1
        since_best = 0 if improved else since_best + 1
        if improved:
            best = (score, copy.deepcopy(model.state_dict()))
        history.append(
            Epoch(number, config.max_epochs, loss, metric, score, improved, round(time.perf_counter() - started, 2))
        )
        checkpoint.save(
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": [e.to_dict() for e in history],
                "best": best,
                "since_best": since_best,
            }
        )
        listener.epoch(history[-1])
        if since_best >= config.patience or time.perf_counter() > deadline:
            break
    model.load_state_dict(best[1])
    model.eval()
    return history


def fit_again(
    model: GraphModel,
    features: FeatureStore,
    task: Task,
    examples: Resolved,
    transform: OutputTransform,
    config: TrainConfig,
    epochs: int,
    listener: Listener = SILENT,
) -> None:
    """Train ``model`` in place for as many epochs as proved best, with no examples held back to stop by."""
    target = targets(task.task_type, examples, transform)
    optimizer = optimizer_of(model.parameters(), config)
    started = time.perf_counter()
    deadline = started + config.max_seconds
    for number in range(1, epochs + 1):
        watch = _Watch(started, deadline, listener, number - 1, epochs)
        _one_epoch(model, features, task, examples, target, optimizer, config, number, watch)
        if time.perf_counter() > deadline:
            break


def probe(
    model: GraphModel, features: FeatureStore, train: Resolved, transform: OutputTransform, config: TrainConfig
) -> float:
    """Return how many seconds one batch takes, sampling included; the model is thrown away."""
    target, optimizer = targets(transform.task_type, train, transform), optimizer_of(model.parameters(), config)
    few = replace(config, max_batches=_PROBED)
    started = 0.0
    for number, (batch, chosen) in enumerate(_batches(model, features, train, few, 1)):
        if number == 1:  # the first one loads and compiles what all need
            started = time.perf_counter()
        _, output = model(batch)
        example_loss(transform.task_type, output, target[chosen], None).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        count = number
    return (time.perf_counter() - started) / count if started else 0.1


@dataclass(frozen=True, slots=True)
class _Watch:
    """From when and until when to train, and how many of all epochs are over."""

    started: float
    deadline: float
    listener: Listener
    done: int
    of: int

    def share(self, of_epoch: float) -> float:
        """Return how much of training is done, ``of_epoch`` of an epoch on.

        It is counted in epochs, so that equal seeds give equal models, unless the time will clearly be over before.
        """
        epochs, spent = (self.done + of_epoch) / self.of, self._spent()
        return min(spent, 1.0) if spent > epochs + _LATE else epochs

    def report(self, of_epoch: float) -> None:
        """Report how far training is: by epochs or by time, whichever will end it first."""
        self.listener.advance(min(max((self.done + of_epoch) / self.of, self._spent()), 1.0), 1.0)

    def _spent(self) -> float:
        return (time.perf_counter() - self.started) / max(self.deadline - self.started, 1e-9)


def optimizer_of(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019), which takes its step in one pass over the parameters."""
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def _one_epoch(
    model: GraphModel,
    features: FeatureStore,
    task: Task,
    train: Resolved,
    target: Tensor,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    epoch: int,
    watch: _Watch,
) -> float:
    model.train()
    torch.manual_seed((config.seed << 20) + epoch)
    given = train.examples.weight
    weight = torch.from_numpy(given.astype(np.float32)) if given is not None else None
    total, count, most = 0.0, 0, min(len(train), config.max_batches * config.batch_size)
    for batch, chosen in _batches(model, features, train, config, epoch):
        _slow_down(optimizer, config, watch.share(count / max(most, 1)))
        _, output = model(batch)
        loss = example_loss(task.task_type, output, target[chosen], weight[chosen] if weight is not None else None)
        if not math.isfinite(loss.item()):
            raise ModelError("The training loss is not finite. Check the target for infinite or absurd values.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total, count = total + loss.item() * len(chosen), count + len(chosen)
        watch.report(min(count / most, 1.0))
        if time.perf_counter() > watch.deadline:
            break
    model.eval()
    return total / max(count, 1)


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
    sampler, assemble = NeighborSampler(features.view, config.neighbors), Assembler(features)
    tables = model.config.types_at(0)

    def make(part: NDArray[np.int64]) -> tuple[GraphBatch, Tensor]:
        number = (config.seed << 20) + epoch
        seeds = train.seeds.take(part)
        subgraph = sampler.sample(seeds, number)
        # Window features of very many examples are computed as they come.
        history = train.history[part] if train.history is not None else features.history(seeds)
        return assemble(subgraph, tables, history), torch.from_numpy(part)

    yield from ahead(make, parts)


def ahead(make: Callable[[P], B], parts: Iterable[P]) -> Iterator[B]:
    """Make batches in a thread of its own, a few before they are asked for."""
    pool = ThreadPoolExecutor(1, "forekey-sampler")
    waiting: deque[Future[B]] = deque()
    try:
        for part in parts:
            waiting.append(pool.submit(make, part))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def targets(task_type: TaskType, examples: Resolved, transform: OutputTransform) -> Tensor:
    """Return what raw outputs should be: classes by their place, 0 and 1, standardised numbers."""
    numbers = as_numbers(task_type, examples.target, transform.classes)
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return torch.from_numpy(numbers.astype(np.int64))
    return torch.from_numpy(((numbers - transform.center) / transform.scale).astype(np.float32))


def example_loss(task_type: TaskType, output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean loss of a batch; that of an example with several outputs is their mean."""
    output = output[:, 0] if target.ndim == 1 and task_type is not TaskType.MULTICLASS_CLASSIFICATION else output
    match task_type:
        case TaskType.BINARY_CLASSIFICATION | TaskType.MULTILABEL_CLASSIFICATION:
            each = functional.binary_cross_entropy_with_logits(output, target, reduction="none")
        case TaskType.MULTICLASS_CLASSIFICATION:
            each = functional.cross_entropy(output, target, reduction="none")
        case _:
            # The default metric is the mean absolute error, so that is what is learnt.
            each = functional.l1_loss(output, target, reduction="none")
    each = each.mean(dim=1) if each.ndim == 2 else each
    return each.mean() if weight is None else (each * weight).sum() / weight.sum().clamp(min=1e-12)


def _subset(resolved: Resolved, most: int) -> Resolved:
    if len(resolved) <= most:
        return resolved
    chosen = np.sort(np.random.default_rng(0).permutation(len(resolved))[:most])
    return resolved.only(chosen)
