"""Every published query fits a schema that has what it names, and compiles to SQL that DuckDB and Postgres accept."""

from __future__ import annotations

from datetime import datetime

import pytest
import sqlglot

from forekey.query import bind, label_sql, parse
from forekey.query.tree import (
    Aggregation,
    Aggregator,
    Column,
    Comparison,
    Condition,
    Constant,
    Operand,
    Query,
    aggregations,
    operands,
)
from forekey.query.tree import And as AllOf
from forekey.query.tree import Not as Refused
from forekey.query.tree import Or as AnyOf
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from tests.query.test_parser import EXAMPLES, PUBLISHED

TEXTS = PUBLISHED.read_text().splitlines() if PUBLISHED.is_file() else []
QUERIES = [*(t for t in TEXTS if t.strip() and not t.startswith("#")), *EXAMPLES[:4], *EXAMPLES[6:9]]
STYPES = {DType.INTEGER: Stype.NUMERICAL, DType.FLOAT: Stype.NUMERICAL, DType.TIMESTAMP: Stype.TIMESTAMP}


def comparisons(node: Operand | Condition | None) -> list[Comparison]:
    match node:
        case Comparison():
            inner = comparisons(node.operand.where) if isinstance(node.operand, Aggregation) else []
            return [node, *inner]
        case Refused(condition=inner):
            return comparisons(inner)
        case AllOf(conditions=parts) | AnyOf(conditions=parts):
            return [c for part in parts for c in comparisons(part)]
        case Aggregation(where=where):
            return comparisons(where)
        case _:
            return []


def dtype_of(value: Constant) -> DType:
    kinds = {bool: DType.BOOLEAN, int: DType.INTEGER, float: DType.FLOAT, datetime: DType.TIMESTAMP}
    return kinds.get(type(value), DType.TEXT)


def fitting_schema(query: Query) -> Schema:
    """Make the smallest schema that a query may be about: what it aggregates refers to the entity."""
    found: dict[str, dict[str, DType]] = {query.entity.table: {query.entity.name: dtype_of((query.ids or (1,))[0])}}

    def note(column: Column, dtype: DType) -> None:
        found.setdefault(column.table, {})
        if column.name != "*":
            found[column.table].setdefault(column.name, dtype)

    parts = (query.target, query.where, query.assuming)
    for comparison in (c for part in parts for c in comparisons(part)):
        if isinstance(comparison.operand, Column) and comparison.values:
            value = comparison.values[0]
            dated = isinstance(value, str) and value[:4].isdigit()
            note(comparison.operand, DType.TIMESTAMP if dated else dtype_of(value))
    for aggregation in (a for part in parts for a in aggregations(part)):
        listed = aggregation.aggregator is Aggregator.LIST_DISTINCT
        note(aggregation.column, DType.TEXT if listed else DType.FLOAT)
    for operand in operands(query.target):
        if isinstance(operand, Column):
            note(operand, DType.FLOAT)
    return Schema(tuple(table_of(name, columns, query) for name, columns in found.items()))


def table_of(name: str, columns: dict[str, DType], query: Query) -> TableSchema:
    listed = tuple(ColumnSchema(n, d, STYPES.get(d, Stype.CATEGORICAL)) for n, d in columns.items())
    if name == query.entity.table:
        return TableSchema(name, listed, query.entity.name)
    own = (
        ColumnSchema("own_key", DType.INTEGER, Stype.ID),
        ColumnSchema("entity_key", DType.INTEGER, Stype.ID),
        ColumnSchema("happened_at", DType.TIMESTAMP, Stype.TIMESTAMP),
    )
    foreign = (ForeignKey("entity_key", query.entity.table),)
    return TableSchema(name, (*own, *listed), "own_key", "happened_at", foreign)


@pytest.mark.parametrize("text", QUERIES)
def test_a_published_query_binds_and_compiles(text: str) -> None:
    query = parse(text)
    bound = bind(query, fitting_schema(query))
    anchors = [datetime(2024, 1, 1), datetime(2024, 2, 1)]
    statement = label_sql(bound, anchors)
    for dialect in ("duckdb", "postgres"):
        assert sqlglot.parse_one(statement.sql(dialect=dialect), dialect=dialect).find(sqlglot.exp.Select)
