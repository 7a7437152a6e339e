"""Aggregations as SQL, in one of two ways.

In one scan (:func:`scan`): a row per entity and a column per anchor time, each a fold over the rows of its window. All
aggregations over the same rows share the scan. Joined (:func:`per_anchor`): a row per entity and anchor time, where a
fold cannot leave rows out (FIRST, LAST), where the filter itself depends on the anchor time, or where there
are too many anchor times for columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlglot import exp

from forekey.query.anchors import ANCHORS, bounds_of, windows_of
from forekey.query.bound import BoundAggregation, BoundQuery
from forekey.query.conditions import Written, moment, render, timestamp
from forekey.query.joins import (
    aliased,
    join_to_owner,
    join_up,
    operand_of,
    own_columns,
    referred_key,
    value_sql,
)
from forekey.query.tree import Aggregation, Aggregator, Condition, Operand
from forekey.schema import ColumnSchema, DType, EdgeType
from forekey.source import key_sql, spelled

SCAN = "forekey_scan_"
_MOST_COLUMNS = 100
"""Folds in one scan; beyond, each row is joined to the few anchor times that it counts for."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Aggregations over the same rows: those of a table that reach the entity by one path and pass one filter."""

    name: str
    aggregations: tuple[BoundAggregation, ...]

    def column(self, aggregation: BoundAggregation, number: int) -> str:
        """Name the fold of an aggregation at the anchor time of a number."""
        return f"value_{self.aggregations.index(aggregation)}_{number}"


def anchor_number(column: str) -> int | None:
    """Return the number of the anchor time whose fold a column of a scan holds; None if it holds none."""
    found = re.fullmatch(r"value_\d+_(\d+)", column)
    return int(found[1]) if found is not None else None


def scans_of(bound: BoundQuery, anchors: Sequence[datetime]) -> tuple[Scan, ...]:
    """Put together the aggregations that share a scan."""
    groups: dict[tuple[str, tuple[EdgeType, ...], Condition | None], list[BoundAggregation]] = {}
    for a in bound.aggregations.values():
        if a.aggregation.aggregator not in {Aggregator.FIRST, Aggregator.LAST} and not a.nested:
            groups.setdefault((a.table.name, a.path, a.aggregation.where), []).append(a)
    most = max(1, _MOST_COLUMNS // max(1, len(anchors)))
    parts = [g[i : i + most] for g in groups.values() for i in range(0, len(g), most)]
    fitting = parts if len(anchors) <= _MOST_COLUMNS else []
    return tuple(Scan(f"{SCAN}{i}", tuple(part)) for i, part in enumerate(fitting))


def scan(bound: BoundQuery, found: Scan, anchors: Sequence[datetime]) -> exp.Select:
    """Return a row per entity: each aggregation folded over its window at each anchor time."""
    first, own = found.aggregations[0], bound.entity_key
    statement = exp.select().from_(aliased(first.table.name, "r"))
    statement, key = join_to_owner(statement, bound, first, own)
    statement = statement.select(key.as_("entity")).where(key.copy().is_(exp.null()).not_())
    statement, rendered = _joined_filters(statement, bound, first)
    if first.aggregation.where is not None:
        statement = statement.where(render(first.aggregation.where, rendered.__getitem__))
    for a in found.aggregations:
        names = [found.column(a, number) for number in range(len(anchors))]
        folds = (
            exp.alias_(_fold_within(bound, a, anchor), name, copy=False)
            for name, anchor in zip(names, anchors, strict=True)
        )
        statement = statement.select(*folds, copy=False)
    if first.table.time_column is not None:
        statement = statement.where(_span(first, found, anchors))
    return statement.group_by(key.copy())


def scanned_value(found: Scan, aggregation: BoundAggregation, anchors: Sequence[datetime]) -> exp.Expression:
    """Write which column of a scan holds the value at the anchor time of the row."""
    chosen = exp.Case(this=exp.column("number", table=ANCHORS))
    for number in range(len(anchors)):
        column = exp.column(found.column(aggregation, number), table=found.name)
        chosen = chosen.when(exp.Literal.number(number), column, copy=False)
    return or_zero(aggregation.aggregation, chosen)


def _within(a: BoundAggregation, anchor: datetime) -> Any:
    """Write the condition under which a row counts at an anchor time."""
    time = moment(exp.column(a.table.time_column or "", table="r", quoted=True))
    if a.window is None:
        return time <= timestamp(anchor)
    start, end = bounds_of(a.window, anchor)
    return exp.and_(time > timestamp(start), time.copy() <= timestamp(end))


def _span(first: BoundAggregation, found: Scan, anchors: Sequence[datetime]) -> Any:
    """Write the condition that leaves out rows that count at no anchor time."""
    time = moment(exp.column(first.table.time_column or "", table="r", quoted=True))
    bounds = [
        bounds_of(a.window, t) if a.window is not None else (datetime.min, t)
        for a in found.aggregations
        for t in anchors
    ]
    last = time <= timestamp(max(end for _, end in bounds))
    start = min(begin for begin, _ in bounds)
    return last if start == datetime.min else exp.and_(time.copy() > timestamp(start), last)


def _joined_filters(
    statement: exp.Select, bound: BoundQuery, a: BoundAggregation
) -> tuple[exp.Select, dict[Operand, Written]]:
    """Join what the columns in an aggregation's own WHERE need; return how each is written, and its type."""
    rendered: dict[Operand, Written] = {}
    for i, (column, reached) in enumerate(a.filters.items()):
        statement, alias = join_up(statement, bound.schema, reached.path, "r", f"f{i}")
        rendered[column] = operand_of(bound.schema, reached, alias)
    return statement, rendered


def nested_aggregations(aggregation: BoundAggregation, name: str) -> list[tuple[str, BoundAggregation, ColumnSchema]]:
    """Return the aggregations inside an aggregation's WHERE, innermost first, with their names and whose they are."""
    owner = aggregation.table
    found = []
    for i, inner in enumerate(aggregation.nested.values()):
        inner_name = f"{name}_{i}"
        found += [
            *nested_aggregations(inner, inner_name),
            (inner_name, inner, owner.column(owner.primary_key or "")),
        ]
    return found


def per_anchor(bound: BoundQuery, aggregation: BoundAggregation, owner: ColumnSchema, name: str) -> exp.Select:
    """Return (entity, anchor_time, value) for the pairs whose window holds at least one row.

    ``owner`` is the key of the rows that are aggregated for: the entity's, or that of rows that are filtered.
    """
    statement = exp.select().from_(aliased(aggregation.table.name, "r"))
    statement, key = join_to_owner(statement, bound, aggregation, owner)
    statement = statement.where(key.is_(exp.null()).not_())
    statement = _join_anchors(statement, bound, aggregation)
    statement, rendered = _joined_filters(statement, bound, aggregation)
    anchor = exp.column("anchor_time", table=ANCHORS)
    for i, (inner, nested) in enumerate(aggregation.nested.items()):
        own = aggregation.table.column(aggregation.table.primary_key or "")
        alias = f"{name}_{i}"
        same_row = exp.EQ(this=exp.column("entity", table=alias), expression=key_sql(own, "r", own))
        same_time = exp.EQ(this=exp.column("anchor_time", table=alias), expression=anchor.copy())
        statement = statement.join(alias, on=exp.and_(same_row, same_time), join_type="left")
        value = or_zero(inner, exp.column("value", table=alias))
        rendered[inner] = Written(value, value_dtype(inner, nested), value_key(bound, inner, nested))
    where = aggregation.aggregation.where
    if where is not None:
        statement = statement.where(render(where, rendered.__getitem__))
    if aggregation.value is not None:
        statement = statement.where(_value(bound, aggregation).is_(exp.null()).not_())
    if aggregation.aggregation.aggregator in {Aggregator.FIRST, Aggregator.LAST}:
        return _first_or_last(statement, bound, aggregation, key, anchor)
    folded = _fold(bound, aggregation).as_("value")
    return statement.select(key.as_("entity"), anchor.as_("anchor_time"), folded).group_by(key.copy(), anchor.copy())


def _value(bound: BoundQuery, aggregation: BoundAggregation) -> exp.Expression:
    """Write what is aggregated of a row."""
    assert aggregation.value is not None
    return value_sql(bound.schema, aggregation.table, aggregation.value, "r")


def _fold(bound: BoundQuery, aggregation: BoundAggregation) -> exp.Expression:
    """Write the aggregate function; NULLs of the column do not count."""
    if aggregation.value is None:
        return exp.Count(this=exp.Star())
    value = _value(bound, aggregation)
    match aggregation.aggregation.aggregator:
        case Aggregator.COUNT:
            return exp.Count(this=value)
        case Aggregator.COUNT_DISTINCT:
            return exp.Count(this=exp.Distinct(expressions=[value]))
        case Aggregator.LIST_DISTINCT:
            text = spelled(value) if aggregation.value.dtype is DType.FLOAT else exp.cast(value, "VARCHAR")
            order = [exp.Ordered(this=text.copy(), desc=False, nulls_first=False)]
            return exp.ArrayAgg(this=exp.Order(this=exp.Distinct(expressions=[text]), expressions=order))
        case Aggregator.SUM:
            return exp.Sum(this=value)
        case Aggregator.AVG:
            return exp.Avg(this=value)
        case Aggregator.MIN:
            return exp.Min(this=value)
        case _:
            return exp.Max(this=value)


def _fold_within(bound: BoundQuery, aggregation: BoundAggregation, anchor: datetime) -> exp.Expression:
    """Write the aggregate function over the rows that count at an anchor time."""
    conditions = [_within(aggregation, anchor)] if aggregation.table.time_column is not None else []
    if aggregation.value is not None and aggregation.aggregation.aggregator is Aggregator.LIST_DISTINCT:
        conditions.append(_value(bound, aggregation).is_(exp.null()).not_())
    if not conditions:
        return _fold(bound, aggregation)
    return exp.Filter(this=_fold(bound, aggregation), expression=exp.Where(this=exp.and_(*conditions)))


def _first_or_last(
    statement: exp.Select, bound: BoundQuery, aggregation: BoundAggregation, key: exp.Expression, anchor: exp.Expression
) -> exp.Select:
    """Take the earliest or latest row of each pair; equal times are ordered by the primary key, then the value."""
    table = aggregation.table
    assert table.time_column is not None
    latest = aggregation.aggregation.aggregator is Aggregator.LAST
    order = [moment(exp.column(table.time_column, table="r", quoted=True))]
    order += [exp.column(c, table="r", quoted=True) for c in own_columns(table)] + [_value(bound, aggregation)]
    rank = exp.Window(
        this=exp.RowNumber(),
        partition_by=[key.copy(), anchor.copy()],
        order=exp.Order(expressions=[exp.Ordered(this=o, desc=latest) for o in order]),
    )
    ranked = statement.select(
        key.as_("entity"),
        anchor.as_("anchor_time"),
        _value(bound, aggregation).as_("value"),
        rank.as_("rank"),
    )
    first = exp.EQ(this=exp.column("rank"), expression=exp.Literal.number(1))
    return exp.select("entity", "anchor_time", "value").from_(ranked.subquery("ranked")).where(first)


def _join_anchors(statement: exp.Select, bound: BoundQuery, aggregation: BoundAggregation) -> exp.Select:
    """Pair rows with the anchors whose window holds them; without a window, with those at or after their time."""
    if aggregation.table.time_column is None:
        return statement.join(ANCHORS, join_type="cross")
    time = moment(exp.column(aggregation.table.time_column, table="r", quoted=True))
    if aggregation.window is None:
        return statement.join(ANCHORS, on=time <= exp.column("anchor_time", table=ANCHORS))
    i = windows_of(bound).index(aggregation.window)
    start, end = (exp.column(f"{edge}_{i}", table=ANCHORS) for edge in ("start", "end"))
    return statement.join(ANCHORS, on=exp.and_(time > start, time.copy() <= end))


def or_zero(aggregation: Aggregation, value: exp.Expression) -> exp.Expression:
    """Write a value, or zero where a window without rows has one."""
    if aggregation.aggregator.zero_when_empty:
        return exp.Coalesce(this=value, expressions=[exp.Literal.number(0)])
    return value


def value_key(bound: BoundQuery, operand: Aggregation, aggregation: BoundAggregation) -> ColumnSchema | None:
    """Return the key that FIRST or LAST gives, where it is written as keys are."""
    if operand.aggregator not in {Aggregator.FIRST, Aggregator.LAST} or aggregation.value is None:
        return None
    return referred_key(bound.schema, aggregation.table, aggregation.value)


def value_dtype(operand: Aggregation, aggregation: BoundAggregation) -> DType:
    """Return the type of what an aggregation gives, as comparisons in SQL see it."""
    keeps_type = operand.aggregator in {Aggregator.MIN, Aggregator.MAX, Aggregator.FIRST, Aggregator.LAST}
    return aggregation.value.dtype if keeps_type and aggregation.value is not None else DType.FLOAT
