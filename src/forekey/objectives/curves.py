"""Curves of probabilities against what happened, as reports draw them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.objectives.objective import rounded

_POINTS = 200


def curves(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, Any]:
    """Return the ROC curve, precision and recall, and the calibration by tenths of the examples."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    found: dict[str, Any] = {"calibration": _calibration(target, predicted)}
    if 0 < target.sum() < len(target):
        wrong, right, _ = roc_curve(target, predicted)
        precision, recall, _ = precision_recall_curve(target, predicted)
        found["roc"] = {"x": rounded(_thinned(wrong)), "y": rounded(_thinned(right))}
        found["pr"] = {"x": rounded(_thinned(recall)), "y": rounded(_thinned(precision))}
    return found


def points(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, list[float]]:
    """Return some labels beside what was predicted."""
    chosen = np.random.default_rng(0).permutation(len(target))[: 10 * _POINTS]
    return {"actual": rounded(target[chosen]), "predicted": rounded(predicted[chosen])}


def _calibration(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, list[float]]:
    parts = np.array_split(np.argsort(predicted, kind="stable"), min(10, len(predicted)))
    return {
        "promised": [float(predicted[p].mean()) for p in parts],
        "happened": [float(target[p].mean()) for p in parts],
        "examples": [len(p) for p in parts],
    }


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.unique(np.linspace(0, len(values) - 1, _POINTS).astype(np.int64))]
