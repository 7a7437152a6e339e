"""What a check says of columns that were written after the fact, and of those that say nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.graph import Snapshot, SnapshotStore, build_snapshot, check_integrity, to_micros
from forekey.project import PQLTask
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from forekey.task import Examples, leaking_target_columns
from forekey.testing import SHOP_TASKS, write_shop
from forekey.workspace import Workspace
from tests.support.databases import START, source_of

ROWS = 5_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    random = np.random.default_rng(0)
    who = random.integers(0, 100, ROWS)
    age = np.arange(ROWS)[::-1]
    day = timedelta(days=1)
    placed = [START + i * day / 10 for i in range(ROWS)]
    counts = np.bincount(who, minlength=100)
    customers = pa.table(
        {"id": range(100), "orders_so_far": counts, "points": counts * 2.0, "born": random.integers(1950, 2000, 100)}
    )
    orders = pa.table(
        {
            "customer": who,
            "placed": pa.array(placed, pa.timestamp("us")),
            "delivered": pa.array([p + 3 * day for p in placed], pa.timestamp("us")),
            "status": np.where(age < 100, "open", "done"),
            "colour": random.choice(["red", "blue"], ROWS),
            "season": np.where(np.arange(ROWS) > ROWS // 2, "new", "old"),
            "same": ["x"] * ROWS,
            "nothing": pa.nulls(ROWS, pa.float64()),
        }
    )

    def columns(table: pa.Table, **stypes: Stype) -> tuple[ColumnSchema, ...]:
        return tuple(ColumnSchema(n, DType.OTHER if n != "placed" else DType.TIMESTAMP, s) for n, s in stypes.items())

    number, category, moment = Stype.NUMERICAL, Stype.CATEGORICAL, Stype.TIMESTAMP
    key = ColumnSchema("id", DType.INTEGER, Stype.ID)
    schema = Schema(
        (
            TableSchema(
                "customers", (key, *columns(customers, orders_so_far=number, points=number, born=number)), "id"
            ),
            TableSchema(
                "orders",
                (
                    ColumnSchema("customer", DType.INTEGER, Stype.ID),
                    *columns(
                        orders,
                        placed=moment,
                        delivered=moment,
                        status=category,
                        colour=category,
                        season=category,
                        same=category,
                        nothing=number,
                    ),
                ),
                None,
                "placed",
                (ForeignKey("customer", "customers"),),
            ),
        )
    )
    folder = tmp_path_factory.mktemp("leaks")
    return build_snapshot(source_of({"customers": customers, "orders": orders}), schema, SnapshotStore(folder))


def test_columns_written_after_the_fact_are_suspected_and_no_others(built: Snapshot) -> None:
    found = check_integrity(built)
    suspected = {f.where: f.what for f in found.warnings if f.what.startswith("leak risk")}
    assert set(suspected) == {"customers.orders_so_far", "orders.delivered", "orders.status"}
    assert "number of orders there are today" in suspected["customers.orders_so_far"]
    assert "later than its row's own time in 100% of rows" in suspected["orders.delivered"]
    assert "settled with age" in suspected["orders.status"]


def test_columns_that_say_nothing_are_named(built: Snapshot) -> None:
    said = {f.where: f.what for f in check_integrity(built).warnings if not f.what.startswith("leak risk")}
    assert said == {
        "orders.same": "all values are the same",
        "orders.nothing": "all values are NULL, or none reads as its column type",
    }


def test_a_column_that_restates_a_target_is_named_and_no_other(shop_project: Workspace) -> None:
    snapshot = shop_project.snapshots.current()
    task = pipeline.find_task(shop_project, snapshot.schema, "spend")
    rows = snapshot.rows("customers")
    ages = rows.column("age").to_numpy()
    moments = np.full(len(rows), to_micros(snapshot.as_of))
    for target, named in ((ages**3, ["customers.age"]), (np.random.default_rng(0).normal(size=len(ages)), [])):
        found = leaking_target_columns(task, snapshot, Examples(rows.column("customer_id"), moments, target))
        assert [f.where for f in found] == named
        assert all("restates the target of 'spend'" in f.what for f in found)


def test_a_column_that_restates_classes_is_named_and_no_other(shop_project: Workspace) -> None:
    snapshot = shop_project.snapshots.current()
    task = pipeline.find_task(shop_project, snapshot.schema, "PREDICT customers.region FOR EACH customers.customer_id")
    shown = replace(task, hidden=())
    rows = snapshot.rows("customers")
    moments = np.full(len(rows), to_micros(snapshot.as_of))
    regions = np.array([str(r) for r in rows.column("region").to_pylist()], dtype=object)
    shuffled = np.random.default_rng(0).permutation(regions)
    for target, named in ((regions, ["customers.region"]), (shuffled, [])):
        found = leaking_target_columns(shown, snapshot, Examples(rows.column("customer_id"), moments, target))
        assert [f.where for f in found] == named


def test_rows_from_the_future_are_named(tmp_path: Path) -> None:
    path = write_shop(tmp_path / "shop.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO orders VALUES (10000000, 1, '2200-01-01', 5, 'web', false)")
    project = pipeline.init(str(path), tmp_path, tasks={"spend": PQLTask(query=SHOP_TASKS["spend"])}).workspace
    said = {f.where: f.what for f in pipeline.check(project).warnings}
    assert said["orders.placed_at"] == "1 rows are later than now"
    assert "customers.age" not in said


def test_rows_without_a_time_that_refer_to_rows_with_one_are_named(tmp_path: Path) -> None:
    orders = pa.table(
        {"id": range(60), "at": pa.array([START + timedelta(days=i) for i in range(60)], pa.timestamp("us"))}
    )
    lines = pa.table({"order_id": range(60), "n": [float(i) for i in range(60)]})
    schema = Schema(
        (
            TableSchema(
                "orders",
                (ColumnSchema("id", DType.INTEGER, Stype.ID), ColumnSchema("at", DType.TIMESTAMP, Stype.TIMESTAMP)),
                "id",
                "at",
            ),
            TableSchema(
                "lines",
                (ColumnSchema("order_id", DType.INTEGER, Stype.ID), ColumnSchema("n", DType.FLOAT, Stype.NUMERICAL)),
                foreign_keys=(ForeignKey("order_id", "orders"),),
            ),
        )
    )
    found = check_integrity(
        build_snapshot(source_of({"orders": orders, "lines": lines}), schema, SnapshotStore(tmp_path))
    )
    assert [(f.where, f.what) for f in found.warnings] == [
        (
            "lines.order_id->orders",
            "leak risk: rows of lines have no time and are seen before the orders they refer to",
        )
    ]


@pytest.mark.parametrize(("time", "suspected"), [
    ("{column: year, unit: year}", {"plans.closed_year"}),
    ("{column: year, unit: year, at: start}", {"plans.closed_year"}),
    ("placed", {"plans.closed_year"}),
])  # fmt: skip
def test_the_year_that_is_the_row_s_own_time_is_not_later_than_it(
    tmp_path: Path, time: str, suspected: set[str]
) -> None:
    with duckdb.connect(str(tmp_path / "plans.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE plans AS SELECT i AS id, 1990 + i % 30 AS year, 1990 + i % 30 + i % 5 + 1 AS closed_year, "
            "make_date(1990 + i % 30, 1, 1)::TIMESTAMP AS placed FROM range(600) t(i)"
        )
    (tmp_path / "forekey.yaml").write_text(
        "source: duckdb:///plans.duckdb\ntables: {plans: {primary_key: id, time_column: "
        f"{time}, columns: {{year: numerical, closed_year: numerical, placed: ignore}}}}}}\n"
    )
    found = pipeline.check(Workspace.open(tmp_path)).warnings
    assert {f.where for f in found if f.what.startswith("leak risk")} == suspected
