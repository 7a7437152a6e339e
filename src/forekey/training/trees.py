"""Boosted trees over window features: the part of a model that is best at many features of uneven scale."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.inference import Trees
from forekey.objectives import PointwiseObjective
from forekey.progress import NEVER, SILENT, Deadline, Listener

MAX_ROWS = 200_000
MAX_GROUPS = 24
_PROBED = 10_000


@dataclass(frozen=True, slots=True)
class TreePlan:
    """How trees are grown: the settings to choose from on validation, and how many boosters to average.

    ``objectives`` are those that a ranking chooses from.
    """

    candidates: tuple[str, ...] = ("careful", "bold", "random")
    objectives: tuple[str, ...] = ("rank", "classify", "classify at random thresholds")
    boosters: int = 3
    learning_rate: float = 0.03
    rounds: int = 1200
    patience: int = 80


# Few leaves and strong shrinkage for weak signals and few examples; more of both where there is more to learn.
_SETTINGS: dict[str, dict[str, Any]] = {
    "careful": {
        "num_leaves": 8,
        "min_data_in_leaf": 40,
        "feature_fraction": 0.2,
        "bagging_fraction": 0.6,
        "lambda_l2": 5.0,
    },
    "bold": {
        "num_leaves": 15,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.7,
        "lambda_l2": 1.0,
    },
    # Thresholds drawn at random (Geurts et al. 2006): less apt to fit the noise of few examples.
    "random": {
        "num_leaves": 8,
        "min_data_in_leaf": 40,
        "feature_fraction": 0.2,
        "bagging_fraction": 0.6,
        "lambda_l2": 5.0,
        "extra_trees": True,
    },
}


@dataclass(frozen=True)
class TreeData:
    """Window features ``[n, features]``, targets as numbers (``[n]`` or a column an output), and weights."""

    window_features: NDArray[np.float32]
    target: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None

    def only(self, keep: NDArray[Any]) -> TreeData:
        """Return some of the examples."""
        weight = self.weight[keep] if self.weight is not None else None
        return TreeData(self.window_features[keep], self.target[keep], weight)

    def plus(self, other: TreeData) -> TreeData:
        """Return these examples and others."""
        weights = [np.ones(len(d.target)) if d.weight is None else d.weight for d in (self, other)]
        weight = None if self.weight is None and other.weight is None else np.concatenate(weights)
        window_features, target = ([getattr(d, name) for d in (self, other)] for name in ("window_features", "target"))
        return TreeData(np.concatenate(window_features), np.concatenate(target), weight)

    def sampled(self, seed: int) -> TreeData:
        """Return as many of the examples as trees are grown from."""
        if len(self.target) <= MAX_ROWS:
            return self
        return self.only(np.random.default_rng(seed).permutation(len(self.target))[:MAX_ROWS])

    @property
    def width(self) -> int:
        """Return how many groups of outputs there are."""
        return self.target.shape[1] if self.target.ndim == 2 else 1

    def groups(self) -> list[TreeData]:
        """Return the examples once for each group of outputs."""
        if self.target.ndim == 1:
            return [self]
        return [TreeData(self.window_features, self.target[:, i], self.weight) for i in range(self.width)]

    def dataset(self) -> Any:
        """Return the examples as LightGBM takes them."""
        import lightgbm as gbm

        return gbm.Dataset(self.window_features, self.target, weight=self.weight, params={"feature_pre_filter": False})


@dataclass(frozen=True)
class Grown:
    """Trees stopped early on validation, and per group of outputs the setting and how many rounds each booster took."""

    trees: Trees
    recipes: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Growing:
    """How boosters are grown beside their settings: on how many threads, until when, and who follows the progress."""

    threads: int
    deadline: Deadline = NEVER
    listener: Listener = SILENT

    def callbacks(self, done: int, of: int, rounds: int) -> list[Callable[..., Any]]:
        """Return callbacks of LightGBM for the booster after ``done`` of ``of`` boosters."""
        import lightgbm as gbm

        def after(env: Any) -> None:
            self.listener.advance(done + (env.iteration + 1) / rounds, of)
            if self.deadline.passed:
                raise gbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list or [])

        return [after]


def fit_trees(
    objective: PointwiseObjective, train: TreeData, val: TreeData, plan: TreePlan, seed: int, growing: Growing
) -> Grown | None:
    """Grow trees that predict raw outputs, stopped early on validation; None where there is nothing to learn."""
    val = val.only(objective.is_known(val.target))
    if train.width > MAX_GROUPS:
        return None
    pairs = zip(train.sampled(seed).groups(), val.groups(), strict=True)
    shared = _shared(objective, plan, growing.threads)
    found = [_fit_group(shared, one, two, plan, seed, growing, at, train.width) for at, (one, two) in enumerate(pairs)]
    grown = [g for g in found if g is not None]
    if len(grown) < len(found):
        return None
    return Grown(Trees(tuple(texts for texts, _ in grown)), tuple(recipe for _, recipe in grown))


def refit(
    grown: Grown, objective: PointwiseObjective, every: TreeData, plan: TreePlan, seed: int, growing: Growing
) -> Trees:
    """Grow the same trees again from validation examples too: the newest examples resemble the next ones most."""
    import lightgbm as gbm

    every = every.only(objective.is_known(every.target))
    shared, texts, done = _shared(objective, plan, growing.threads), [], 0
    of = sum(len(rounds) for _, rounds in grown.recipes)
    for data, (name, rounds) in zip(every.sampled(seed).groups(), grown.recipes, strict=True):
        dataset, group = data.dataset(), []
        for number, count in enumerate(rounds):
            settings = _settings(shared, name, data, seed, number)
            booster = gbm.train(settings, dataset, count, callbacks=growing.callbacks(done, of, count))
            group.append(booster.model_to_string())
            done += 1
        texts.append(tuple(group))
    return Trees(tuple(texts))


def probe_rounds(objective: PointwiseObjective, train: TreeData, rounds: int = 8) -> float:
    """Return how many seconds one example costs in one round of growing, measured on some of them."""
    import lightgbm as gbm
    import torch

    target = train.target if train.target.ndim == 1 else train.target[:, 0]
    some = np.random.default_rng(0).permutation(len(target))[:_PROBED]
    if len(np.unique(target[some])) < 2 or train.window_features.shape[1] == 0:
        return 0.0
    settings = {**_shared(objective, TreePlan(), torch.get_num_threads()), **_SETTINGS["bold"]}
    dataset = gbm.Dataset(train.window_features[some], target[some], params={"feature_pre_filter": False}).construct()
    started = time.perf_counter()
    gbm.train(settings, dataset, rounds)
    return (time.perf_counter() - started) / rounds / len(some)


def _fit_group(
    shared: dict[str, Any],
    train: TreeData,
    val: TreeData,
    plan: TreePlan,
    seed: int,
    growing: Growing,
    group: int,
    groups: int,
) -> tuple[tuple[str, ...], tuple[str, tuple[int, ...]]] | None:
    import lightgbm as gbm

    if len(np.unique(train.target)) < 2 or train.window_features.shape[1] == 0:
        return None
    fitting = train.dataset()
    judging = gbm.Dataset(val.window_features, val.target, reference=fitting)
    stop: list[Callable[..., Any]] = [gbm.early_stopping(plan.patience, verbose=False)] if len(val.target) else []
    count, done = len(plan.candidates) + plan.boosters - 1, itertools.count()

    def grow(name: str, number: int) -> tuple[float, Any]:
        settings = _settings(shared, name, train, seed, number)
        watched = [*stop, *growing.callbacks(group * count + next(done), groups * count, plan.rounds)]
        booster = gbm.train(settings, fitting, plan.rounds, [judging] if stop else None, callbacks=watched)
        losses = [loss for scores in booster.best_score.values() for loss in scores.values()]
        return (losses[0] if losses else 0.0), booster

    tried = {name: grow(name, 0) for name in plan.candidates}
    best = min(tried, key=lambda name: tried[name][0])
    boosters = [tried[best][1], *(grow(best, number)[1] for number in range(1, plan.boosters))]
    rounds = tuple(b.best_iteration or b.current_iteration() for b in boosters)
    texts = tuple(b.model_to_string(num_iteration=r) for b, r in zip(boosters, rounds, strict=True))
    return texts, (best, rounds)


def _shared(objective: PointwiseObjective, plan: TreePlan, threads: int) -> dict[str, Any]:
    shared = {"learning_rate": plan.learning_rate, "num_threads": threads, "verbosity": -1, "bagging_freq": 1}
    shared |= {"deterministic": True, "force_row_wise": True, "feature_pre_filter": False}
    return {**shared, **objective.boosting()}


def _settings(shared: dict[str, Any], name: str, data: TreeData, seed: int, number: int) -> dict[str, Any]:
    settings = {**shared, **_SETTINGS[name], "seed": 1000 * seed + number}
    settings["min_data_in_leaf"] = min(settings["min_data_in_leaf"], max(len(data.target) // 50, 1))
    return settings
