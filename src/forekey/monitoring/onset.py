"""From when on rows are as they are now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forekey.graph import Micros, from_micros
from forekey.monitoring.periods import Periods

Codes = NDArray[np.int64]


def onset(codes: Codes, period: Codes, periods: Periods, times: Micros | None) -> str | None:
    """Return the time of the first row from which on values are like the current ones, not like the reference.

    ``codes``, ``period`` and ``times`` are of rows in the order of time. It is where the sum of the logarithms of
    likelihood ratios up to the newest row is greatest (CUSUM; Page 1954).
    """
    late = period > periods.newest_reference
    if times is None or not late.any():
        return None
    width = int(codes.max(initial=0)) + 1
    known, now = periods.reference[period], period == len(periods) - 1
    before, after = (np.bincount(codes[which], minlength=width) + 0.5 for which in (known, now))
    ratio = np.log(after / after.sum()) - np.log(before / before.sum())
    gained = np.cumsum(ratio[codes[late]][::-1])[::-1]
    return from_micros(int(times[late][int(gained.argmax())])).isoformat()
