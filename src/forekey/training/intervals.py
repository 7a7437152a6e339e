"""How sure a score is: intervals by the bootstrap, over entities, as examples of one entity resemble each other.

Percentile intervals of resampled entities (Efron and Tibshirani 1993; clusters: Field and Welsh 2007).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.inference import AnyPredictor
from forekey.task import TaskType, average_precision, multi_hot
from forekey.training.evaluate import Resolved, predicted_for

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
        score = self._scorer(predicted[self._chosen])
        return np.array([score(weight) for weight in self._weights])

    def interval(self, scores: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return the middle 95 % of scores, or of differences of scores."""
        usable = scores[np.isfinite(scores)]
        if len(usable) < _DRAWS // 2:
            return None
        low, high = np.quantile(usable, [0.025, 0.975])
        return float(low), float(high)

    def _scorer(self, predicted: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], float]:
        """Return a function from the weights of examples to the metric; what no weight changes is computed once."""
        target = self._target
        match self._task_type:
            case TaskType.BINARY_CLASSIFICATION:
                return weighted_auroc(target, predicted)
            case TaskType.MULTILABEL_CLASSIFICATION:
                return _macro_auprc(multi_hot(target, self._classes), predicted)
            case TaskType.MULTICLASS_CLASSIFICATION:
                each = np.array(self._classes, dtype=object)[predicted.argmax(axis=1)] == target
            case TaskType.LINK_PREDICTION:
                each = average_precision(target, predicted)
            case _:
                each = np.abs(predicted - target).reshape(len(target), -1).mean(axis=1)
        return lambda weight: float(np.average(each, weights=weight))


def interval_of_difference(resolved: Resolved, one: AnyPredictor, two: AnyPredictor) -> tuple[float, float] | None:
    """Return between which bounds the default metric of ``one`` less that of ``two`` lies, on the same examples."""
    scores = [
        Bootstrap(p.transform.task_type, resolved.rows, resolved.target, p.transform.classes).scores(
            predicted_for(p, resolved)
        )
        for p in (one, two)
    ]
    if min(map(len, scores)) == 0:
        return None
    draws = Bootstrap(one.transform.task_type, resolved.rows, resolved.target, one.transform.classes)
    return draws.interval(scores[0] - scores[1])


def weighted_auroc(target: NDArray[Any], predicted: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], float]:
    """Return a function from weights to the share of pairs of yes and no that are ranked rightly; ties count half."""
    distinct, place = np.unique(predicted, return_inverse=True)
    positive, size = target > 0, len(distinct)

    def score(weight: NDArray[np.int64]) -> float:
        yes = np.bincount(place[positive], weight[positive], size)
        no = np.bincount(place[~positive], weight[~positive], size)
        pairs = yes.sum() * no.sum()
        below = np.cumsum(no) - no
        return float((yes * (below + 0.5 * no)).sum() / pairs) if pairs else float("nan")

    return score


def _macro_auprc(hot: NDArray[np.float64], predicted: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], float]:
    """Return a function from weights to the mean average precision over the classes that some example has."""
    orders = [np.argsort(-predicted[:, i], kind="stable") for i in range(hot.shape[1])]
    # Where the predictions of a class change: examples predicted alike are taken together.
    ends = [
        np.append(np.flatnonzero(np.diff(predicted[order, i])), len(order) - 1) if len(order) else order
        for i, order in enumerate(orders)
    ]

    def score(weight: NDArray[np.int64]) -> float:
        found = []
        for i, (order, end) in enumerate(zip(orders, ends, strict=True)):
            own = weight[order]
            hits = np.cumsum(hot[order, i] * own)[end]
            shown = np.cumsum(own)[end]
            if len(hits) and hits[-1] > 0:
                gained = np.diff(hits, prepend=0.0)
                found.append(float((gained * hits / np.maximum(shown, 1)).sum() / hits[-1]))
        return float(np.mean(found)) if found else float("nan")

    return score
