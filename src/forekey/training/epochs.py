"""Training networks epoch by epoch, whatever they learn: early stopping, a time limit, a checkpoint after each."""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from forekey.errors import ModelError
from forekey.nn import GraphModel
from forekey.objectives import Objective
from forekey.progress import SILENT, Listener
from forekey.training.checkpoint import NOWHERE, Checkpoint
from forekey.training.config import TrainConfig

_AHEAD = 3
_LATE = 0.25
"""By how much of all time training must be behind its epochs before the learning rate falls by time."""

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


@dataclass(frozen=True, slots=True)
class Watch:
    """From when and until when to train, and how many of all epochs are over."""

    started: float
    deadline: float
    listener: Listener
    done: int
    of: int

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self.deadline

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


class Learner(ABC):
    """Networks with what they learn from and are judged on; trained in place."""

    time_share: ClassVar[float] = 1.0
    """How much of :attr:`TrainConfig.max_seconds` training may take."""

    networks: dict[str, GraphModel]
    objective: Objective

    @abstractmethod
    def epoch(self, number: int, optimizer: torch.optim.Optimizer, watch: Watch) -> float:
        """Learn from all examples once, as far as time allows; return the mean loss."""

    @abstractmethod
    def score(self) -> float | None:
        """Return the default metric on validation."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of all networks."""
        return [p for network in self.networks.values() for p in network.parameters()]

    def state(self) -> dict[str, Any]:
        """Return the parameters, as they are and will be changed."""
        return {name: network.state_dict() for name, network in self.networks.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the parameters that :meth:`state` returned."""
        for name, network in self.networks.items():
            network.load_state_dict(state[name])

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
        """Take one step down a loss; return the loss."""
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError("The training loss is not finite. Check the data for infinite or absurd values.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        optimizer.step()
        return value


def fit(
    learner: Learner, config: TrainConfig, listener: Listener = SILENT, checkpoint: Checkpoint = NOWHERE
) -> list[Epoch]:
    """Train in place, and leave the networks with the parameters of their best epoch on validation.

    A run that finds its ``checkpoint`` goes on after the epoch that was finished last, and ends as if it had not been
    cut off: every epoch draws its own random numbers.
    """
    started, optimizer = time.perf_counter(), optimizer_of(learner.parameters, config)
    history: list[Epoch] = []
    best: tuple[float | None, dict[str, Any]] = (None, copy.deepcopy(learner.state()))
    since_best = 0
    if (state := checkpoint.load()) is not None:
        learner.restore(state["networks"])
        optimizer.load_state_dict(state["optimizer"])
        history, best, since_best = [Epoch(**e) for e in state["history"]], tuple(state["best"]), state["since_best"]
        started -= history[-1].seconds
    deadline = started + learner.time_share * config.max_seconds
    for number in range(len(history) + 1, config.max_epochs + 1):
        if since_best >= config.patience:
            break  # stopped before it was cut off
        watch = Watch(started, deadline, listener, number - 1, config.max_epochs)
        loss = _one_epoch(learner, number, optimizer, config, watch)
        score = learner.score()
        improved = learner.objective.better(score, best[0]) or number == 1
        since_best = 0 if improved else since_best + 1
        if improved:
            best = (score, copy.deepcopy(learner.state()))
        seconds = round(time.perf_counter() - started, 2)
        history.append(Epoch(number, config.max_epochs, loss, learner.objective.metric, score, improved, seconds))
        checkpoint.save(_state(learner, optimizer, history, best, since_best))
        listener.epoch(history[-1])
        if watch.is_over:
            break
    learner.restore(best[1])
    return history


def _state(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    history: list[Epoch],
    best: tuple[float | None, dict[str, Any]],
    since_best: int,
) -> dict[str, Any]:
    """Return all that a run needs to go on after an epoch."""
    return {
        "networks": learner.state(),
        "optimizer": optimizer.state_dict(),
        "history": [e.to_dict() for e in history],
        "best": best,
        "since_best": since_best,
    }


def fit_again(learner: Learner, config: TrainConfig, epochs: int, listener: Listener = SILENT) -> None:
    """Train in place for as many epochs as proved best, with no examples held back to stop by."""
    started, optimizer = time.perf_counter(), optimizer_of(learner.parameters, config)
    deadline = started + learner.time_share * config.max_seconds
    for number in range(1, epochs + 1):
        watch = Watch(started, deadline, listener, number - 1, epochs)
        _one_epoch(learner, number, optimizer, config, watch)
        if watch.is_over:
            break


def optimizer_of(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019), which takes its step in one pass over the parameters."""
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


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


def _one_epoch(
    learner: Learner, number: int, optimizer: torch.optim.Optimizer, config: TrainConfig, watch: Watch
) -> float:
    for network in learner.networks.values():
        network.train()
    torch.manual_seed((config.seed << 20) + number)
    loss = learner.epoch(number, optimizer, watch)
    for network in learner.networks.values():
        network.eval()
    return loss
