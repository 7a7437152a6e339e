"""One number per period, such as a mean degree: whether its newest value continues the earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_FEWEST = 6
_LATELY = 26
_SLACK = 0.05
"""The least standard deviation that is assumed, as a share of the usual level: some series never varied."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a value was expected to be, and how far it lies from that in robust standard deviations."""

    value: float
    expected: float
    deviations: float
    is_extreme: bool
    """Whether it lies outside the range of all earlier values."""

    @property
    def change(self) -> float:
        """Return by which share of the expected value it differs."""
        return (self.value - self.expected) / abs(self.expected) if self.expected else float(self.value != 0)


def judge(values: NDArray[np.float64], last_year: tuple[int, ...] = ()) -> Expected | None:
    """Hold the last of some values against a line through the newest earlier ones; None if there are too few.

    The line is that of Theil and Sen, the spread the median absolute deviation from it (SciPy), so that a few odd
    periods do not matter. A value that stands to its line as that of ``last_year`` did to its own is seasonal.
    """
    if np.isfinite(values[:-1]).sum() < _FEWEST or not np.isfinite(values[-1]):
        return None
    expected, spread = _ahead(values[:-1])
    deviation = (float(values[-1]) - expected) / spread
    for i in last_year:
        if np.isfinite(values[:i]).sum() >= _FEWEST and np.isfinite(values[i]):
            before, its_spread = _ahead(values[:i])
            seasonal = expected + (float(values[i]) - before)
            other = (float(values[-1]) - seasonal) / max(spread, its_spread)
            deviation = other if abs(other) < abs(deviation) else deviation
    earlier, now = values[:-1], float(values[-1])
    is_extreme = not float(np.nanmin(earlier)) <= now <= float(np.nanmax(earlier))
    return Expected(now, expected, deviation, is_extreme)


def _ahead(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the next value of a series by its line, and the spread of the earlier ones around it."""
    at = np.flatnonzero(np.isfinite(values))[-_LATELY:]
    known = values[at]
    slope, intercept = stats.theilslopes(known, at)[:2]
    spread = float(stats.median_abs_deviation(known - (slope * at + intercept), scale="normal"))
    expected = float(slope * len(values) + intercept)
    return expected, max(spread, _SLACK * abs(float(np.median(known))), 1e-9)
