"""How sure a score is: intervals by the bootstrap, over entities, as examples of one entity resemble each other.

Percentile intervals of resampled entities (Efron and Tibshirani 1993; clusters: Field and Welsh 2007).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.task import TaskType, average_precision, multi_hot

_DRAWS = 200
_MOST = 50_000


class Bootstrap:
    """Resamples the entities of one set of examples; equal seeds give equal draws."""

    def __init__(self, task_type: TaskType, rows: NDArray[np.int32], target: NDArray[Any], classes: tuple[str, ...]):
        self._task_type, self._classes = task_type, classes
        size = min(len(rows), _MOST)
        self._chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:size])
        self._target = target[self._chosen]
        _, entity = np.unique(rows[self._chosen], return_inverse=True)
        entities = int(entity.max()) + 1 if size else 0
        rng = np.random.default_rng(1)
        self._weights = [
            np.bincount(rng.integers(0, entities, entities), minlength=entities)[entity] for _ in range(_DRAWS)
        ] if entities > 1 else []  # fmt: skip

    def scores(self, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the default metric of each draw; NaN where it is undefined."""
        predicted = predicted[self._chosen]
        return np.array([self._score(predicted, weight) for weight in self._weights])

    def interval(self, scores: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return the middle 95 % of scores, or of differences of scores."""
        usable = scores[np.isfinite(scores)]
        if len(usable) < _DRAWS // 2:
            return None
        low, high = np.quantile(usable, [0.025, 0.975])
        return float(low), float(high)

    def _score(self, predicted: NDArray[np.float64], weight: NDArray[np.int64]) -> float:
        target = self._target
        match self._task_type:
            case TaskType.BINARY_CLASSIFICATION:
                return weighted_auroc(target, predicted, weight)
            case TaskType.MULTICLASS_CLASSIFICATION:
                right = np.array(self._classes, dtype=object)[predicted.argmax(axis=1)] == target
                return float(np.average(right, weights=weight))
            case TaskType.MULTILABEL_CLASSIFICATION:
                return _macro_auprc(multi_hot(target, self._classes), predicted, weight)
            case TaskType.LINK_PREDICTION:
                return float(np.average(average_precision(target, predicted), weights=weight))
            case _:
                error = np.abs(predicted - target).reshape(len(target), -1).mean(axis=1)
                return float(np.average(error, weights=weight))


def weighted_auroc(target: NDArray[Any], predicted: NDArray[np.float64], weight: NDArray[np.int64]) -> float:
    """Return the share of pairs of yes and no, by weight, that are ranked rightly; ties count half."""
    _, place = np.unique(predicted, return_inverse=True)
    yes = np.bincount(place, np.where(target > 0, weight, 0))
    no = np.bincount(place, np.where(target > 0, 0, weight))
    pairs = yes.sum() * no.sum()
    below = np.cumsum(no) - no
    return float((yes * (below + 0.5 * no)).sum() / pairs) if pairs else float("nan")


def _macro_auprc(hot: NDArray[np.float64], predicted: NDArray[np.float64], weight: NDArray[np.int64]) -> float:
    from sklearn.metrics import average_precision_score

    found = [
        average_precision_score(hot[:, i], predicted[:, i], sample_weight=weight)
        for i in range(hot.shape[1])
        if (hot[:, i] * weight).any()
    ]
    return float(np.mean(found)) if found else float("nan")
