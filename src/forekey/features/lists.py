"""Which rows belong to an entity: lists along foreign keys, in the order in which rows came to be seen.

A list follows one or two foreign keys down: the orders of a customer, the lines of her orders. A row counts from the
moment when it and all between it and the entity were there, so a list at a time is the same on the full database and
on one cut at that time.
"""

from __future__ import annotations

import numpy as np

from forekey.graph import Adjacency, GraphView
from forekey.schema import EdgeType, Schema

MAX_LISTED = 1024
"""Only the newest this many rows of a list are read for sums and means; counts over windows know them all."""


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


def row_lists(view: GraphView, path: tuple[EdgeType, ...]) -> Adjacency:
    """Gather the lists along a path (the edge into the entity's table first)."""
    if len(path) == 1:
        return view.adjacency(path[0])
    near, far = path
    middle = view.parents(far)
    known = middle >= 0
    owner = np.full(len(middle), -1, np.int32)
    owner[known] = view.parents(near)[middle[known]]
    seen, between = view.times(far.child), view.times(far.parent)
    if between is not None:
        later = np.full(len(middle), np.iinfo(np.int64).min)
        later[known] = between[middle[known]]
        seen = later if seen is None else np.maximum(seen, later)
    return Adjacency.gathered(far.child, owner, view.num_nodes(near.parent), seen)
