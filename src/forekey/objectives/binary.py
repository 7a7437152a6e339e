"""Yes or no: the probability of yes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.objectives.curves import curves
from forekey.objectives.held_out import HeldOut
from forekey.objectives.objective import Metrics, PointwiseObjective, Raw, Score
from forekey.objectives.predictions import Numbers
from forekey.objectives.ready_made import finite, read_answers
from forekey.query import TaskType


@dataclass(frozen=True, slots=True)
class BinaryObjective(PointwiseObjective):
    """Labels are 1 for yes and 0 for no, ``[n] float64``; a raw output is a logit."""

    task_type = TaskType.BINARY_CLASSIFICATION
    metric = "auroc"
    higher_is_better = True
    loss = "logistic"
    calibrations = ("none", "temperature", "platt", "isotonic")
    predicts = Numbers
    has_single_label = True

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> NDArray[np.float64]:
        """Return 0 and 1."""
        return column.cast(pa.float64()).to_numpy()  # type: ignore[no-any-return]

    @classmethod
    def typed(cls, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Return words for yes and no, booleans and numbers as 0 and 1."""
        numbers = finite(read_answers(column, name).cast(pa.float64()))
        if not set(pc.unique(numbers.drop_null()).to_pylist()) <= {0.0, 1.0}:
            raise ValueError(f"'{name}' must hold 0 and 1")
        return numbers

    @classmethod
    def describe(cls, target: NDArray[np.float64]) -> dict[str, Any]:
        """Return how many are yes, and their share."""
        return {"positives": int(target.sum()), "mean": float(target.mean())}

    @classmethod
    def _effect(cls, one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
        """Return how far two shares are apart (Cohen's h)."""
        angles = (float(np.arcsin(np.sqrt(v.mean()))) for v in (one, two))
        return 2 * abs(next(angles) - next(angles))

    @classmethod
    def fit(cls, target: NDArray[Any]) -> BinaryObjective:
        """Return the objective, which has nothing to fit."""
        return cls()

    @property
    def outputs(self) -> int:
        """Return 1."""
        return 1

    def encode(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return 0 and 1."""
        return target.astype(np.float64)

    def mean_loss(self, raw: Raw, encoded: NDArray[np.float64]) -> float:
        """Return the mean log loss."""
        return mean_log_loss(raw[:, 0], encoded)

    def constant(self, encoded: NDArray[np.float64]) -> tuple[float, ...]:
        """Return the logit of the share."""
        return logits_of_shares(encoded.reshape(-1, 1))

    def boosting(self) -> dict[str, Any]:
        """Return LightGBM's objective and metric."""
        return {"objective": "binary", "metric": "binary_logloss"}

    def link(self, raw: Raw) -> NDArray[np.float64]:
        """Return the probability of yes, ``[n]``."""
        return logistic(raw[:, 0])

    def predictions(self, raw: Raw) -> Numbers:
        """Return the probability of yes."""
        return Numbers(self.link(raw))

    def perfect(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return 0 and 1."""
        return target.astype(np.float64)

    def _metrics(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> Metrics:
        from sklearn import metrics

        both = 0 < target.sum() < len(target)
        decided = predicted >= 0.5
        return {
            "auroc": metrics.roc_auc_score(target, predicted) if both else None,
            "auprc": metrics.average_precision_score(target, predicted) if target.any() else None,
            "accuracy": float((decided == target).mean()),
            "f1": metrics.f1_score(target, decided, zero_division=0.0),
            "log_loss": metrics.log_loss(target, predicted, labels=[0, 1]),
            "ece": expected_calibration_error(target, predicted),
        }

    def score(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> Score:
        """Return the area under the ROC curve."""
        return weighted_auroc(target, predicted)

    def drawn_labels(self, predicted: NDArray[Any], past: HeldOut, random: np.random.Generator) -> NDArray[np.float64]:
        """Return 0 and 1, drawn by the probabilities as they may be calibrated by now."""
        drawn: NDArray[np.float64] = (random.random(len(predicted)) < past.recalibrated(predicted, random)).astype(
            float
        )
        return drawn

    def plots(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> dict[str, Any]:
        """Return the ROC curve, precision and recall, and calibration."""
        return curves(target.astype(np.float64), predicted)


def logistic(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities."""
    found: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -60, 60)))
    return found


def mean_log_loss(logits: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Return the mean log loss of logits against 0 and 1, of the same shape."""
    return float(np.mean(np.logaddexp(0.0, logits) - target * logits))


def logits_of_shares(target: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the logit of the share of 1 in each column, half an example to either side (Jeffreys)."""
    shares = (target.sum(axis=0) + 0.5) / (len(target) + 1.0)
    return tuple(np.log(shares / (1.0 - shares)).tolist())


def expected_calibration_error(target: NDArray[Any], predicted: NDArray[np.float64], bins: int = 15) -> float:
    """Return the mean gap between confidence and frequency over equal-width bins (Guo et al. 2017)."""
    place = np.minimum((predicted * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, predicted - target, minlength=bins))
    return float(gap.sum() / count.sum())


def weighted_auroc(target: NDArray[Any], predicted: NDArray[np.float64]) -> Score:
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
