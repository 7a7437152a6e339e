"""A slow, obvious reading of the query language: plain Python over rows. The compiled SQL must agree with it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from forekey.query.calendar import shift
from forekey.query.tree import (
    Aggregation,
    Aggregator,
    And,
    Column,
    Comparison,
    Condition,
    Not,
    Operand,
    Operator,
    Or,
    ProblemKind,
    Query,
    Window,
    is_condition,
)

Row = dict[str, Any]
Database = dict[str, list[Row]]
TIMES = {"orders": "placed_at", "lines": "added_at"}
KEYS = {"customers": "customer_id", "orders": "order_id"}
PARENTS = {"orders": ("customer_id", "customers"), "lines": ("order_id", "orders")}


def labels(query: Query, database: Database, anchors: list[datetime]) -> set[tuple[Any, datetime, Any]]:
    """Return (entity, anchor, label) for every example."""
    found = set()
    for anchor in anchors:
        for entity in {r["customer_id"] for r in database["customers"] if r["customer_id"] is not None}:
            row = next(r for r in database["customers"] if r["customer_id"] == entity)
            if not all(c is None or holds(c, row, database, anchor) is True for c in (query.where, query.assuming)):
                continue
            label: Any
            if query.problem is not None and query.problem.kind is ProblemKind.FORECAST:
                assert isinstance(query.target, Aggregation)
                steps = [value(f, row, database, anchor) for f in frames(query.target, query.problem.number or 0)]
                label = None if None in steps else tuple(float(s) for s in steps)
            elif is_condition(query.target):
                label = holds(query.target, row, database, anchor)  # type: ignore[arg-type]
                label = None if label is None else int(label)
            else:
                label = value(query.target, row, database, anchor)  # type: ignore[arg-type]
            if label is not None:
                found.add((entity, anchor, label))
    return found


def frames(aggregation: Aggregation, number: int) -> list[Aggregation]:
    """Return the aggregation over its window and over those that follow it."""
    window = aggregation.window
    assert window is not None
    width = window.end - (window.start or 0)
    moved = [Window((window.start or 0) + i * width, window.end + i * width, window.unit) for i in range(number)]
    return [replace(aggregation, window=w) for w in moved]


def holds(condition: Condition, row: Row, database: Database, anchor: datetime, home: str = "customers") -> bool | None:
    """Evaluate a condition on a row of ``home`` in three-valued logic."""
    match condition:
        case Not(condition=inner):
            inside = holds(inner, row, database, anchor, home)
            return None if inside is None else not inside
        case And(conditions=parts):
            seen = [holds(p, row, database, anchor, home) for p in parts]
            return False if False in seen else None if None in seen else True
        case Or(conditions=parts):
            seen = [holds(p, row, database, anchor, home) for p in parts]
            return True if True in seen else None if None in seen else False
        case Comparison():
            return compare(condition, value(condition.operand, row, database, anchor, home))


def compare(comparison: Comparison, left: Any) -> bool | None:
    """Compare one value; anything compared with nothing is undefined."""
    operator, right = comparison.operator, comparison.values
    if operator is Operator.IS_NULL:
        return left is None
    if operator is Operator.IS_NOT_NULL:
        return left is not None
    if left is None:
        return None
    match operator:
        case Operator.EQ:
            return bool(left == right[0])
        case Operator.NE:
            return bool(left != right[0])
        case Operator.LT:
            return bool(left < right[0])
        case Operator.LE:
            return bool(left <= right[0])
        case Operator.GT:
            return bool(left > right[0])
        case Operator.GE:
            return bool(left >= right[0])
        case Operator.IN:
            return left in right
        case Operator.NOT_IN:
            return left not in right
        case Operator.BETWEEN:
            return bool(right[0] <= left <= right[1])
        case Operator.STARTS_WITH:
            return str(left).startswith(right[0])
        case Operator.ENDS_WITH:
            return str(left).endswith(right[0])
        case Operator.CONTAINS:
            return right[0] in left
        case Operator.LIKE:
            return like(left, right[0])
        case Operator.NOT_LIKE:
            return not like(left, right[0])
        case _:
            return right[0] not in left


def like(text: str, pattern: str) -> bool:
    """Match a text: % stands for any characters, _ for one; nothing escapes them."""
    parts = {"%": ".*", "_": "."}
    return re.fullmatch("".join(parts.get(c, re.escape(c)) for c in pattern), text, re.DOTALL) is not None


LARGEST = 1e300


def number(read: Any) -> Any:
    """Return what a column holds, None for what is no number: NaN, infinite, or too large to add up."""
    return None if isinstance(read, float) and not abs(read) <= LARGEST else read


def value(operand: Operand, row: Row, database: Database, anchor: datetime, home: str = "customers") -> Any:
    """Read a column of the row, or fold the rows that belong to it; it is a row of ``home``."""
    if isinstance(operand, Column):
        return number(row[operand.name])
    table = operand.column.table
    rows = [
        r
        for r in database[table]
        if owner(table, r, database, home) is not None
        and owner(table, r, database, home) == row[KEYS[home]]
        and inside(operand, r, anchor)
    ]
    if operand.where is not None:
        seen = [(r, with_parents(table, r, database)) for r in rows]
        rows = [r for r, whole in seen if holds(operand.where, whole, database, anchor, table) is True]
    if operand.column.name != "*":
        rows = [r for r in rows if number(r[operand.column.name]) is not None]
    return fold(operand, rows)


def owner(table: str, row: Row, database: Database, home: str = "customers") -> Any:
    """Follow foreign keys up to the key of a row of ``home``."""
    column, parent = PARENTS[table]
    if parent == home:
        return row[column]
    above = next((r for r in database[parent] if r[KEYS[parent]] is not None and r[KEYS[parent]] == row[column]), None)
    return None if above is None else owner(parent, above, database, home)


def with_parents(table: str, row: Row, database: Database) -> Row:
    """Return a row with the columns of the tables that its foreign keys lead to, None where they lead nowhere."""
    if table not in PARENTS:
        return row
    column, parent = PARENTS[table]
    above = next((r for r in database[parent] if r[KEYS[parent]] is not None and r[KEYS[parent]] == row[column]), {})
    return (
        {"region": None, "age": None, **with_parents(parent, above, database), **row}
        if above
        else {"region": None, "age": None, **row}
    )


def inside(aggregation: Aggregation, row: Row, anchor: datetime) -> bool:
    """Whether a row lies in the window: after its start, up to and including its end."""
    time = row[TIMES[aggregation.column.table]]
    window = aggregation.window
    if time is None:
        return False
    if window is None:
        return bool(time <= anchor)
    after = datetime.min if window.start is None else shift(anchor, window.start, window.unit)
    return bool(after < time <= shift(anchor, window.end, window.unit))


def fold(aggregation: Aggregation, rows: list[Row]) -> Any:
    """Fold rows into one value; None where it is undefined."""
    name, time = aggregation.column.name, TIMES[aggregation.column.table]
    values = [r[name] for r in rows] if name != "*" else rows
    match aggregation.aggregator:
        case Aggregator.COUNT:
            return len(values)
        case Aggregator.COUNT_DISTINCT:
            return len(set(values))
        case Aggregator.LIST_DISTINCT:
            return tuple(sorted({str(v) for v in values})) or None
        case Aggregator.SUM:
            return float(sum(values))
        case Aggregator.AVG:
            return float(sum(values) / len(values)) if values else None
        case Aggregator.MIN:
            return min(values, default=None)
        case Aggregator.MAX:
            return max(values, default=None)
        case _:
            if not rows:
                return None
            latest = aggregation.aggregator is Aggregator.LAST
            pick = max if latest else min
            # Equal times are told apart by the primary key, then the value.
            order = pick(rows, key=lambda r: (r[time], r.get("order_id", 0), r[name]))
            return order[name]
