"""The compiled loop of layer-wise inference: average the states of each node's neighbours.

The kernels release the interpreter's lock and are run in threads of ours. Numba's own parallel loops would set the
OpenMP thread count of the whole process, under torch's feet.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def mean_of_recent(
    first: int,
    last: int,
    bound: int,
    budget: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average ``values [children, channels]`` over the newest ``budget`` children below ``bound``.

    For the parents ``first <= p < last``. Returns the means ``[last - first, channels]`` and the number of visible
    children ``[last - first]``.
    """
    channels = values.shape[1]
    means = np.zeros((last - first, channels), np.float32)
    degrees = np.zeros(last - first, np.float32)
    for i in range(last - first):
        start, high = indptr[first + i], indptr[first + i + 1]
        low = start
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < bound:
                low = middle + 1
            else:
                high = middle
        degree = low - start
        degrees[i] = degree
        taken = min(degree, budget)
        for j in range(low - taken, low):
            child = indices[j]
            for c in range(channels):
                means[i, c] += values[child, c]
        if taken > 1:
            for c in range(channels):
                means[i, c] /= taken
    return means, degrees


@njit(cache=True, nogil=True)
def state_of_parents(
    first: int, last: int, bound: int, parents: NDArray[np.int32], values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each child's parent's state (zero where it has none that is visible), and 1 or 0 as its degree."""
    means = np.zeros((last - first, values.shape[1]), np.float32)
    degrees = np.zeros(last - first, np.float32)
    for i in range(last - first):
        p = parents[first + i]
        if p >= 0 and p < bound:
            means[i] = values[p]
            degrees[i] = 1.0
    return means, degrees
