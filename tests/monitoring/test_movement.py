"""What moved in rows and edges is named by the monitor it belongs to; what did not is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.graph import Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.monitoring import Finding, State
from forekey.monitoring.graph import findings, movement, newest_moment
from forekey.monitoring.quality_findings import separation
from forekey.monitoring.watched import Watched
from forekey.project import PQLTask
from forekey.source import infer_schema
from forekey.testing import append_rows, write_database
from forekey.testing.seasons import START, Tables, moment, seasonal_shop
from forekey.workspace import Workspace
from tests.support.databases import source_of

DAYS = 420
TYPES = {
    "channel": lambda ids: pa.array(np.where(ids % 2, "x", "y")),
    "due": lambda ids: pa.array([START + timedelta(hours=int(i) + 72) for i in ids], pa.timestamp("us")),
    "tags": lambda ids: pa.array([["u", "v"]] * len(ids)),
    "memo": lambda ids: pa.array([f"note {i} of many words and then some more {i * 7}" for i in ids]),
    "vec": lambda ids: pa.array([[1.0, 2.0, float(i)] for i in ids], pa.list_(pa.float32(), 3)),
    "amount": lambda ids: pa.array(np.sqrt(ids % 97)),
}


@pytest.fixture(scope="module")
def shop() -> Tables:
    return seasonal_shop(DAYS, 1_500, season=0.2).between(START - timedelta(days=9), moment(DAYS))


def last_week(tables: Tables, table: str, change: Callable[[pa.Table], pa.Table]) -> Tables:
    """Change the rows of the last seven days."""
    time = {"orders": "placed_at", "order_lines": "added_at", "customers": "signed_up"}[table]
    rows = tables[table]
    new = np.array(rows.column(time).to_pylist(), "datetime64[us]") > np.datetime64(moment(DAYS - 7), "us")
    parts = [rows.filter(pa.array(~new)), change(rows.filter(pa.array(new)))]
    return {**tables, table: pa.concat_tables(parts, promote_options="permissive")}


def set_column(rows: pa.Table, name: str, values: Any) -> pa.Table:
    at = rows.column_names.index(name)
    return rows.set_column(at, name, pa.array(values, rows.schema.field(name).type, from_pandas=True))


def snapshot_of(tables: Tables, folder: Path) -> Snapshot:
    source = source_of(dict(tables))
    return build_snapshot(source, infer_schema(source).schema, SnapshotStore(folder))


def alerts(snapshot: Snapshot) -> dict[tuple[str, str], Finding]:
    found = findings(movement(snapshot, None, []), snapshot.edge_types, [])
    return {(f.monitor, f.subject): f for f in found if f.state() is not State.OK}


def test_a_shop_with_seasons_and_weekdays_raises_nothing(shop: Tables, tmp_path: Path) -> None:
    assert alerts(snapshot_of(shop, tmp_path)) == {}


FAULTS: list[tuple[str, str, str, Callable[[pa.Table], pa.Table]]] = [
    ("column drift", "orders.amount", "orders", lambda r: set_column(r, "amount", r.column("amount").to_numpy() * 100)),
    ("missing values", "orders.channel", "orders", lambda r: set_column(r, "channel", [None] * (len(r) // 3) + r.column("channel").to_pylist()[len(r) // 3 :])),
    ("new values", "orders.channel", "orders", lambda r: set_column(r, "channel", ["fax"] * (len(r) // 10) + r.column("channel").to_pylist()[len(r) // 10 :])),
    ("orphans", "orders.customer_id", "orders", lambda r: set_column(r, "customer_id", [10**7 + i if i % 9 == 0 else k for i, k in enumerate(r.column("customer_id").to_pylist())])),
    ("missing keys", "orders.customer_id", "orders", lambda r: set_column(r, "customer_id", [None if i % 9 == 0 else k for i, k in enumerate(r.column("customer_id").to_pylist())])),
    ("age of newest row", "order_lines", "order_lines", lambda r: r.slice(0, 0)),
    ("rows per day", "orders", "orders", lambda r: pa.concat_tables([set_column(r, "order_id", r.column("order_id").to_numpy() + k * 10**7) for k in range(3)])),
    ("degree", "order_lines.order_id->orders", "order_lines", lambda r: pa.concat_tables([set_column(r, "line_id", r.column("line_id").to_numpy() + k * 10**7) for k in range(4)])),
    ("rows left out", "orders", "orders", lambda r: set_column(r, "order_id", [None if i % 5 == 0 else k for i, k in enumerate(r.column("order_id").to_pylist())])),
]  # fmt: skip


@pytest.mark.parametrize(("monitor", "subject", "table", "change"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_of_the_last_week_is_named(
    monitor: str, subject: str, table: str, change: Callable[[pa.Table], pa.Table], shop: Tables, tmp_path: Path
) -> None:
    found = alerts(snapshot_of(last_week(shop, table, change), tmp_path))
    assert (monitor, subject) in found, list(found)
    finding = found[monitor, subject]
    assert finding.what
    assert finding.todo
    if finding.since is not None:
        off = abs(datetime.fromisoformat(finding.since) - moment(DAYS - 7))
        assert off < timedelta(days=7 if monitor == "rows per day" else 1.5), "it is dated by the rows"


def test_every_type_is_compared_and_tables_without_a_time_too(tmp_path: Path) -> None:
    def rows(first: int, count: int, broken: bool) -> pa.Table:
        ids = np.arange(first, first + count)
        values = {n: make(ids) for n, make in TYPES.items()}
        values = {n: pa.nulls(count, c.type) for n, c in values.items()} if broken else values
        keys = {
            "order_id": ids,
            "customer_id": 1 + ids % 60,
            "placed_at": [START + timedelta(hours=int(i)) for i in ids],
        }
        return pa.table({**keys, **values})

    customers = pa.table({"customer_id": range(1, 61), "region": ["n", "s"] * 30, "plan": ["a", "b", "b"] * 20})
    place = write_database(tmp_path / "d.duckdb", {"customers": customers, "orders": rows(0, 2400, False)})
    task = PQLTask(query="PREDICT COUNT(orders.*, 0, 14, days) > 160 FOR EACH customers.customer_id")
    project = pipeline.init(str(place), tmp_path, tasks={"c": task}).workspace
    pipeline.train(project, "c", preset="fast")
    with duckdb.connect(str(place)) as connection:
        append_rows(connection, "orders", rows(2400, 168, True))
        connection.execute("UPDATE customers SET plan = 'zzz', region = NULL")
    pipeline.snapshot(project)
    report = pipeline.monitor(project)
    named = {(a.monitor, a.subject) for a in report.alerts}
    read = {d.name for d in report.drift}
    assert read & {f"orders.{c}" for c in TYPES}
    for name in read & {f"orders.{c}" for c in TYPES}:
        assert ("missing values", name) in named
    assert {("new values", n) for n in read & {"customers.plan"}} <= named
    assert {("missing values", n) for n in read & {"customers.region"}} <= named
    project.snapshots.prune(1)
    report = pipeline.monitor(project)
    assert report.not_measured == {"customers": "it has no time, and the snapshot that models were trained on is gone"}


@pytest.mark.parametrize("column", list(TYPES))
def test_nulls_of_each_type_are_found(column: str, tmp_path: Path) -> None:
    ids = np.arange(3_000)
    values = TYPES[column](ids)
    rows = pa.table({"id": ids, "at": [START + timedelta(hours=int(i)) for i in ids], column: values})
    broken = pa.concat_tables([rows.slice(0, 2_900), set_column(rows.slice(2_900), column, [None] * 100)])
    assert alerts(snapshot_of({"t": rows}, tmp_path / "a")) == {}
    found = alerts(snapshot_of({"t": broken}, tmp_path / "b"))
    assert list(found) == [("missing values", f"t.{column}")]


def test_slow_change_is_no_drift_and_a_step_is(tmp_path: Path) -> None:
    """Prices that rise for years: new rows look like the last weeks', not like all of history."""
    days = np.arange(0, 3 * 365, 0.02)
    random = np.random.default_rng(0)
    moments = np.datetime64(START, "us") + (days * 86_400e6).astype("timedelta64[us]")
    steady = random.normal(size=len(days))
    table = pa.table(
        {
            "id": np.arange(len(days)),
            "at": moments,
            "rising": days / 365 + 0.5 * steady,
            "stepped": np.where(days > days[-200], steady + 5.0, steady),
        }
    )
    found = alerts(snapshot_of({"prices": table}, tmp_path))
    assert ("column drift", "prices.stepped") in found
    assert not any(subject == "prices.rising" for _, subject in found)


def test_one_row_in_the_far_future_does_not_make_all_tables_old(shop: Tables, tmp_path: Path) -> None:
    orders = shop["orders"]
    far = set_column(set_column(orders.slice(0, 1), "placed_at", [datetime(2025, 1, 1)]), "order_id", [10**8])
    snapshot = snapshot_of({**shop, "orders": pa.concat_tables([orders, far])}, tmp_path)
    assert snapshot.as_of.year == 2025
    assert newest_moment(snapshot) <= to_micros(moment(DAYS))
    assert alerts(snapshot) == {}


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_of_few_rows_nothing_is_said(rows: int, tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "at": pa.array([START + timedelta(hours=i) for i in range(rows)], pa.timestamp("us")),
            "x": pa.array([None] * rows, pa.float64()),
        }
    )
    parts = pa.table({"part": pa.array([1]), "t_id": pa.array([None], pa.int64())})
    source = source_of({"t": table, "parts": parts})
    snapshot = build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path))
    assert alerts(snapshot) == {}


def test_embeddings_of_the_same_kind_are_not_told_apart() -> None:
    random = np.random.default_rng(0)
    one = random.normal(size=(400, 8)).astype(np.float32)
    assert separation(one, one + 0.01 * random.normal(size=one.shape).astype(np.float32)) == pytest.approx(0.5, abs=0.1)
    assert separation(one, one + 1.0) == pytest.approx(0.5, abs=0.1), "a season moves all alike"
    assert separation(one, 3.0 * one) > 0.9
    halves = np.where(np.arange(400)[:, None] % 4 < 2, one + 3.0, one - 3.0).astype(np.float32)
    assert separation(one, halves) > 0.9


def test_tables_of_which_rows_are_only_counted_are_watched(trained_project: Workspace) -> None:
    for task in trained_project.config.tasks:
        found = Watched.of(trained_project.registry.champion(task), ("orders",))
        assert "orders" in found.tables
        assert {table for table, _ in found.columns} <= found.tables


def test_a_column_that_counts_little_must_move_further(shop: Tables, tmp_path: Path) -> None:
    from forekey.monitoring.data_findings import of_column

    found = movement(snapshot_of(last_week(shop, "orders", FAULTS[0][3]), tmp_path), None, [])
    amount = next(c for c in found.columns if c.name == "orders.amount")
    strong, weak = (next(of_column(replace(amount, weight=w), ())) for w in (1.0, 0.001))
    assert strong.state() is State.CRITICAL
    assert weak.limit == 2 * strong.limit
    assert weak.critical is None
