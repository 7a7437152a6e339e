"""Predictions on labels that a model did not learn from: what its later quality is estimated by, before labels come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

_FILE = "held_out.npz"
_MOST = 20_000
_BINS = 10
_SHIFT, _SLOPE = 0.15, 0.08
"""Standard deviations, between windows, of the shift of logits and of their slope; fitted to nothing but experience:
see ``benchmarks/quality_estimate.py``."""
_SCALE = 0.08
"""Likewise of the logarithm of the size of errors."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """What was predicted and what is right, both ``[n] float64`` or ``[n, outputs]``, at ``times [n] int64``."""

    predicted: Values
    right: Values
    times: NDArray[np.int64]

    @classmethod
    def of(cls, predicted: NDArray[Any], right: NDArray[Any], times: NDArray[np.int64]) -> HeldOut:
        """Return some of the examples, drawn at random if there are very many."""
        some = np.sort(np.random.default_rng(0).permutation(len(times))[:_MOST])
        return cls(predicted[some].astype(np.float64), right[some].astype(np.float64), times[some])

    def save(self, folder: Path) -> None:
        """Write the examples into the folder of a version."""
        np.savez_compressed(folder / _FILE, predicted=self.predicted, right=self.right, times=self.times)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether the folder of a version has any."""
        return (folder / _FILE).is_file()

    @classmethod
    def load(cls, folder: Path) -> HeldOut | None:
        """Read what :meth:`save` wrote; None where there is nothing."""
        path = folder / _FILE
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as found:
            return cls(found["predicted"], found["right"], found["times"])

    def recalibrated(self, probabilities: Values, random: np.random.Generator) -> Values:
        """Return probabilities as they may truly be: their logits shifted and scaled by a draw of how far they are off.

        What these examples say of shift and slope is held together with what both vary by from window to window.
        """
        center, covariance = self._calibration
        shift, slope = random.multivariate_normal(center, covariance + np.diag([_SHIFT**2, _SLOPE**2]))
        return np.asarray(special.expit(shift + max(slope, 0.05) * _logit(probabilities)), np.float64)

    def errors_like(self, predicted: Values, random: np.random.Generator) -> Values:
        """Return errors of predictions of like size, drawn with replacement, all larger or smaller by one draw."""
        size = self.predicted.reshape(len(self.predicted), -1).mean(axis=1)
        edges = np.unique(np.quantile(size, np.linspace(0, 1, _BINS + 1)[1:-1]))
        own = np.searchsorted(edges, size, "right")
        asked = np.searchsorted(edges, predicted.reshape(len(predicted), -1).mean(axis=1), "right")
        errors = self.right - self.predicted
        out = np.zeros(predicted.shape)
        for b in np.unique(asked):
            pool = np.flatnonzero(own == b) if (own == b).any() else np.arange(len(own))
            out[asked == b] = errors[random.choice(pool, int((asked == b).sum()))]
        return out * float(np.exp(random.normal(0.0, _SCALE)))

    @cached_property
    def _calibration(self) -> tuple[Values, Values]:
        """Return the likeliest shift and slope of logits (Platt 1999), and their covariance (Laplace's approximation).

        The prior is that of a calibrated model, 0 and 1, with the spread that windows have.
        """
        from scipy import optimize

        x, y = _logit(self.predicted).ravel(), self.right.ravel()
        design = np.stack([np.ones(len(x)), x], axis=1)
        prior, calibrated = np.diag([_SHIFT**-2, _SLOPE**-2]), np.array([0.0, 1.0])

        def loss(at: Values) -> tuple[float, Values]:
            z, off = design @ at, at - calibrated
            value = float(np.sum(np.logaddexp(0.0, z) - y * z) + off @ prior @ off / 2)
            return value, design.T @ (special.expit(z) - y) + prior @ off

        found = np.asarray(optimize.minimize(loss, calibrated, jac=True, method="BFGS").x, np.float64)
        p = special.expit(design @ found)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + prior
        return found, np.asarray(np.linalg.inv(hessian), np.float64)


def _logit(p: Values) -> Values:
    return np.asarray(special.logit(np.clip(p, 1e-6, 1 - 1e-6)), np.float64)
