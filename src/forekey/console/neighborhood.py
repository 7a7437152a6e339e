"""The neighbourhood of one row drawn as a graph: the rows around it, those that count for a prediction marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any
from xml.etree.ElementTree import Element

from forekey.charts import Svg, drawing, node
from forekey.console.words import cut, number
from forekey.status import EntityRows, RelatedRows

_WIDTH, _HEIGHT = 720.0, 440.0
_CENTER = (_WIDTH / 2, _HEIGHT / 2)
_INNER, _OUTER = 95.0, 175.0
_LETTERS, _MARGIN = 18, 26.0


def neighborhood(rows: EntityRows, effects: Sequence[dict[str, Any]]) -> Svg | None:
    """Draw a row with the newest rows of each relation around it; ``effects`` are those of single neighbours.

    A neighbour that raises or lowers the prediction is coloured and the larger the stronger it does.
    """
    groups = [r for r in rows.related if r.rows]
    if not groups:
        return None
    known = {(_column(e["relation"]), str(e["key"])): float(e["effect"]) for e in effects}
    most = max((abs(e) for e in known.values()), default=0.0) or 1.0
    edges: list[Element] = []
    dots: list[Element] = []
    for group, center, width in _sectors(groups):
        step = width / len(group.rows)
        angles = [center + (i + 0.5) * step - width / 2 for i in range(len(group.rows))]
        middle = _at(center, _INNER)
        edges.append(node("line", x1=_CENTER[0], y1=_CENTER[1], x2=middle[0], y2=middle[1], class_="edge"))
        for place, key, when in zip(angles, group.keys, group.times, strict=True):
            effect = known.get((group.relation, str(key)))
            edges.append(_edge(middle, _at(place, _OUTER), effect))
            dots.append(_dot(_at(place, _OUTER), group, key, when, effect, most))
        dots += _group(group, middle, center)
    dots.append(node("circle", cx=_CENTER[0], cy=_CENTER[1], r=15, class_="entity", tip=f"{rows.table} {rows.key}"))
    dots.append(
        node("text", x=_CENTER[0], y=_CENTER[1] + 30, class_="middle strong", text=cut(f"{rows.table} {rows.key}", 40))
    )
    said = f"{rows.table} {rows.key} with " + ", ".join(
        f"{len(g.rows)} of {g.total:,} rows of {g.table}" for g in groups
    )
    heights = [float(one.attrib.get("cy", one.attrib.get("y", _CENTER[1]))) for one in dots]
    top, bottom = min(heights) - _MARGIN, max(heights) + _MARGIN
    return drawing(_WIDTH, bottom - top, cut(said, 400), [*edges, *dots], "chart neighborhood", top=top)


def _sectors(groups: Sequence[RelatedRows]) -> list[tuple[RelatedRows, float, float]]:
    """Return for each group the middle of its sector and how wide that is, in radians; none is wider than a third."""
    total = sum(len(g.rows) + 1 for g in groups)
    shares = [2 * math.pi * (len(g.rows) + 1) / total for g in groups]
    ends = list(accumulate(shares))
    start = -shares[0] / 2  # the first group is to the right
    return [
        (group, start + end - share / 2, min(share * 0.85, 2 * math.pi / 3))
        for group, end, share in zip(groups, ends, shares, strict=True)
    ]


def _at(angle: float, radius: float) -> tuple[float, float]:
    """Return a place on an ellipse, wider than high."""
    return _CENTER[0] + 1.45 * radius * math.cos(angle), _CENTER[1] + radius * math.sin(angle)


def _column(relation: str) -> str:
    """Return the foreign key of a relation, whichever way it is read: ``a<-b.key`` and ``b.key->a`` are ``b.key``."""
    return relation.rpartition("<-")[2].partition("->")[0]


def _look(effect: float | None) -> str:
    return "" if effect is None or effect == 0.0 else "up" if effect > 0 else "down"


def _edge(start: tuple[float, float], end: tuple[float, float], effect: float | None) -> Element:
    return node("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=f"edge {_look(effect)}".strip())


def _dot(
    at: tuple[float, float], group: RelatedRows, key: Any, when: Any, effect: float | None, most: float
) -> Element:
    radius = 4.5 + (8.0 * abs(effect) / most if effect else 0.0)
    said = f"{group.table} {key if key is not None else ''}{f', {when:%Y-%m-%d %H:%M}' if when else ''}"
    said += f": {number(effect, 3)} on the prediction" if effect is not None else ""
    return node("circle", cx=at[0], cy=at[1], r=radius, class_=f"neighbor {_look(effect)}".strip(), tip=cut(said))


def _group(group: RelatedRows, at: tuple[float, float], angle: float) -> list[Element]:
    # On the side of the middle, where no edge of the group runs.
    side = "end" if math.cos(angle) > 0.3 else "" if math.cos(angle) < -0.3 else "middle"
    more = f" ({group.total:,})" if group.total > len(group.rows) else ""
    x = at[0] + (-9 if side == "end" else 9 if not side else 0)
    y = at[1] + (-8 if side != "middle" else (18 if math.sin(angle) < 0 else -9))
    name = cut(group.table, _LETTERS)
    return [
        node("circle", cx=at[0], cy=at[1], r=5, class_="relation", tip=f"{group.relation}: {group.total:,} rows"),
        node("text", x=x, y=y, class_=f"{side} soft".strip(), text=f"{name}{more}", tip=group.relation),
    ]
