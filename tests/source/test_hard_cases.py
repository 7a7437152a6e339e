"""Databases as they are found: keys with a row too many, dates as text, generated columns, names in another case."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.errors import SchemaError, SourceError
from forekey.graph import to_micros
from forekey.project import CONFIG_NAME, Project
from forekey.schema import Stype
from forekey.source import infer_schema, open_source
from forekey.source.duck import DuckDBSource
from tests.support.databases import source_of
from tests.support.servers import Postgres, run_all


def database(*statements: str) -> DuckDBSource:
    connection = duckdb.connect()
    for statement in statements:
        connection.execute(statement)
    return DuckDBSource("memory", connection)


@pytest.mark.parametrize("rows", [72, 500, 750, 1311, 5000, 100_003])
def test_a_unique_key_is_found_however_its_values_hash(rows: int) -> None:
    for prefix in ("o", "order-", "ä"):
        source = database(f"CREATE TABLE orders AS SELECT '{prefix}' || i AS id, i % 7 AS kind FROM range({rows}) t(i)")
        assert infer_schema(source).schema.table("orders").primary_key == "id"


@pytest.mark.parametrize("extra", ["5", "NULL"])
def test_a_row_too_many_does_not_hide_the_key_and_is_counted(tmp_path: Path, extra: str) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE customers AS SELECT i AS customer_id, i % 3 AS grade FROM range(1000) t(i)")
        connection.execute(f"INSERT INTO customers VALUES ({extra}, 1)")
        connection.execute("CREATE TABLE orders AS SELECT i AS order_id, i % 1000 AS customer_id FROM range(3000) t(i)")
    made = pipeline.init(str(tmp_path / "shop.duckdb"), tmp_path)
    guess = next(g for g in made.inference.guesses if g.table == "customers" and g.what == "primary_key")
    assert guess.reason.startswith("named like a key, first column; 1,000 different values in 1,001 rows")
    built = pipeline.snapshot(made.project)
    assert sum(built.manifest["tables"]["customers"]["quarantined"].values()) == 1
    assert built.manifest["edges"]["orders.customer_id->customers"]["edges"] == 3000


def test_a_column_of_many_repeated_values_is_no_key() -> None:
    source = database("CREATE TABLE orders AS SELECT i % 800 AS order_id, i AS total FROM range(1000) t(i)")
    assert infer_schema(source).schema.table("orders").primary_key is None


def filled(postgres: Postgres, *statements: str) -> str:
    url = postgres.database()
    run_all(url, statements)
    return url


@pytest.mark.parametrize("kind", ["numeric", "numeric(20,0)", "numeric(20,2)", "numeric(9,0)", "double precision"])
def test_numbers_of_any_type_refer_to_integers(postgres: Postgres, kind: str, tmp_path: Path) -> None:
    url = filled(
        postgres,
        "CREATE TABLE parents (id int PRIMARY KEY)",
        f"CREATE TABLE children (id int PRIMARY KEY, parent_id {kind})",
        "INSERT INTO parents SELECT generate_series(1, 30)",
        "INSERT INTO children SELECT i, i % 30 + 1 FROM generate_series(1, 60) i",
    )
    made = pipeline.init(url, tmp_path)
    built = pipeline.snapshot(made.project)
    assert built.manifest["edges"]["children.parent_id->parents"]["edges"] == 60


def test_decimals_of_another_scale_are_the_same_key(postgres: Postgres, tmp_path: Path) -> None:
    url = filled(
        postgres,
        "CREATE TABLE parents (id numeric PRIMARY KEY)",
        "CREATE TABLE children (id int PRIMARY KEY, parent_id numeric REFERENCES parents)",
        "INSERT INTO parents VALUES (2), (2.5)",
        "INSERT INTO children VALUES (1, 2.0), (2, 2.50), (3, 2)",
    )
    built = pipeline.snapshot(pipeline.init(url, tmp_path).project)
    assert built.manifest["edges"]["children.parent_id->parents"]["edges"] == 3


def test_of_two_parents_that_hold_all_values_the_one_named_so_is_taken() -> None:
    source = database(
        "CREATE TABLE users AS SELECT i AS id FROM range(200) t(i)",
        "CREATE TABLE app_users AS SELECT i AS id FROM range(100) t(i)",
        "CREATE TABLE logins AS SELECT i AS id, i % 100 AS app_user_id FROM range(900) t(i)",
    )
    assert [str(e) for e in infer_schema(source).schema.edge_types] == ["logins.app_user_id->app_users"]


@pytest.mark.parametrize("column", ["valid_until", "maturity_date", "deadline", "promised_date", "valid_to"])
def test_a_moment_that_is_to_come_is_not_when_a_row_came_to_be(column: str) -> None:
    source = database(
        f"CREATE TABLE coupons AS SELECT i AS id, DATE '2020-01-01' + i::INT AS {column} FROM range(9) t(i)"
    )
    assert infer_schema(source).schema.table("coupons").time_column is None


def sqlite_file(path: Path, *statements: str) -> str:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return f"sqlite:///{path}"


@pytest.mark.parametrize("how", ["VIRTUAL", "STORED"])
def test_sqlite_columns_that_are_computed_are_read(tmp_path: Path, how: str) -> None:
    url = sqlite_file(
        tmp_path / "a.sqlite",
        f"CREATE TABLE a (id INTEGER PRIMARY KEY, x INT, y INT GENERATED ALWAYS AS (x * 2) {how})",
        "INSERT INTO a (id, x) VALUES (1, 5), (2, 6)",
    )
    with open_source(url, tmp_path) as source:
        table = infer_schema(source).schema.table("a")
        assert table.column("y").stype is Stype.NUMERICAL
    built = pipeline.snapshot(pipeline.init(url, tmp_path).project)
    assert built.rows("a").column("y").to_pylist() == [10, 12]


def test_sqlite_names_meet_whatever_their_case(tmp_path: Path) -> None:
    url = sqlite_file(
        tmp_path / "a.sqlite",
        "CREATE TABLE Orders (ID INTEGER PRIMARY KEY, CustID INT REFERENCES customers(Id))",
        "CREATE TABLE Customers (id INTEGER PRIMARY KEY)",
        "CREATE TABLE Notes (id INTEGER PRIMARY KEY, Cust INT REFERENCES CUSTOMERS)",
    )
    with open_source(url, tmp_path) as source:
        edges = {str(e) for e in infer_schema(source).schema.edge_types}
    assert edges == {"Orders.CustID->Customers", "Notes.Cust->Customers"}


def test_sqlite_dates_kept_as_text_tell_the_time(tmp_path: Path) -> None:
    url = sqlite_file(
        tmp_path / "a.sqlite",
        "CREATE TABLE events (id INTEGER PRIMARY KEY, created_at TEXT, note TEXT)",
        "INSERT INTO events VALUES (1, '2024-01-01 10:00:00', '2024 was good'), (2, '2024-01-02T00:00:00+02:00', 'x')",
    )
    project = pipeline.init(url, tmp_path).project
    assert project.config.tables["events"].time_column == "created_at"
    times = pipeline.snapshot(project).times("events")
    assert times is not None
    assert times.tolist() == [to_micros(datetime(2024, 1, 1, 10)), to_micros(datetime(2024, 1, 1, 22))]


def test_a_column_may_be_called_anything(tmp_path: Path) -> None:
    source = source_of(
        {
            "events": pa.table(
                {"id": [1, 2], "at": [datetime(2024, 1, 1)] * 2, "forekey_hash": [5, 6], "p": [1, 2], "h": [3, 4]}
            )
        }
    )
    from forekey.graph import SnapshotStore, build_snapshot

    built = build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path))
    assert built.rows("events").column("forekey_hash").to_pylist() == [5, 6]


def test_a_source_without_tables_is_refused(tmp_path: Path) -> None:
    url = sqlite_file(tmp_path / "empty.sqlite", "PRAGMA user_version = 1")
    with pytest.raises(SourceError, match="has no tables that can be read"):
        pipeline.init(url, tmp_path)
    assert not (tmp_path / CONFIG_NAME).exists()


def test_files_are_tables_whatever_the_case_of_their_ending(tmp_path: Path) -> None:
    (tmp_path / "orders.CSV").write_text("order_id,total\n1,5\n2,6\n")
    with open_source(f"files:///{tmp_path}", tmp_path) as source:
        assert [t.name for t in source.tables()] == ["orders"]


def test_changes_are_told_by_a_key_or_not_at_all(shop_project: Project, tmp_path: Path) -> None:
    text = (shop_project.root / CONFIG_NAME).read_text().replace("shop.duckdb", str(shop_project.root / "shop.duckdb"))
    lines = text.replace("  order_lines:\n", "  order_lines:\n    updated_at: added_at\n")
    (tmp_path / CONFIG_NAME).write_text(lines)
    with pytest.raises(SchemaError, match="'order_lines' has an updated_at and no primary_key"):
        pipeline.snapshot(Project.open(tmp_path))
