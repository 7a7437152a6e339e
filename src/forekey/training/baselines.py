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
_MAX_BOOSTERS = 24
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
    """Predict the training share, the share of each class (so the majority wins), or the training mean."""
    usual = _usual(data)
    return {s: np.repeat(usual[None], len(data.splits[s]), axis=0) for s in ("val", "test")}


def _usual(data: BaselineData) -> NDArray[np.float64]:
    """Return the mean training label: a number, or one per class or timeframe."""
    train = data.splits["train"].target
    if data.task.task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return np.array([(train == c).mean() for c in data.classes])
    return np.asarray(as_numbers(data.task.task_type, train, data.classes).mean(axis=0), np.float64)


def last_value(data: BaselineData) -> dict[str, NDArray[np.float64]] | None:
    """Predict the entity's own previous label, for a forecast the newest frame of it; the usual where there is none."""
    kind, usual = data.task.task_type, _usual(data)
    out = {}
    for split in ("val", "test"):
        wanted = data.splits[split].examples
        place, labels = data.task.previous(data.source, data.features.snapshot, wanted, data.known_until)
        values = np.repeat(usual[None], len(wanted), axis=0)
        known = place >= 0
        before = labels[place[known]]
        if kind is TaskType.MULTICLASS_CLASSIFICATION:
            values[known] = before[:, None] == np.array(data.classes, dtype=object)
        elif kind is TaskType.FORECASTING:
            values[known] = before[:, -1:]
        else:
            values[known] = as_numbers(kind, before, data.classes)
        out[split] = values
    return out


def lightgbm(data: BaselineData) -> dict[str, NDArray[np.float64]] | None:
    """Fit gradient-boosted trees on the entity's columns and windowed aggregates of the tables that point at it."""
    blocks = {split: _design(data, resolved) for split, resolved in data.splits.items()}
    target = {s: as_numbers(data.task.task_type, r.target, data.classes) for s, r in data.splits.items()}
    if blocks["train"].shape[1] == 0:
        return None
    if target["train"].ndim == 1:
        return _boost(data, blocks, target)
    if target["train"].shape[1] > _MAX_BOOSTERS:
        return None
    # One booster per class or timeframe; a class that training always or never saw keeps its share.
    usual = _usual(data)
    found = {s: np.repeat(usual[None], len(target[s]), axis=0) for s in ("val", "test")}
    for i in range(len(usual)):
        one = _boost(data, blocks, {s: t[:, i] for s, t in target.items()})
        for split, predicted in (one or {}).items():
            found[split][:, i] = predicted
    return found


def _boost(
    data: BaselineData, blocks: dict[str, NDArray[np.float32]], target: dict[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]] | None:
    import lightgbm as gbm

    if len(np.unique(target["train"])) < 2:
        return None
    known = target["val"] >= 0 if data.classes else np.ones(len(target["val"]), bool)
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
        case TaskType.BINARY_CLASSIFICATION | TaskType.MULTILABEL_CLASSIFICATION:
            return {**shared, "objective": "binary", "metric": "auc"}
        case TaskType.MULTICLASS_CLASSIFICATION:
            return {**shared, "objective": "multiclass", "num_class": len(data.classes), "metric": "multi_logloss"}
        case _:
            return {**shared, "objective": "l1", "metric": "l1"}


_BASELINES: dict[str, Baseline] = {"constant": constant, "last_value": last_value, "lightgbm": lightgbm}
