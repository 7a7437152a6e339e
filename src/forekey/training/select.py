"""Which window features say nothing: left out before anything is trained on them.

A database of many tables has thousands of window features. Those that are constant or equal to another on a sample of
training examples are neither computed for the others nor trained on; of more than a few hundred, nor are those that no
split of a short booster uses, or that gain least.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.features import Feature, FeatureKind, WindowFeatures
from forekey.objectives import PointwiseObjective
from forekey.training.evaluate import Resolved
from forekey.training.trees import MAX_GROUPS

_SAMPLE = 20_000
_FEWEST_ROWS = 4_000
_CELLS = 4_000_000
"""Of very many features, so many values are looked at: fewer examples, at least ``_FEWEST_ROWS``."""
_ROUNDS = 120
"""Of the booster, over all its outputs together."""
_MOST = 512
"""So many are kept at most, those that gain most: hundreds of tables must not mean thousands of columns. Up to so many,
all are kept that tell rows apart: which of them a short booster uses is chance where examples are few."""


def unused_features(
    computed: WindowFeatures, train: Resolved, objective: PointwiseObjective, seed: int
) -> set[Feature]:
    """Return the features that are constant, repeat another, or, of very many, gain nothing or least in a booster."""
    features = computed.features
    most = min(_SAMPLE, max(_CELLS // max(len(features), 1), _FEWEST_ROWS))
    some = train
    if len(train) > most:
        some = train.only(np.sort(np.random.default_rng((seed, 7)).permutation(len(train))[:most]))
    columns = computed.compute(some.seeds)
    keep = _distinct(columns)
    target = objective.encode(some.target)
    if len(keep) > _MOST and not (target.ndim == 2 and target.shape[1] > MAX_GROUPS):
        # Lagged labels are few and stay: among the others they could hide all else from whoever may not look at them,
        # such as the baselines.
        lagged = np.array([features[i].kind is FeatureKind.LAGGED_LABEL for i in keep])
        gains = np.full(len(keep), np.inf)
        gains[~lagged] = _gains(columns[:, keep[~lagged]], target, objective, seed)
        strongest = np.argsort(-gains, kind="stable")[:_MOST]
        used = np.sort(strongest[gains[strongest] > 0.0])
        keep = keep[used] if len(used) else keep
    kept = set(keep.tolist())
    return {feature for i, feature in enumerate(features) if i not in kept}


def _distinct(columns: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the positions of columns that are not constant and not equal to an earlier one."""
    seen: dict[bytes, int] = {}
    for i in range(columns.shape[1]):
        column = np.ascontiguousarray(columns[:, i])
        missing = np.isnan(column)
        if missing.all() or (not missing.any() and (column == column[:1]).all()):
            continue
        seen.setdefault(column.tobytes(), i)
    return np.array(list(seen.values()), np.int64)


def _gains(
    columns: NDArray[np.float32], target: NDArray[np.float64], objective: PointwiseObjective, seed: int
) -> NDArray[np.float64]:
    """Return what the splits by each column gain in short boosters, one for each output; 0 where there are none.

    Gains are shares of each booster's own, so that all outputs count alike.
    """
    import lightgbm as gbm

    outputs = [target] if target.ndim == 1 else [target[:, i] for i in range(target.shape[1])]
    rounds = max(_ROUNDS // max(objective.outputs, 1), 20)
    settings: dict[str, Any] = {
        "learning_rate": 0.1,
        "num_leaves": 15,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "max_bin": 63,
        "seed": seed,
        "verbosity": -1,
        "num_threads": torch.get_num_threads(),
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        **objective.boosting(),
    }
    found = np.zeros(columns.shape[1])
    dataset = gbm.Dataset(
        columns, params={"max_bin": 63, "verbosity": -1, "feature_pre_filter": False}, free_raw_data=False
    )
    for output in outputs:
        if len(np.unique(output)) < 2:
            continue
        dataset.set_label(output)
        booster = gbm.train(settings, dataset, rounds)
        gained = np.asarray(booster.feature_importance("gain"), np.float64)
        found += gained / max(float(gained.sum()), 1e-12)
    return found
