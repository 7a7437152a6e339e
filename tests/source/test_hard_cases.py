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
from forekey.project import CONFIG_NAME
from forekey.schema import DType, Stype
from forekey.source import infer_schema, open_source
from forekey.source.duck import DuckDBSource
from forekey.workspace import Workspace
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
    built = pipeline.snapshot(made.workspace)
    assert sum(built.manifest.tables["customers"].quarantined.values()) == 1
    assert built.manifest.edges["orders.customer_id->customers"].edges == 3000


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
    built = pipeline.snapshot(made.workspace)
    assert built.manifest.edges["children.parent_id->parents"].edges == 60


def test_decimals_of_another_scale_are_the_same_key(postgres: Postgres, tmp_path: Path) -> None:
    url = filled(
        postgres,
        "CREATE TABLE parents (id numeric PRIMARY KEY)",
        "CREATE TABLE children (id int PRIMARY KEY, parent_id numeric REFERENCES parents)",
        "INSERT INTO parents VALUES (2), (2.5)",
        "INSERT INTO children VALUES (1, 2.0), (2, 2.50), (3, 2)",
    )
    built = pipeline.snapshot(pipeline.init(url, tmp_path).workspace)
    assert built.manifest.edges["children.parent_id->parents"].edges == 3


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
    built = pipeline.snapshot(pipeline.init(url, tmp_path).workspace)
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
    project = pipeline.init(url, tmp_path).workspace
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


def test_changes_are_told_by_a_key_or_not_at_all(shop_project: Workspace, tmp_path: Path) -> None:
    text = (shop_project.root / CONFIG_NAME).read_text().replace("shop.duckdb", str(shop_project.root / "shop.duckdb"))
    lines = text.replace("  order_lines:\n", "  order_lines:\n    updated_at: added_at\n")
    (tmp_path / CONFIG_NAME).write_text(lines)
    with pytest.raises(SchemaError, match="'order_lines' has an updated_at and no primary_key"):
        pipeline.snapshot(Workspace.open(tmp_path))


def test_a_table_that_cannot_be_read_is_left_out_by_name(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE customers AS SELECT i AS customer_id FROM range(9) t(i)")
        connection.execute("CREATE TABLE gone (x INT)")
        connection.execute("CREATE VIEW broken AS SELECT x FROM gone")
        connection.execute("DROP TABLE gone")
    made = pipeline.init(str(tmp_path / "shop.duckdb"), tmp_path)
    assert list(made.workspace.config.tables) == ["customers"]
    assert "broken" in made.inference.unreadable
    assert "# Left out: broken. Table 'broken'" in (tmp_path / CONFIG_NAME).read_text()
    assert pipeline.snapshot(made.workspace).num_nodes("customers") == 9


def test_a_configured_table_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("order_id,total\n1,5\n2,6\n")
    project = pipeline.init(f"files:///{tmp_path}", tmp_path / "project").workspace
    (tmp_path / "orders.csv").write_text("order_id,total\n1,5\n2,6,7\n")
    with pytest.raises(
        SourceError, match=r"line 3 of 'orders.csv' has 3 fields, the first line 2; .*remove 'orders' from tables:"
    ):
        pipeline.snapshot(project)


def test_a_table_without_the_right_to_read_it_is_left_out_by_name(postgres: Postgres, tmp_path: Path) -> None:
    url = filled(
        postgres,
        "CREATE TABLE open_table (id int PRIMARY KEY)",
        "CREATE TABLE secret (id int PRIMARY KEY)",
        "INSERT INTO open_table VALUES (1)",
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        "GRANT SELECT ON open_table TO reader",
    )
    made = pipeline.init(url.replace("://postgres", "://reader"), tmp_path)
    assert list(made.workspace.config.tables) == ["open_table"]
    assert "permission denied" in made.inference.unreadable["secret"]


@pytest.mark.parametrize("text", ["a,b\n1,2\n3,4,5\n6,7\n", "a;b\n1;2\n3\n", "a\tb\n1\t2\n3\n"])
def test_a_csv_file_with_uneven_lines_is_not_taken_for_one_column(tmp_path: Path, text: str) -> None:
    (tmp_path / "good.csv").write_text("id,x\n1,2\n")
    (tmp_path / "ragged.csv").write_text(text)
    with open_source(f"files:///{tmp_path}", tmp_path) as source:
        found = infer_schema(source)
    assert found.schema.names == ("good",)
    assert "line 3 of 'ragged.csv' has" in found.unreadable["ragged"]


def test_a_line_that_does_not_fit_far_down_a_csv_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text("a,b\n" + "1,2\n" * 50_000 + "3\n")
    with (
        open_source(f"files:///{tmp_path}", tmp_path) as source,
    ):
        table = source.tables()[0]
    assert table.unreadable is not None
    assert "line 50002 of 'long.csv' has 1 fields, the first line 2" in table.unreadable


def test_one_column_of_text_with_commas_is_one_column(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text('note\n"a, b"\nc\n')
    with open_source(f"files:///{tmp_path}", tmp_path) as source:
        assert [(t.name, t.rows, len(t.columns)) for t in source.tables()] == [("notes", 2, 1)]


def test_a_sub_folder_is_a_table_of_parts(tmp_path: Path) -> None:
    for day in (1, 2):
        part = tmp_path / "orders" / f"day=2024-01-0{day}" / "part-0.parquet"
        part.parent.mkdir(parents=True)
        duckdb.sql(f"COPY (SELECT {day} * 10 + i AS order_id FROM range(3) t(i)) TO '{part}'")
    (tmp_path / "orders" / "_SUCCESS").write_text("")
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "mixed" / "b.parquet").write_bytes((tmp_path / "orders/day=2024-01-01/part-0.parquet").read_bytes())
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "broken.parquet").write_text("hello")
    with open_source(f"files:///{tmp_path}", tmp_path) as source:
        tables = {t.name: t for t in source.tables()}
    assert tables["orders"].rows == 6
    assert [c.name for c in tables["orders"].columns] == ["order_id", "day"]
    assert "different kinds" in (tables["mixed"].unreadable or "")
    assert "neither Parquet nor CSV" in (tables["notes.txt"].unreadable or "")
    assert "broken.parquet" in (tables["broken"].unreadable or "")


@pytest.mark.parametrize("kind", ["UBIGINT", "HUGEINT", "UHUGEINT"])
def test_keys_beyond_64_bits_are_keys(tmp_path: Path, kind: str) -> None:
    with duckdb.connect(str(tmp_path / "big.duckdb")) as connection:
        first = "18446744073709551000" if kind == "UBIGINT" else "170141183460469231731687303715884105000"
        connection.execute(
            f"CREATE TABLE parents AS SELECT {first}::{kind} + i::{kind} AS parent_id FROM range(20) t(i)"
        )
        connection.execute(
            "CREATE TABLE children AS SELECT i AS child_id, parent_id FROM range(40) t(i), parents "
            f"WHERE parent_id = {first}::{kind} + (i % 20)::{kind}"
        )
    project = pipeline.init(str(tmp_path / "big.duckdb"), tmp_path).workspace
    built = pipeline.snapshot(project)
    assert built.manifest.tables["parents"].quarantined == {}
    assert built.manifest.edges["children.parent_id->parents"].edges == 40
    assert built.lookup("parents", [int(first) + 3, str(int(first) + 4), int(first) + 99]).tolist()[2] == -1
    assert (built.lookup("parents", [int(first) + 3, str(int(first) + 4)]) >= 0).all()


def test_unsigned_keys_within_64_bits_stay_integers() -> None:
    source = database("CREATE TABLE users AS SELECT i::UBIGINT AS id FROM range(9) t(i)")
    assert infer_schema(source).schema.table("users").column("id").dtype is DType.INTEGER


def test_a_key_part_may_have_a_comma_in_its_name(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute(
            'CREATE TABLE rooms ("house, street" TEXT, number INT, PRIMARY KEY ("house, street", number))'
        )
        connection.execute(
            "CREATE TABLE stays (stay_id INT PRIMARY KEY, house TEXT, room INT, "
            'FOREIGN KEY (house, room) REFERENCES rooms ("house, street", number))'
        )
        connection.execute("INSERT INTO rooms VALUES ('a', 1), ('b', 1)")
        connection.execute("INSERT INTO stays VALUES (1, 'a', 1), (2, 'b', 1), (3, 'b', 1)")
    built = pipeline.snapshot(pipeline.init(str(tmp_path / "a.duckdb"), tmp_path).workspace)
    assert built.manifest.edges["stays.house, room->rooms"].edges == 3


def test_a_very_long_field_in_an_uneven_file_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("id,x\n1,2\n")
    (tmp_path / "long.csv").write_bytes(b"a,b,c;d\n1,2;" + b"x" * 200_000 + b"\n\xff,2\n3\n")
    with open_source(f"files:///{tmp_path}", tmp_path) as source:
        assert {t.name for t in source.tables()} == {"good", "long"}
