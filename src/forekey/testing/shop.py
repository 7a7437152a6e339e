"""A small shop in which there is something to learn, as Arrow tables or a DuckDB file."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

SHOP_START = datetime(2024, 1, 1)

SHOP_TASKS = {
    "churn": (
        "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id "
        "WHERE COUNT(orders.*, -60, 0, days) > 0"
    ),
    "spend": "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id",
    "next_channel": "PREDICT FIRST(orders.channel, 0, 30, days) FOR EACH customers.customer_id",
    "channels": "PREDICT LIST_DISTINCT(orders.channel, 0, 60, days) CLASSIFY FOR EACH customers.customer_id",
    "weeks": "PREDICT SUM(orders.amount, 0, 14, days) FORECAST 3 TIMEFRAMES FOR EACH customers.customer_id",
    "baskets": "PREDICT LIST_DISTINCT(order_lines.sku, 0, 30, days) RANK TOP 5 FOR EACH customers.customer_id",
}


def write_database(path: Path, tables: dict[str, pa.Table], ddl: Iterable[str] = ()) -> Path:
    """Write Arrow tables into a DuckDB file; ``ddl`` runs first and may declare some of them with their keys."""
    with duckdb.connect(str(path)) as connection:
        for statement in ddl:
            connection.execute(statement)
        for name, rows in tables.items():
            append_rows(connection, name, rows)
    return path


def append_rows(connection: Any, table: str, rows: pa.Table) -> None:
    """Append rows to a table of an open DuckDB, creating it if it is not there."""
    quoted = '"' + table.replace('"', '""') + '"'
    connection.register("new_rows", rows)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {quoted} AS SELECT * FROM new_rows LIMIT 0")
    connection.execute(f"INSERT INTO {quoted} BY NAME SELECT * FROM new_rows")
    connection.unregister("new_rows")


def shop_tables(customers: int = 200, days: int = 360, seed: int = 0) -> dict[str, pa.Table]:
    """Generate a small shop in which there is something to learn.

    Customers order at rates of their own, some fall silent for good, and each prefers a channel and a few products; so
    the past predicts churn, spend, channel and baskets. Tables: customers, products, orders, order_lines (without a key
    of its own).
    """
    random = np.random.default_rng(seed)
    rates = random.gamma(1.5, 0.04, customers)
    silent_from = np.where(random.random(customers) < 0.4, random.uniform(60, days, customers), days + 1.0)
    counts = random.poisson(rates * np.minimum(silent_from, days))
    who = np.repeat(np.arange(customers), counts)
    when = random.uniform(0, 1, len(who)) * np.minimum(silent_from, days)[who]
    order = np.argsort(when, kind="stable")
    who, when = who[order], when[order]
    level = random.lognormal(3, 0.6, customers)
    channels = np.array(["web", "app", "shop"])
    preferred = random.integers(0, 3, customers)
    channel = np.where(random.random(len(who)) < 0.8, preferred[who], random.integers(0, 3, len(who)))
    lines = random.integers(1, 4, len(who))
    buyer = np.repeat(who, lines)
    favourites = np.random.default_rng((seed, 1))
    favoured = favourites.integers(0, 30, (customers, 4))[buyer, favourites.integers(0, 4, len(buyer))]
    return {
        "customers": pa.table(
            {
                "customer_id": np.arange(customers) + 1,
                "region": random.choice(["north", "south", "east", "west"], customers),
                "age": random.integers(18, 90, customers),
            }
        ),
        "products": pa.table(
            {
                "sku": [f"sku-{i:03d}" for i in range(30)],
                "title": [f"thing number {i} in {c}" for i, c in enumerate(random.choice(["red", "blue"], 30))],
                "price": random.lognormal(2, 0.5, 30),
            }
        ),
        "orders": pa.table(
            {
                "order_id": np.arange(len(who)) + 1,
                "customer_id": who + 1,
                "placed_at": _moments(when),
                "amount": level[who] * random.lognormal(0, 0.3, len(who)),
                "channel": channels[channel],
                "gift": random.random(len(who)) < 0.1,
            }
        ),
        "order_lines": pa.table(
            {
                "order_id": np.repeat(np.arange(len(who)) + 1, lines),
                "sku": [
                    f"sku-{i:03d}"
                    for i in np.where(favourites.random(len(buyer)) < 0.7, favoured, random.integers(0, 30, len(buyer)))
                ],
                "quantity": random.integers(1, 6, lines.sum()),
                "added_at": _moments(np.repeat(when, lines)),
            }
        ),
    }


SHOP_DDL = (
    "CREATE TABLE customers (customer_id BIGINT PRIMARY KEY, region VARCHAR, age BIGINT)",
    "CREATE TABLE products (sku VARCHAR PRIMARY KEY, title VARCHAR, price DOUBLE)",
    "CREATE TABLE orders (order_id BIGINT PRIMARY KEY, customer_id BIGINT, placed_at TIMESTAMP, amount DOUBLE, "
    "channel VARCHAR, gift BOOLEAN)",
    "CREATE TABLE order_lines (order_id BIGINT, sku VARCHAR, quantity BIGINT, added_at TIMESTAMP)",
)


def write_shop(path: Path, customers: int = 200, days: int = 360, seed: int = 0) -> Path:
    """Write :func:`shop_tables` into a DuckDB file."""
    return write_database(path, shop_tables(customers, days, seed), SHOP_DDL)


def write_shop_postgres(uri: str, customers: int = 200, days: int = 360, seed: int = 0) -> str:
    """Write :func:`shop_tables` into an empty Postgres database, with the keys that they have; return its URL."""
    import adbc_driver_postgresql.dbapi as adbc

    tables = shop_tables(customers, days, seed)
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        for statement in SHOP_DDL:
            cursor.execute(statement.replace("DOUBLE", "DOUBLE PRECISION"))
        for name, rows in tables.items():
            cursor.adbc_ingest(name, rows, mode="append")
        connection.commit()
    return uri


def _moments(days: np.ndarray[Any, Any]) -> pa.Array:
    micros = np.datetime64(SHOP_START, "us") + (days * 86_400e6).astype("timedelta64[us]")
    return pa.array(micros)
