"""From a bound query to one SQL statement that makes every label, written once and compiled per dialect.

The statement has one CTE for the anchor times with the bounds of each window, one for the (entity, anchor time)
pairs, and one per aggregation; no event is read more than once per aggregation, whatever the number of anchors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from sqlglot import exp

from forekey.query.bound import BoundAggregation, BoundQuery, TaskType
from forekey.query.calendar import shift
from forekey.query.tree import (
    Aggregation,
    Aggregator,
    And,
    Column,
    Comparison,
    Condition,
    Constant,
    Not,
    Operand,
    Operator,
    Or,
    Window,
    is_condition,
)
from forekey.schema import ColumnSchema, DType, EdgeType, Schema, TableSchema
from forekey.source import key_sql


def label_sql(
    bound: BoundQuery, anchors: Sequence[datetime], *, filtered: bool = True, unclean: Collection[str] = ()
) -> exp.Select:
    """Return the statement that gives (entity, anchor_time, label), one row an example.

    ``filtered`` False keeps the entities that WHERE and ASSUMING would leave out (undefined labels are always
    left out). ``unclean`` names tables with NULL or repeated primary keys: of those, as in the graph, only the
    earliest row of each key counts.
    """
    statement = _clean(_examples(bound, anchors), bound.schema, unclean)
    kept = _target(bound).is_(exp.null()).not_()
    condition = exp.and_(kept, *(_filters(bound) if filtered else []))
    return statement.select(_target(bound).as_("label")).where(condition)


def population_sql(bound: BoundQuery, anchor: datetime, *, unclean: Collection[str] = ()) -> exp.Select:
    """Return the statement that gives the entities which exist at ``anchor`` and pass WHERE."""
    statement = exp.select(_entity_column()).from_(_ENTITIES)
    where = [bound.query.where] if bound.query.where is not None else []
    for part in where:
        statement = statement.where(_condition(bound, part))
    return _clean(_with_ctes(bound, [anchor], statement), bound.schema, unclean)


def dropped_sql(bound: BoundQuery, anchors: Sequence[datetime], *, unclean: Collection[str] = ()) -> exp.Select:
    """Return the statement that counts, per reason, the (entity, anchor) pairs that give no example."""
    passes = exp.and_(*_filters(bound)) if _filters(bound) else exp.true()
    filtered = exp.Case().when(passes, exp.Literal.number(0)).else_(exp.Literal.number(1))
    undefined = (
        exp.Case()
        .when(exp.and_(passes.copy(), _target(bound).is_(exp.null())), exp.Literal.number(1))
        .else_(exp.Literal.number(0))
    )
    statement = exp.select(
        exp.Count(this=exp.Star()).as_("pairs"),
        exp.Sum(this=filtered).as_("filtered"),
        exp.Sum(this=undefined).as_("undefined"),
    ).from_(_ENTITIES)
    return _clean(_with_ctes(bound, anchors, statement), bound.schema, unclean)


def _clean(statement: exp.Select, schema: Schema, unclean: Collection[str]) -> exp.Select:
    """Replace each table with unusable keys by its rows that the graph keeps: the earliest of each key."""
    for table in list(statement.find_all(exp.Table)):
        if table.name in unclean and table.name in schema.names:
            table.replace(_earliest_of_each_key(schema.table(table.name)).subquery(table.alias))
    return statement


def _own_columns(table: TableSchema) -> tuple[str, ...]:
    if table.primary_key is None:
        return ()
    return table.column(table.primary_key).parts or (table.primary_key,)


def _earliest_of_each_key(table: TableSchema) -> exp.Select:
    own = table.column(table.primary_key or "")
    key = key_sql(own, None, own)
    rest = [c.name for c in table.columns if c.name not in (table.time_column, table.primary_key) and not c.parts]
    first = [c for c in (table.time_column, *(own.parts or (own.name,))) if c is not None]
    order = [*first, *(c for c in rest if c not in first)]
    rank = exp.Window(
        this=exp.RowNumber(),
        partition_by=[key],
        order=exp.Order(
            expressions=[exp.Ordered(this=exp.column(c, quoted=True), desc=False, nulls_first=False) for c in order]
        ),
    )
    kept = exp.Table(this=exp.to_identifier(table.name, quoted=True))
    dated = [key] if table.time_column is None else [key, exp.column(table.time_column, quoted=True)]
    usable = exp.and_(*(c.copy().is_(exp.null()).not_() for c in dated))
    ranked = exp.select("*", rank.as_("forekey_rank")).from_(kept).where(usable).subquery("ranked")
    return (
        exp.select("*").from_(ranked).where(exp.EQ(this=exp.column("forekey_rank"), expression=exp.Literal.number(1)))
    )


def _examples(bound: BoundQuery, anchors: Sequence[datetime]) -> exp.Select:
    statement = exp.select(_entity_column(), exp.column("anchor_time", table=_ENTITIES)).from_(_ENTITIES)
    return _with_ctes(bound, anchors, statement)


def _entity_column() -> exp.Column:
    return exp.column("entity", table=_ENTITIES)


def _filters(bound: BoundQuery) -> list[exp.Expression]:
    parts = (bound.query.where, bound.query.assuming)
    return [_condition(bound, part) for part in parts if part is not None]


def _with_ctes(bound: BoundQuery, anchors: Sequence[datetime], statement: exp.Select) -> exp.Select:
    for i, _ in enumerate(bound.aggregations):
        name = _aggregation_name(i)
        on = exp.and_(
            *(exp.EQ(this=exp.column(c, table=name), expression=exp.column(c, table=_ENTITIES)) for c in _PAIR)
        )
        statement = statement.join(name, on=on, join_type="left")
    if not _anchors_are_row_times(bound):
        statement = statement.with_(_ANCHORS, as_=_anchors(bound, anchors))
    statement = statement.with_(_ENTITIES, as_=_entities(bound, anchors))
    for i, aggregation in enumerate(bound.aggregations.values()):
        for name, nested, owner in _nested(aggregation, _aggregation_name(i)):
            statement = statement.with_(name, as_=_aggregation(bound, nested, owner, name))
        name = _aggregation_name(i)
        statement = statement.with_(name, as_=_aggregation(bound, aggregation, bound.entity_key, name))
    return statement


def _nested(aggregation: BoundAggregation, name: str) -> list[tuple[str, BoundAggregation, ColumnSchema]]:
    """Return the aggregations inside an aggregation's WHERE, innermost first, with their names and whose they are."""
    owner = aggregation.table
    found = []
    for i, inner in enumerate(aggregation.nested.values()):
        inner_name = f"{name}_{i}"
        found += [
            *_nested(inner, inner_name),
            (inner_name, inner, owner.column(owner.primary_key or "")),
        ]
    return found


_PAIR = ("entity", "anchor_time")

# Names that no table of a user's is likely to have; a CTE hides a table of its name.
_ANCHORS = "forekey_anchors"
_ENTITIES = "forekey_entities"


def _aggregation_name(number: int) -> str:
    return f"forekey_aggregation_{number}"


def _anchors_are_row_times(bound: BoundQuery) -> bool:
    """Whether each row is predicted at its own time: a static target of a table of events."""
    return bound.is_static and bound.entity.time_column is not None and not bound.aggregations


def _windows(bound: BoundQuery) -> list[Window]:
    every = list(bound.aggregations.values())
    for aggregation in every:
        every += aggregation.nested.values()
    return list(dict.fromkeys(a.window for a in every if a.window is not None))


def _anchors(bound: BoundQuery, anchors: Sequence[datetime]) -> exp.Select:
    """Return one row an anchor time, with the start and end of every window as plain timestamps."""
    windows = _windows(bound)
    rows = []
    for anchor in anchors:
        bounds = []
        for window in windows:
            start = datetime.min if window.start is None else shift(anchor, window.start, window.unit)
            bounds += [start, shift(anchor, window.end, window.unit)]
        rows.append(exp.Tuple(expressions=[_timestamp(m) for m in (anchor, *bounds)]))
    names = ["anchor_time", *(f"{edge}_{i}" for i in range(len(windows)) for edge in ("start", "end"))]
    values = exp.Values(
        expressions=rows,
        alias=exp.TableAlias(this=exp.to_identifier("v"), columns=[exp.to_identifier(n) for n in names]),
    )
    return exp.select(*names).from_(values)


def _entities(bound: BoundQuery, anchors: Sequence[datetime]) -> exp.Select:
    table = bound.entity
    own = bound.entity_key
    key = key_sql(own, "e", own)
    born = _moment(exp.column(table.time_column, table="e", quoted=True)) if table.time_column else None
    used = {c: b for c, b in bound.columns.items() if c != bound.query.entity}
    statement = exp.select(key.as_("entity")).distinct().from_(_table(table.name, "e"))
    if _anchors_are_row_times(bound) and born is not None:
        statement = statement.select(born.as_("anchor_time")).where(born <= _timestamp(max(anchors)))
    else:
        statement = statement.select(exp.column("anchor_time", table=_ANCHORS)).join(_ANCHORS, join_type="cross")
        if born is not None:
            statement = statement.where(born <= exp.column("anchor_time", table=_ANCHORS))
    for column, reached in used.items():
        statement, alias = _join_up(statement, bound.schema, reached.path, "e", _column_name(bound, column))
        statement = statement.select(exp.column(column.name, table=alias, quoted=True).as_(_column_name(bound, column)))
    if bound.query.ids is not None:
        statement = statement.where(key.isin(*(_literal(i, own.dtype) for i in bound.query.ids)))
    return statement.where(key.is_(exp.null()).not_())


def _column_name(bound: BoundQuery, column: Column) -> str:
    return f"column_{list(bound.columns).index(column)}"


def _aggregation(bound: BoundQuery, aggregation: BoundAggregation, owner: ColumnSchema, name: str) -> exp.Select:
    """Return (entity, anchor_time, value) for the pairs whose window holds at least one row.

    ``owner`` is the key of the rows that are aggregated for: the entity's, or that of rows that are filtered.
    """
    statement = exp.select().from_(_table(aggregation.table.name, "r"))
    statement, key = _join_to_owner(statement, bound, aggregation, owner)
    statement = statement.where(key.is_(exp.null()).not_())
    statement = _join_anchors(statement, bound, aggregation)
    where = aggregation.aggregation.where
    rendered: dict[Operand, tuple[exp.Expression, DType]] = {}
    for i, (column, reached) in enumerate(aggregation.filters.items()):
        statement, alias = _join_up(statement, bound.schema, reached.path, "r", f"f{i}")
        rendered[column] = (exp.column(column.name, table=alias, quoted=True), reached.column.dtype)
    anchor = exp.column("anchor_time", table=_ANCHORS)
    for i, (inner, nested) in enumerate(aggregation.nested.items()):
        own = aggregation.table.column(aggregation.table.primary_key or "")
        alias = f"{name}_{i}"
        same_row = exp.EQ(this=exp.column("entity", table=alias), expression=key_sql(own, "r", own))
        same_time = exp.EQ(this=exp.column("anchor_time", table=alias), expression=anchor.copy())
        statement = statement.join(alias, on=exp.and_(same_row, same_time), join_type="left")
        rendered[inner] = (_or_zero(inner, exp.column("value", table=alias)), _value_dtype(inner, nested))
    if where is not None:
        statement = statement.where(_render(where, rendered.__getitem__))
    if aggregation.value is not None:
        value = exp.column(aggregation.value.name, table="r", quoted=True)
        statement = statement.where(value.is_(exp.null()).not_())
    if aggregation.aggregation.aggregator in {Aggregator.FIRST, Aggregator.LAST}:
        return _first_or_last(statement, aggregation, key, anchor)
    return statement.select(key.as_("entity"), anchor.as_("anchor_time"), _fold(aggregation).as_("value")).group_by(
        key.copy(), anchor.copy()
    )


def _fold(aggregation: BoundAggregation) -> exp.Expression:
    if aggregation.value is None:
        return exp.Count(this=exp.Star())
    value = exp.column(aggregation.value.name, table="r", quoted=True)
    match aggregation.aggregation.aggregator:
        case Aggregator.COUNT:
            return exp.Count(this=value)
        case Aggregator.COUNT_DISTINCT:
            return exp.Count(this=exp.Distinct(expressions=[value]))
        case Aggregator.LIST_DISTINCT:
            return exp.ArrayAgg(this=exp.Distinct(expressions=[exp.cast(value, "VARCHAR")]))
        case Aggregator.SUM:
            return exp.Sum(this=value)
        case Aggregator.AVG:
            return exp.Avg(this=value)
        case Aggregator.MIN:
            return exp.Min(this=value)
        case _:
            return exp.Max(this=value)


def _first_or_last(
    statement: exp.Select, aggregation: BoundAggregation, key: exp.Expression, anchor: exp.Expression
) -> exp.Select:
    """Take the earliest or latest row of each pair; equal times are told apart by the primary key, then the value."""
    table, value = aggregation.table, aggregation.value
    assert table.time_column is not None
    assert value is not None
    latest = aggregation.aggregation.aggregator is Aggregator.LAST
    order = [_moment(exp.column(table.time_column, table="r", quoted=True))]
    order += [exp.column(c, table="r", quoted=True) for c in (*_own_columns(table), value.name)]
    rank = exp.Window(
        this=exp.RowNumber(),
        partition_by=[key.copy(), anchor.copy()],
        order=exp.Order(expressions=[exp.Ordered(this=o, desc=latest) for o in order]),
    )
    ranked = statement.select(
        key.as_("entity"),
        anchor.as_("anchor_time"),
        exp.column(value.name, table="r", quoted=True).as_("value"),
        rank.as_("rank"),
    )
    first = exp.EQ(this=exp.column("rank"), expression=exp.Literal.number(1))
    return exp.select("entity", "anchor_time", "value").from_(ranked.subquery("ranked")).where(first)


def _join_to_owner(
    statement: exp.Select, bound: BoundQuery, aggregation: BoundAggregation, own: ColumnSchema
) -> tuple[exp.Select, exp.Expression]:
    """Join from the rows up to the table that holds their owner's key; return that key as an expression."""
    if not aggregation.path:
        return statement, key_sql(own, "r", own)
    statement, alias = _join_up(statement, bound.schema, aggregation.path[:-1], "r", "up")
    last = aggregation.path[-1]
    column = bound.schema.table(last.child).column(last.column)
    return statement, key_sql(column, alias, own)


def _join_anchors(statement: exp.Select, bound: BoundQuery, aggregation: BoundAggregation) -> exp.Select:
    """Pair rows with the anchors whose window holds them; without a window, with those at or after their time."""
    if aggregation.table.time_column is None:
        return statement.join(_ANCHORS, join_type="cross")
    time = _moment(exp.column(aggregation.table.time_column, table="r", quoted=True))
    if aggregation.window is None:
        return statement.join(_ANCHORS, on=time <= exp.column("anchor_time", table=_ANCHORS))
    i = _windows(bound).index(aggregation.window)
    start, end = (exp.column(f"{edge}_{i}", table=_ANCHORS) for edge in ("start", "end"))
    return statement.join(_ANCHORS, on=exp.and_(time > start, time.copy() <= end))


def _join_up(
    statement: exp.Select, schema: Schema, path: tuple[EdgeType, ...], start: str, prefix: str
) -> tuple[exp.Select, str]:
    """Follow foreign keys upwards; return the statement and the alias of the last table."""
    alias = start
    for i, edge in enumerate(path):
        parent = schema.table(edge.parent)
        key = parent.column(parent.primary_key or "")
        column = schema.table(edge.child).column(edge.column)
        upper = f"{prefix}_{i}"
        on = exp.EQ(
            this=key_sql(column, alias, key),
            expression=key_sql(key, upper, key),
        )
        statement = statement.join(_table(edge.parent, upper), on=on, join_type="left")
        alias = upper
    return statement, alias


def _target(bound: BoundQuery) -> exp.Expression:
    target = bound.query.target
    if is_condition(target):
        holds = _condition(bound, target)  # type: ignore[arg-type]
        return exp.Case().when(holds, exp.Literal.number(1)).when(exp.not_(holds.copy()), exp.Literal.number(0))
    if bound.frames:
        return _forecast([_operand(bound, frame) for frame in bound.frames])
    value = _operand(bound, target)  # type: ignore[arg-type]
    match bound.task_type:
        case TaskType.BINARY_CLASSIFICATION:
            return exp.cast(value, "INT")
        case TaskType.REGRESSION:
            return exp.cast(value, "DOUBLE")
        case TaskType.MULTICLASS_CLASSIFICATION:
            return exp.cast(value, "VARCHAR")
        case _:
            return value


def _forecast(values: Sequence[exp.Expression]) -> exp.Expression:
    """Put the values of all frames in one list; it is undefined where one of them is."""
    whole = exp.Array(expressions=[exp.cast(v, "DOUBLE") for v in values])
    missing = exp.or_(*(v.copy().is_(exp.null()) for v in values))
    return exp.Case().when(exp.not_(exp.paren(missing)), whole)


def _condition(bound: BoundQuery, condition: Condition) -> exp.Expression:
    return _render(condition, lambda operand: (_operand(bound, operand), _operand_dtype(bound, operand)))


def _operand(bound: BoundQuery, operand: Operand) -> exp.Expression:
    if isinstance(operand, Column):
        return exp.column(_column_name(bound, operand), table=_ENTITIES)
    return _or_zero(operand, exp.column("value", table=_aggregation_name(list(bound.aggregations).index(operand))))


def _or_zero(aggregation: Aggregation, value: exp.Expression) -> exp.Expression:
    if aggregation.aggregator.zero_when_empty:
        return exp.Coalesce(this=value, expressions=[exp.Literal.number(0)])
    return value


def _render(condition: Condition, operand: Callable[[Operand], tuple[exp.Expression, DType]]) -> exp.Expression:
    """Write a condition; ``operand`` gives the SQL and the type of what is compared."""
    match condition:
        case Not(condition=inner):
            return exp.not_(exp.paren(_render(inner, operand)))
        case And(conditions=parts):
            return exp.paren(exp.and_(*(_render(p, operand) for p in parts)))
        case Or(conditions=parts):
            return exp.paren(exp.or_(*(_render(p, operand) for p in parts)))
        case Comparison():
            return _comparison(condition, *operand(condition.operand))


def _operand_dtype(bound: BoundQuery, operand: Operand) -> DType:
    if isinstance(operand, Column):
        return bound.columns[operand].column.dtype
    return _value_dtype(operand, bound.aggregations[operand])


def _value_dtype(operand: Aggregation, aggregation: BoundAggregation) -> DType:
    keeps_type = operand.aggregator in {Aggregator.MIN, Aggregator.MAX, Aggregator.FIRST, Aggregator.LAST}
    return aggregation.value.dtype if keeps_type and aggregation.value is not None else DType.FLOAT


def _comparison(comparison: Comparison, operand: exp.Expression, dtype: DType) -> exp.Expression:
    if dtype is DType.TIMESTAMP:
        operand = _moment(operand)
    operator, values = comparison.operator, comparison.values
    if operator in {Operator.IS_NULL, Operator.IS_NOT_NULL} or values == (None,):
        absent = operand.is_(exp.null())
        return absent if operator in {Operator.IS_NULL, Operator.EQ} else absent.not_()
    literals = [_literal(v, dtype) for v in values]
    simple: dict[Operator, type[exp.Expression]] = {
        Operator.EQ: exp.EQ, Operator.NE: exp.NEQ, Operator.LT: exp.LT, Operator.LE: exp.LTE, Operator.GT: exp.GT,
        Operator.GE: exp.GTE,
    }  # fmt: skip
    if operator in simple:
        return simple[operator](this=operand, expression=literals[0])
    match operator:
        case Operator.LIKE:
            return _like(operand, literals[0])
        case Operator.NOT_LIKE:
            return _like(operand, literals[0]).not_()
        case Operator.IN:
            return operand.isin(*literals)
        case Operator.NOT_IN:
            return operand.isin(*literals).not_()
        case Operator.BETWEEN:
            return operand.between(literals[0], literals[1])
        case _:
            return _text_comparison(operator, operand, str(values[0]))


def _like(operand: exp.Expression, pattern: exp.Expression) -> exp.Expression:
    """Match a pattern in which nothing escapes % and _ (by default, a backslash does in Postgres)."""
    return exp.paren(exp.Escape(this=exp.Like(this=operand, expression=pattern), expression=exp.Literal.string("")))


def _text_comparison(operator: Operator, operand: exp.Expression, text: str) -> exp.Expression:
    literal, length = exp.Literal.string(text), exp.Literal.number(len(text))
    match operator:
        case Operator.STARTS_WITH:
            return exp.EQ(this=exp.Left(this=operand, expression=length), expression=literal)
        case Operator.ENDS_WITH:
            return exp.EQ(this=exp.Right(this=operand, expression=length), expression=literal)
        case _:
            found = exp.StrPosition(this=operand, substr=literal)
            zero = exp.Literal.number(0)
            compare = exp.GT if operator is Operator.CONTAINS else exp.EQ
            return compare(this=found, expression=zero)


def _literal(value: Constant, dtype: DType) -> exp.Expression:
    match value:
        case bool():
            return exp.Boolean(this=value)
        case datetime():
            return _timestamp(value)
        case str() if dtype is DType.TIMESTAMP:
            return _timestamp(datetime.fromisoformat(value))
        case int() if dtype is DType.BOOLEAN:
            return exp.Boolean(this=bool(value))
        case int() | float():
            return exp.Literal.number(repr(value)) if value >= 0 else exp.Neg(this=exp.Literal.number(repr(-value)))
        case None:
            return exp.null()
        case _:
            return exp.Literal.string(value)


def _timestamp(moment: datetime) -> exp.Expression:
    return exp.cast(exp.Literal.string(moment.isoformat(sep=" ")), "TIMESTAMP")


def _moment(column: exp.Expression) -> exp.Expression:
    """Return a date or timestamp as a timestamp without zone, in UTC (sources set their session's zone to UTC)."""
    return exp.cast(column, "TIMESTAMP")


def _table(name: str, alias: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True), alias=exp.TableAlias(this=exp.to_identifier(alias)))
