"""How sure a score is: intervals by the bootstrap, over entities, as examples of one entity resemble each other.

Percentile intervals of resampled entities (Efron and Tibshirani 1993; clusters: Field and Welsh 2007).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.objectives.objective import Objective

_DRAWS = 200
_MOST = 50_000


class Bootstrap:
    """Resamples entities, ``rows [n]`` saying whose each example is; equal seeds give equal draws."""

    def __init__(self, objective: Objective, rows: NDArray[Any], target: NDArray[Any]) -> None:
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
