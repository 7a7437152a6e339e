"""What a model must beat: the obvious guesses, and gradient-boosted trees on what an analyst would compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.features import FeatureKind
from forekey.objectives import PointwiseObjective
from forekey.progress import Listener
from forekey.training.evaluate import Resolved
from forekey.training.job import Previous

_OF_ONE_TABLE = frozenset({FeatureKind.OWN_COLUMN, FeatureKind.CALENDAR})
_NO_ANALYST_COMPUTES = frozenset({FeatureKind.LAGGED_LABEL, FeatureKind.NEWEST_COLUMN, FeatureKind.NEWEST_WINDOW})
_BOOST_ROUNDS = 300
_MAX_BOOSTERS = 24


@dataclass(frozen=True)
class BaselineData:
    """What baselines learn from and are judged on: examples by split, with their window features of some ``kinds``.

    ``previous`` holds, per split that is judged, what
    :meth:`forekey.task.Task.previous` gave of its examples. Without ``trees``, baselines of trees are left out.
    """

    objective: PointwiseObjective
    splits: dict[str, Resolved]
    previous: dict[str, Previous]
    kinds: tuple[FeatureKind, ...]
    trees: bool = True


Baseline = Callable[[BaselineData], dict[str, NDArray[np.float64]] | None]


def run_baselines(data: BaselineData, listener: Listener) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Fit every baseline on the training labels; return the predictions of each for validation and test."""
    found = {}
    names = [name for name in _BASELINES if data.trees or not name.startswith("lightgbm")]
    for name in listener.through(names):
        predictions = _BASELINES[name](data)
        if predictions is not None:
            found[name] = predictions
    return found


def constant(data: BaselineData) -> dict[str, NDArray[np.float64]]:
    """Predict the training share, the share of each class (so the majority wins), or the training mean."""
    usual = _usual(data)
    return {s: np.repeat(usual[None], len(data.splits[s]), axis=0) for s in ("val", "test")}


def _usual(data: BaselineData) -> NDArray[np.float64]:
    """Return the mean training label: a number, or one per class or timeframe."""
    return np.asarray(data.objective.perfect(data.splits["train"].target).mean(axis=0), np.float64)


def last_value(data: BaselineData) -> dict[str, NDArray[np.float64]] | None:
    """Predict the entity's own previous label, for a forecast the newest frame of it; the usual where there is none."""
    usual, out = _usual(data), {}
    for split in ("val", "test"):
        place, labels = data.previous[split]
        values = np.repeat(usual[None], len(place), axis=0)
        known = place >= 0
        if known.any():
            values[known] = data.objective.carried_forward(labels[place[known]])
        out[split] = values
    return out


def entity_mean(data: BaselineData) -> dict[str, NDArray[np.float64]]:
    """Predict the mean of the entity's own training labels, the usual for an entity without any."""
    train, usual = data.splits["train"], _usual(data)
    values = data.objective.perfect(train.target).reshape(len(train), -1)
    _, place = np.unique(train.rows, return_inverse=True)
    known = np.unique(train.rows)
    means = np.stack([np.bincount(place, values[:, i]) / np.bincount(place) for i in range(values.shape[1])], axis=1)
    out = {}
    for split in ("val", "test"):
        rows = data.splits[split].rows
        at = np.minimum(np.searchsorted(known, rows), len(known) - 1)
        found = np.where((known[at] == rows)[:, None], means[at], np.atleast_1d(usual))
        out[split] = found[:, 0] if usual.ndim == 0 else found
    return out


def lightgbm_columns(data: BaselineData) -> dict[str, NDArray[np.float64]] | None:
    """Fit gradient-boosted trees on the entity's own columns and the calendar, and no window features."""
    return _lightgbm(data, np.array([kind in _OF_ONE_TABLE for kind in data.kinds]))


def lightgbm(data: BaselineData) -> dict[str, NDArray[np.float64]] | None:
    """Fit gradient-boosted trees on what an analyst would compute: columns, and aggregates one and two hops away."""
    return _lightgbm(data, np.array([kind not in _NO_ANALYST_COMPUTES for kind in data.kinds]))


def _lightgbm(data: BaselineData, chosen: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]] | None:
    blocks = {s: r.window_features[:, chosen] for s, r in data.splits.items() if r.window_features is not None}
    target = {s: _learnt(data.objective, r.target) for s, r in data.splits.items()}
    if len(blocks) < len(target) or blocks["train"].shape[1] == 0:
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
    known = data.objective.is_known(target["val"])
    train = gbm.Dataset(blocks["train"], target["train"])
    val = gbm.Dataset(blocks["val"][known], target["val"][known], reference=train)
    quiet: list[Callable[..., Any]] = [gbm.early_stopping(25, verbose=False)] if known.any() else []
    booster = gbm.train(
        _parameters(data.objective), train, _BOOST_ROUNDS, valid_sets=[val] if quiet else None, callbacks=quiet
    )
    return {s: np.asarray(booster.predict(blocks[s]), np.float64) for s in ("val", "test")}


def _learnt(objective: PointwiseObjective, target: NDArray[Any]) -> NDArray[np.float64]:
    """Return labels as boosters take them: the position of a class, else in the unit of the prediction."""
    return objective.encode(target) if objective.loss == "softmax" else objective.perfect(target)


def _parameters(objective: PointwiseObjective) -> dict[str, Any]:
    found = {
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": 20,
        "verbosity": -1,
        "seed": 0,
        "num_threads": torch.get_num_threads(),
        **objective.boosting(),
    }
    return {**found, "metric": "auc"} if found["objective"] == "binary" else found


_BASELINES: dict[str, Baseline] = {
    "constant": constant,
    "last_value": last_value,
    "entity_mean": entity_mean,
    "lightgbm_columns": lightgbm_columns,
    "lightgbm": lightgbm,
}
