"""How sure a score is: intervals by the bootstrap, over entities, as examples of one entity resemble each other.

Percentile intervals of resampled entities (Efron and Tibshirani 1993; clusters: Field and Welsh 2007).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.inference import AnyPredictor
from forekey.objectives import Objective
from forekey.training.evaluate import Resolved, predicted_for

_DRAWS = 200
_MOST = 50_000


class Bootstrap:
    """Resamples the entities of one set of examples; equal seeds give equal draws."""

    def __init__(self, objective: Objective, rows: NDArray[np.int32], target: NDArray[Any]) -> None:
        self._objective = objective
        size = min(len(rows), _MOST)
        self._chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:size])
        self._target = target[self._chosen]
        _, entity = np.unique(rows[self._chosen], return_inverse=True)
        entities = int(entity.max()) + 1 if size else 0
        rng = np.random.default_rng(1)
        self._weights = [
            np.bincount(rng.integers(0, entities, entities), minlength=entities)[entity] for _ in range(_DRAWS)
        ] if entities > 1 else []  # fmt: skip

    def scores(self, predicted: NDArray[Any]) -> NDArray[np.float64]:
        """Return the default metric of each draw; NaN where it is undefined."""
        score = self._objective.score(self._target, predicted[self._chosen])
        return np.array([score(weight) for weight in self._weights])

    def interval(self, scores: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return the middle 95 % of scores, or of differences of scores."""
        usable = scores[np.isfinite(scores)]
        if len(usable) < _DRAWS // 2:
            return None
        low, high = np.quantile(usable, [0.025, 0.975])
        return float(low), float(high)


def interval_of_difference(resolved: Resolved, one: AnyPredictor, two: AnyPredictor) -> tuple[float, float] | None:
    """Return between which bounds the default metric of ``one`` less that of ``two`` lies, on the same examples."""
    scores = [
        Bootstrap(p.objective, resolved.rows, resolved.target).scores(predicted_for(p, resolved).values)
        for p in (one, two)
    ]
    if min(map(len, scores)) == 0:
        return None
    draws = Bootstrap(one.objective, resolved.rows, resolved.target)
    return draws.interval(scores[0] - scores[1])
