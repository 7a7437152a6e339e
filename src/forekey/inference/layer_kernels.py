"""The compiled loops of layer-wise inference: average the states of each node's neighbours.

The kernels release the interpreter's lock and are run in threads of ours. Numba's own parallel loops would set the
OpenMP thread count of the whole process, under torch's feet. ``parts``, ``limit`` and ``live_limit`` say which children
a row has (see :mod:`forekey.graph.adjacency_kernels`).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from forekey.graph.adjacency_kernels import Parts, child_at, degrees_of


@njit(cache=True, nogil=True)
def mean_of_recent(
    rows: NDArray[np.int32], parts: Parts, limit: int, live_limit: int, budget: int, values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average ``values [children, channels]`` over the newest ``budget`` children of each parent row.

    Returns the means ``[len(rows), channels]`` and the number of children that are there ``[len(rows)]``.
    """
    channels = values.shape[1]
    means = np.zeros((rows.shape[0], channels), np.float32)
    degrees = np.zeros(rows.shape[0], np.float32)
    for i in range(rows.shape[0]):
        base, live = degrees_of(parts, rows[i], limit, live_limit)
        degree = base + live
        degrees[i] = degree
        taken = min(degree, budget)
        for j in range(degree - taken, degree):
            child = child_at(parts, rows[i], base, live, j)
            for c in range(channels):
                means[i, c] += values[child, c]
        if taken > 1:
            for c in range(channels):
                means[i, c] /= taken
    return means, degrees


@njit(cache=True, nogil=True)
def state_of_parents(
    parents: NDArray[np.int32], values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the state of each parent (zero for -1), and 1 or 0 as its degree."""
    means = np.zeros((parents.shape[0], values.shape[1]), np.float32)
    degrees = np.zeros(parents.shape[0], np.float32)
    for i in range(parents.shape[0]):
        if parents[i] >= 0:
            means[i] = values[parents[i]]
            degrees[i] = 1.0
    return means, degrees


@njit(cache=True, nogil=True)
def recent(
    rows: NDArray[np.int32], parts: Parts, limit: int, live_limit: int, budget: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the newest ``budget`` children of each parent row, newest first and then -1, and how many there are."""
    found = np.full((rows.shape[0], budget), -1, np.int32)
    degrees = np.zeros(rows.shape[0], np.float32)
    for i in range(rows.shape[0]):
        base, live = degrees_of(parts, rows[i], limit, live_limit)
        degrees[i] = base + live
        for j in range(min(base + live, budget)):
            found[i, j] = child_at(parts, rows[i], base, live, base + live - 1 - j)
    return found, degrees


@njit(cache=True, nogil=True)
def mark_recent(
    rows: NDArray[np.int32], parts: Parts, limit: int, live_limit: int, budget: int, marks: NDArray[np.bool_]
) -> None:
    """Mark the children that :func:`mean_of_recent` reads."""
    for row in rows:
        base, live = degrees_of(parts, row, limit, live_limit)
        for j in range(max(base + live - budget, 0), base + live):
            marks[child_at(parts, row, base, live, j)] = True
