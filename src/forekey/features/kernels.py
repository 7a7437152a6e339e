"""Compiled loops over the history of entities."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def count_below(
    indptr: NDArray[np.int64], indices: NDArray[np.int32], rows: NDArray[np.int32], bounds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return, for each row, how many of its (ascending) children have a number below its bound."""
    out = np.zeros(rows.shape[0], np.int64)
    for i in range(rows.shape[0]):
        start, end = indptr[rows[i]], indptr[rows[i] + 1]
        low, high = start, end
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < bounds[i]:
                low = middle + 1
            else:
                high = middle
        out[i] = low - start
    return out
