"""A shop as production databases are: fourteen tables, keys of every kind, and everything that goes wrong in them.

Self references, a cycle (customers -> products -> suppliers -> customers), two foreign keys to one table, keys of
several columns, reserved and non-English names, decimals, JSON, arrays, time zones. What is planted to be wrong is
counted in :attr:`Market.planted`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlglot import exp, parse_one

MARKET_START = datetime(2024, 1, 1)
MARKET_DAYS = 360

_DDL = {
    "categories": "category_id INTEGER, parent_id INTEGER, name TEXT",
    "suppliers": "supplier_id INTEGER, name TEXT, country CHAR(2), contact_customer_id BIGINT, rating NUMERIC(3,1)",
    "products": "product_id UUID, category_id INTEGER, supplier_id INTEGER, title TEXT, price NUMERIC(10,2), "
    "attributes JSON, tags TEXT[], embedding REAL[], discontinued BOOLEAN",
    "customers": 'customer_id BIGINT, email TEXT, joined_at TIMESTAMPTZ, favourite_product_id UUID, "größe" TEXT, '
    "newsletter BOOLEAN",
    "addresses": 'address_id INTEGER, customer_id BIGINT, city TEXT, "zip code" CHAR(10)',
    "coupons": "code VARCHAR(12), percent SMALLINT, valid_from DATE, valid_to DATE",
    "orders": "order_id BIGINT, customer_id BIGINT, placed_at TIMESTAMPTZ, billing_address_id INTEGER, "
    "shipping_address_id INTEGER, coupon_code CHAR(12), status TEXT, channel TEXT",
    "order_lines": "order_id BIGINT, line_no SMALLINT, product_id UUID, quantity SMALLINT, unit_price NUMERIC(10,2)",
    "payments": 'payment_id TEXT, "order" TEXT, paid_at TIMESTAMP, amount NUMERIC(12,2), method TEXT',
    "shipments": "shipment_id INTEGER, order_id BIGINT, shipped_at TIMESTAMP, carrier TEXT",
    "returns": "return_id INTEGER, order_id BIGINT, line_no SMALLINT, returned_at TIMESTAMP, reason TEXT",
    "reviews": "review_id INTEGER, product_id TEXT, customer_id BIGINT, rating SMALLINT, body TEXT, "
    "created_at TIMESTAMP",
    "sessions": "session_id UUID, customer_id BIGINT, started_at TIMESTAMPTZ, device TEXT",
    "events": 'event_id BIGINT, session_id TEXT, "group" TEXT, happened_at TIMESTAMPTZ, payload JSON',
}

_PRIMARY = {
    "categories": ("category_id",), "suppliers": ("supplier_id",), "products": ("product_id",),
    "customers": ("customer_id",), "addresses": ("address_id",), "orders": ("order_id",),
    "order_lines": ("order_id", "line_no"), "payments": ("payment_id",), "shipments": ("shipment_id",),
    "returns": ("return_id",), "reviews": ("review_id",), "sessions": ("session_id",), "events": ("event_id",),
}  # fmt: skip

# Declared in Postgres, where NOT VALID lets old rows be wrong; the other references are left to be found.
_DECLARED = (
    ("categories", ("parent_id",), "categories", ("category_id",)),
    ("suppliers", ("contact_customer_id",), "customers", ("customer_id",)),
    ("orders", ("billing_address_id",), "addresses", ("address_id",)),
    ("orders", ("shipping_address_id",), "addresses", ("address_id",)),
    ("returns", ("order_id", "line_no"), "order_lines", ("order_id", "line_no")),
)


@dataclass(frozen=True)
class Market:
    """The tables, and how many rows were made wrong in which way."""

    tables: dict[str, pa.Table]
    planted: dict[str, int]


def make_market(orders: int = 2_000, seed: int = 0) -> Market:
    """Generate the tables; ``orders`` scales all of them."""
    return _Maker(orders, np.random.default_rng(seed)).market()


def write_market_duckdb(path: Path, market: Market) -> Path:
    """Write a DuckDB file; primary keys are declared, foreign keys are not."""
    with duckdb.connect(str(path)) as connection:
        for name, rows in market.tables.items():
            primary = f", PRIMARY KEY ({_names(_PRIMARY[name])})" if name in _PRIMARY else ""
            connection.execute(f"CREATE TABLE {name} ({_DDL[name]}{primary})")
            connection.register("incoming", rows)
            connection.execute(f"INSERT INTO {name} SELECT * FROM incoming")
            connection.unregister("incoming")
    return path


def write_market_postgres(uri: str, market: Market) -> None:
    """Write into an empty Postgres database, with every primary key and some foreign keys declared."""
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        for name, rows in market.tables.items():
            cursor.execute(f"CREATE TABLE {name} ({_DDL[name]})")
            append_market_postgres(cursor, name, rows)
            if name in _PRIMARY:
                cursor.execute(f"ALTER TABLE {name} ADD PRIMARY KEY ({_names(_PRIMARY[name])})")
        for child, columns, parent, keys in _DECLARED:
            reference = f"FOREIGN KEY ({_names(columns)}) REFERENCES {parent} ({_names(keys)})"
            cursor.execute(f"ALTER TABLE {child} ADD {reference} NOT VALID")
        connection.commit()


def append_market_postgres(cursor: Any, name: str, rows: pa.Table) -> None:
    """Append rows to a table of the market in Postgres."""
    declared = parse_one(f"CREATE TABLE x ({_DDL[name]})", dialect="postgres").find_all(exp.ColumnDef)
    casts = ", ".join(f"{_names([d.name])}::{d.args['kind'].sql(dialect='postgres')}" for d in declared)
    cursor.adbc_ingest("forekey_incoming", rows, mode="create")
    cursor.execute(f"INSERT INTO {name} SELECT {casts} FROM forekey_incoming")
    cursor.execute("DROP TABLE forekey_incoming")


class _Maker:
    """Makes the tables one after the other, parents first where there is a first."""

    def __init__(self, orders: int, random: np.random.Generator) -> None:
        self.n, self.random = orders, random
        self.planted: dict[str, int] = {}
        self.customers = max(20, orders // 5)
        self.products = max(10, orders // 20)
        self.uuids = [str(uuid.UUID(bytes=random.bytes(16), version=4)) for _ in range(self.products)]
        self.rates = random.gamma(1.0, 1.0, self.customers)

    def market(self) -> Market:
        orders = self._orders()
        lines = self._lines(orders)
        sessions, events = self._sessions()
        tables = {
            "categories": self._categories(),
            "suppliers": self._suppliers(),
            "products": self._products(),
            "customers": self._customers(),
            "addresses": self._addresses(),
            "coupons": self._coupons(),
            "orders": orders,
            "order_lines": lines,
            "payments": self._payments(orders),
            "shipments": self._shipments(orders),
            "returns": self._returns(orders, lines),
            "reviews": self._reviews(),
            "sessions": sessions,
            "events": events,
        }
        return Market(tables, self.planted)

    def _categories(self) -> pa.Table:
        ids = np.arange(1, 13)
        return pa.table(
            {"category_id": ids, "parent_id": _nulls(ids // 3, ids < 3), "name": [f"category {i}" for i in ids]}
        )

    def _suppliers(self) -> pa.Table:
        ids, r = np.arange(1, 9), self.random
        return pa.table(
            {
                "supplier_id": ids,
                "name": [f"Supplier {i} & Söhne" for i in ids],
                "country": r.choice(["DE", "NL", "FR"], 8),
                "contact_customer_id": r.integers(1, self.customers + 1, 8),
                "rating": np.round(r.uniform(1, 5, 8), 1),
            }
        )

    def _products(self) -> pa.Table:
        r, n = self.random, self.products
        return pa.table(
            {
                "product_id": self.uuids,
                "category_id": r.integers(1, 13, n),
                "supplier_id": r.integers(1, 9, n),
                "title": [f"thing {i} {c}" for i, c in enumerate(r.choice(["rot", "blau", "grün"], n))],
                "price": np.round(r.lognormal(3, 0.7, n), 2),
                "attributes": [f'{{"weight": {w}}}' for w in r.integers(1, 100, n)],
                "tags": [["new"] if t else [] for t in r.random(n) < 0.3],
                "embedding": pa.array(r.normal(size=(n, 4)).astype(np.float32).tolist(), pa.list_(pa.float32())),
                "discontinued": r.random(n) < 0.1,
            }
        )

    def _customers(self) -> pa.Table:
        r, n = self.random, self.customers
        return pa.table(
            {
                "customer_id": np.arange(1, n + 1),
                "email": [f"customer{i}@example.org" for i in range(n)],
                "joined_at": _utc(-r.uniform(0, 700, n)),
                "favourite_product_id": [
                    self.uuids[i] if i < self.products else None for i in r.integers(0, 2 * self.products, n)
                ],
                "größe": r.choice(["S", "M", "L", "XL"], n),
                "newsletter": r.random(n) < 0.4,
            }
        )

    def _addresses(self) -> pa.Table:
        n, r = self.customers * 2, self.random
        return pa.table(
            {
                "address_id": np.arange(1, n + 1),
                "customer_id": np.arange(n) // 2 + 1,
                "city": r.choice(["Köln", "O'Brien", "São Paulo", "東京"], n),
                "zip code": [f"{z:05d}" for z in r.integers(0, 99999, n)],
            }
        )

    def _coupons(self) -> pa.Table:
        codes = [f"SAVE{i}" for i in range(60)] + ["SAVE3", "SAVE4"]
        self.planted["repeated coupons"] = 2
        return pa.table(
            {
                "code": codes,
                "percent": self.random.integers(5, 30, len(codes)),
                "valid_from": pa.array([MARKET_START.date()] * len(codes)),
                "valid_to": pa.array([datetime(2025, 6, 1).date()] * len(codes)),
            }
        )

    def _orders(self) -> pa.Table:
        r, n = self.random, self.n
        who = r.choice(self.customers, n, p=self.rates / self.rates.sum())
        coupon = [f"SAVE{c}" if c < 10 else None for c in r.integers(0, 30, n)]
        return pa.table(
            {
                "order_id": np.arange(1, n + 1),
                "customer_id": who + 1,
                "placed_at": _utc(np.sort(r.uniform(0, MARKET_DAYS, n))),
                "billing_address_id": who * 2 + 1,
                "shipping_address_id": who * 2 + 1 + (r.random(n) < 0.3),
                "coupon_code": pa.array(coupon),
                "status": r.choice(["placed", "shipped", "delivered"], n),
                "channel": r.choice(["web", "app"], n),
            }
        )

    def _lines(self, orders: pa.Table) -> pa.Table:
        r = self.random
        counts = r.integers(1, 4, self.n)
        order = np.repeat(orders.column("order_id").to_numpy(), counts)
        line = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        lost = self._some("lines of orders that are gone", len(order), 0.01)
        return pa.table(
            {
                "order_id": np.where(lost, order + 10_000_000, order),
                "line_no": line,
                "product_id": [self.uuids[i] for i in r.integers(0, self.products, len(order))],
                "quantity": r.integers(1, 5, len(order)),
                "unit_price": np.round(r.lognormal(3, 0.5, len(order)), 2),
            }
        )

    def _payments(self, orders: pa.Table) -> pa.Table:
        r, n = self.random, self.n
        unknown = self._some("payments of unknown orders", n, 0.01)
        spelled = [("{}", "{}  ", "00{}", "{}.0")[k] for k in r.integers(0, 4, n)]
        references = [
            "unknown" if lost else form.format(order)
            for lost, form, order in zip(unknown, spelled, orders.column("order_id").to_pylist(), strict=True)
        ]
        return pa.table(
            {
                "payment_id": [f"P-{i:07d}" for i in range(n)],
                "order": references,
                "paid_at": _naive(_days(orders.column("placed_at")) + r.uniform(0, 1, n)),
                "amount": np.round(r.lognormal(4, 0.5, n), 2),
                "method": r.choice(["card", "invoice", "wallet"], n),
            }
        )

    def _shipments(self, orders: pa.Table) -> pa.Table:
        r, n = self.random, self.n
        undated = self._some("shipments without a time", n, 0.05)
        shipped = _naive(_days(orders.column("placed_at")) + r.uniform(0, 5, n))
        return pa.table(
            {
                "shipment_id": np.arange(1, n + 1),
                "order_id": orders.column("order_id"),
                "shipped_at": pa.array(shipped.to_numpy(zero_copy_only=False), mask=undated),
                "carrier": r.choice(["dhl", "ups"], n),
            }
        )

    def _returns(self, orders: pa.Table, lines: pa.Table) -> pa.Table:
        r = self.random
        chosen = np.sort(r.choice(len(lines), len(lines) // 20, replace=False))
        own = lines.take(pa.array(chosen))
        placed = _days(orders.column("placed_at"))[
            np.minimum(own.column("order_id").to_numpy() % 10_000_000, self.n) - 1
        ]
        lost = self._some("returns of unknown lines", len(own), 0.1)
        return pa.table(
            {
                "return_id": np.arange(1, len(own) + 1),
                "order_id": own.column("order_id"),
                "line_no": np.where(lost, 99, own.column("line_no").to_numpy()),
                "returned_at": _naive(placed + r.uniform(3, 20, len(own))),
                "reason": r.choice(["too small", "broken", "other"], len(own)),
            }
        )

    def _reviews(self) -> pa.Table:
        r, n = self.random, self.n // 3
        future = self._some("reviews from the future", n, 0.01)
        spelled = [(str.upper, lambda u: u.replace("-", ""), lambda u: f"{{{u}}}")[k] for k in r.integers(0, 3, n)]
        return pa.table(
            {
                "review_id": np.arange(1, n + 1),
                "product_id": [s(self.uuids[i]) for s, i in zip(spelled, r.integers(0, self.products, n), strict=True)],
                "customer_id": r.integers(1, self.customers + 1, n),
                "rating": r.integers(1, 6, n),
                "body": [f"review {i}: " + "sehr gut " * int(k) for i, k in enumerate(r.integers(0, 9, n))],
                "created_at": _naive(np.where(future, 100_000.0, r.uniform(0, MARKET_DAYS, n))),
            }
        )

    def _sessions(self) -> tuple[pa.Table, pa.Table]:
        r, n = self.random, self.n * 2
        ids = [str(uuid.UUID(bytes=r.bytes(16), version=4)) for _ in range(n)]
        started = np.sort(r.uniform(0, MARKET_DAYS, n))
        anonymous = self._some("anonymous sessions", n, 0.3)
        of = np.repeat(np.arange(n), r.integers(1, 5, n))
        sessions = pa.table(
            {
                "session_id": ids,
                "customer_id": _nulls(r.choice(self.customers, n, p=self.rates / self.rates.sum()) + 1, anonymous),
                "started_at": _utc(started),
                "device": r.choice(["phone", "desktop", "tablet"], n),
            }
        )
        events = pa.table(
            {
                "event_id": np.arange(1, len(of) + 1),
                "session_id": [ids[i] for i in of],
                "group": r.choice(["view", "search", "cart"], len(of)),
                "happened_at": _utc(started[of] + r.uniform(0, 0.02, len(of))),
                "payload": ["{}"] * len(of),
            }
        )
        return sessions, events

    def _some(self, what: str, count: int, share: float) -> NDArray[np.bool_]:
        chosen: NDArray[np.bool_] = self.random.random(count) < share
        chosen[: min(count, 2)] = True  # what is planted is there in a small market too
        self.planted[what] = int(chosen.sum())
        return chosen


def _naive(days: NDArray[np.float64]) -> pa.Array:
    return pa.array(np.datetime64(MARKET_START, "us") + (days * 86_400e6).astype("timedelta64[us]"))


def _utc(days: NDArray[np.float64]) -> pa.Array:
    return _naive(days).cast(pa.timestamp("us", "UTC"))


def _days(column: pa.ChunkedArray) -> NDArray[np.float64]:
    micros = column.cast(pa.int64()).to_numpy() - np.datetime64(MARKET_START, "us").astype(np.int64)
    days: NDArray[np.float64] = micros / 86_400e6
    return days


def _nulls(values: NDArray[Any], where: NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=where)


def _names(columns: Any) -> str:
    return ", ".join(exp.to_identifier(c, quoted=True).sql(dialect="duckdb") for c in columns)
