"""A shop over years, with seasons, weekdays and growth, in which faults can be planted: what monitors are judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.testing.shop import append_rows

START = datetime(2022, 1, 3)
"""A Monday."""
DDL = (
    "CREATE TABLE customers (customer_id BIGINT PRIMARY KEY, country VARCHAR, age BIGINT, signed_up TIMESTAMP)",
    "CREATE TABLE products (sku VARCHAR PRIMARY KEY, kind VARCHAR, price DOUBLE)",
    "CREATE TABLE orders (order_id BIGINT PRIMARY KEY, customer_id BIGINT, placed_at TIMESTAMP, amount DOUBLE, "
    "channel VARCHAR, coupon DOUBLE)",
    "CREATE TABLE order_lines (line_id BIGINT PRIMARY KEY, order_id BIGINT, sku VARCHAR, quantity BIGINT, "
    "price DOUBLE, added_at TIMESTAMP)",
)
QUERY = (
    "PREDICT COUNT(orders.*, 0, 28, days) = 0 FOR EACH customers.customer_id WHERE COUNT(orders.*, -84, 0, days) > 0"
)
Tables = Mapping[str, pa.Table]
Fault = Callable[[Tables], Tables]
"""What goes wrong with the rows that arrive in a while."""
_TIMES = {"customers": "signed_up", "orders": "placed_at", "order_lines": "added_at"}
_PRODUCTS = 120


@dataclass(frozen=True)
class SeasonalShop:
    """Rows of several years; :meth:`between` returns those that arrive in a while."""

    tables: Tables

    def between(self, since: datetime, until: datetime) -> dict[str, pa.Table]:
        """Return the rows with ``since < time <= until``; products, which have no time, belong to the first moment."""
        found = {}
        for name, rows in self.tables.items():
            if name in _TIMES:
                times = rows.column(_TIMES[name])
                found[name] = rows.filter(pc.and_(pc.greater(times, since), pc.less_equal(times, until)))
            elif since < START:
                found[name] = rows
        return found


def seasonal_shop(
    days: int,
    customers: int = 4_000,
    *,
    season: float = 0.3,
    growth: float = 0.0,
    seed: int = 0,
    decays_at: float = -1.0,
) -> SeasonalShop:
    """Generate a shop whose customers order at rates of their own, more in winter and at weekends.

    ``season`` is by which share the year makes orders more or fewer, ``growth`` the yearly growth of customers. From
    day ``decays_at`` on, if it is not negative, customers order at rates that have nothing to do with those before.
    """
    random = np.random.default_rng(seed)
    joined = _signups(random, customers, days, growth)
    n = len(joined)
    country, preferred = random.choice(4, n, p=[0.5, 0.3, 0.1, 0.1]), random.integers(0, 3, n)
    rate = random.gamma(0.8, 0.07, n) * np.array([1.0, 0.5, 1.5, 0.7])[country] * np.array([0.7, 1.4, 0.9])[preferred]
    stays, other_rate, level = random.exponential(500.0, n), random.permutation(rate), random.lognormal(3.0, 0.5, n)
    day = np.arange(days)
    pace = (1.0 + season * np.cos(2 * np.pi * (day - 340) / 364.0)) * np.where(day % 7 >= 5, 1.5, 0.8)
    who, when = [], []
    for d in day.tolist():
        own = other_rate if 0 <= decays_at <= d else rate
        active = (joined <= d) & (own > 0) & ((joined + stays > d) | (0 <= decays_at <= d))
        count = random.poisson(own[active] * pace[d])
        ids = np.repeat(np.flatnonzero(active), count)
        who.append(ids)
        when.append(d + random.beta(4, 3, len(ids)))
    who_all, when_all = np.concatenate(who), np.concatenate(when)
    order = np.argsort(when_all, kind="stable")
    return SeasonalShop(_tables(random, who_all[order], when_all[order], joined, (level, preferred, country)))


def plant(path: Path, tables: Tables) -> None:
    """Write rows into a DuckDB file, which is made if it is not there."""
    fresh = not path.exists()
    with duckdb.connect(str(path)) as connection:
        for statement in DDL if fresh else ():
            connection.execute(statement)
        for name, rows in tables.items():
            append_rows(connection, name, rows)


def moment(day: float) -> datetime:
    """Return the moment of a day of the shop."""
    return START + timedelta(days=day)


def _signups(random: np.random.Generator, customers: int, days: int, growth: float) -> NDArray[np.float64]:
    """Return the day on which each customer joined: two thirds before the first, the others steadily or ever faster."""
    first = np.full(2 * customers // 3, -0.5)
    yearly = customers / 3.0
    weights = (1.0 + growth) ** (np.arange(days) / 364.0)
    later = random.poisson(yearly / 364.0 * weights)
    return np.concatenate([first, np.repeat(np.arange(days), later) + random.random(later.sum())])


def _tables(
    random: np.random.Generator,
    who: NDArray[np.int64],
    when: NDArray[np.float64],
    joined: NDArray[np.float64],
    own: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]],
) -> Tables:
    level, preferred, country = own
    price = random.lognormal(2.0, 0.5, _PRODUCTS)
    lines = random.integers(1, 4, len(who))
    sku = random.integers(0, _PRODUCTS, lines.sum())
    channel = np.where(random.random(len(who)) < 0.7, preferred[who], random.integers(0, 3, len(who)))
    coupon = np.where(random.random(len(who)) < 0.2, random.gamma(2.0, 2.0, len(who)), np.nan)
    customers = {
        "customer_id": np.arange(len(joined)) + 1,
        "country": np.array(["DE", "FR", "NL", "IT"])[country],
        "age": random.integers(18, 90, len(joined)),
        "signed_up": _moments(joined),
    }
    orders = {
        "order_id": np.arange(len(who)) + 1,
        "customer_id": who + 1,
        "placed_at": _moments(when),
        "amount": level[who] * random.lognormal(0.0, 0.4, len(who)),
        "channel": np.array(["web", "app", "shop"])[channel],
        "coupon": pa.array(coupon, from_pandas=True),
    }
    order_lines = {
        "line_id": np.arange(len(sku)) + 1,
        "order_id": np.repeat(np.arange(len(who)) + 1, lines),
        "sku": np.array([f"sku-{i:03d}" for i in range(_PRODUCTS)])[sku],
        "quantity": random.integers(1, 5, len(sku)),
        "price": price[sku] * random.lognormal(0.0, 0.05, len(sku)),
        "added_at": _moments(np.repeat(when, lines)),
    }
    products = {
        "sku": [f"sku-{i:03d}" for i in range(_PRODUCTS)],
        "kind": random.choice(["food", "home", "toys"], _PRODUCTS),
        "price": price,
    }
    every = {"customers": customers, "products": products, "orders": orders, "order_lines": order_lines}
    return {name: pa.table(columns) for name, columns in every.items()}


def _moments(days: NDArray[np.float64]) -> pa.Array:
    return pa.array(np.datetime64(START, "us") + (days * 86_400e6).astype("timedelta64[us]"))
