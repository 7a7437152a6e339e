"""Where the rows of a table are dense in time: a few that lie far from all others must not decide what is learnt.

A date left empty often reads 1970-01-01, a mistyped year lies far off. Rows at either end count as *stray* if they are
few (at most one in a hundred; of repeated moments, as placeholders are, one in five) and a gap parts them from
the others that is four times as long as any gap among the others, and a twelfth of all the time that those cover. A
first year with few rows, and seasons, stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forekey.graph.timestamps import MICROS_PER_DAY, Micros

_FEWEST = 20
"""Of fewer rows, none is stray: what is usual among them cannot be told."""
_ONE_IN = 100
_ALIKE_ONE_IN = 5
_PLACEHOLDERS, _REPEATED = 3, 3
"""How many moments at either end may be placeholders (1900-01-01, 1970-01-01), and how often each must be there."""
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
    whole = Dense(int(times[0]), int(times[-1]))
    if n < _FEWEST:
        return whole
    low, high = (_few_at(t) for t in (times, times[::-1]))
    core = times[low : n - high]
    span = int(core[-1] - core[0])
    if span == 0:
        return whole
    far = max(_GAPS * int(np.diff(core).max()), _SPANS * span)
    early = np.flatnonzero(np.diff(times[: low + 1]) >= far)
    late = np.flatnonzero(np.diff(times[n - high - 1 :]) >= far)
    start = int(early[-1]) + 1 if len(early) else 0
    end = n - high + int(late[0]) if len(late) else n
    before, after = (tuple(map(int, part)) for part in (times[:start], times[end:]))
    return Dense(int(times[start]), int(times[end - 1]), before, after)


def _few_at(times: Micros) -> int:
    """Return how many rows at the beginning may be stray: a hundredth, or more that share a few repeated moments."""
    few, alike = max(1, len(times) // _ONE_IN), 0
    for _ in range(_PLACEHOLDERS):
        same = int((times[alike:] == times[alike]).sum())
        if same < _REPEATED or alike + same > len(times) // _ALIKE_ONE_IN:
            break
        alike += same
    return max(few, alike)


def _days(times: tuple[int, ...]) -> str:
    days = sorted({str(np.datetime64(t, "us").astype("datetime64[D]")) for t in times})  # years before 1, too
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
