"""Whether the newest counts of a table's column are unlike the earlier ones, beyond what they differ by anyway.

Every test here is SciPy's. Real rows are not independent: a column moves from week to week without anything being
wrong. So the chi-squared statistic of the current period is judged by those of the earlier periods (quasi-likelihood:
McCullagh and Nelder 1989, ch. 4; degrees of freedom: Satterthwaite 1946), and the size of a shift by usual sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from forekey.monitoring.periods import Periods

Counts = NDArray[np.int64]
Sizes = NDArray[np.float64]

_FLOOR = 1e-4
"""The least share that a bin is taken to have."""
_FEW = 8
"""Of fewer earlier periods, what is usual is hardly known."""
_FEWEST = 3
"""Of fewer, nothing is."""
_FAULTY = 30.0
"""So many times the median, a statistic of an earlier period is no chance but was a fault of its own."""
_USUAL = 0.95
_BEYOND = 1.5
_LEVEL = 0.001
"""The false discovery rate of one look."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the current period is from the reference: its ``size``, what size is allowed, and a p-value.

    The size is a population stability index, or a difference of shares. ``significant`` is set by :func:`discover`.
    """

    size: float
    allowed: float
    p_value: float
    significant: bool = False


NO_SHIFT = Shift(0.0, 1.0, 1.0)
"""What is returned where there is too little to compare."""


def population_stability(reference: NDArray[np.float64], current: NDArray[np.float64]) -> float:
    """Return the population stability index of two distributions given as shares of the same bins.

    Below 0.1 is commonly read as stable, above 0.25 as shifted (Siddiqi, "Credit Risk Scorecards", 2006).
    """
    expected, actual = np.maximum(reference, _FLOOR), np.maximum(current, _FLOOR)
    return float(((actual - expected) * np.log(actual / expected)).sum())


def distribution_shift(counts: Counts, periods: Periods, least: float) -> Shift:
    """Compare the bins of the current period ``counts [periods, bins]`` with the reference by their stability index.

    It is compared with all of the reference, with its newest period, and with the same season a year ago; it has moved
    if it is like none of them. ``least`` is the smallest index that matters.
    """
    return _shift(counts, periods, least, _stability)


def share_shift(hits: Counts, of: Counts, periods: Periods, least: float) -> Shift:
    """Compare a share, ``hits [periods]`` out of ``of [periods]``, likewise; the size is the difference of shares."""
    return _shift(np.stack([hits, of - hits], axis=1), periods, least, _difference)


def discover(shifts: Sequence[Shift]) -> list[Shift]:
    """Mark those that are significant among all of one look (Benjamini and Hochberg 1995)."""
    if not shifts:
        return []
    adjusted = stats.false_discovery_control([s.p_value for s in shifts])
    return [replace(s, significant=bool(p < _LEVEL)) for s, p in zip(shifts, adjusted, strict=True)]


def _shift(counts: Counts, periods: Periods, least: float, size: Callable[[Counts, Counts], Sizes]) -> Shift:
    earlier, now = counts[periods.reference], counts[-1]
    whole = earlier.sum(axis=0)
    others = whole - earlier  # of each period, all but itself
    usual = size(earlier, others)[others.any(axis=1)]
    allowed = least if len(usual) >= _FEW else 2 * least
    allowed = max(allowed, _BEYOND * float(np.quantile(usual, _USUAL))) if len(usual) else allowed
    compared = [whole, counts[periods.newest_reference]]
    compared += [counts[list(periods.last_year)].sum(axis=0)] if periods.last_year else []
    sizes = size(np.stack([now] * len(compared)), np.stack(compared))
    nearest = int(np.argmin(np.round(sizes, 6)))
    p_value = _p_value(now, compared[nearest], _statistics(earlier, others))
    return Shift(round(float(sizes[nearest]), 4), round(allowed, 4), p_value)


def _stability(now: Counts, before: Counts) -> Sizes:
    """Return the stability index of each row of counts against that of ``before``."""
    expected, actual = (np.maximum(c / np.maximum(c.sum(axis=1, keepdims=True), 1), _FLOOR) for c in (before, now))
    found: Sizes = ((actual - expected) * np.log(actual / expected)).sum(axis=1)
    return found


def _difference(now: Counts, before: Counts) -> Sizes:
    """Return how far the share of the first bin is from that of ``before``, for each row of counts."""
    shares = (c[:, 0] / np.maximum(c.sum(axis=1), 1) for c in (now, before))
    found: Sizes = np.abs(next(shares) - next(shares))
    return found


def _statistics(now: Counts, before: Counts) -> Sizes:
    """Return the chi-squared statistic of homogeneity over its degrees of freedom, of each row of counts."""
    table = np.stack([now, before], axis=1).astype(np.float64)  # [rows, 2, bins]
    total = table.sum(axis=(1, 2), keepdims=True)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=2, keepdims=True) / np.maximum(total, 1)
    used = table.any(axis=1)
    empty = expected == 0  # what nothing is expected in holds nothing
    flat = (len(table), -1)
    observed = np.where(empty, 1.0, table).reshape(flat)
    found = stats.chisquare(observed, np.where(empty, 1.0, expected).reshape(flat), axis=1).statistic
    degrees = used.sum(axis=1) - 1
    return np.where(degrees > 0, found / np.maximum(degrees, 1), 0.0)


def _p_value(now: Counts, before: Counts, earlier: Sizes) -> float:
    """Return how likely so large a statistic is, given how large those of ``earlier`` periods were.

    These say by which factor it is larger than by chance, and over how many directions it varies (Satterthwaite 1946):
    restless weeks mostly move a column along one. Of two bins one of which was always empty, Fisher's exact test needs
    no such comparison.
    """
    bins = len(now) - 1
    if bins == 1 and not before.all() and not earlier.any():
        return float(stats.fisher_exact(np.stack([now, before])).pvalue)
    statistic = float(_statistics(now[None], before[None])[0])
    if len(earlier) < _FEWEST:
        return float(stats.chi2.sf(statistic * bins, bins))
    usual = earlier[earlier <= _FAULTY * max(float(np.median(earlier)), 1.0)]
    scale, spread = max(float(usual.mean()), 1.0), float(usual.var())
    directions = float(np.clip(2.0 * scale**2 / spread, 1.0, bins)) if spread > 0 else float(bins)
    return float(stats.f.sf(statistic / scale, directions, max(len(usual) - 1, 1)))
