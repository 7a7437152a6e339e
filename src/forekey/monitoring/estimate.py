"""The quality of predictions before their labels are known, from what the predictions themselves say.

Labels are drawn as the predicted probabilities say they are likely, and the predictions are scored against them, often
(the idea of confidence-based performance estimation). Each time the calibration is drawn too, as it was on the test
period and as much as it may have moved since. Of numbers, errors are drawn from those of like predictions. It holds as
long as what is predicted is related to the data as it was in training (no concept drift).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forekey.objectives import HeldOut, Objective, Predictions

ASSUMES = "assumes calibrated predictions and that labels are related to the data as they were in training"

_DRAWS = 100
_MOST = 20_000
_FEWEST = 50


@dataclass(frozen=True, slots=True)
class Estimate:
    """The default metric as it is expected, and between which bounds it lies in 95 of 100 draws."""

    value: float | None
    low: float | None
    high: float | None


def estimated(objective: Objective, predicted: Predictions, past: HeldOut | None) -> Estimate | None:
    """Return the metric that predictions will probably have; None where they do not say, as of rankings."""
    if past is None or len(past.predicted) < _FEWEST or len(predicted) == 0:
        return None
    random = np.random.default_rng(0)
    if len(predicted) > _MOST:
        predicted = predicted.take(np.sort(random.permutation(len(predicted))[:_MOST]))
    once = np.ones(len(predicted), np.int64)
    scores = []
    for _ in range(_DRAWS):
        labels = objective.drawn_labels(predicted.values, past, random)
        if labels is None:
            return None
        scores.append(objective.score(labels, predicted.values)(once))
    usable = np.array(scores)[np.isfinite(scores)]
    if len(usable) < _DRAWS // 2:
        return None
    low, high = np.quantile(usable, [0.025, 0.975])
    return Estimate(float(usable.mean()), float(low), float(high))
