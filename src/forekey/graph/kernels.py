"""Compiled loops over edges."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def invert(parents: NDArray[np.int32], num_parents: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Turn child -> parent into parent -> children by a counting sort.

    ``parents`` is ``[num_children] int32``, -1 for none. Returns ``indptr [num_parents + 1] int64`` and ``indices
    [num_edges] int32``; the children of each parent keep their order, which is the order of time.
    """
    indptr = np.zeros(num_parents + 1, np.int64)
    for p in parents:
        if p >= 0:
            indptr[p + 1] += 1
    for i in range(num_parents):
        indptr[i + 1] += indptr[i]
    cursor = indptr[:-1].copy()
    indices = np.empty(indptr[num_parents], np.int32)
    for child in range(parents.shape[0]):
        p = parents[child]
        if p >= 0:
            indices[cursor[p]] = child
            cursor[p] += 1
    return indptr, indices
