"""Ways up the foreign keys from one table to another."""

from __future__ import annotations

from forekey.errors import PQLError
from forekey.query.tree import Column
from forekey.schema import EdgeType, Schema

_MAX_HOPS = 8


def join_path(schema: Schema, column: Column, goal: str, text: str) -> tuple[EdgeType, ...]:
    """Return the foreign keys to follow from the column's table to ``goal``, child first.

    A direct foreign key is preferred to longer ways; several of equal rank are an error that lists them, which
    ``VIA`` resolves by naming the first foreign key.
    """
    if column.table == goal and column.via is None:
        return ()
    paths = [p for p in _paths(schema, column.table, goal) if column.via in (None, p[0].column)]
    direct = [p for p in paths if len(p) == 1]
    candidates = direct or paths
    if not candidates:
        through = f" that starts with {column.via}" if column.via else ""
        raise PQLError(
            f"No foreign keys lead from '{column.table}' to '{goal}'{through}. "
            "Declare them under tables: in forekey.yaml, or choose another table.",
            text,
            column.position,
        )
    if len(candidates) > 1:
        ways = "; ".join(" then ".join(str(e) for e in path) for path in candidates)
        first = candidates[0][0].column
        raise PQLError(
            f"Several ways lead from '{column.table}' to '{goal}': {ways}. Pick one, for example {column} VIA {first}.",
            text,
            column.position,
        )
    return candidates[0]


def _paths(schema: Schema, start: str, goal: str) -> list[tuple[EdgeType, ...]]:
    found: list[tuple[EdgeType, ...]] = []
    frontier: list[tuple[EdgeType, ...]] = [(e,) for e in schema.edge_types if e.child == start]
    for _ in range(_MAX_HOPS):
        found += [p for p in frontier if p[-1].parent == goal]
        frontier = [
            (*path, edge)
            for path in frontier
            if path[-1].parent != goal
            for edge in schema.edge_types
            if edge.child == path[-1].parent and edge.parent not in {start, *(e.parent for e in path)}
        ]
    return found
