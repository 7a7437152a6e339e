"""Boosted trees over pasts in numbers: the part of a model that reads many uneven numbers best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.inference import Trees
from forekey.task import TaskType

MAX_ROWS = 200_000
MAX_GROUPS = 24


@dataclass(frozen=True, slots=True)
class TreePlan:
    """How trees are grown: the settings to choose from on validation, and how many boosters to average."""

    candidates: tuple[str, ...] = ("careful", "bold")
    boosters: int = 3
    learning_rate: float = 0.03
    rounds: int = 1200
    patience: int = 80


# Few leaves and strong shrinkage for weak signals and few examples; more of both where there is much to tell.
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
}


@dataclass(frozen=True)
class TreeData:
    """Pasts ``[n, features]``, targets as numbers (``[n]`` or one column per output), and how much examples count."""

    history: NDArray[np.float32]
    target: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None

    def only(self, keep: NDArray[Any]) -> TreeData:
        """Return some of the examples."""
        weight = self.weight[keep] if self.weight is not None else None
        return TreeData(self.history[keep], self.target[keep], weight)

    def output(self, i: int) -> TreeData:
        """Return one output's targets."""
        return TreeData(self.history, self.target[:, i], self.weight)


def fit_trees(
    task_type: TaskType, classes: int, train: TreeData, val: TreeData, plan: TreePlan, seed: int, threads: int
) -> Trees | None:
    """Grow trees that predict raw outputs, stopped early on validation; None where there is nothing to learn."""
    if train.target.ndim == 2 and train.target.shape[1] > MAX_GROUPS:
        return None
    if len(train.target) > MAX_ROWS:
        train = train.only(np.random.default_rng(seed).permutation(len(train.target))[:MAX_ROWS])
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        val = val.only(val.target >= 0)  # a class that training never saw
    pairs = [(train, val)]
    if train.target.ndim == 2:
        pairs = [(train.output(i), val.output(i)) for i in range(train.target.shape[1])]
    objective = _objective(task_type, classes)
    groups = [_fit_group(objective, one, two, plan, seed, threads) for one, two in pairs]
    return None if any(g is None for g in groups) else Trees(tuple(g for g in groups if g is not None))


def _fit_group(
    objective: dict[str, Any], train: TreeData, val: TreeData, plan: TreePlan, seed: int, threads: int
) -> tuple[str, ...] | None:
    import lightgbm as gbm

    if len(np.unique(train.target)) < 2 or train.history.shape[1] == 0:
        return None
    shared = {**objective, "learning_rate": plan.learning_rate, "num_threads": threads, "verbosity": -1}
    shared |= {"bagging_freq": 1, "deterministic": True, "force_row_wise": True, "feature_pre_filter": False}
    fitting = gbm.Dataset(train.history, train.target, weight=train.weight, params={"feature_pre_filter": False})
    judging = gbm.Dataset(val.history, val.target, reference=fitting)
    stop: list[Callable[..., Any]] = [gbm.early_stopping(plan.patience, verbose=False)] if len(val.target) else []

    def grow(name: str, number: int) -> tuple[float, Any]:
        settings = {**shared, **_SETTINGS[name], "seed": 1000 * seed + number}
        settings["min_data_in_leaf"] = min(settings["min_data_in_leaf"], max(len(train.target) // 50, 1))
        booster = gbm.train(settings, fitting, plan.rounds, [judging] if stop else None, callbacks=stop)
        losses = [loss for scores in booster.best_score.values() for loss in scores.values()]
        return (losses[0] if losses else 0.0), booster

    tried = {name: grow(name, 0) for name in plan.candidates}
    best = min(tried, key=lambda name: tried[name][0])
    boosters = [tried[best][1], *(grow(best, number)[1] for number in range(1, plan.boosters))]
    return tuple(b.model_to_string(num_iteration=b.best_iteration or -1) for b in boosters)


def _objective(task_type: TaskType, classes: int) -> dict[str, Any]:
    match task_type:
        case TaskType.BINARY_CLASSIFICATION | TaskType.MULTILABEL_CLASSIFICATION:
            return {"objective": "binary", "metric": "binary_logloss"}
        case TaskType.MULTICLASS_CLASSIFICATION:
            return {"objective": "multiclass", "metric": "multi_logloss", "num_class": classes}
        case _:
            return {"objective": "l1", "metric": "l1"}
