"""Compiled loops over pairs of entities and items."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from forekey.graph.adjacency_kernels import Parts, child_at, degrees_of

MAX_READ = 4096
"""Of an entity's list, only the newest this many rows are read."""


@njit(cache=True, nogil=True)
def describe_pairs(
    parts: Parts,
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

    ``parts`` lists each entity's rows, ``item`` and ``seen`` are the item of a row and from when it counts; ``cut [n]``
    is up to when rows count, ``season [n, 2]`` a span to count in, ``windows`` lengths before ``cut``. Returns
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
            base, live = degrees_of(parts, rows[q], cut[q] + 1, cut[q] + 1)
            for p in range(base + live - 1, max(base + live - MAX_READ, 0) - 1, -1):
                row = child_at(parts, rows[q], base, live, p)
                i, s = item[row], seen[row]
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
    own: Parts,
    others: Parts,
    entity: NDArray[np.int32],
    item: NDArray[np.int32],
    row: int,
    moment: int,
    steps: NDArray[np.int64],
    score: NDArray[np.float64],
    marked: NDArray[np.bool_],
    touched: NDArray[np.int32],
) -> int:
    """Add up where short walks lead: entity, its items, others who had them, their items; return how many were met."""
    found, limit = 0, moment + 1
    base, live = degrees_of(own, row, limit, limit)
    first = max(base + live - steps[0], 0)
    for p in range(first, base + live):
        j = item[child_at(own, row, base, live, p)]
        base_j, live_j = degrees_of(others, j, limit, limit)
        first_j = max(base_j + live_j - steps[1], 0)
        for o in range(first_j, base_j + live_j):
            u = entity[child_at(others, j, base_j, live_j, o)]
            if u == row:
                continue
            base_u, live_u = degrees_of(own, u, limit, limit)
            first_u = max(base_u + live_u - steps[2], 0)
            walks = (base + live - first) * (base_j + live_j - first_j) * (base_u + live_u - first_u)
            weight = 1.0 / walks
            for t in range(first_u, base_u + live_u):
                i = item[child_at(own, u, base_u, live_u, t)]
                if not marked[i]:
                    marked[i] = True
                    touched[found] = i
                    found += 1
                score[i] += weight
    return found


@njit(cache=True, nogil=True)
def walk_scores(
    own: Parts,
    others: Parts,
    entity: NDArray[np.int32],
    item: NDArray[np.int32],
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
            found = _walk(own, others, entity, item, rows[q], cut[q], steps, score, marked, touched)
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
    parts: Parts,
    item: NDArray[np.int32],
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
        base, live = degrees_of(parts, rows[q], cut[q] + 1, cut[q] + 1)
        found = 0
        for p in range(base + live - 1, max(base + live - MAX_READ, 0) - 1, -1):
            i = item[child_at(parts, rows[q], base, live, p)]
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
