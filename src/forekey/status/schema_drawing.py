"""The schema as a picture: tables in columns, what is referred to on the left, foreign keys as curves.

Tables are placed by the longest way along foreign keys, and ordered within a column by where their neighbours stand
(layered drawing: Sugiyama, Tagawa and Toda 1981). Keys and times are named; other columns are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from forekey.charts import Svg, drawing, node
from forekey.charts.ticks import short
from forekey.schema import Schema, TableSchema
from forekey.status.graph import EdgeStatus, GraphStatus, TableStatus

_LETTER, _LINE, _PAD, _GAP_X, _GAP_Y, _MARGIN = 7.3, 18, 10, 90, 26, 20
_SWEEPS = 6
_LONGEST = 40
_STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2937}.n{font-weight:700}.d{fill:#6b7280}"
    ".b{fill:#fff;stroke:#9ca3af}.h{fill:#e0e7ff;stroke:#9ca3af}path{fill:none;stroke:#4f46e5;stroke-width:1.4}"
    "@media (prefers-color-scheme:dark){text{fill:#e5e7eb}.d{fill:#9ca3af}.b{fill:#1f2937;stroke:#6b7280}"
    ".h{fill:#312e81;stroke:#6b7280}path{stroke:#a5b4fc}}"
)


@dataclass
class _Box:
    """A table where it is drawn; ``lines`` are what is written below its name, each with the column it is about."""

    table: TableSchema
    lines: list[tuple[str, str]]
    facts: TableStatus | None = None
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0

    @property
    def height(self) -> float:
        return _LINE * (len(self.lines) + 1) + _PAD

    def at(self, column: str | None) -> float:
        """Return the height at which a line to a column begins; that of the name for None."""
        for number, (name, _) in enumerate(self.lines):
            if name == column:
                return self.y + _LINE * (number + 1.6) + _PAD / 2
        return self.y + _LINE * 0.7


def schema_svg(schema: Schema) -> str:
    """Draw a schema; return the text of an SVG file that needs nothing else."""
    return f"{_whole(schema, None, None, [node('style', text=_STYLE)])}\n"


def schema_drawing(schema: Schema, found: GraphStatus | None = None, link: Callable[[str], str] | None = None) -> Svg:
    """Draw a schema, with the rows, freshness, match rates and faults that are ``found``; ``link`` leads to a table."""
    return _whole(schema, found, link, [])


def _whole(schema: Schema, found: GraphStatus | None, link: Callable[[str], str] | None, first: list[Element]) -> Svg:
    tables = {t.table: t for t in found.tables} if found is not None else {}
    edges = {(e.child, e.column): e for e in found.edges} if found is not None else {}
    boxes = {t.name: _Box(t, _lines(t, tables.get(t.name), edges), tables.get(t.name)) for t in schema.tables}
    columns = _ordered(schema, _levels(schema))
    width, height = _placed(columns, boxes)
    curves = [
        _curve(boxes[t.name], boxes[fk.parent], fk.column, edges.get((t.name, fk.column)))
        for t in schema.tables
        for fk in t.foreign_keys
    ]
    parts = [part for box in boxes.values() for part in _drawn(box, link)]
    said, role = f"{len(boxes)} tables and {len(curves)} foreign keys", "img" if link is None else "group"
    return drawing(width, height, said, [*first, *curves, *parts], "schema", role)


def _placed(columns: list[list[str]], boxes: dict[str, _Box]) -> tuple[float, float]:
    """Give every box its place; return how wide and high all are."""
    x, bottom = float(_MARGIN), 0.0
    for names in columns:
        y = float(_MARGIN)
        width = max(max(len(n), *(len(text) for _, text in boxes[n].lines), 6) for n in names) * _LETTER + 2 * _PAD
        width = min(width, (_LONGEST + 12) * _LETTER)
        for name in names:
            box = boxes[name]
            box.x, box.y, box.width = x, y, width
            y += box.height + _GAP_Y
        x, bottom = x + width + _GAP_X, max(bottom, y)
    for names in columns:  # columns are centred beside the highest one
        lower = (bottom - boxes[names[-1]].y - boxes[names[-1]].height - _GAP_Y) / 2
        for name in names:
            boxes[name].y += lower
    return x - _GAP_X + _MARGIN, bottom - _GAP_Y + _MARGIN


def _lines(
    table: TableSchema, facts: TableStatus | None, edges: Mapping[tuple[str, str], EdgeStatus]
) -> list[tuple[str, str]]:
    """Return what is written of a table: its rows, key, time, foreign keys, and how many columns else."""
    found = [(table.primary_key, f"{table.primary_key}  key")] if table.primary_key else []
    if table.time_column and table.time_column != table.primary_key:
        found.append((table.time_column, f"{table.time_column}  time"))
    known = {name for name, _ in found}
    found += [(fk.column, fk.column) for fk in table.foreign_keys if fk.column not in known]
    told = {name for name, _ in found}
    others = sum(c.name not in told for c in table.columns)
    if others:
        found.append(("", f"{others} column{'s' if others > 1 else ''} more" if found else f"{others} columns"))
    lines = [(name, _short(text) + _matched(edges.get((table.name, name)))) for name, text in found]
    return [*([("", _size(facts))] if facts is not None else []), *lines]


def _size(facts: TableStatus) -> str:
    newest = f", newest {facts.newest[:10]}" if facts.newest is not None else ""
    return f"{short(facts.nodes)} rows{newest}"


def _matched(edge: EdgeStatus | None) -> str:
    return f"  {edge.match_rate * 100:.4g} %" if edge is not None else ""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _levels(schema: Schema) -> dict[str, int]:
    """Return how many foreign keys lie between each table and those that refer to none; cycles are cut."""
    parents = {t.name: [fk.parent for fk in t.foreign_keys if fk.parent != t.name] for t in schema.tables}
    found: dict[str, int] = {}
    open_: set[str] = set()

    def level(name: str) -> int:
        if name not in found:
            open_.add(name)
            found[name] = max((level(p) + 1 for p in parents[name] if p not in open_), default=0)
            open_.discard(name)
        return found[name]

    for table in schema.tables:
        level(table.name)
    return found


def _ordered(schema: Schema, levels: dict[str, int]) -> list[list[str]]:
    """Return the tables of each level in an order in which few curves cross."""
    columns: list[list[str]] = [[] for _ in range(max(levels.values(), default=-1) + 1)]
    for table in schema.tables:
        columns[levels[table.name]].append(table.name)
    near: dict[str, list[str]] = {t.name: [] for t in schema.tables}
    for table in schema.tables:
        for fk in table.foreign_keys:
            if fk.parent != table.name:
                near[table.name].append(fk.parent)
                near[fk.parent].append(table.name)
    place = {n: i / max(len(names), 1) for names in columns for i, n in enumerate(names)}
    for sweep in range(_SWEEPS):
        for names in columns if sweep % 2 == 0 else reversed(columns):
            means = {n: sum(place[m] for m in near[n]) / len(near[n]) if near[n] else place[n] for n in names}
            names.sort(key=lambda n: (means[n], n))
            place.update({n: i / len(names) for i, n in enumerate(names)})
    return columns


def _curve(child: _Box, parent: _Box, column: str, facts: EdgeStatus | None) -> Element:
    """Draw a foreign key from its line in the child to the name of the parent."""
    from_y, to_y = child.at(column), parent.at(None)
    if child.x > parent.x:
        x1, x2 = child.x, parent.x + parent.width
        bend = (x1 + x2) / 2
    else:  # within a column, or back in a cycle: around the right
        x1, x2 = child.x + child.width, parent.x + parent.width
        bend = max(x1, x2) + _GAP_X / 2
    way = f"M{x1:.0f} {from_y:.0f}C{bend:.0f} {from_y:.0f} {bend:.0f} {to_y:.0f} {x2:.0f} {to_y:.0f}"
    said = f"{child.table.name}.{column} refers to {parent.table.name}"
    if facts is not None:
        said += (
            f": {facts.match_rate:.2%} of the keys name a row, {facts.orphans:,} do not, {facts.null_keys:,} are NULL"
        )
    return node("path", d=way, class_=f"key {facts.state if facts is not None else ''}".strip(), tip=said)


def _drawn(box: _Box, link: Callable[[str], str] | None) -> list[Element]:
    """Draw a table."""
    top = _LINE + _PAD / 2
    left = box.x + _PAD
    state = f" {box.facts.state}" if box.facts is not None else ""
    rows = [
        node("text", class_="c" if name else "d", x=left, y=box.y + _LINE * (i + 2) + 2, text=text)
        for i, (name, text) in enumerate(box.lines)
    ]
    parts = [
        node("rect", class_=f"b{state}", x=box.x, y=box.y, width=box.width, height=box.height, rx=4),
        node("rect", class_=f"h{state}", x=box.x, y=box.y, width=box.width, height=top, rx=4),
        node("text", class_="n", x=left, y=box.y + _LINE - 3, text=_short(box.table.name)),
        *rows,
    ]
    return [node("a", *parts, href=link(box.table.name))] if link is not None else parts
