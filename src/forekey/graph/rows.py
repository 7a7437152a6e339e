"""The rows of one table as the graph holds them: typed by meaning, in the order of time, the unusable ones counted.

Row order is canonical: by time, then primary key, then every column. A row's number is therefore its rank in time,
so "visible at T" is "number below a bound", and equal rows give equal snapshots however they were read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from forekey.graph.keys import stored_key
from forekey.schema import ColumnSchema, Schema, Stype, TableSchema
from forekey.source import Source


@dataclass(frozen=True, slots=True)
class Rows:
    """Canonical rows of one table. ``read`` counts source rows; ``read = len(table) + sum(quarantined)``.

    ``newest`` is the newest time (microseconds) of any row read, quarantined or not: an update starts after it.
    """

    table: pa.Table
    read: int
    quarantined: dict[str, int]
    newest: int | None


def read_rows(
    source: Source, schema: Schema, name: str, as_of: str, after: str | None, workspace: Path, *, undated: bool = True
) -> Rows:
    """Read a table's rows with ``after < time <= as_of`` (ISO timestamps in UTC; ``after`` None for all before).

    Rows without a time are read too (unless ``undated`` is False), and quarantined: they cannot be placed in time.
    Tables without a time column are read whole.
    """
    table = schema.table(name)
    statement = _select(schema, table).where(*_period(table, as_of, after, undated))
    with _engine(workspace) as engine:
        engine.register("incoming", source.query(statement))
        engine.execute(f"CREATE TABLE staged AS {_typed(schema, table).from_('incoming').sql(dialect='duckdb')}")
        engine.unregister("incoming")
        read, newest = _measure(engine, table)
        quarantined = _quarantine(engine, table)
        ordered = exp.select("*").from_("staged").order_by(*_order(table))
        rows = engine.sql(ordered.sql(dialect="duckdb")).to_arrow_table()
    return Rows(canonical(rows), read, quarantined, newest)


def count_known(source: Source, table: TableSchema, until: str) -> tuple[int, int]:
    """Count the rows at or before a time, and those without any: what an update takes to be unchanged."""
    assert table.time_column is not None
    time = exp.cast(exp.column(table.time_column, quoted=True), "TIMESTAMP")
    dated = exp.Count(this=exp.Case().when(time <= _timestamp(until), exp.Literal.number(1)))
    undated = exp.Count(this=exp.Case().when(time.copy().is_(exp.null()), exp.Literal.number(1)))
    statement = exp.select(dated.as_("dated"), undated.as_("undated")).from_(_quoted(table.name))
    row = source.query(statement).read_all().to_pylist()[0]
    return int(row["dated"]), int(row["undated"])


def newest_time(source: Source, table: TableSchema, now: str) -> Any:
    """Return the newest time of a table's rows that is not in the future, or None."""
    assert table.time_column is not None
    time = exp.cast(exp.column(table.time_column, quoted=True), "TIMESTAMP")
    statement = exp.select(exp.Max(this=time).as_("newest")).from_(_quoted(table.name)).where(time <= _timestamp(now))
    return source.query(statement).read_all().column("newest")[0].as_py()


def storage_type(column: ColumnSchema, table: TableSchema) -> str:
    """Return the DuckDB type in which a column that is no key is kept: it follows from what the column means."""
    if column.name == table.time_column:
        return "TIMESTAMP"
    return {
        Stype.NUMERICAL: "DOUBLE",
        Stype.TIMESTAMP: "TIMESTAMP",
        Stype.BOOLEAN: "BOOLEAN",
        Stype.EMBEDDING: "FLOAT[]",
        Stype.MULTICATEGORICAL: "VARCHAR[]",
    }.get(column.stype, "VARCHAR")


def kept_columns(table: TableSchema) -> list[ColumnSchema]:
    """Return the columns that the graph holds: keys, the time, and everything that is not ignored."""
    roles = table.keys | {table.time_column}
    return [c for c in table.columns if c.stype is not Stype.IGNORE or c.name in roles]


def canonical(rows: pa.Table) -> pa.Table:
    """Return the rows with equal bytes for equal contents: what lies under a NULL is zero, no slack, no offsets."""
    return pa.table({name: _canonical_column(rows.column(name)) for name in rows.column_names})


def _canonical_column(column: pa.ChunkedArray) -> pa.Array:
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_list(array.type):
        return array
    missing = array.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_string(array.type):
        filled = pc.fill_null(array, "") if array.null_count else array
        bitmap = pa.py_buffer(np.packbits(~missing, bitorder="little")) if array.null_count else None
        _, offsets, data = filled.buffers()
        return pa.StringArray.from_buffers(len(filled), offsets, data, bitmap, array.null_count, filled.offset)
    plain = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
    zero = False if pa.types.is_boolean(array.type) else 0
    values = pc.fill_null(plain, zero).to_numpy(zero_copy_only=False)
    return pa.array(values, mask=missing if array.null_count else None).cast(array.type)


@contextmanager
def _engine(workspace: Path) -> Iterator[Any]:
    """Open a DuckDB that keeps what does not fit in memory in ``workspace``."""
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute("SET enable_progress_bar = false")
        engine.execute(f"SET temp_directory = {exp.Literal.string(str(workspace)).sql(dialect='duckdb')}")
        yield engine


def _select(schema: Schema, table: TableSchema) -> exp.Select:
    return exp.select(*(exp.column(c.name, quoted=True) for c in kept_columns(table))).from_(_quoted(table.name))


def _typed(schema: Schema, table: TableSchema) -> exp.Select:
    return exp.select(*(_as_stored(c, schema, table).as_(c.name, quoted=True) for c in kept_columns(table)))


def _as_stored(column: ColumnSchema, schema: Schema, table: TableSchema) -> Any:
    value = exp.column(column.name, quoted=True)
    parents = {fk.column: schema.table(fk.parent) for fk in table.foreign_keys}
    if column.name in parents:
        parent = parents[column.name]
        return stored_key(value, column.dtype, parent.column(parent.primary_key or "").dtype)
    if column.name == table.primary_key:
        return stored_key(value, column.dtype, column.dtype)
    kind = storage_type(column, table)
    stored = exp.TryCast(this=value, to=exp.DataType.build(kind, dialect="duckdb"))
    if kind == "TIMESTAMP":
        # An infinite moment is no moment.
        return exp.Case().when(exp.func("isfinite", stored.copy()), stored)
    return stored


def _period(table: TableSchema, as_of: str, after: str | None, undated: bool) -> Sequence[Any]:
    if table.time_column is None:
        return []
    time = exp.cast(exp.column(table.time_column, quoted=True), "TIMESTAMP")
    bounds: list[Any] = [time <= _timestamp(as_of), *([time > _timestamp(after)] if after is not None else [])]
    inside = exp.and_(*bounds)
    if not undated:
        return [inside]
    return [exp.paren(exp.or_(time.is_(exp.null()), inside))]


def _measure(engine: Any, table: TableSchema) -> tuple[int, int | None]:
    """Return the number of staged rows and their newest time in microseconds."""
    time = exp.null() if table.time_column is None else exp.column(table.time_column, quoted=True)
    newest = exp.func("epoch_us", exp.cast(exp.Max(this=time), "TIMESTAMP"))
    statement = exp.select(exp.Count(this=exp.Star()), newest).from_("staged")
    rows, micros = engine.execute(statement.sql(dialect="duckdb")).fetchall()[0]
    return int(rows), int(micros) if micros is not None else None


def _quarantine(engine: Any, table: TableSchema) -> dict[str, int]:
    """Remove and count rows that cannot be nodes: no time, no key, a key that an earlier row has."""
    removed: dict[str, int] = {}
    for reason, column in (("no time", table.time_column), ("no key", table.primary_key)):
        if column is not None:
            where = exp.column(column, quoted=True).is_(exp.null())
            statement = exp.delete("staged").where(where).sql(dialect="duckdb")
            removed[reason] = int(engine.execute(statement).fetchall()[0][0])
    if table.primary_key is not None:
        removed["duplicate key"] = _drop_duplicates(engine, table)
    return {reason: n for reason, n in removed.items() if n}


def _drop_duplicates(engine: Any, table: TableSchema) -> int:
    key = exp.column(table.primary_key or "", quoted=True)
    rows, keys = engine.execute(
        exp.select(exp.Count(this=exp.Star()), exp.Count(this=exp.Distinct(expressions=[key])))
        .from_("staged")
        .sql(dialect="duckdb")
    ).fetchall()[0]
    if rows == keys:
        return 0
    rank = exp.Window(
        this=exp.RowNumber(), partition_by=[key.copy()], order=exp.Order(expressions=_order(table, whole=True))
    )
    first = exp.select("*").from_("staged").qualify(exp.EQ(this=rank, expression=exp.Literal.number(1)))
    engine.execute(f"CREATE OR REPLACE TABLE staged AS {first.sql(dialect='duckdb')}")
    return int(rows - keys)


def _order(table: TableSchema, *, whole: bool = False) -> list[exp.Ordered]:
    """Order by time and key; by every column where there is no key, or ``whole`` asks for it."""
    leading = [c for c in (table.time_column, table.primary_key) if c is not None]
    keyed = table.primary_key is not None and not whole
    rest = [] if keyed else [c.name for c in kept_columns(table) if c.name not in leading]
    return [exp.Ordered(this=exp.column(c, quoted=True), desc=False, nulls_first=False) for c in [*leading, *rest]]


def _timestamp(moment: str) -> exp.Expression:
    return exp.cast(exp.Literal.string(moment), "TIMESTAMP")


def _quoted(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))
