"""Where each number of a past comes from: which table, which column, how many foreign keys away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forekey.features.history import HistorySpec, ListFeatures
from forekey.features.kinds import COLUMNS, WINDOWS, FeatureKind

CALENDAR, LABELS = "calendar", "earlier labels"


@dataclass(frozen=True, slots=True)
class Origin:
    """A table (or :data:`CALENDAR`, :data:`LABELS`), a column of it (None: how many rows, and when), and the hop.

    Hop 0 is the entity itself; None is no part of its surroundings. ``through`` are the tables on the way.
    """

    table: str
    column: str | None = None
    hop: int | None = None
    through: tuple[str, ...] = ()


def origins(spec: HistorySpec, names: Sequence[str], kinds: Sequence[FeatureKind]) -> tuple[Origin, ...]:
    """Return the origin of each number by its kind and name (see :class:`forekey.features.HistoryFeatures`)."""
    lists: dict[tuple[FeatureKind, str], tuple[ListFeatures, int, tuple[str, ...]]] = {}
    columns: dict[tuple[FeatureKind, str], Origin] = {}
    for focus in spec.foci:
        column_kind, window_kind = focus.kinds
        away = (focus.down is not None) + (focus.up is not None)
        down = (focus.down.child,) if focus.down is not None else ()
        own = {(column_kind, f"{focus.name}{c.name}"): Origin(focus.table, c.name, away, down) for c in focus.columns}
        columns |= own
        reached = (*down, focus.table) if away else ()
        for listed in focus.lists:
            through = (*reached, *(edge.child for edge in listed.path[:-1]))
            lists[window_kind, f"{focus.name}{listed.name}: "] = listed, away + len(listed.path), through
    prefixes = sorted(lists, key=lambda key: -len(key[1]))
    seasons = sorted(spec.seasons, key=lambda table: -len(table))
    found = []
    for name, kind in zip(names, kinds, strict=True):
        if kind in COLUMNS:
            found.append(columns[kind, name])
        elif kind in WINDOWS:
            prefix = next(p for p in prefixes if p[0] is kind and name.startswith(p[1]))
            listed, hop, through = lists[prefix]
            measured = _measured(listed, name.removeprefix(prefix[1]))
            found.append(Origin(listed.path[-1].child, measured, hop, through))
        elif kind is FeatureKind.POPULATION:
            found.append(Origin(next(t for t in seasons if name.startswith(f"all {t}, "))))
        else:
            found.append(Origin(LABELS if kind is FeatureKind.LAGGED_LABEL else CALENDAR))
    return tuple(found)


def _measured(listed: ListFeatures, told: str) -> str | None:
    """Return the column that a number over a list of rows is about, None for counts and times."""
    if told.startswith(("rows, ", "days since ")):
        return None
    fitting = [m for m in listed.measures if str(m) in told]
    return max(fitting, key=lambda m: len(str(m))).column if fitting else None
