"""A number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.objectives.curves import points
from forekey.objectives.held_out import HeldOut
from forekey.objectives.objective import Metrics, PointwiseObjective, Raw, Score, weighted_mean
from forekey.objectives.predictions import Numbers
from forekey.objectives.ready_made import finite, read_numbers
from forekey.query import TaskType


@dataclass(frozen=True, slots=True)
class RegressionObjective(PointwiseObjective):
    """Labels are numbers, ``[n] float64``; raw outputs are standardised by ``center`` and ``spread``.

    ``least`` is the least training label of a target that is never negative: no predicted number is below.
    """

    task_type = TaskType.REGRESSION
    metric = "mae"
    higher_is_better = False
    loss = "absolute"
    predicts = Numbers
    has_single_label = True
    has_interval = True

    center: float = 0.0
    spread: float = 1.0
    least: float | None = None

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> NDArray[np.float64]:
        """Return numbers."""
        return column.cast(pa.float64()).to_numpy()  # type: ignore[no-any-return]

    @classmethod
    def typed(cls, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Return numbers, also those that are written as text."""
        return finite(read_numbers(column, name).cast(pa.float64()))

    @classmethod
    def describe(cls, target: NDArray[np.float64]) -> dict[str, Any]:
        """Return the mean, and the 10th, 50th and 90th percentile."""
        quantiles = [float(q) for q in np.quantile(target, [0.1, 0.5, 0.9])]
        return {"mean": float(target.mean()), "quantiles": quantiles}

    @classmethod
    def fit(cls, target: NDArray[np.float64]) -> RegressionObjective:
        """Return the objective with the median and the standard deviation of some labels."""
        least = float(target.min())
        return cls(float(np.median(target)), float(target.std()), least if least >= 0.0 else None)

    @property
    def scale(self) -> float:
        """Return by what numbers are divided: the standard deviation, 1 where there is none."""
        return self.spread if self.spread > 0 else 1.0

    @property
    def outputs(self) -> int:
        """Return 1."""
        return 1

    def encode(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return standardised numbers."""
        found: NDArray[np.float64] = (target.astype(np.float64) - self.center) / self.scale
        return found

    def mean_loss(self, raw: Raw, encoded: NDArray[np.float64]) -> float:
        """Return the mean absolute error, which is the default metric."""
        return float(np.mean(np.abs(raw - encoded.reshape(len(raw), -1))))

    def constant(self, encoded: NDArray[np.float64]) -> tuple[float, ...]:
        """Return the medians."""
        return tuple(np.median(encoded.reshape(len(encoded), -1), axis=0).tolist())

    def boosting(self) -> dict[str, Any]:
        """Return LightGBM's objective and metric."""
        return {"objective": "l1", "metric": "l1"}

    def link(self, raw: Raw) -> NDArray[np.float64]:
        """Return numbers in the unit of the label, ``[n]``."""
        return self._unscaled(raw[:, 0])

    def predictions(self, raw: Raw) -> Numbers:
        """Return numbers in the unit of the label."""
        return Numbers(self.link(raw))

    def perfect(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return the numbers."""
        return target.astype(np.float64)

    def _metrics(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> Metrics:
        error = predicted - target
        squares = float(((target - target.mean()) ** 2).sum())
        mae = float(np.abs(error).mean())
        return {
            "mae": mae,
            "rmse": float(np.sqrt((error**2).mean())),
            "r2": 1.0 - float((error**2).sum()) / squares if squares > 0 else None,
            "nmae": mae / self.spread if self.spread > 0 else None,
        }

    def score(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> Score:
        """Return the mean absolute error."""
        return weighted_mean(np.abs(predicted - target).reshape(len(target), -1).mean(axis=1))

    def drawn_labels(self, predicted: NDArray[Any], past: HeldOut, random: np.random.Generator) -> NDArray[np.float64]:
        """Return predictions with errors of earlier ones of like size."""
        numbers = predicted + past.errors_like(predicted, random)
        return numbers if self.least is None else np.maximum(numbers, self.least)

    def plots(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> dict[str, Any]:
        """Return some labels beside what was predicted."""
        return {"points": points(target.astype(np.float64).ravel(), predicted.ravel())}

    def _unscaled(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        numbers: NDArray[np.float64] = raw.astype(np.float64) * self.scale + self.center
        return numbers if self.least is None else np.maximum(numbers, self.least)
