"""A number in each of several timeframes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.objectives.objective import Metrics, Raw, is_beyond
from forekey.objectives.predictions import Forecast
from forekey.objectives.regression import RegressionObjective
from forekey.query import TaskType


@dataclass(frozen=True, slots=True)
class ForecastObjective(RegressionObjective):
    """Labels are ``[n, frames] float64``; all timeframes are standardised alike."""

    task_type = TaskType.FORECASTING
    predicts = Forecast  # type: ignore[assignment]
    has_single_label = False
    has_interval = False

    frames: int = 1

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> NDArray[np.float64]:
        """Return a row of numbers for each label."""
        values: NDArray[np.float64] = pc.list_flatten(column).cast(pa.float64()).to_numpy().reshape(len(column), -1)
        return values

    @classmethod
    def typed(cls, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Return lists of numbers as they are."""
        return column

    @classmethod
    def missing(cls, column: pa.ChunkedArray) -> NDArray[np.bool_]:
        """Whether the number of any timeframe is missing."""
        beyond = is_beyond(pc.list_flatten(column).cast(pa.float64()))
        labels = pc.list_parent_indices(column).to_numpy()
        return pc.is_null(column).to_numpy() | (np.bincount(labels, beyond, len(column)) > 0)  # type: ignore[no-any-return]

    @classmethod
    def describe(cls, target: NDArray[np.float64]) -> dict[str, Any]:
        """Return the mean and percentiles over all timeframes, and the mean of each."""
        return {**RegressionObjective.describe(target), "frames": [float(m) for m in target.mean(axis=0)]}

    @classmethod
    def fit(cls, target: NDArray[np.float64]) -> ForecastObjective:
        """Return the objective with the median and the standard deviation over all timeframes."""
        whole = RegressionObjective.fit(target)
        return cls(whole.center, whole.spread, whole.least, target.shape[1])

    @property
    def outputs(self) -> int:
        """Return the number of timeframes."""
        return self.frames

    def link(self, raw: Raw) -> NDArray[np.float64]:
        """Return numbers in the unit of the label, ``[n, frames]``."""
        return self._unscaled(raw)

    def predictions(self, raw: Raw) -> Forecast:  # type: ignore[override]
        """Return numbers in the unit of the label."""
        return Forecast(self.link(raw))

    def carried_forward(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return the newest timeframe of earlier labels for all."""
        return np.repeat(target[:, -1:], self.frames, axis=1)

    def lagged(self, target: NDArray[Any]) -> NDArray[np.float32]:
        """Return the mean over the timeframes, ``[n, 1]``."""
        return np.asarray(target.mean(axis=1, keepdims=True), np.float32)

    def _metrics(self, target: NDArray[np.float64], predicted: NDArray[np.float64]) -> Metrics:
        """Score over all frames (sMAPE: Makridakis 1993; WAPE: error over total), and each by itself."""
        error = np.abs(predicted - target)
        size = np.abs(target) + np.abs(predicted)
        share = np.divide(2 * error, size, out=np.zeros_like(error), where=size > 0)
        total = float(np.abs(target).sum())
        return {
            "mae": float(error.mean()),
            "smape": float(share.mean()),
            "wape": float(error.sum()) / total if total > 0 else None,
            **{f"mae_{i + 1}": float(m) for i, m in enumerate(error.mean(axis=0))},
        }
