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
    rows: NDArray[np.int32],
    bound: int,
    budget: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average ``values [children, channels]`` over the newest ``budget`` children below ``bound`` of each parent row.

    Returns the means ``[len(rows), channels]`` and the number of visible children ``[len(rows)]``.
    """
    channels = values.shape[1]
    means = np.zeros((rows.shape[0], channels), np.float32)
    degrees = np.zeros(rows.shape[0], np.float32)
    for i in range(rows.shape[0]):
        start = indptr[rows[i]]
        end = _first_not_below(indices, start, indptr[rows[i] + 1], bound)
        degree = end - start
        degrees[i] = degree
        taken = min(degree, budget)
        for j in range(end - taken, end):
            child = indices[j]
            for c in range(channels):
                means[i, c] += values[child, c]
        if taken > 1:
            for c in range(channels):
                means[i, c] /= taken
    return means, degrees


@njit(cache=True, nogil=True)
def state_of_parents(
    rows: NDArray[np.int32], bound: int, parents: NDArray[np.int32], values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each child row's parent's state (zero where it has none that is visible), and 1 or 0 as its degree."""
    means = np.zeros((rows.shape[0], values.shape[1]), np.float32)
    degrees = np.zeros(rows.shape[0], np.float32)
    for i in range(rows.shape[0]):
        p = parents[rows[i]]
        if p >= 0 and p < bound:
            means[i] = values[p]
            degrees[i] = 1.0
    return means, degrees


@njit(cache=True, nogil=True)
def recent(
    rows: NDArray[np.int32], bound: int, budget: int, indptr: NDArray[np.int64], indices: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the newest ``budget`` children of each parent row, newest first and then -1, and how many there are."""
    found = np.full((rows.shape[0], budget), -1, np.int32)
    degrees = np.zeros(rows.shape[0], np.float32)
    for i in range(rows.shape[0]):
        start = indptr[rows[i]]
        end = _first_not_below(indices, start, indptr[rows[i] + 1], bound)
        degrees[i] = end - start
        for j in range(min(end - start, budget)):
            found[i, j] = indices[end - 1 - j]
    return found, degrees


@njit(cache=True, nogil=True)
def mark_recent(
    rows: NDArray[np.int32],
    bound: int,
    budget: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    marks: NDArray[np.bool_],
) -> None:
    """Mark the children that :func:`mean_of_recent` reads."""
    for row in rows:
        end = _first_not_below(indices, indptr[row], indptr[row + 1], bound)
        for j in range(max(end - budget, indptr[row]), end):
            marks[indices[j]] = True


@njit(cache=True, nogil=True)
def mark_parents(rows: NDArray[np.int32], bound: int, parents: NDArray[np.int32], marks: NDArray[np.bool_]) -> None:
    """Mark the parents that :func:`state_of_parents` reads."""
    for row in rows:
        p = parents[row]
        if p >= 0 and p < bound:
            marks[p] = True


@njit(cache=True, nogil=True)
def _first_not_below(indices: NDArray[np.int32], low: int, high: int, bound: int) -> int:
    while low < high:
        middle = (low + high) // 2
        if indices[middle] < bound:
            low = middle + 1
        else:
            high = middle
    return low
