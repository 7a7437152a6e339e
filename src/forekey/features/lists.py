"""Which rows belong to an entity: lists along foreign keys, in the order in which rows came to be seen.

A list follows one or two foreign keys down: the orders of a customer, the lines of her orders. A row counts from the
moment when it and all between it and the entity were there, so a list at a time is the same on the full database and
on one cut at that time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forekey.graph import Micros, Snapshot
from forekey.schema import EdgeType, Schema

MAX_LISTED = 1024
"""Only the newest this many rows of a list are read for sums and means; counts over windows know them all."""


@dataclass(frozen=True, slots=True)
class RowLists:
    """For each row of a table, the rows of ``table`` that belong to it.

    ``order[indptr[r] : indptr[r + 1]]`` are those of row ``r``, ascending by ``seen [rows of table] int64``, the moment
    from which a row counts; None for rows without any time, which count always.
    """

    table: str
    indptr: NDArray[np.int64]
    order: NDArray[np.int32]
    seen: Micros | None

    def counts(self, rows: NDArray[np.int32], moments: Micros) -> NDArray[np.int64]:
        """Return how many rows the list of each row holds at a moment; 0 for row -1."""
        from forekey.features.kernels import count_seen

        if self.seen is None:
            return np.where(rows >= 0, self.indptr[rows + 1] - self.indptr[rows], 0)
        return count_seen(self.indptr, self.order, self.seen, rows, moments)


def paths_of(schema: Schema, table: str, hops: int) -> tuple[tuple[EdgeType, ...], ...]:
    """Return the ways down to rows that belong to a table's, nearest first; a self reference is not followed on."""
    one: list[tuple[EdgeType, ...]] = [(edge,) for edge in schema.edge_types if edge.parent == table]
    if hops < 2:
        return tuple(one)
    two: list[tuple[EdgeType, ...]] = [
        (first, edge)
        for (first,) in one
        for edge in schema.edge_types
        if edge.parent == first.child and first.child != table and edge.child not in {table, first.child}
    ]
    return tuple(one + two)


def row_lists(snapshot: Snapshot, path: tuple[EdgeType, ...]) -> RowLists:
    """Gather the lists along a path (the edge into the entity's table first)."""
    if len(path) == 1:
        indptr, order = snapshot.children(path[0])
        return RowLists(path[0].child, indptr, order, snapshot.times(path[0].child))
    from forekey.features.kernels import listed_by_owner

    near, far = path
    middle = snapshot.parents(far)
    known = middle >= 0
    owner = np.full(len(middle), -1, np.int32)
    owner[known] = snapshot.parents(near)[middle[known]]
    seen, between = snapshot.times(far.child), snapshot.times(far.parent)
    if between is not None:
        later = np.full(len(middle), np.iinfo(np.int64).min)
        later[known] = between[middle[known]]
        seen = later if seen is None else np.maximum(seen, later)
    ranked = np.arange(len(owner), dtype=np.int32)
    if seen is not None and (seen[1:] < seen[:-1]).any():
        ranked = np.argsort(seen, kind="stable").astype(np.int32)
    indptr, order = listed_by_owner(owner, ranked, snapshot.num_nodes(near.parent))
    return RowLists(far.child, indptr, order, seen)
