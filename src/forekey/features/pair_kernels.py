"""Compiled loops over pairs of entities and items."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

MAX_READ = 4096
"""Of an entity's list, only the newest this many rows are read."""


@njit(cache=True, nogil=True)
def _end_at(indptr: NDArray[np.int64], order: NDArray[np.int32], seen: NDArray[np.int64], row: int, moment: int) -> int:
    """Return where the rows of a list that were seen by a moment end."""
    low, high = indptr[row], indptr[row + 1]
    while low < high:
        middle = (low + high) // 2
        if seen[order[middle]] <= moment:
            low = middle + 1
        else:
            high = middle
    return int(low)


@njit(cache=True, nogil=True)
def describe_pairs(
    indptr: NDArray[np.int64],
    order: NDArray[np.int32],
    item: NDArray[np.int32],
    seen: NDArray[np.int64],
    rows: NDArray[np.int32],
    cut: NDArray[np.int64],
    season: NDArray[np.int64],
    windows: NDArray[np.int64],
    ptr: NDArray[np.int64],
    items: NDArray[np.int32],
    num_items: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count, for each candidate ``items[ptr[q] : ptr[q + 1]]`` of query ``q``, what passed between it and the entity.

    ``indptr, order`` list each entity's rows (ascending by ``seen``), ``item`` is the item of a row; ``cut [n]`` is
    up to when rows count, ``season [n, 2]`` a span to count in, ``windows`` lengths before ``cut``. Returns
    ``[pairs, windows + 4]``: counts in each window, in all, and in the season, microseconds since the last (NaN if
    there is none), and its rank among the entity's items, the newest first; and ``[n]``, how many different items
    each entity had.
    """
    w = windows.shape[0]
    out = np.zeros((items.shape[0], w + 4))
    different = np.zeros(rows.shape[0])
    counts = np.zeros((num_items, w + 2))
    last = np.zeros(num_items, np.int64)
    rank = np.zeros(num_items, np.int64)
    touched = np.empty(num_items, np.int32)
    for q in range(rows.shape[0]):
        found = 0
        if rows[q] >= 0:
            end = _end_at(indptr, order, seen, rows[q], cut[q])
            start = max(indptr[rows[q]], end - MAX_READ)
            for p in range(end - 1, start - 1, -1):
                i, s = item[order[p]], seen[order[p]]
                if rank[i] == 0:
                    touched[found] = i
                    found += 1
                    rank[i] = found
                    last[i] = s
                counts[i, w] += 1
                for k in range(w):
                    if s > cut[q] - windows[k]:
                        counts[i, k] += 1
                if season[q, 0] < s <= season[q, 1]:
                    counts[i, w + 1] += 1
        different[q] = found
        for p in range(ptr[q], ptr[q + 1]):
            i = items[p]
            out[p, : w + 2] = counts[i]
            out[p, w + 2] = cut[q] - last[i] if rank[i] else np.nan
            out[p, w + 3] = rank[i] if rank[i] else np.nan
        for t in range(found):
            i = touched[t]
            counts[i] = 0.0
            rank[i] = 0
    return out, different


@njit(cache=True, nogil=True)
def _walk(
    own: tuple[NDArray[np.int64], NDArray[np.int32]],
    others: tuple[NDArray[np.int64], NDArray[np.int32]],
    entity: NDArray[np.int32],
    item: NDArray[np.int32],
    seen: NDArray[np.int64],
    row: int,
    moment: int,
    steps: NDArray[np.int64],
    score: NDArray[np.float64],
    marked: NDArray[np.bool_],
    touched: NDArray[np.int32],
) -> int:
    """Add up where short walks lead: entity, its items, others who had them, their items; return how many were met."""
    found = 0
    end = _end_at(own[0], own[1], seen, row, moment)
    start = max(own[0][row], end - steps[0])
    for p in range(start, end):
        j = item[own[1][p]]
        end_j = _end_at(others[0], others[1], seen, j, moment)
        start_j = max(others[0][j], end_j - steps[1])
        for o in range(start_j, end_j):
            u = entity[others[1][o]]
            if u == row:
                continue
            end_u = _end_at(own[0], own[1], seen, u, moment)
            start_u = max(own[0][u], end_u - steps[2])
            weight = 1.0 / ((end - start) * (end_j - start_j) * (end_u - start_u))
            for t in range(start_u, end_u):
                i = item[own[1][t]]
                if not marked[i]:
                    marked[i] = True
                    touched[found] = i
                    found += 1
                score[i] += weight
    return found


@njit(cache=True, nogil=True)
def walk_scores(
    own: tuple[NDArray[np.int64], NDArray[np.int32]],
    others: tuple[NDArray[np.int64], NDArray[np.int32]],
    entity: NDArray[np.int32],
    item: NDArray[np.int32],
    seen: NDArray[np.int64],
    rows: NDArray[np.int32],
    cut: NDArray[np.int64],
    steps: NDArray[np.int64],
    ptr: NDArray[np.int64],
    items: NDArray[np.int32],
    num_items: int,
    most: int,
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return, for each candidate, the share of short walks from the entity that end at it; and the best met.

    A walk goes to one of the newest ``steps[0]`` rows of the entity, to one of the newest ``steps[1]`` rows of its
    item, to one of the newest ``steps[2]`` rows of the entity met there, and ends at its item. The best are
    ``[n, most] int32``, -1 where there are fewer.
    """
    shares = np.zeros(items.shape[0])
    best = np.full((rows.shape[0], most), -1, np.int32)
    score = np.zeros(num_items)
    marked = np.zeros(num_items, np.bool_)
    touched = np.empty(num_items, np.int32)
    for q in range(rows.shape[0]):
        found = 0
        if rows[q] >= 0:
            found = _walk(own, others, entity, item, seen, rows[q], cut[q], steps, score, marked, touched)
        for p in range(ptr[q], ptr[q + 1]):
            shares[p] = score[items[p]]
        if most and found:
            met = np.sort(touched[:found])  # equal scores go by the item's row
            ranked = np.argsort(-score[met], kind="mergesort")[:most]
            for k in range(ranked.shape[0]):
                best[q, k] = met[ranked[k]]
        for t in range(found):
            score[touched[t]] = 0.0
            marked[touched[t]] = False
    return shares, best


@njit(cache=True, nogil=True)
def newest_items(
    indptr: NDArray[np.int64],
    order: NDArray[np.int32],
    item: NDArray[np.int32],
    seen: NDArray[np.int64],
    rows: NDArray[np.int32],
    cut: NDArray[np.int64],
    most: int,
    num_items: int,
) -> NDArray[np.int32]:
    """Return each entity's newest different items, ``[n, most] int32``, the newest first; -1 where there are fewer."""
    out = np.full((rows.shape[0], most), -1, np.int32)
    stamp = np.full(num_items, -1, np.int64)
    for q in range(rows.shape[0]):
        if rows[q] < 0:
            continue
        end = _end_at(indptr, order, seen, rows[q], cut[q])
        start = max(indptr[rows[q]], end - MAX_READ)
        found = 0
        for p in range(end - 1, start - 1, -1):
            i = item[order[p]]
            if stamp[i] != q:
                stamp[i] = q
                out[q, found] = i
                found += 1
                if found == most:
                    break
    return out


@njit(cache=True, nogil=True)
def merged(
    lists: NDArray[np.int32], bounds: NDArray[np.int64], num_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the different items of each row of ``lists [n, m]`` below its bound, ascending: ``ptr`` and items."""
    n = lists.shape[0]
    ptr = np.zeros(n + 1, np.int64)
    out = np.empty(lists.size, np.int32)
    stamp = np.full(num_items, -1, np.int64)
    at = 0
    for q in range(n):
        first = at
        for k in range(lists.shape[1]):
            i = lists[q, k]
            if 0 <= i < bounds[q] and stamp[i] != q:
                stamp[i] = q
                out[at] = i
                at += 1
        out[first:at] = np.sort(out[first:at])
        ptr[q + 1] = at
    return ptr, out[:at]
