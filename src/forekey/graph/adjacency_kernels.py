"""Compiled access to lists of children in the order of time, which have a base part and a live part.

``parts`` is a tuple of six arrays: ``indptr [parents + 1]`` and ``order [edges]`` of the base part; ``keys`` by which
it is bisected (empty: the row numbers themselves, which ascend by time); ``indptr`` and ``order`` of the live part,
empty where there is none; ``times`` of all rows, by which the two are merged (empty: rows have no time).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Parts = tuple[
    NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]
]


@njit(cache=True, nogil=True)
def first_not_below(order: NDArray[np.int32], keys: NDArray[np.int64], low: int, high: int, limit: int) -> int:
    """Return where the entries of ``order[low:high]`` whose key is below a limit end; keys ascend."""
    by_row = keys.shape[0] == 0
    if high > low:  # most often all of them are
        last = order[high - 1]
        if (last if by_row else keys[last]) < limit:
            return high
    while low < high:
        middle = (low + high) // 2
        row = order[middle]
        if (row if by_row else keys[row]) < limit:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True, inline="always")
def is_there(row: int, bound: int, cutoff: int, base_rows: int, times: NDArray[np.int64]) -> bool:
    """Return whether a row is there: one of the base part if it is below a bound, a later one by its time."""
    if row < base_rows:
        return row < bound
    return bool(times.shape[0] == 0 or times[row] <= cutoff)


@njit(cache=True, nogil=True, inline="always")
def degrees_of(parts: Parts, row: int, limit: int, live_limit: int) -> tuple[int, int]:
    """Return how many children of a row count by its limits, in the base part and in the live part; none of row -1."""
    if row < 0:
        return 0, 0
    indptr, order, keys, live_indptr, live_order, times = parts
    base = live = 0
    if row + 1 < indptr.shape[0]:
        base = first_not_below(order, keys, indptr[row], indptr[row + 1], limit) - indptr[row]
    if row + 1 < live_indptr.shape[0]:
        low, high = live_indptr[row], live_indptr[row + 1]
        live = (high if times.shape[0] == 0 else first_not_below(live_order, times, low, high, live_limit)) - low
    return base, live


@njit(cache=True, nogil=True)
def degrees(
    parts: Parts, rows: NDArray[np.int32] | NDArray[np.int64], limits: NDArray[np.int64], live_limits: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return :func:`degrees_of` of each row, ``[n, 2]``."""
    out = np.empty((rows.shape[0], 2), np.int64)
    for i in range(rows.shape[0]):
        out[i, 0], out[i, 1] = degrees_of(parts, rows[i], limits[i], live_limits[i])
    return out


@njit(cache=True, nogil=True, inline="always")
def child_at(parts: Parts, row: int, base: int, live: int, place: int) -> int:
    """Return the child at a place, the oldest being 0, among the first ``base`` and ``live`` children of a row.

    Of children of one time, those of the base part are older.
    """
    indptr, order, _, live_indptr, live_order, times = parts
    if live == 0:
        return int(order[indptr[row] + place])
    untimed, first = times.shape[0] == 0, live_indptr[row]
    start = indptr[row] if base else 0
    low, high = max(0, place - live), min(base, place)
    while low < high:  # how many of the base part are among the first ``place``
        middle = (low + high) // 2
        if untimed or times[order[start + middle]] <= times[live_order[first + place - middle - 1]]:
            low = middle + 1
        else:
            high = middle
    other = place - low
    if low < base and (other >= live or untimed or times[order[start + low]] <= times[live_order[first + other]]):
        return int(order[start + low])
    return int(live_order[first + other])


@njit(cache=True, nogil=True)
def children_at(
    parts: Parts, rows: NDArray[np.int32], counts: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Return :func:`child_at` of each row; -1 where the place is below 0 or not among the ``counts [n, 2]``."""
    out = np.empty(rows.shape[0], np.int32)
    for i in range(rows.shape[0]):
        base, live = counts[i, 0], counts[i, 1]
        there = rows[i] >= 0 and 0 <= places[i] < base + live
        out[i] = child_at(parts, rows[i], base, live, places[i]) if there else -1
    return out


@njit(cache=True, nogil=True)
def newest_children(
    parts: Parts, rows: NDArray[np.int32], counts: NDArray[np.int64], taken: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Lay the newest ``taken [n]`` children of each row out one after the other, newest first: they, and their list."""
    total = 0
    for count in taken:
        total += count
    children = np.empty(total, np.int32)
    lists = np.empty(total, np.int32)
    at = 0
    for i in range(rows.shape[0]):
        base, live = counts[i, 0], counts[i, 1]
        for j in range(taken[i]):
            children[at] = child_at(parts, rows[i], base, live, base + live - 1 - j)
            lists[at] = i
            at += 1
    return children, lists


@njit(cache=True, nogil=True)
def listed_by_owner(
    owner: NDArray[np.int32], ranked: NDArray[np.int32], owners: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """List rows by their owner (-1 has none), in the order of ``ranked``: CSR ``indptr`` and rows."""
    indptr = np.zeros(owners + 1, np.int64)
    for o in owner:
        if o >= 0:
            indptr[o + 1] += 1
    for i in range(owners):
        indptr[i + 1] += indptr[i]
    place = indptr[:-1].copy()
    order = np.empty(indptr[-1], np.int32)
    for row in ranked:
        o = owner[row]
        if o >= 0:
            order[place[o]] = row
            place[o] += 1
    return indptr, order
