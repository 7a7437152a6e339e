"""The compiled heart of the sampler. No allocation per node; the interpreter's lock is released throughout.

Randomness is counter-based (splitmix64, Steele et al. 2014): each node's stream follows from its seed's number and
its place in the tree alone, so a seed's sample does not depend on what else is in the batch.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from forekey.graph.adjacency_kernels import Parts, child_at, degrees_of, first_not_below, is_there

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)


@njit(cache=True, nogil=True)
def mix(state: np.uint64) -> np.uint64:
    """Return the next well-mixed 64 bits after ``state``."""
    z = state + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_A
    z = (z ^ (z >> np.uint64(27))) * _MIX_B
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def root_streams(number: np.uint64, rows: NDArray[np.int32], times: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return each seed's stream: a function of the sampler's number, the seed's row and its time."""
    out = np.empty(rows.shape[0], np.uint64)
    for i in range(rows.shape[0]):
        out[i] = mix(mix(number ^ np.uint64(times[i])) ^ np.uint64(rows[i]))
    return out


@njit(cache=True, nogil=True)
def sample_children(
    nodes: NDArray[np.int32],
    seeds: NDArray[np.int32],
    streams: NDArray[np.uint64],
    parts: Parts,
    limits: NDArray[np.int64],
    cutoffs: NDArray[np.int64],
    budget: int,
    uniform: bool,
    relation: np.uint64,
) -> tuple[
    NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint64], NDArray[np.int32]
]:
    """Take up to ``budget`` children of each node, of those that its seed sees, without replacement.

    ``parts`` is :attr:`forekey.graph.Adjacency.parts`, ``limits [seeds]`` and ``cutoffs [seeds]`` say what each seed
    sees. Most recent first, or (``uniform``) in random order by Floyd's algorithm (Bentley & Floyd 1987). Returns, per
    child: its parent's position in ``nodes``, its row, its seed, its rank among its siblings, and its stream; and how
    many children each node has.
    """
    indptr, order, keys, live_indptr, _, _ = parts
    settled = live_indptr.shape[0] == 0  # no live part: most often so, and worth loops of its own
    degrees = np.empty(nodes.shape[0], np.int32)
    live = np.zeros(nodes.shape[0], np.int32)
    total = 0
    for i in range(nodes.shape[0]):
        if settled:
            start = indptr[nodes[i]]
            degrees[i] = first_not_below(order, keys, start, indptr[nodes[i] + 1], limits[seeds[i]]) - start
        else:
            base, later = degrees_of(parts, nodes[i], limits[seeds[i]], cutoffs[seeds[i]] + 1)
            degrees[i] = base + later
            live[i] = later
        total += min(budget, degrees[i])
    parent = np.empty(total, np.int32)
    child = np.empty(total, np.int32)
    seed = np.empty(total, np.int32)
    rank = np.empty(total, np.int32)
    stream = np.empty(total, np.uint64)
    at = 0
    for i in range(nodes.shape[0]):
        degree = degrees[i]
        taken = min(budget, degree)
        state = mix(streams[i] ^ relation)
        if uniform:
            _floyd(child[at : at + taken], degree, state)
        for j in range(taken):
            place = child[at + j] if uniform else degree - 1 - j
            if settled:
                child[at + j] = order[indptr[nodes[i]] + place]
            else:
                child[at + j] = child_at(parts, nodes[i], degree - live[i], live[i], place)
            parent[at + j] = i
            seed[at + j] = seeds[i]
            rank[at + j] = j
            stream[at + j] = mix(state ^ np.uint64(j + 1))
        at += taken
    return parent, child, seed, rank, stream, degrees


@njit(cache=True, nogil=True)
def _floyd(out: NDArray[np.int32], population: int, state: np.uint64) -> None:
    """Fill ``out`` with distinct numbers below ``population`` in random order."""
    size = out.shape[0]
    for j in range(size):
        top = population - size + j
        state = mix(state)
        pick = np.int64(state % np.uint64(top + 1))
        for seen in range(j):
            if out[seen] == pick:
                pick = top
                break
        out[j] = pick
    for j in range(size - 1, 0, -1):
        state = mix(state)
        other = np.int64(state % np.uint64(j + 1))
        out[j], out[other] = out[other], out[j]


@njit(cache=True, nogil=True)
def sample_parent(
    nodes: NDArray[np.int32],
    seeds: NDArray[np.int32],
    streams: NDArray[np.uint64],
    bounds: NDArray[np.int64],
    cutoffs: NDArray[np.int64],
    presence: tuple[int, NDArray[np.int64]],
    parents: NDArray[np.int32],
    relation: np.uint64,
) -> tuple[
    NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint64], NDArray[np.int32]
]:
    """Take the parent of each node where it has one that its seed sees; returns what :func:`sample_children` does.

    Rows of the base part, the first of ``presence``, are there below ``bounds [seeds]``, later ones by their times.
    """
    base_rows, times = presence
    degrees = np.zeros(nodes.shape[0], np.int32)
    total = 0
    for i in range(nodes.shape[0]):
        p = parents[nodes[i]]
        if p >= 0 and is_there(p, bounds[seeds[i]], cutoffs[seeds[i]], base_rows, times):
            degrees[i] = 1
            total += 1
    parent = np.empty(total, np.int32)
    child = np.empty(total, np.int32)
    seed = np.empty(total, np.int32)
    stream = np.empty(total, np.uint64)
    at = 0
    for i in range(nodes.shape[0]):
        if degrees[i]:
            parent[at] = i
            child[at] = parents[nodes[i]]
            seed[at] = seeds[i]
            stream[at] = mix(mix(streams[i] ^ relation) ^ np.uint64(1))
            at += 1
    return parent, child, seed, np.zeros(total, np.int32), stream, degrees


@njit(cache=True, nogil=True)
def distinct(rows: NDArray[np.int32], scratch: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the distinct rows in order of first sight, and for each row its place among them.

    ``scratch`` holds -1 for every row of the table, before and after.
    """
    inverse = np.empty(rows.shape[0], np.int32)
    unique = np.empty(rows.shape[0], np.int32)
    count = 0
    for i in range(rows.shape[0]):
        row = rows[i]
        if scratch[row] < 0:
            scratch[row] = count
            unique[count] = row
            count += 1
        inverse[i] = scratch[row]
    unique = unique[:count].copy()
    for row in unique:
        scratch[row] = -1
    return unique, inverse
