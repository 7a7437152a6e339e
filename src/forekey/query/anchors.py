"""Anchor times and the windows around them, as a table of constants that the labels' SQL joins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlglot import exp

from forekey.query.bound import BoundQuery
from forekey.query.calendar import shift
from forekey.query.conditions import timestamp
from forekey.query.tree import Window

# A name that no table of a user's is likely to have; a CTE hides a table of its name.
ANCHORS = "forekey_anchors"


def windows_of(bound: BoundQuery) -> list[Window]:
    """Return the windows of all aggregations, those inside filters too."""
    every = list(bound.aggregations.values())
    for aggregation in every:
        every += aggregation.nested.values()
    return list(dict.fromkeys(a.window for a in every if a.window is not None))


def bounds_of(window: Window, anchor: datetime) -> tuple[datetime, datetime]:
    """Return the start (exclusive) and end (inclusive) of a window at an anchor time."""
    start = datetime.min if window.start is None else shift(anchor, window.start, window.unit)
    return start, shift(anchor, window.end, window.unit)


def anchor_table(bound: BoundQuery, anchors: Sequence[datetime]) -> exp.Select:
    """Return one row an anchor time: its number, and the start and end of every window as plain timestamps."""
    windows = windows_of(bound)
    rows = []
    for number, anchor in enumerate(anchors):
        moments = [anchor, *(m for window in windows for m in bounds_of(window, anchor))]
        rows.append(exp.Tuple(expressions=[exp.Literal.number(number), *(timestamp(m) for m in moments)]))
    edges = (f"{edge}_{i}" for i in range(len(windows)) for edge in ("start", "end"))
    names = ["number", "anchor_time", *edges]
    values = exp.Values(
        expressions=rows,
        alias=exp.TableAlias(this=exp.to_identifier("v"), columns=[exp.to_identifier(n) for n in names]),
    )
    return exp.select(*names).from_(values)
