"""Rows without a time of their own take that of the row they are part of."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from forekey import pipeline
from forekey.errors import SchemaError
from forekey.graph import to_micros
from forekey.project import PQLTask
from forekey.workspace import Workspace
from tests.support.servers import Postgres, run_all

START = datetime(2024, 1, 1)
TABLES = (
    "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, region VARCHAR(9))",
    "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER, placed_at TIMESTAMP)",
    "CREATE TABLE order_lines (order_id VARCHAR(9), line INTEGER, price DOUBLE PRECISION, "
    "PRIMARY KEY (order_id, line))",
    "INSERT INTO customers VALUES (1, 'n'), (2, 's'), (3, 's')",
)


def orders(days: range) -> tuple[str, ...]:
    """One order a day, of two lines."""
    placed = ", ".join(f"({d}, {1 + d % 3}, '{START + timedelta(days=d)}')" for d in days)
    lines = ", ".join(f"('{d}', {n}, {d + n / 2})" for d in days for n in (1, 2))
    return (f"INSERT INTO orders VALUES {placed}", f"INSERT INTO order_lines VALUES {lines}")


@pytest.fixture(params=["duckdb", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.database()
    return str(tmp_path / "shop.duckdb")


TASK = PQLTask(query="PREDICT SUM(order_lines.price, 0, 7, days) FOR EACH customers.customer_id")


def test_parts_are_seen_from_the_moment_of_their_whole(url: str, tmp_path: Path) -> None:
    run_all(
        url,
        (
            *TABLES,
            *orders(range(40)),
        ),
    )
    made = pipeline.init(url, tmp_path / "p", tasks={"spend": TASK})
    text = (tmp_path / "p" / "forekey.yaml").read_text()
    assert "time_from: order_id # guessed: its rows are parts of orders, and have no time" in text.replace("  #", " #")
    snapshot = pipeline.snapshot(made.workspace)
    times = snapshot.times("order_lines")
    assert times is not None
    assert times.tolist() == sorted(to_micros(START + timedelta(days=d)) for d in range(40) for _ in (1, 2))
    assert pipeline.check(made.workspace).errors == ()
    labels = pipeline.labels(made.workspace, "spend")
    assert labels.sql is not None
    assert "forekey_parent" in labels.sql
    for row in labels.table.to_pylist():
        placed = [d for d in range(40) if 1 + d % 3 == row["entity"]]
        within = [d for d in placed if row["time"] < START + timedelta(days=d) <= row["time"] + timedelta(days=7)]
        assert row["target"] == pytest.approx(sum(d + n / 2 for d in within for n in (1, 2)))


def test_updates_read_new_parts_and_notice_late_wholes(url: str, tmp_path: Path) -> None:
    run_all(
        url,
        (
            *TABLES,
            *orders(range(40)),
            "INSERT INTO order_lines VALUES ('90', 1, 1.0)",
        ),
    )
    project = pipeline.init(url, tmp_path / "p").workspace
    first = pipeline.snapshot(project)
    assert first.manifest.tables["order_lines"].quarantined == {"no time": 1}
    run_all(url, (*orders(range(40, 44)),))
    second = pipeline.snapshot(project)
    assert second.manifest.read["order_lines"] == "new rows"
    assert second.num_nodes("order_lines") == 88
    run_all(url, (f"INSERT INTO orders VALUES (90, 1, '{START + timedelta(days=3)}')",))
    third = pipeline.snapshot(project)
    assert third.manifest.read["order_lines"] == "full"
    assert third.num_nodes("order_lines") == 89
    assert third.id == pipeline.snapshot(project, full=True).id


def test_of_two_wholes_with_one_key_the_first_tells_the_time(tmp_path: Path) -> None:
    url = str(tmp_path / "shop.duckdb")
    run_all(
        url,
        (
            *(t.replace(" PRIMARY KEY,", ",") for t in TABLES),
            *orders(range(4)),
        ),
    )
    run_all(url, (f"INSERT INTO orders VALUES (2, 1, '{START + timedelta(days=30)}')",))
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "forekey.yaml").write_text(
        f"source: duckdb:///{url}\n"
        "tables:\n"
        "  orders: {primary_key: order_id, time_column: placed_at}\n"
        "  order_lines: {time_from: order_id, foreign_keys: {order_id: orders}, columns: {price: numerical}}\n"
    )
    snapshot = pipeline.snapshot(Workspace.open(folder))
    assert snapshot.num_nodes("order_lines") == 8
    times = snapshot.times("order_lines")
    assert times is not None
    assert times.max() == to_micros(START + timedelta(days=3))


@pytest.mark.parametrize(
    ("lines", "orders_", "message"),
    [
        ("time_from: sku, foreign_keys: {order_id: orders}", "time_column: placed_at", "'sku' is none"),
        ("time_from: order_id, foreign_keys: {order_id: orders}", "", "'orders' has no time itself"),
        ("time_from: order_id, time_column: at, foreign_keys: {order_id: orders}", "", "has a time_column and a time_"),
        (
            "time_from: order_id, foreign_keys: {order_id: orders}, primary_key: line",
            "time_from: line, foreign_keys: {line: order_lines}",
            "leads back to 'orders' itself",
        ),
    ],
)
def test_a_time_that_cannot_be_found_is_refused(tmp_path: Path, lines: str, orders_: str, message: str) -> None:
    url = str(tmp_path / "shop.duckdb")
    run_all(
        url,
        (
            *TABLES,
            *orders(range(4)),
        ),
    )
    (tmp_path / "forekey.yaml").write_text(
        f"source: duckdb:///{url}\n"
        "tables:\n"
        f"  orders: {{primary_key: order_id, {orders_}}}\n"
        f"  order_lines: {{{lines}}}\n"
    )
    with pytest.raises(SchemaError, match=message):
        pipeline.snapshot(Workspace.open(tmp_path))
