"""Equal periods of a table's time: the current one, those that training saw, and the same season a year ago."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forekey.graph import MICROS_PER_DAY, Micros

_LENGTHS = (7, 28, 91, 364)
"""In days. Multiples of a week, so that every period has each weekday equally often."""
_YEAR = 364
_MORE_THAN_A_YEAR = 8
"""Periods looked at beyond the same season a year ago, at most."""
_ENOUGH, FEWEST = 200, 50
"""Rows of a typical period, for its length to be chosen; and the rows that a period needs to be compared at all."""
_FEWEST_PERIODS = 3
_SAMPLED = 4_000
"""Rows of one period that are read at most."""


@dataclass(frozen=True)
class Periods:
    """Periods ``i`` of a table, each ``(edges[i], edges[i + 1]]``; the last is the current one.

    ``edges [n + 1] int64`` are moments (microseconds), ``bounds [n + 1] int64`` row numbers: the rows of period ``i``
    are ``bounds[i] .. bounds[i + 1] - 1``. ``reference [n] bool`` marks what the current one is compared with: periods
    that training saw. ``last_year`` are those of the same season a year ago, if any of these are.
    """

    days: int
    edges: Micros
    bounds: NDArray[np.int64]
    reference: NDArray[np.bool_]
    last_year: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.reference)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Return how many rows each period has."""
        return np.diff(self.bounds)

    @property
    def newest_reference(self) -> int:
        """Return the newest period that training saw."""
        return int(np.flatnonzero(self.reference)[-1])

    def with_all_earlier(self) -> Periods:
        """Return the same with all earlier periods as reference: for what grows, whatever training saw."""
        earlier = (self.sizes >= FEWEST) & (np.arange(len(self)) < len(self) - 1)
        return replace(self, reference=earlier if earlier.any() else self.reference)

    def sample(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows to look at, ascending, and the period of each; of a large period, some drawn at random."""
        random = np.random.default_rng(0)
        rows, period = [], []
        for i, (begin, size) in enumerate(zip(self.bounds[:-1].tolist(), self.sizes.tolist(), strict=True)):
            own = np.arange(size) if size <= _SAMPLED else np.sort(random.choice(size, _SAMPLED, replace=False))
            rows.append(begin + own)
            period.append(np.full(len(own), i))
        return np.concatenate(rows).astype(np.int64), np.concatenate(period).astype(np.int64)


def periods_of(times: Micros, now: int, trained_until: int) -> Periods | str:
    """Cut the time of a table whose rows have ``times [rows] int64``, ascending; or say why that cannot be done.

    The length is the shortest whose periods have enough rows. Periods of before the first row are left out, and those
    between the end of training and the current one are no reference.
    """
    tried = [_cut(times, now, trained_until, days) for days in _LENGTHS]
    usable = [p for p in tried if p.reference.sum() >= _FEWEST_PERIODS and p.sizes[-1] >= FEWEST]
    for found in usable:
        if np.median(found.sizes[found.reference]) >= _ENOUGH:
            return found
    if usable:
        return usable[-1]
    few = tried[-1] if len(tried[-1]) > 1 else tried[0]
    if few.reference.sum() < _FEWEST_PERIODS:
        return "its rows go back too little before training to say what is usual"
    return f"{few.sizes[-1]:,} rows in the last {few.days} days, and {FEWEST} are needed"


def _cut(times: Micros, now: int, trained_until: int, days: int) -> Periods:
    length = days * MICROS_PER_DAY
    first = int(times[0]) if len(times) else now
    since_training = max(now - trained_until, 0) // length
    count = int(min(since_training + _YEAR // days + _MORE_THAN_A_YEAR, max((now - first) // length, 1)))
    edges = now - length * np.arange(count, -1, -1, dtype=np.int64)
    bounds = np.searchsorted(times, edges, side="right").astype(np.int64)
    current = np.arange(count) == count - 1
    reference = (edges[1:] <= max(trained_until, int(edges[1]))) & ~current & (np.diff(bounds) >= FEWEST)
    year = count - 1 - _YEAR // days
    around = tuple(i for i in range(max(year - 1, 0), year + 2) if reference[i]) if year >= 0 and days < _YEAR else ()
    return Periods(days, edges, bounds, reference, around)
