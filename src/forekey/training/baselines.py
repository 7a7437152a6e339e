"""What a model must beat: the obvious guesses, and gradient-boosted trees on what an analyst would compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.features import AggregatePlan, FeatureStore, windowed_aggregates
from forekey.graph import to_micros
from forekey.source import Source
from forekey.task import Metrics, Task, TaskType, compute_metrics
from forekey.training.evaluate import Resolved, as_numbers

_BOOST_ROUNDS = 300
_MAX_BOOST_ROWS = 200_000
_DEFAULT_WINDOW_DAYS = 30.0


@dataclass(frozen=True)
class BaselineData:
    """What baselines learn from and are judged on: examples by split, and the classes that training saw."""

    task: Task
    source: Source
    features: FeatureStore
    splits: dict[str, Resolved]
    classes: tuple[str, ...]
    known_until: int


Baseline = Callable[[BaselineData], dict[str, NDArray[np.float64]] | None]


def run_baselines(data: BaselineData, report: Callable[[str], None]) -> dict[str, dict[str, Metrics]]:
    """Fit every baseline on the training labels; score each on validation and test."""
    std = float(data.splits["train"].target.std()) if data.task.task_type is TaskType.REGRESSION else None
    found: dict[str, dict[str, Metrics]] = {}
    for name, baseline in _BASELINES.items():
        report(f"baseline {name}")
        predictions = baseline(data)
        if predictions is None:
            continue
        found[name] = {
            split: compute_metrics(
                data.task.task_type, data.splits[split].target, predicted, classes=data.classes, train_std=std
            )
            for split, predicted in predictions.items()
        }
    return found


def constant(data: BaselineData) -> dict[str, NDArray[np.float64]]:
    """Predict the training share, the class shares (so the majority wins), or the training mean."""
    train = data.splits["train"].target
    if data.task.task_type is TaskType.MULTICLASS_CLASSIFICATION:
        shares = np.array([(train == c).mean() for c in data.classes])
        return {s: np.tile(shares, (len(data.splits[s]), 1)) for s in ("val", "test")}
    return {s: np.full(len(data.splits[s]), float(train.mean())) for s in ("val", "test")}


def last_value(data: BaselineData) -> dict[str, NDArray[np.float64]] | None:
    """Predict the entity's own previous label; the training mean where there is none."""
    if data.task.task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return None
    fallback = float(data.splits["train"].target.mean())
    out = {}
    for split in ("val", "test"):
        values = data.task.previous_values(
            data.source, data.features.snapshot, data.splits[split].examples, data.known_until
        )
        out[split] = np.where(np.isfinite(values), values, fallback)
    return out


def lightgbm(data: BaselineData) -> dict[str, NDArray[np.float64]] | None:
    """Fit gradient-boosted trees on the entity's columns and windowed aggregates of the tables that point at it."""
    import lightgbm as gbm

    blocks = {split: _design(data, resolved) for split, resolved in data.splits.items()}
    target = {s: as_numbers(data.task.task_type, r.target, data.classes) for s, r in data.splits.items()}
    known = target["val"] >= 0 if data.classes else np.ones(len(target["val"]), bool)
    if blocks["train"].shape[1] == 0 or len(np.unique(target["train"])) < 2:
        return None
    rows = np.random.default_rng(0).permutation(len(target["train"]))[:_MAX_BOOST_ROWS]
    train = gbm.Dataset(blocks["train"][rows], target["train"][rows])
    val = gbm.Dataset(blocks["val"][known], target["val"][known], reference=train)
    quiet: list[Callable[..., Any]] = [gbm.early_stopping(25, verbose=False)] if known.any() else []
    booster = gbm.train(_parameters(data), train, _BOOST_ROUNDS, valid_sets=[val] if quiet else None, callbacks=quiet)
    return {s: np.asarray(booster.predict(blocks[s]), np.float64) for s in ("val", "test")}


def _design(data: BaselineData, resolved: Resolved) -> NDArray[np.float32]:
    entity = data.task.entity.name
    own = data.features.table(entity).take(data.features.snapshot.contents_at(entity, resolved.rows, resolved.times))
    window = _window_days(data.task)
    plan = AggregatePlan((window, 3 * window, None))
    history, _ = windowed_aggregates(data.features.snapshot, entity, resolved.rows, resolved.times, plan)
    return np.concatenate([own.numbers, own.codes.astype(np.float32), history], axis=1)


def _window_days(task: Task) -> float:
    """Return the length of the target's window in days: the natural unit to aggregate the past in."""
    from datetime import datetime

    start = datetime(2001, 1, 1)
    end = task.horizon_end(start)
    days = (to_micros(end) - to_micros(start)) / 86_400e6 if end is not None else 0.0
    return days if days > 0 else _DEFAULT_WINDOW_DAYS


def _parameters(data: BaselineData) -> dict[str, Any]:
    shared = {
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": 20,
        "verbosity": -1,
        "seed": 0,
        "num_threads": torch.get_num_threads(),
    }
    match data.task.task_type:
        case TaskType.BINARY_CLASSIFICATION:
            return {**shared, "objective": "binary", "metric": "auc"}
        case TaskType.MULTICLASS_CLASSIFICATION:
            return {**shared, "objective": "multiclass", "num_class": len(data.classes), "metric": "multi_logloss"}
        case _:
            return {**shared, "objective": "l1", "metric": "l1"}


_BASELINES: dict[str, Baseline] = {"constant": constant, "last_value": last_value, "lightgbm": lightgbm}
