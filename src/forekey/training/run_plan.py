"""What a training run will do and how long it will take on this machine; fitted to a time that may not be exceeded.

Rates are measured where the run stands: a few rounds of trees and a few batches of the network on the task's own
examples. Early stopping decides how far growing and training go, so an estimate is a range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from forekey.nn import GraphModel
from forekey.progress import in_words
from forekey.sampling import NeighborPlan
from forekey.training.config import TrainConfig
from forekey.training.lineage import network_of
from forekey.training.pointwise_learner import probe
from forekey.training.prepare import Data
from forekey.training.trees import MAX_GROUPS, MAX_ROWS, probe_rounds

_EARLY = 0.25
"""Of the rounds and epochs that are allowed, how many early stopping leaves where it stops soon."""
_BASELINE_ROUNDS = 200
_SMALL = NeighborPlan((8, 4))


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds: of one round of trees on all examples, of one epoch, and of explaining what counts."""

    tree_round: float
    epoch: float
    importance: float
    outputs: int

    @classmethod
    def measured(cls, data: Data, config: TrainConfig, entity: str) -> Rates:
        """Measure a few rounds and batches of this task on this machine."""
        train = data.described_train()
        outputs = data.objective.outputs if data.goal(data.splits["val"]).ndim == 2 else 1
        round_seconds = 0.0
        if train.window_features is not None and outputs <= MAX_GROUPS:
            shown = min(len(train), MAX_ROWS)
            round_seconds = probe_rounds(data.objective, data.tree_data(train)) * shown
        parts = len({(f.origin.table, f.origin.column) for f in data.features.features}) + len(
            data.features.spec.tables
        )
        if not config.network:
            return cls(round_seconds, 0.0, 0.002 * parts, outputs)
        batch = probe(_untrained(data, config, entity), data.features, data.splits["train"], data.objective, config)
        size = min(config.batch_size, max(32, len(data.splits["train"]) // config.min_batches))
        batches = min(-(-len(data.splits["train"]) // size), config.max_batches)
        judging = 0.4 * min(len(data.splits["val"]), 20_000) / 512
        return cls(round_seconds, batch * (batches + judging), batch * 0.15 * parts, outputs)


def _untrained(data: Data, config: TrainConfig, entity: str) -> GraphModel:
    torch.manual_seed(config.seed)
    return GraphModel(network_of(entity, data.features, config, data.objective.outputs)).scaled_by(data.scale)


@dataclass(frozen=True, slots=True)
class Estimate:
    """From how many seconds to how many each phase takes."""

    network: tuple[float, float]
    trees: tuple[float, float]
    baselines: float
    importance: float
    again: tuple[float, float]

    @property
    def total(self) -> tuple[float, float]:
        """Return the seconds of the whole run, from the least to the most that is expected."""
        fixed = self.baselines + self.importance + 1.0
        low, high = ((self.network[i] + self.trees[i] + self.again[i] + fixed) for i in (0, 1))
        return low, high


def estimate(rates: Rates, config: TrainConfig, *, baselines: bool = True) -> Estimate:
    """Return how long a run takes by measured rates."""
    epochs = (min(config.patience + 1, config.max_epochs), config.max_epochs)
    low, high = (min(rates.epoch * n, config.max_seconds) for n in epochs)
    network = (low, high) if config.network else (0.0, 0.0)
    plan = config.trees
    boosters = (len(plan.candidates) + plan.boosters - 1) * rates.outputs if config.window_features else 0
    most = rates.tree_round * plan.rounds * boosters
    trees = (_EARLY * most, 0.7 * most)
    again = (0.0, 0.0)
    if config.refit:
        regrown = plan.boosters / max(len(plan.candidates) + plan.boosters - 1, 1)
        again = (0.6 * network[0] + regrown * trees[0], 0.8 * network[1] + regrown * trees[1])
    held_against = rates.tree_round * _BASELINE_ROUNDS * rates.outputs if baselines and config.tree_baselines else 0.0
    return Estimate(network, trees, held_against, rates.importance if config.importance else 0.0, again)


def fitted(
    config: TrainConfig, rates: Rates, seconds: float, *, baselines: bool = True
) -> tuple[TrainConfig, list[str]]:
    """Return settings with which a run ends within ``seconds``, and what was left out for that.

    First the analysis of what counts is left out, then repeated training, then boosters; then the network is made
    smaller, and at last left out. What is left is held to its time by deadlines.
    """
    changes: list[tuple[str, dict[str, Any]]] = [
        ("importance was not measured", {"importance": False}),
        ("validation examples were not learnt from", {"refit": False}),
        (
            "one booster instead of several was grown",
            {"trees": replace(config.trees, candidates=("bold",), boosters=1)},
        ),
        ("the network is smaller", {"channels": min(config.channels, 32), "neighbors": _SMALL}),
        ("the baselines of boosted trees were left out", {"tree_baselines": False}),
    ]
    said: list[str] = []
    for what, change in changes:
        expected = estimate(rates, config, baselines=baselines)
        if expected.total[0] <= 0.8 * seconds and (said or expected.total[1] <= seconds):
            break
        if all(getattr(config, name) == value for name, value in change.items()):
            continue
        config = replace(config, **change)
        said.append(what)
        if "neighbors" in change:
            rates = replace(rates, epoch=0.4 * rates.epoch, importance=0.4 * rates.importance)
    if config.network and rates.epoch > 0.6 * seconds:
        config = replace(config, network=False)
        said.append("no network was trained")
    left = seconds - estimate(rates, replace(config, network=False, refit=False), baselines=baselines).total[0]
    share = 0.5 if config.refit else 0.8
    config = replace(config, max_seconds=min(config.max_seconds, max(share * left, 0.0)))
    return config, said


def in_a_line(data: Data, config: TrainConfig, rates: Rates, expected: Estimate) -> str:
    """Say what will be done, on how many examples, and about how long it takes."""
    used = len(data.features.features)
    parts = [
        f"Training on {len(data.splits['train']):,} examples with {used:,} of {data.all_features:,} window features"
    ]
    if config.network:
        parts.append(
            f"network of up to {config.max_epochs} epochs of {in_words(rates.epoch)} "
            f"(until validation stops improving, at most {in_words(config.max_seconds)})"
        )
    if expected.trees[1]:
        parts.append(f"boosted trees {_range(expected.trees)}")
    if expected.again[1]:
        parts.append(f"both once more with validation {_range(expected.again)}")
    if expected.baselines:
        parts.append(f"baselines {in_words(expected.baselines)}")
    if expected.importance:
        parts.append(f"importance {in_words(expected.importance)}")
    return f"{'; '.join(parts)}. About {_range(expected.total)} on this machine."


def _range(seconds: tuple[float, float]) -> str:
    low, high = in_words(seconds[0]), in_words(seconds[1])
    return low if low == high else f"{low} to {high}"
