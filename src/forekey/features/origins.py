"""Where each number of a past comes from: which table, which column, how many foreign keys away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from forekey.features.history import HistorySpec, ListFeatures

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


def origins(spec: HistorySpec, names: Iterable[str]) -> tuple[Origin, ...]:
    """Return the origin of each number by its name (see :class:`forekey.features.HistoryFeatures`)."""
    lists: dict[str, tuple[ListFeatures, int, tuple[str, ...]]] = {}
    columns: dict[str, Origin] = {}
    for focus in spec.foci:
        away = (focus.down is not None) + (focus.up is not None)
        down = (focus.down.child,) if focus.down is not None else ()
        columns |= {f"{focus.name}{c.name}": Origin(focus.table, c.name, away, down) for c in focus.columns}
        reached = (*down, focus.table) if away else ()
        for listed in focus.lists:
            through = (*reached, *(edge.child for edge in listed.path[:-1]))
            lists[f"{focus.name}{listed.name}: "] = listed, away + len(listed.path), through
    prefixes = sorted(lists, key=len, reverse=True)
    found = []
    for name in names:
        prefix = next((p for p in prefixes if name.startswith(p)), None)
        season = next((t for t in spec.seasons if name.startswith(f"all {t}, ")), None)
        if name in columns:
            found.append(columns[name])
        elif prefix is not None:
            listed, hop, through = lists[prefix]
            found.append(Origin(listed.path[-1].child, _measured(listed, name.removeprefix(prefix)), hop, through))
        elif season is not None:
            found.append(Origin(season))
        else:
            found.append(Origin(LABELS if "label" in name else CALENDAR))
    return tuple(found)


def _measured(listed: ListFeatures, told: str) -> str | None:
    """Return the column that a number over a list of rows is about, None for counts and times."""
    if told.startswith(("rows, ", "days since ")):
        return None
    fitting = [m for m in listed.measures if str(m) in told]
    return max(fitting, key=lambda m: len(str(m))).column if fitting else None
