"""Hold a parsed query against a schema: resolve every name, check every type, decide the task type.

All errors of meaning are raised here, before any data is read.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from forekey.errors import PQLError, SchemaError
from forekey.query.bound import BoundAggregation, BoundColumn, BoundQuery, TaskType
from forekey.query.paths import join_path
from forekey.query.tree import (
    Aggregation,
    Aggregator,
    Column,
    Comparison,
    Condition,
    Constant,
    Not,
    Operand,
    Operator,
    Or,
    Problem,
    ProblemKind,
    Query,
    Window,
    aggregations,
    columns,
    is_condition,
    operands,
)
from forekey.query.tree import And as AllOf
from forekey.schema import ColumnSchema, DType, Schema, Stype, TableSchema, did_you_mean

_NUMBERS = frozenset({DType.INTEGER, DType.FLOAT})
_ORDERED = frozenset({DType.INTEGER, DType.FLOAT, DType.TIMESTAMP})
_TEXT_OPERATORS = frozenset(
    {
        Operator.LIKE,
        Operator.NOT_LIKE,
        Operator.CONTAINS,
        Operator.NOT_CONTAINS,
        Operator.STARTS_WITH,
        Operator.ENDS_WITH,
    }
)
_MAX_FRAMES = 1000
_ORDER_OPERATORS = frozenset({Operator.LT, Operator.LE, Operator.GT, Operator.GE, Operator.BETWEEN})


def bind(query: Query, schema: Schema) -> BoundQuery:
    """Check a query against a schema; :class:`PQLError` with a caret under what does not fit."""
    return _Binder(query, schema).bind()


class _Binder:
    def __init__(self, query: Query, schema: Schema) -> None:
        self._query = query
        self._schema = schema
        self._aggregations: dict[Aggregation, BoundAggregation] = {}
        self._columns: dict[Column, BoundColumn] = {}

    def bind(self) -> BoundQuery:
        entity = self._entity()
        target = self._query.target
        for part in (target, self._query.where, self._query.assuming):
            for operand in operands(part):
                self._bind_operand(operand, entity)
            self._check_condition(part, {})
        self._check_windows()
        task_type, reason = self._task_type()
        frames = self._frames(entity) if task_type is TaskType.FORECASTING else ()
        return BoundQuery(
            self._query,
            self._schema,
            entity,
            task_type,
            reason,
            self._target_window(frames),
            self._aggregations,
            self._columns,
            frames,
        )

    def _frames(self, entity: TableSchema) -> tuple[Aggregation, ...]:
        """Bind the target over each window of a forecast; the one that is written is the first."""
        target, problem = self._query.target, self._query.problem
        assert isinstance(target, Aggregation)
        assert target.window is not None
        assert problem is not None
        count, window = problem.number or 0, target.window
        if not 1 <= count <= _MAX_FRAMES:
            raise self._error(f"A forecast has 1 to {_MAX_FRAMES} timeframes, not {count}.", problem)
        width = window.end - (window.start or 0)
        moved = (Window((window.start or 0) + i * width, window.end + i * width, window.unit) for i in range(count))
        frames = tuple(replace(target, window=w) for w in moved)
        for frame in frames:
            self._bind_operand(frame, entity)
        return frames

    def _entity(self) -> TableSchema:
        column = self._query.entity
        table = self._table(column)
        if table.primary_key is None:
            raise self._error(
                f"Table '{table.name}' has no primary key, so its rows cannot be told apart as entities. "
                "Set primary_key under tables: in forekey.yaml.",
                column,
            )
        if column.name != table.primary_key:
            raise self._error(f"FOR EACH must name the primary key, {table.name}.{table.primary_key}.", column)
        self._columns[column] = BoundColumn(table.column(column.name), table, ())
        for value in self._query.ids or ():
            self._check_literal(table.column(column.name), value, column)
        return table

    def _bind_operand(self, operand: Operand, entity: TableSchema) -> None:
        if isinstance(operand, Aggregation):
            self._aggregations[operand] = self._bind_aggregation(operand, entity)
        else:
            self._columns[operand] = self._bind_column(operand, entity)

    def _bind_column(self, column: Column, start: TableSchema) -> BoundColumn:
        """Resolve a column of ``start`` or of a table that its foreign keys lead up to."""
        table = self._table(column)
        if column.name == "*":
            raise self._error("'*' can only be counted: COUNT(table.*).", column)
        found = self._column(table, column)
        if table.name == start.name and not column.via:
            return BoundColumn(found, table, ())
        return BoundColumn(found, table, join_path(self._schema, column, start.name, table.name, self._query.text))

    def _bind_aggregation(self, aggregation: Aggregation, entity: TableSchema) -> BoundAggregation:
        column = aggregation.column
        table = self._table(column)
        value = None if column.name == "*" else self._column(table, column)
        self._check_aggregated(aggregation, table, value)
        self._check_own_rows(column, entity)
        path = join_path(self._schema, column, table.name, entity.name, self._query.text)
        nested = {a: self._bind_nested(a, table) for a in aggregations(aggregation.where)}
        filters = {c: self._bind_column(c, table) for c in columns(aggregation.where)}
        dtypes: dict[Operand, DType] = {c: b.column.dtype for c, b in filters.items()}
        self._check_condition(aggregation.where, dtypes | {a: _dtype_of(a, b.value) for a, b in nested.items()})
        if aggregation.window is not None and table.time_column is None:
            raise self._error(
                f"Table '{table.name}' has no time column, so a window over it means nothing. "
                "Set time_column under tables: in forekey.yaml, or leave the window out.",
                aggregation,
            )
        return BoundAggregation(aggregation, table, value, path, aggregation.window, filters, nested)

    def _check_own_rows(self, column: Column, entity: TableSchema) -> None:
        """Refuse rows of the entity's own table that may be the entity itself, or others that refer to it."""
        own = [fk.column for fk in entity.foreign_keys if fk.parent == entity.name]
        if column.table == entity.name and not column.via and own:
            raise self._error(
                f"Rows of '{entity.name}' are the entities themselves. Say which refer to it: {column} VIA {own[0]}.",
                column,
            )

    def _bind_nested(self, aggregation: Aggregation, table: TableSchema) -> BoundAggregation:
        """Bind an aggregation that filters rows of ``table``: each row is to it what the entity is to the others."""
        if table.primary_key is None:
            raise self._error(
                f"Rows of '{table.name}' have no primary key, so nothing can be counted for each of them. "
                "Set primary_key under tables: in forekey.yaml.",
                aggregation,
            )
        if aggregation.aggregator is Aggregator.LIST_DISTINCT:
            raise self._error("A list cannot be compared; COUNT_DISTINCT gives its length.", aggregation)
        window = aggregation.window
        if window is not None and window.end > 0:
            raise self._error(
                "Inside an aggregation's WHERE, the future is not known: windows must end at 0 or earlier.", aggregation
            )
        self._check_order(aggregation)
        return self._bind_aggregation(aggregation, table)

    def _check_aggregated(self, aggregation: Aggregation, table: TableSchema, value: ColumnSchema | None) -> None:
        kind = aggregation.aggregator
        if value is None:
            if kind is not Aggregator.COUNT:
                raise self._error(
                    f"'*' can only be counted: {kind} needs a column of '{table.name}'.", aggregation.column
                )
            return
        name = f"{table.name}.{value.name}"
        if kind in {Aggregator.SUM, Aggregator.AVG}:
            if value.name in table.keys:
                raise self._error(f"{name} is a key; keys cannot be summed or averaged.", aggregation.column)
            if value.dtype not in _NUMBERS:
                raise self._error(f"{kind} needs numbers, but {name} is stored as {value.dtype}.", aggregation.column)
        if kind in {Aggregator.MIN, Aggregator.MAX} and value.dtype not in _ORDERED:
            raise self._error(f"{kind} needs an order, but {name} is stored as {value.dtype}.", aggregation.column)
        if kind in {Aggregator.FIRST, Aggregator.LAST} and table.time_column is None:
            raise self._error(f"{kind} needs a time column, but table '{table.name}' has none.", aggregation.column)
        if kind is Aggregator.LIST_DISTINCT and value.name == table.primary_key:
            raise self._error(f"{name} is the key of its own rows: each is listed once, by definition.", aggregation)
        if kind is Aggregator.LIST_DISTINCT and value.stype not in {Stype.ID, Stype.CATEGORICAL}:
            raise self._error(
                f"LIST_DISTINCT needs a foreign key or a categorical column; {name} is neither.", aggregation
            )

    def _check_windows(self) -> None:
        for aggregation in aggregations(self._query.target):
            self._check_target_window(aggregation)
        for aggregation in aggregations(self._query.where):
            if aggregation.window is not None and aggregation.window.end > 0:
                raise self._error(
                    "The future is not known when WHERE is decided: its windows must end at 0 or earlier. "
                    "To condition on the future, use ASSUMING.",
                    aggregation,
                )
        for aggregation in aggregations(self._query.assuming):
            if aggregation.window is None or aggregation.window.start is None or aggregation.window.start < 0:
                raise self._error("ASSUMING is about the future: its windows must start at 0 or later.", aggregation)
        for aggregation in self._aggregations:
            self._check_order(aggregation)

    def _check_order(self, aggregation: Aggregation) -> None:
        window = aggregation.window
        if window is not None and window.start is not None and window.start >= window.end:
            raise self._error("The window is empty: it must start before it ends.", aggregation)

    def _check_target_window(self, aggregation: Aggregation) -> None:
        window, table = aggregation.window, self._aggregations[aggregation].table
        if table.time_column is None:
            raise self._error(
                f"The rows of '{table.name}' have no time: all are known already, and nothing is left to predict. "
                "Set time_column under tables: in forekey.yaml.",
                aggregation,
            )
        if window is None:
            raise self._error("A target needs a window, for example COUNT(orders.*, 0, 30, days).", aggregation)
        if window.start is None or window.start < 0:
            raise self._error("A target looks ahead: its window must start at 0 or later.", aggregation)

    def _target_window(self, frames: tuple[Aggregation, ...]) -> Window | None:
        windows = [a.window for a in frames or aggregations(self._query.target) if a.window is not None]
        if not windows:
            return None
        units = {w.unit for w in windows}
        if len(units) > 1:
            raise self._error("All windows of a target must use one unit.", self._query.target)
        return Window(min(w.start or 0 for w in windows), max(w.end for w in windows), windows[0].unit)

    def _task_type(self) -> tuple[TaskType, str]:
        target, problem = self._query.target, self._query.problem
        listed = isinstance(target, Aggregation) and target.aggregator is Aggregator.LIST_DISTINCT
        if listed and problem is None:
            raise self._error("LIST_DISTINCT needs CLASSIFY or RANK TOP k after it.", target)
        if problem is not None:
            return self._asked_type(problem.kind, listed)
        if is_condition(target):
            return TaskType.BINARY_CLASSIFICATION, "the target is a condition"
        return self._value_type()

    def _asked_type(self, kind: ProblemKind, listed: bool) -> tuple[TaskType, str]:
        target = self._query.target
        if kind is ProblemKind.FORECAST:
            if not isinstance(target, Aggregation) or listed:
                raise self._error("FORECAST needs an aggregation over a window.", target)
            numeric = self._value_type()[0] is TaskType.REGRESSION
            if not numeric:
                raise self._error("FORECAST needs a target that is a number.", target)
            return TaskType.FORECASTING, "FORECAST asks for a number in each of several windows"
        if not listed:
            raise self._error(f"{kind} goes with LIST_DISTINCT.", target)
        if kind is ProblemKind.CLASSIFY:
            return TaskType.MULTILABEL_CLASSIFICATION, "LIST_DISTINCT … CLASSIFY asks for a set of classes"
        problem = self._query.problem
        if problem is not None and problem.number is not None and problem.number < 1:
            raise self._error("RANK TOP k needs a k of 1 or more.", problem)
        return TaskType.LINK_PREDICTION, "LIST_DISTINCT … RANK asks for a ranking"

    def _value_type(self) -> tuple[TaskType, str]:
        target = self._query.target
        if isinstance(target, Aggregation):
            bound = self._aggregations[target]
            if target.aggregator not in {Aggregator.FIRST, Aggregator.LAST} or bound.value is None:
                if _dtype_of(target, bound.value) is DType.TIMESTAMP:
                    raise self._error("A moment in time cannot be predicted; compare it with a date instead.", target)
                return TaskType.REGRESSION, f"{target.aggregator} gives a number"
            column = bound.value
        else:
            assert isinstance(target, Column)
            column = self._columns[target].column
        if column.stype is Stype.NUMERICAL:
            return TaskType.REGRESSION, f"{column.name} is numerical"
        if column.stype is Stype.BOOLEAN:
            return TaskType.BINARY_CLASSIFICATION, f"{column.name} is a yes or no"
        if column.stype is Stype.CATEGORICAL:
            return TaskType.MULTICLASS_CLASSIFICATION, f"{column.name} is categorical"
        raise self._error(f"A column of type {column.stype} cannot be predicted.", target)

    def _check_condition(self, condition: Operand | Condition | None, row: dict[Operand, DType]) -> None:
        """Check every comparison; ``row`` holds the types of operands inside an aggregation's own WHERE."""
        match condition:
            case Comparison():
                self._check_comparison(condition, row)
            case Not(condition=inner):
                self._check_condition(inner, row)
            case AllOf(conditions=parts) | Or(conditions=parts):
                for part in parts:
                    self._check_condition(part, row)
            case _:
                return

    def _check_comparison(self, comparison: Comparison, row: dict[Operand, DType]) -> None:
        operand, operator = comparison.operand, comparison.operator
        known = row.get(operand)
        dtype = known if known is not None else self._dtype(operand)
        if operator in _TEXT_OPERATORS and dtype is not DType.TEXT:
            raise self._error(f"{operator} is for text, but this is {dtype}.", operand)
        if operator in _ORDER_OPERATORS and dtype not in _ORDERED:
            raise self._error(f"{operator} needs an order, but {dtype} has none.", operand)
        if None in comparison.values and operator not in {Operator.EQ, Operator.NE}:
            raise self._error(f"{operator} with NULL is never true; use IS NULL or IS NOT NULL.", operand)
        shown = ColumnSchema(self._name(operand), dtype, Stype.IGNORE)
        for value in comparison.values:
            self._check_literal(shown, value, operand)

    def _dtype(self, operand: Operand) -> DType:
        if isinstance(operand, Column):
            return self._columns[operand].column.dtype
        if operand.aggregator is Aggregator.LIST_DISTINCT:
            raise self._error("A list cannot be compared; COUNT_DISTINCT gives its length.", operand)
        return _dtype_of(operand, self._aggregations[operand].value)

    def _check_literal(self, column: ColumnSchema, value: Constant, place: Operand) -> None:
        if value is None:
            return
        fits = {
            DType.INTEGER: isinstance(value, int | float) and not isinstance(value, bool),
            DType.FLOAT: isinstance(value, int | float) and not isinstance(value, bool),
            DType.TEXT: isinstance(value, str),
            DType.UUID: isinstance(value, str),
            DType.BYTES: isinstance(value, str) and _is_hexadecimal(value),
            DType.OTHER: isinstance(value, str),
            DType.BOOLEAN: isinstance(value, bool) or value in (0, 1),
            DType.TIMESTAMP: isinstance(value, datetime) or (isinstance(value, str) and _is_date(value)),
        }
        if not fits.get(column.dtype, False):
            raise self._error(f"{column.name} is {column.dtype}; {value!r} is not.", place)
        if column.dtype is DType.UUID and not _is_uuid(str(value)):
            raise self._error(f"{column.name} is a UUID; {value!r} is not.", place)

    def _table(self, column: Column) -> TableSchema:
        try:
            return self._schema.table(column.table)
        except SchemaError as error:
            raise self._error(str(error), column) from None

    def _column(self, table: TableSchema, column: Column) -> ColumnSchema:
        if column.name not in table.column_names:
            hint = did_you_mean(column.name, table.column_names)
            raise self._error(f"Table '{table.name}' has no column '{column.name}'{hint}.", column)
        return table.column(column.name)

    def _name(self, operand: Operand) -> str:
        return str(operand) if isinstance(operand, Column) else f"{operand.aggregator}({operand.column})"

    def _error(self, reason: str, place: Operand | Condition | Problem) -> PQLError:
        position = getattr(place, "position", None)
        return PQLError(reason, self._query.text, position)


def _dtype_of(aggregation: Aggregation, value: ColumnSchema | None) -> DType:
    """Return the type of what an aggregation gives."""
    if aggregation.aggregator in {Aggregator.COUNT, Aggregator.COUNT_DISTINCT} or value is None:
        return DType.INTEGER
    return DType.FLOAT if aggregation.aggregator in {Aggregator.SUM, Aggregator.AVG} else value.dtype


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _is_hexadecimal(text: str) -> bool:
    return re.fullmatch(r"\s*(\\x|0x)?[0-9a-fA-F{}-]*\s*", text) is not None


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
