"""Small random databases with everything that goes wrong in real ones, and sources over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from forekey.source.duck import DuckDBSource
from tests.support.random_rows import NUMBERS, RandomRows

START = datetime(2024, 1, 1)
Tables = dict[str, pa.Table]


@st.composite
def shops(draw: st.DrawFn, most_orders: int = 30) -> Tables:
    """Customers (without a time), orders (keyed, timed) and lines (timed, without a key); orphans, NULLs, duplicates."""
    r = RandomRows(draw(NUMBERS))
    odd, kinds = (float("nan"), float("inf"), -0.0, 1e300), ("a", "b", "Ünïcode", "o'brien", "")
    customers = [(r.one(*range(8)), r.one(*kinds), r.number(*odd)) for _ in range(r.size(8))]
    orders = [
        (r.one(*range(26)), r.one(*range(10)), r.day(START, 20), r.number(*odd), r.one(*kinds))
        for _ in range(r.size(most_orders))
    ]
    lines = [(r.one(*range(26)), r.day(START, 20), r.integer(-3, 3)) for _ in range(r.size(most_orders))]
    return {
        "customers": table({"customer_id": pa.int64(), "region": pa.string(), "age": pa.float64()}, customers),
        "orders": table(
            {
                "order_id": pa.int64(),
                "customer_id": pa.int64(),
                "placed_at": pa.timestamp("us"),
                "amount": pa.float64(),
                "kind": pa.string(),
            },
            orders,
        ),
        "lines": table({"order_id": pa.int64(), "added_at": pa.timestamp("us"), "quantity": pa.int64()}, lines),
    }


def table(types: dict[str, pa.DataType], rows: list[tuple[Any, ...]]) -> pa.Table:
    """Build a table from rows of Python values."""
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in types]
    return pa.table({n: pa.array(list(c), t) for (n, t), c in zip(types.items(), columns, strict=True)})


SHOP_SCHEMA = Schema(
    (
        TableSchema(
            "customers",
            (
                ColumnSchema("customer_id", DType.INTEGER, Stype.ID),
                ColumnSchema("region", DType.TEXT, Stype.CATEGORICAL),
                ColumnSchema("age", DType.FLOAT, Stype.NUMERICAL),
            ),
            primary_key="customer_id",
        ),
        TableSchema(
            "orders",
            (
                ColumnSchema("order_id", DType.INTEGER, Stype.ID),
                ColumnSchema("customer_id", DType.INTEGER, Stype.ID),
                ColumnSchema("placed_at", DType.TIMESTAMP, Stype.TIMESTAMP),
                ColumnSchema("amount", DType.FLOAT, Stype.NUMERICAL),
                ColumnSchema("kind", DType.TEXT, Stype.CATEGORICAL),
            ),
            primary_key="order_id",
            time_column="placed_at",
            foreign_keys=(ForeignKey("customer_id", "customers"),),
        ),
        TableSchema(
            "lines",
            (
                ColumnSchema("order_id", DType.INTEGER, Stype.ID),
                ColumnSchema("added_at", DType.TIMESTAMP, Stype.TIMESTAMP),
                ColumnSchema("quantity", DType.INTEGER, Stype.NUMERICAL),
            ),
            time_column="added_at",
            foreign_keys=(ForeignKey("order_id", "orders"),),
        ),
    )
)


def source_of(tables: Tables, url: str = "memory") -> DuckDBSource:
    """Open a source over Arrow tables, in memory."""
    connection = duckdb.connect()
    for name, rows in tables.items():
        quoted = '"' + name.replace('"', '""') + '"'
        connection.register("rows", rows)
        connection.execute(f"CREATE TABLE {quoted} AS SELECT * FROM rows")
        connection.unregister("rows")
    return DuckDBSource(url, connection)


def cut(tables: Tables, schema: Schema, moment: datetime) -> Tables:
    """Return the database as it was at a moment: timed rows after it are gone, as are those without a time."""

    def keep(name: str) -> Callable[[Any], bool]:
        column = schema.table(name).time_column
        return lambda row: column is None or (row[column] is not None and row[column] <= moment)

    return {
        n: pa.Table.from_pylist([r for r in t.to_pylist() if keep(n)(r)], schema=t.schema) for n, t in tables.items()
    }


def with_copies_of_foreign_keys(tables: Tables) -> tuple[Tables, Schema]:
    """Return the database with each foreign key once more, as a feature, so that rows tell what they pointed at."""
    told, schemas = dict(tables), []
    for table in SHOP_SCHEMA.tables:
        copies = [f"copy of {fk.column}" for fk in table.foreign_keys]
        for fk, copy in zip(table.foreign_keys, copies, strict=True):
            told[table.name] = told[table.name].append_column(copy, told[table.name].column(fk.column))
        columns = [ColumnSchema(c, DType.INTEGER, Stype.NUMERICAL) for c in copies]
        schemas.append(replace(table, columns=(*table.columns, *columns)))
    return told, Schema(tuple(schemas))
