"""From a bound query to one SQL statement that makes every label, written once and compiled per dialect.

The statement has one CTE for the anchor times, one for each scan over rows that several aggregations share (see
:mod:`forekey.query.aggregates`), and one for the (entity, anchor time) pairs. Events are read once a scan, whatever the
number of anchors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from sqlglot import exp

from forekey.query.aggregates import (
    Scan,
    nested_aggregations,
    or_zero,
    per_anchor,
    scan,
    scanned_value,
    scans_of,
    value_dtype,
    value_key,
)
from forekey.query.anchors import ANCHORS, anchor_table
from forekey.query.bound import BoundAggregation, BoundQuery, TaskType
from forekey.query.conditions import Written, key_literal, moment, render, timestamp
from forekey.query.joins import aliased, join_up, keep_clean, referred_key, value_sql
from forekey.query.tree import Aggregation, Column, Condition, Constant, Operand, is_condition, operands
from forekey.schema import ColumnSchema, DType
from forekey.source import key_sql, spelled

_PAIR = ("entity", "anchor_time")
_KNOWN = "forekey_known"
_ENTITIES = "forekey_entities"


def label_sql(
    bound: BoundQuery, anchors: Sequence[datetime], *, filtered: bool = True, unclean: Collection[str] = ()
) -> exp.Select:
    """Return the statement that gives (entity, anchor_time, label), one row an example.

    ``filtered`` False keeps the entities that WHERE and ASSUMING would leave out (undefined labels are always
    left out). ``unclean`` names tables with NULL or repeated primary keys: of those, as in the graph, only the
    earliest row of each key counts.
    """
    layout = _Layout(bound, tuple(anchors))
    statement = exp.select(*(exp.column(c, table=_ENTITIES) for c in _PAIR), layout.target().as_("label"))
    defined = [] if layout.always_defined else [layout.target().is_(exp.null()).not_()]
    statement = statement.from_(_ENTITIES).where(*defined, *(layout.filters() if filtered else []))
    return keep_clean(layout.complete(statement), bound.schema, unclean)


def population_sql(bound: BoundQuery, anchor: datetime, *, unclean: Collection[str] = ()) -> exp.Select:
    """Return the statement that gives the entities which exist at ``anchor`` and pass WHERE; of ids, those named."""
    layout = _Layout(bound, (anchor,), bound.query.ids)
    statement = exp.select(exp.column("entity", table=_ENTITIES)).from_(_ENTITIES)
    if bound.query.where is not None:
        statement = statement.where(layout.condition(bound.query.where))
    return keep_clean(layout.complete(statement), bound.schema, unclean)


def dropped_sql(bound: BoundQuery, anchors: Sequence[datetime], *, unclean: Collection[str] = ()) -> exp.Select:
    """Return the statement that counts, per reason, the (entity, anchor) pairs that give no example.

    ``unborn`` are those of entities that do not exist yet; they are no part of ``pairs``.
    """
    layout = _Layout(bound, tuple(anchors))
    passes = exp.and_(*layout.filters()) if layout.filters() else exp.true()
    one, none = exp.Literal.number(1), exp.Literal.number(0)
    filtered = exp.Case().when(passes, none).else_(one)
    undefined = exp.Case().when(exp.and_(passes.copy(), layout.target().is_(exp.null())), one.copy()).else_(none.copy())
    statement = exp.select(
        exp.Count(this=exp.Star()).as_("pairs"),
        exp.Sum(this=filtered).as_("filtered"),
        exp.Sum(this=undefined).as_("undefined"),
        layout.unborn().as_("unborn"),
    ).from_(_ENTITIES)
    return keep_clean(layout.complete(statement), bound.schema, unclean)


@dataclass(frozen=True)
class _Layout:
    """How the statement for a query at some anchor times is put together."""

    bound: BoundQuery
    anchors: tuple[datetime, ...]
    ids: tuple[Constant, ...] | None = None
    """The entities that are asked about, None for all: a model learns from all, whoever is asked about."""

    def complete(self, statement: exp.Select) -> exp.Select:
        """Join what the statement reads beside the pairs, and put the CTEs before it, into the statement itself.

        A forecast may have hundreds of frames: each copy of the statement would cost the square of that.
        """
        for aggregation in self._joined:
            name = self._name(aggregation)
            same = (exp.EQ(this=exp.column(c, table=name), expression=exp.column(c, table=_ENTITIES)) for c in _PAIR)
            statement = statement.join(name, on=exp.and_(*same), join_type="left", copy=False)
        if not self._anchors_are_row_times:
            statement = statement.with_(ANCHORS, as_=anchor_table(self.bound, self.anchors), copy=False)
        for found in self._scans:
            statement = statement.with_(found.name, as_=scan(self.bound, found, self.anchors), copy=False)
        statement = statement.with_(_ENTITIES, as_=self._pairs(), copy=False)
        for aggregation, bound in self._joined.items():
            for name, nested, owner in nested_aggregations(bound, self._name(aggregation)):
                statement = statement.with_(name, as_=per_anchor(self.bound, nested, owner, name), copy=False)
            own = per_anchor(self.bound, bound, self.bound.entity_key, self._name(aggregation))
            statement = statement.with_(self._name(aggregation), as_=own, copy=False)
        return statement

    def filters(self) -> list[exp.Expression]:
        """Write WHERE and ASSUMING."""
        parts = (self.bound.query.where, self.bound.query.assuming)
        return [self.condition(part) for part in parts if part is not None]

    def condition(self, condition: Condition) -> exp.Expression:
        """Write a condition on a pair."""
        return render(condition, lambda o: Written(self._operand(o), self._dtype(o), self._key(o)))

    def target(self) -> exp.Expression:
        """Write the label of a pair, NULL where it is undefined."""
        bound, target = self.bound, self.bound.query.target
        if is_condition(target):
            holds = self.condition(target)  # type: ignore[arg-type]
            if self.always_defined:
                return exp.Case().when(holds, exp.Literal.number(1)).else_(exp.Literal.number(0))
            return exp.Case().when(holds, exp.Literal.number(1)).when(exp.not_(holds.copy()), exp.Literal.number(0))
        if bound.frames:
            return _forecast([self._operand(frame) for frame in bound.frames])
        value = self._operand(target)  # type: ignore[arg-type]
        if bound.task_type is TaskType.MULTICLASS_CLASSIFICATION and self._dtype(target) is DType.FLOAT:  # type: ignore[arg-type]
            return spelled(value)
        kinds = {
            TaskType.BINARY_CLASSIFICATION: "INT",
            TaskType.REGRESSION: "DOUBLE",
            TaskType.MULTICLASS_CLASSIFICATION: "VARCHAR",
        }
        return exp.cast(value, kinds[bound.task_type]) if bound.task_type in kinds else value

    @property
    def always_defined(self) -> bool:
        """Whether every pair has a label: the target reads only what is zero where there are no rows."""
        read = operands(self.bound.query.target)
        return all(isinstance(o, Aggregation) and o.aggregator.zero_when_empty for o in read)

    @cached_property
    def _scans(self) -> tuple[Scan, ...]:
        return scans_of(self.bound, self.anchors)

    @cached_property
    def _scanned(self) -> dict[Aggregation, Scan]:
        return {a.aggregation: found for found in self._scans for a in found.aggregations}

    @cached_property
    def _joined(self) -> dict[Aggregation, BoundAggregation]:
        return {a: b for a, b in self.bound.aggregations.items() if a not in self._scanned}

    @property
    def _anchors_are_row_times(self) -> bool:
        """Whether each row is predicted at its own time: a static target of a table of events."""
        return self.bound.is_static and self.bound.entity.time_column is not None and not self.bound.aggregations

    def _pairs(self) -> exp.Select:
        """Write the pairs of entities and the anchor times at which they exist, with what the query reads of them."""
        known = exp.column("entity", table=_KNOWN)
        statement = exp.select(known, *(exp.column(c, table=_KNOWN) for c in self._columns.values()))
        statement = statement.from_(self._known().subquery(_KNOWN))
        born = exp.column("born", table=_KNOWN)
        if self._anchors_are_row_times:
            return statement.select(born.as_("anchor_time")).where(born.copy() <= timestamp(max(self.anchors)))
        for found in self._scans:
            on = exp.EQ(this=exp.column("entity", table=found.name), expression=known.copy())
            statement = statement.join(found.name, on=on, join_type="left", copy=False)
        statement = statement.select(exp.column("anchor_time", table=ANCHORS)).join(ANCHORS, join_type="cross")
        for aggregation, found in self._scanned.items():
            value = scanned_value(found, self.bound.aggregations[aggregation], self.anchors)
            statement = statement.select(exp.alias_(value, self._name(aggregation), copy=False), copy=False)
        if self.bound.entity.time_column is not None:
            statement = statement.where(born <= exp.column("anchor_time", table=ANCHORS))
        return statement

    def unborn(self) -> exp.Expression:
        """Write the number of pairs of an entity and an anchor time at which it does not exist yet."""
        if self.bound.entity.time_column is None:
            return exp.Literal.number(0)
        born = exp.column("born", table=_KNOWN)
        count = exp.select(exp.Count(this=exp.Star())).from_(self._known().subquery(_KNOWN))
        if self._anchors_are_row_times:
            return count.where(born > timestamp(max(self.anchors))).subquery()
        count = count.join(ANCHORS, join_type="cross")
        return count.where(born > exp.column("anchor_time", table=ANCHORS)).subquery()

    def _known(self) -> exp.Select:
        """Write the entities: key, time, and the columns of theirs and of tables above that the query reads."""
        bound, table, own = self.bound, self.bound.entity, self.bound.entity_key
        key = key_sql(own, "e", own)
        statement = exp.select(key.as_("entity")).distinct().from_(aliased(table.name, "e"))
        if table.time_column is not None:
            statement = statement.select(moment(exp.column(table.time_column, table="e", quoted=True)).as_("born"))
        for column, name in self._columns.items():
            reached = bound.columns[column]
            statement, alias = join_up(statement, bound.schema, reached.path, "e", name)
            statement = statement.select(value_sql(bound.schema, reached.table, reached.column, alias).as_(name))
        if self.ids is not None:
            statement = statement.where(key.isin(*(key_literal(i, own) for i in self.ids)))
        return statement.where(key.is_(exp.null()).not_())

    @cached_property
    def _columns(self) -> dict[Column, str]:
        used = (c for c in self.bound.columns if c != self.bound.query.entity)
        return {c: f"column_{i}" for i, c in enumerate(used)}

    def _name(self, aggregation: Aggregation) -> str:
        return f"forekey_aggregation_{self._numbers[aggregation]}"

    @cached_property
    def _numbers(self) -> dict[Aggregation, int]:
        return {a: i for i, a in enumerate(self.bound.aggregations)}

    def _operand(self, operand: Operand) -> exp.Expression:
        if isinstance(operand, Column):
            name = "entity" if operand == self.bound.query.entity else self._columns[operand]
            return exp.column(name, table=_ENTITIES)
        if operand in self._scanned:
            return exp.column(self._name(operand), table=_ENTITIES)
        return or_zero(operand, exp.column("value", table=self._name(operand)))

    def _key(self, operand: Operand) -> ColumnSchema | None:
        """Return the key that is compared, where it is written as keys are."""
        if not isinstance(operand, Column):
            return value_key(self.bound, operand, self.bound.aggregations[operand])
        reached = self.bound.columns[operand]
        return referred_key(self.bound.schema, reached.table, reached.column)

    def _dtype(self, operand: Operand) -> DType:
        if isinstance(operand, Column):
            return self.bound.columns[operand].column.dtype
        return value_dtype(operand, self.bound.aggregations[operand])


def _forecast(values: Sequence[exp.Expression]) -> exp.Expression:
    """Put the values of all frames in one list; it is undefined where one of them is."""
    whole = exp.Array(expressions=[exp.cast(v, "DOUBLE") for v in values])
    missing = exp.or_(*(v.copy().is_(exp.null()) for v in values))
    return exp.Case().when(exp.not_(exp.paren(missing)), whole)
