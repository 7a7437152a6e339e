"""Ways from rows to the rows they belong to, as SQL joins along foreign keys."""

from __future__ import annotations

from collections.abc import Collection

from sqlglot import exp

from forekey.graph import Spelling
from forekey.query.bound import BoundAggregation, BoundColumn, BoundQuery
from forekey.query.conditions import Written, read_value
from forekey.schema import Case, ColumnSchema, DType, EdgeType, Schema, TableSchema
from forekey.source import key_sql


def keep_clean(statement: exp.Select, schema: Schema, unclean: Collection[str]) -> exp.Select:
    """Replace each table with unusable keys by its rows that the graph keeps: the earliest of each key."""
    for table in list(statement.find_all(exp.Table)):
        if table.name in unclean and table.name in schema.names:
            table.replace(_earliest_of_each_key(schema.table(table.name)).subquery(table.alias))
    return statement


def own_columns(table: TableSchema) -> tuple[str, ...]:
    """Return the columns that a table's primary key is made of."""
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


def referred_key(schema: Schema, table: TableSchema, column: ColumnSchema) -> ColumnSchema | None:
    """Return the key that a column refers to or is itself, where it must be written as keys are; None elsewhere.

    That is so of composite keys, which are no column in SQL, of those compared without case, and of those that only
    the database can write as text.
    """
    if column.name not in table.keys:
        return None
    parent = next((fk.parent for fk in table.foreign_keys if fk.column == column.name), None)
    target = column
    if parent is not None and column.name != table.primary_key:
        target = schema.table(parent).column(schema.table(parent).primary_key or "")
    plain = not Spelling.of(target).parts and Spelling.of(target).case is Case.KEPT
    as_it_is = plain and column.dtype in {DType.INTEGER, DType.FLOAT, DType.TEXT, DType.UUID}
    return None if as_it_is else target


def value_sql(schema: Schema, table: TableSchema, column: ColumnSchema, alias: str) -> exp.Expression:
    """Write what a column of a query holds."""
    target = referred_key(schema, table, column)
    if target is not None:
        return key_sql(column, alias, target)
    return read_value(column, alias)


def operand_of(schema: Schema, reached: BoundColumn, alias: str) -> Written:
    """Write a column that a condition compares."""
    key = referred_key(schema, reached.table, reached.column)
    dtype = DType.TEXT if key is not None else reached.column.dtype
    return Written(value_sql(schema, reached.table, reached.column, alias), dtype, key)


def join_to_owner(
    statement: exp.Select, bound: BoundQuery, aggregation: BoundAggregation, own: ColumnSchema
) -> tuple[exp.Select, exp.Expression]:
    """Join from the rows up to the table that holds their owner's key; return that key as an expression."""
    if not aggregation.path:
        return statement, key_sql(own, "r", own)
    statement, alias = join_up(statement, bound.schema, aggregation.path[:-1], "r", "up")
    last = aggregation.path[-1]
    column = bound.schema.table(last.child).column(last.column)
    return statement, key_sql(column, alias, own)


def join_up(
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
        statement = statement.join(aliased(edge.parent, upper), on=on, join_type="left")
        alias = upper
    return statement, alias


def aliased(name: str, alias: str) -> exp.Table:
    """Write a table under another name."""
    return exp.Table(this=exp.to_identifier(name, quoted=True), alias=exp.TableAlias(this=exp.to_identifier(alias)))
