"""Compiled loops over the history of entities."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def sums_of_newest(
    values: NDArray[np.float32],
    index: NDArray[np.int32],
    lengths: NDArray[np.int64],
    takes: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the newest rows of each list, as many as each of ``takes [lists, c]`` says.

    ``values [rows, m]`` are the rows' numbers (NaN counts as none), ``index`` says which of them each listed row is,
    newest first, list after list. Returns sums and counts, each ``[lists, m, c]``. Every list is added up by itself,
    so no other list can change the rounding of its sums.
    """
    n, c, m = lengths.shape[0], takes.shape[1], values.shape[1]
    sums = np.zeros((n, m, c), np.float64)
    counts = np.zeros((n, m, c), np.float64)
    total = np.zeros(m, np.float64)
    count = np.zeros(m, np.float64)
    at = 0
    for i in range(n):
        total[:] = 0.0
        count[:] = 0.0
        for j in range(lengths[i] + 1):
            for k in range(c):
                if takes[i, k] == j:
                    sums[i, :, k] = total
                    counts[i, :, k] = count
            if j < lengths[i]:
                row = index[at]
                at += 1
                for p in range(m):
                    v = values[row, p]
                    if v == v:
                        total[p] += v
                        count[p] += 1.0
    return sums, counts


@njit(cache=True, nogil=True)
def recent_form(
    values: NDArray[np.float32],
    index: NDArray[np.int32],
    lengths: NDArray[np.int64],
    decays: NDArray[np.float64],
    extremes: int,
) -> NDArray[np.float64]:
    """Describe how each list's rows have been of late: ``[lists, m, len(decays) + 3]``, NaN where nothing is known.

    For each measure: means in which each row weighs ``decay`` times the next newer one, then the newest value known,
    then the least and the greatest of the newest ``extremes`` rows. Arguments as in :func:`sums_of_newest`.
    """
    n, m, d = lengths.shape[0], values.shape[1], decays.shape[0]
    out = np.full((n, m, d + 3), np.nan, np.float64)
    sums = np.zeros((m, d), np.float64)
    weights = np.zeros((m, d), np.float64)
    at = 0
    for i in range(n):
        sums[:] = 0.0
        weights[:] = 0.0
        weight = np.ones(d, np.float64)
        for j in range(lengths[i]):
            for p in range(m):
                v = np.float64(values[index[at + j], p])
                if v == v:
                    for k in range(d):
                        sums[p, k] += weight[k] * v
                        weights[p, k] += weight[k]
                    _note_newest(out[i, p, d:], v, j < extremes)
            weight *= decays
        for p in range(m):
            for k in range(d):
                if weights[p, k] > 0.0:
                    out[i, p, k] = sums[p, k] / weights[p, k]
        at += lengths[i]
    return out


@njit(cache=True, nogil=True)
def _note_newest(noted: NDArray[np.float64], value: float, recent: bool) -> None:
    """Note a value in ``noted``: the newest known (the first noted), and the least and the greatest of recent ones."""
    if np.isnan(noted[0]):
        noted[0] = value
    if recent:
        if not noted[1] <= value:
            noted[1] = value
        if not noted[2] >= value:
            noted[2] = value
