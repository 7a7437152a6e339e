"""Make a label table over 10 M events, 1 M entities and 12 anchors: one statement against one an anchor, and pandas.

All three make the same labels (checked): whether a customer orders in the 30 days after each anchor, of those who did
in the 90 days before. Each runs in a process of its own on a DuckDB file (pandas on the same rows from Parquet), the
label table in memory at the end; peak memory is what the system counted for that process. Run:

    python benchmarks/labels.py [--quick] [--events N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from forekey import __version__

START = datetime(2023, 1, 1)
DAYS = 480
ANCHORS = [START + timedelta(days=90 + 30 * i) for i in range(12)]
QUERY = (
    "PREDICT COUNT(orders.*, 0, 30, days) > 0 FOR EACH customers.customer_id WHERE COUNT(orders.*, -90, 0, days) > 0"
)


def main() -> None:
    """Parse arguments, run, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="1 M events, 100,000 entities")
    parser.add_argument("--events", type=int, default=10_000_000, help="rows of orders; a tenth as many customers")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        return tell(WAYS[given.one[0]], Path(given.one[1]))
    events = 1_000_000 if given.quick else given.events
    with tempfile.TemporaryDirectory() as folder:
        write_database(Path(folder), events)
        found = {name: run(name, Path(folder)) for name in WAYS}
    if len({f["digest"] for f in found.values()}) != 1:
        raise SystemExit(f"The labels differ: {found}")
    ours = found.pop("one statement")
    print(f"{events:,} events, {ours['rows']:,} labels: ours {ours['seconds']:.2f} s, {ours['gigabytes']:.2f} GB")
    rows = []
    for name, peer in found.items():
        ratio = peer["seconds"] / ours["seconds"]
        print(f"  {name}: {peer['seconds']:.2f} s, {peer['gigabytes']:.2f} GB; {ratio:.2f} times ours")
        rows.append(
            {"name": f"labels: {name}", "ours": ours["seconds"], "peer": peer["seconds"], "ratio": round(ratio, 2),
             "unit": "s", "target": 1.0, "better": "lower"}
        )  # fmt: skip
    rows.append(
        {"name": "labels: peak memory", "ours": ours["gigabytes"], "peer": 2.0,
         "ratio": round(2.0 / ours["gigabytes"], 2), "unit": "GB", "target": 1.0, "better": "lower"}
    )  # fmt: skip
    if given.json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        versions = {"forekey": __version__, "duckdb": duckdb.__version__, "python": platform.python_version()}
        given.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))


def write_database(folder: Path, events: int) -> None:
    """Write customers and orders, a tenth as many customers, times spread over 16 months."""
    with duckdb.connect(str(folder / "shop.duckdb")) as database:
        database.execute("SELECT setseed(0.5)")
        database.execute("CREATE TABLE customers (customer_id BIGINT PRIMARY KEY)")
        database.execute(f"INSERT INTO customers SELECT range FROM range({events // 10})")
        database.execute(
            "CREATE TABLE orders AS SELECT range AS order_id, "
            f"floor(random() * random() * {events // 10})::BIGINT AS customer_id, "
            f"TIMESTAMP '{START}' + to_microseconds((random() * {DAYS * 86_400_000_000})::BIGINT) AS placed_at "
            f"FROM range({events})"
        )
        database.execute(f"COPY orders TO '{folder / 'orders.parquet'}'")


def run(name: str, folder: Path) -> dict[str, Any]:
    """Run one way in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def tell(way: Callable[[Path], tuple[Any, Any, Any]], folder: Path) -> None:
    """Run one way and print what it took, with a digest of its labels whatever their order."""
    prepare()
    started = time.perf_counter()
    entity, anchor, label = way(folder)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    mixed = (entity.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ anchor.astype(np.uint64)
    digest = int((mixed * (label.astype(np.uint64) + np.uint64(1))).sum())
    print(json.dumps({"seconds": seconds, "gigabytes": peak, "rows": len(entity), "digest": digest}))


def prepare() -> None:
    """Import what each way needs: that is not what is compared."""
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401

    statement(ANCHORS)


def one_statement(folder: Path) -> tuple[Any, Any, Any]:
    """Make all labels with the statement that the query compiles to."""
    from forekey.source import open_source

    with open_source(f"duckdb:///{folder / 'shop.duckdb'}", folder) as source:
        table = source.query(statement(ANCHORS)).read_all()
    return _columns(table)


def one_an_anchor(folder: Path) -> tuple[Any, Any, Any]:
    """Run a plain query for each anchor: the events of its window counted, then joined to every customer."""
    parts = []
    with duckdb.connect(str(folder / "shop.duckdb"), read_only=True) as database:
        for t in ANCHORS:
            parts.append(
                database.sql(
                    f"SELECT c.customer_id AS entity, TIMESTAMP '{t}' AS anchor_time, "
                    "coalesce(ahead.n, 0) > 0 AS label FROM customers c "
                    "LEFT JOIN (SELECT customer_id, count(*) AS n FROM orders "
                    f"WHERE placed_at > TIMESTAMP '{t}' AND placed_at <= TIMESTAMP '{t + timedelta(days=30)}' "
                    "GROUP BY customer_id) ahead USING (customer_id) "
                    "LEFT JOIN (SELECT customer_id, count(*) AS n FROM orders "
                    f"WHERE placed_at > TIMESTAMP '{t - timedelta(days=90)}' AND placed_at <= TIMESTAMP '{t}' "
                    "GROUP BY customer_id) behind USING (customer_id) WHERE behind.n > 0"
                ).to_arrow_table()
            )
    import pyarrow as pa

    return _columns(pa.concat_tables(parts))


def by_pandas(folder: Path) -> tuple[Any, Any, Any]:
    """Do the same in pandas: per anchor, customers in the window behind, marked if they are in the one ahead."""
    import pandas as pd

    orders = pd.read_parquet(folder / "orders.parquet", columns=["customer_id", "placed_at"])
    parts = []
    for t in ANCHORS:
        ahead = orders[(orders.placed_at > t) & (orders.placed_at <= t + timedelta(days=30))]
        behind = orders[(orders.placed_at > t - timedelta(days=90)) & (orders.placed_at <= t)]
        active = np.sort(behind.customer_id.unique())
        label = np.isin(active, ahead.customer_id.unique())
        parts.append(pd.DataFrame({"entity": active, "anchor": np.datetime64(t, "us"), "label": label}))
    whole = pd.concat(parts)
    return (
        whole.entity.to_numpy(),
        whole.anchor.to_numpy().astype("datetime64[us]").astype(np.int64),
        whole.label.to_numpy(),
    )


def statement(anchors: list[datetime]) -> Any:
    """Return the label SQL of the query."""
    from forekey.query import bind, label_sql, parse
    from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema

    customer = ColumnSchema("customer_id", DType.INTEGER, Stype.ID)
    placed = ColumnSchema("placed_at", DType.TIMESTAMP, Stype.TIMESTAMP)
    order = ColumnSchema("order_id", DType.INTEGER, Stype.ID)
    customers = TableSchema("customers", (customer,), "customer_id")
    orders = TableSchema(
        "orders", (order, customer, placed), "order_id", "placed_at", (ForeignKey("customer_id", "customers"),)
    )
    return label_sql(bind(parse(QUERY), Schema((customers, orders))), anchors)


def _columns(table: Any) -> tuple[Any, Any, Any]:
    import pyarrow as pa

    times = table.column("anchor_time").cast(pa.timestamp("us")).cast(pa.int64())
    return table.column("entity").to_numpy(), times.to_numpy(), table.column("label").to_numpy()


WAYS: dict[str, Callable[[Path], tuple[Any, Any, Any]]] = {
    "one statement": one_statement,
    "one statement an anchor": one_an_anchor,
    "pandas": by_pandas,
}

if __name__ == "__main__":
    main()
