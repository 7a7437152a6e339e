"""Ways up the foreign keys from one table to another."""

from __future__ import annotations

from collections.abc import Sequence

from forekey.errors import PQLError
from forekey.query.tree import Column
from forekey.schema import EdgeType, Schema, did_you_mean

Path = tuple[EdgeType, ...]

_MAX_HOPS = 8
_LISTED = 4


def join_path(schema: Schema, column: Column, start: str, goal: str, text: str) -> Path:
    """Return the foreign keys to follow from ``start`` up to ``goal``, child first; ``column`` says which way.

    A direct foreign key is preferred to longer ways; several of equal rank are an error that lists them, which
    ``VIA`` resolves by naming the first foreign key, or the first few with dots between.
    """
    if start == goal and not column.via:
        return ()
    _check_via(schema, column, start, text)
    paths = [p for p in _paths(schema, start, goal) if _names(p)[: len(column.via)] == column.via]
    direct = [p for p in paths if len(p) == 1]
    candidates = direct or paths
    if not candidates:
        through = f" that starts with {'.'.join(column.via)}" if column.via else ""
        raise PQLError(
            f"No foreign keys lead from '{start}' to '{goal}'{through}. "
            "Declare them under tables: in forekey.yaml, or choose another table.",
            text,
            column.position,
        )
    if len(candidates) > 1:
        ways = "; ".join(" then ".join(str(e) for e in path) for path in candidates[:_LISTED])
        more = f"; and {len(candidates) - _LISTED} more" if len(candidates) > _LISTED else ""
        via = ".".join(_shortest_via(candidates[0], paths))
        raise PQLError(
            f"Several ways lead from '{start}' to '{goal}': {ways}{more}. Pick one, for example {column} VIA {via}.",
            text,
            column.position,
        )
    return candidates[0]


def _check_via(schema: Schema, column: Column, start: str, text: str) -> None:
    """Refuse a name after VIA that is no foreign key of the table that the way has come to."""
    table = start
    for name in column.via:
        keys = {fk.column: fk.parent for fk in schema.table(table).foreign_keys}
        if name not in keys:
            raise PQLError(
                f"VIA names foreign keys, and '{table}' has none called '{name}'{did_you_mean(name, keys)}.",
                text,
                column.position,
            )
        table = keys[name]


def _names(path: Path) -> tuple[str, ...]:
    return tuple(edge.column for edge in path)


def _shortest_via(path: Path, others: Sequence[Path]) -> tuple[str, ...]:
    """Return as many of a way's foreign keys as distinguish it from all others."""
    names = _names(path)
    for length in range(1, len(names)):
        if sum(_names(o)[:length] == names[:length] for o in others) == 1:
            return names[:length]
    return names


def _paths(schema: Schema, start: str, goal: str) -> list[Path]:
    found: list[Path] = []
    frontier: list[Path] = [(e,) for e in schema.edge_types if e.child == start]
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
