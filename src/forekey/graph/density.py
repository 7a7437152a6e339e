"""Where the rows of a table are dense in time: a few that lie far from all others must not decide what is learnt.

A date left empty often reads 1970-01-01, a mistyped year lies far off. Rows at either end count as *stray* if they are
few (at most one in a hundred) and a gap parts them from the others that is four times as long as any gap among the
others, and a twelfth of all the time that those cover. A first year with few rows, and seasons, stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forekey.graph.clock import MICROS_PER_DAY, Micros, from_micros

_FEWEST = 20
"""Of fewer rows, none is stray: what is usual among them cannot be told."""
_ONE_IN = 100
_GAPS = 4
_SPANS = 1 / 12


@dataclass(frozen=True, slots=True)
class Dense:
    """The times of the first and the last row that are not stray (microseconds), and those of the stray rows."""

    first: int
    last: int
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def strays(self) -> list[str]:
        """Say which rows are stray, and how far they lie from the next."""
        found = []
        ends = ((self.before, self.first, "before the next"), (self.after, self.last, "after all others"))
        for times, near, side in ends:
            if times:
                days = min(abs(near - t) for t in times) // MICROS_PER_DAY
                rows = "1 row lies" if len(times) == 1 else f"{len(times):,} rows lie"
                found.append(f"{rows} at {_days(times)}, {days:,} days {side}")
        return found


def dense_period(times: Micros) -> Dense | None:
    """Return where rows are dense, of their times in ascending order; None if there are none."""
    n = len(times)
    if n == 0:
        return None
    few = max(1, n // _ONE_IN)
    whole = Dense(int(times[0]), int(times[-1]))
    if n < _FEWEST:
        return whole
    core = times[few : n - few]
    span = int(core[-1] - core[0])
    far = max(_GAPS * int(np.diff(core).max()), _SPANS * span)
    if span == 0:
        return whole
    early = np.flatnonzero(np.diff(times[: few + 1]) >= far)
    late = np.flatnonzero(np.diff(times[n - few - 1 :]) >= far)
    start = int(early[-1]) + 1 if len(early) else 0
    end = n - few + int(late[0]) if len(late) else n
    before, after = (tuple(map(int, part)) for part in (times[:start], times[end:]))
    return Dense(int(times[start]), int(times[end - 1]), before, after)


def _days(times: tuple[int, ...]) -> str:
    days = sorted({f"{from_micros(t):%Y-%m-%d}" for t in times})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
