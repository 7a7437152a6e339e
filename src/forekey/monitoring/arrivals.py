"""How many rows arrive, and when the newest did: what stopped, doubled, or was left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from forekey.graph import MICROS_PER_DAY, Micros, Snapshot, from_micros
from forekey.monitoring.shift import Shift

_UNITS = (1, 7, 28)
"""Days of which rows are counted together; the shortest that has enough rows is taken."""
_TYPICAL = 8.0
"""Rows of a typical unit."""
_BACK = 8
"""Earlier units that one is held against: the same weekday of as many weeks."""
_LOOKED_AT = {1: 7, 7: 1, 28: 1}
"""Newest units that are judged, by their days: a week, in case nobody looks every day."""
DEVIATIONS, RATIO = 6.0, 1.5
"""From where on a count is odd: in robust standard deviations, and in times of what is usual (or a part of it)."""
_YEAR = 364
_GAP_FACTOR, _LEAST_DAYS = 2.0, 1.5
"""How many times as long as ever, and how many days at least: other tables may be loaded more often."""
_FEW_DAYS = 10
_GAPS = 200_000
"""Newest gaps between rows that are looked at."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The unit (of ``days``) among the newest whose count is furthest from what is usual.

    ``deviations`` are robust standard deviations of the square root of a count, which a Poisson count keeps constant
    (Anscombe 1948).
    """

    table: str
    begins: str
    days: int
    rows: int
    usual: float
    deviations: float
    is_newest: bool
    """Whether it is the newest unit, so that it may go on."""
    since: str = ""
    """The beginning of the first of the units right before it that are odd too."""

    @property
    def is_odd(self) -> bool:
        """Return whether so many rows are more than chance."""
        return abs(self.deviations) >= DEVIATIONS and not 1 / RATIO <= self.ratio <= RATIO

    @property
    def ratio(self) -> float:
        """Return how many times as many rows came as is usual."""
        return self.rows / max(self.usual, 0.5)


@dataclass(frozen=True, slots=True)
class Silence:
    """How long no row came to a table, in days up to now, and the longest that this took before."""

    table: str
    newest: str
    days: float
    longest_before: float

    @property
    def allowed(self) -> float:
        """Return from how many days on it is too long."""
        return max(_GAP_FACTOR * self.longest_before, _LEAST_DAYS)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The share of rows that could not become nodes, before and now, and whether that is a shift."""

    table: str
    shift: Shift
    before: float
    now: float


def arrivals(table: str, times: Micros, now: int) -> Arrivals | None:
    """Judge the newest days of a table (weeks, or four weeks, where a day has few rows); None if there are too few.

    A day is the 24 hours before ``now``, and so on, so that the last one is never a part of a day.
    """
    for days in _UNITS:
        counts, edges = _counts(times, now, days)
        enough = len(counts) > _BACK * _step(days) + _LOOKED_AT[days]
        if enough and np.median(counts[-_BACK * _step(days) - _LOOKED_AT[days] :]) >= _TYPICAL:
            return _furthest(table, counts, edges, days)
    return None


def silence(table: str, times: Micros, now: int) -> Silence | None:
    """Return how long a table has been without a new row, against the longest of the year before.

    None for few rows, and for a table that was filled once: whose rows came on few days, or within less time than has
    passed since.
    """
    past = times[times <= now]
    recent = past[np.searchsorted(past, (past[-1] if len(past) else now) - 365 * MICROS_PER_DAY) :][-_GAPS:]
    if len(recent) < 30 or len(np.unique(recent // MICROS_PER_DAY)) < _FEW_DAYS:
        return None
    newest, span = int(recent[-1]), int(recent[-1] - recent[0])
    if now - newest > span:
        return None
    longest = int(np.diff(recent).max())
    quiet = (now - newest) / MICROS_PER_DAY
    return Silence(table, from_micros(newest).isoformat(), round(quiet, 3), round(longest / MICROS_PER_DAY, 3))


def left_out(snapshot: Snapshot, table: str, edges: Micros) -> NDArray[np.int64]:
    """Return how many rows with a time were left out of the graph in each period between ``edges``, any reason."""
    total = np.zeros(len(edges) - 1, np.int64)
    for times in snapshot.dropped(table).values():
        total += np.diff(np.searchsorted(times, edges, side="right"))
    return total


def _counts(times: Micros, now: int, days: int) -> tuple[NDArray[np.int64], Micros]:
    length = days * MICROS_PER_DAY
    first = int(times[0]) if len(times) else now
    count = int(min((_YEAR + 10 * 7) // days, max((now - first) // length, 0)))
    edges = now - length * np.arange(count, -1, -1, dtype=np.int64)
    return np.diff(np.searchsorted(times, edges, side="right")), edges


def _furthest(table: str, counts: NDArray[np.int64], edges: Micros, days: int) -> Arrivals:
    step, looked_at = _step(days), _LOOKED_AT[days]
    roots = 2.0 * np.sqrt(counts + 0.375)
    found = []
    for i in range(len(counts) - looked_at, len(counts)):
        before = roots[[i - step * k for k in range(1, _BACK + 1)]]
        lately = roots[max(len(counts) - looked_at - 13 * 7, 0) : len(counts) - looked_at]
        spread = max(1.0, _around_week(lately, step))
        deviation = float((roots[i] - np.median(before)) / spread)
        usual = float((np.median(before) / 2) ** 2)
        a_year = i - _YEAR // days
        for j in range(a_year - 3, a_year + 4) if days == 1 else (a_year,):
            if 0 <= j < i - step:  # the season of a year ago, relative to its own surroundings
                around = roots[[k for k in range(j - step * 4, j + step * 4 + 1, step) if 0 <= k < i and k != j]]
                seasonal = float((roots[i] - np.median(before)) - (roots[j] - np.median(around))) / spread
                deviation = seasonal if abs(seasonal) < abs(deviation) else deviation
        begins = from_micros(int(edges[i])).isoformat()
        is_newest = i == len(counts) - 1
        found.append(Arrivals(table, begins, days, int(counts[i]), round(usual, 1), round(deviation, 2), is_newest))
    worst = first = max(range(len(found)), key=lambda k: abs(found[k].deviations))
    while first and found[first - 1].is_odd and (found[first - 1].deviations > 0) == (found[worst].deviations > 0):
        first -= 1
    return replace(found[worst], since=found[first].begins)


def _step(days: int) -> int:
    """Return how many units lie between one and the earlier one that it is held against: of days, the same weekday."""
    return 7 if days == 1 else 1


def _around_week(roots: NDArray[np.float64], step: int) -> float:
    """Return how far counts usually are from that of the unit ``step`` before, as a robust standard deviation."""
    if len(roots) <= step:
        return 1.0
    return float(stats.median_abs_deviation(roots[step:] - roots[:-step], scale="normal") / np.sqrt(2.0))
