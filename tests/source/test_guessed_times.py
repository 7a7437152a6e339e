"""Times that no column declares: months and days as numbers, parts of a key, and columns that only look like them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pytest
from sqlglot import exp

from forekey.project import Config, TableConfig
from forekey.source import ConfiguredSource, Inference, configured_schema, infer_schema, open_source
from forekey.source.duck import DuckDBSource
from tests.support.servers import Postgres, run_all

MONTHS = "range(2020, 2024) y(year), range(1, 13) m(month), range(1, 41) a(acct)"


def inferred(*statements: str) -> Inference:
    connection = duckdb.connect()
    for statement in statements:
        connection.execute(statement)
    return infer_schema(DuckDBSource("memory", connection))


@pytest.mark.parametrize(
    ("column", "value", "time"),
    [
        ("month", "year * 100 + month", {"unit": "yyyymm"}),
        ("periode", "year * 100 + month", {"unit": "yyyymm"}),
        ("abrechnung", "year * 100 + month", {"unit": "yyyymm"}),
        ("yyyymm", "(year * 100 + month)::VARCHAR", {"unit": "yyyymm"}),
        ("month", "year || '-' || lpad(month::VARCHAR, 2, '0')", {"format": "%Y-%m"}),
        ("eintritt", "year * 10000 + month * 100 + 1 + acct % 28", {"unit": "yyyymmdd"}),
        ("tm", "epoch_us(make_timestamp(year, month, acct % 28 + 1, 0, 0, 0))", {"unit": "us"}),
    ],
)
def test_months_days_and_epochs_are_found_by_their_values(column: str, value: str, time: dict[str, str]) -> None:
    found = inferred(
        f"CREATE TABLE usage AS SELECT acct, {value} AS {column}, (acct * month) % 13 AS kwh FROM {MONTHS}"
    )
    told = found.tables()["usage"].time
    assert told is not None
    assert told.columns == (column,)
    assert {k: getattr(told, k) for k in time} == time


@pytest.mark.parametrize(
    "value",
    [
        "'AB-' || (1000 + i)",
        "'LOT' || (100 + i)",
        "'SKU-' || lpad(i::VARCHAR, 5, '0')",
        "150000 + i * 7",
        "15000000 + i",
    ],
)
def test_codes_and_plain_numbers_are_no_moments_and_no_amounts(value: str) -> None:
    found = inferred(f"CREATE TABLE goods AS SELECT i AS goods_id, {value} AS made, i % 7 AS n FROM range(400) t(i)")
    entry = found.tables()["goods"]
    assert entry.time_column is None
    assert "made" not in {c for c, told in entry.readings.items() if not told.is_plain}


def test_of_a_key_with_a_year_the_part_from_1_to_12_is_the_month() -> None:
    found = inferred(
        "CREATE TABLE timesheet (EmpNo INT, Yr INT, Pd INT, hours INT, PRIMARY KEY (EmpNo, Yr, Pd))",
        f"INSERT INTO timesheet SELECT acct, year, month, 5 FROM {MONTHS}",
    )
    told = found.tables()["timesheet"].time
    assert told is not None
    assert told.year_month == ("Yr", "Pd")


def test_one_placeholder_does_not_hide_an_epoch_nor_a_year() -> None:
    found = inferred(
        "CREATE TABLE calls AS SELECT i AS call_id, CASE WHEN i = 7 THEN 0 ELSE 1577836800 + i * 3600 END AS called_at "
        "FROM range(500) t(i)",
        "CREATE TABLE crops AS SELECT i % 20 AS field, CASE WHEN i = 7 THEN 0 ELSE 2000 + i // 20 END AS year, i AS kg "
        "FROM range(400) t(i)",
    )
    assert found.schema.table("calls").time_column == "called_at"
    assert found.schema.table("crops").time_column == "year (end of year)"


def test_a_year_may_be_a_key_and_the_time_too() -> None:
    found = inferred(
        "CREATE TABLE seasons (year INT PRIMARY KEY, champion VARCHAR)",
        "INSERT INTO seasons SELECT 1980 + i, 'team ' || i % 5 FROM range(40) t(i)",
        "CREATE TABLE batting (id INT PRIMARY KEY, year INT REFERENCES seasons, hits INT)",
        "INSERT INTO batting SELECT i, 1980 + i % 40, i % 9 FROM range(800) t(i)",
    )
    assert found.schema.table("seasons").time_column == "year (end of year)"
    assert found.schema.table("batting").time_column == "year (end of year)"
    assert [str(e) for e in found.schema.edge_types] == ["batting.year->seasons"]


def test_a_day_that_others_refer_to_is_a_key() -> None:
    found = inferred(
        "CREATE TABLE day (d DATE PRIMARY KEY, weekday INT)",
        "INSERT INTO day SELECT DATE '2024-01-01' + i::INT, i % 7 FROM range(200) t(i)",
        "CREATE TABLE visits (visit_id INT PRIMARY KEY, d DATE REFERENCES day, seen_at TIMESTAMP)",
        "INSERT INTO visits SELECT i, DATE '2024-01-01' + (i % 200)::INT, TIMESTAMP '2024-01-01' + INTERVAL (i) HOUR "
        "FROM range(900) t(i)",
        "CREATE TABLE sales (sale_id INT PRIMARY KEY, d DATE REFERENCES day, amount INT)",
        "INSERT INTO sales SELECT i, DATE '2024-01-01' + (i % 200)::INT, i % 7 FROM range(900) t(i)",
    )
    schema = found.schema
    assert schema.table("day").primary_key == "d"
    assert {str(e) for e in schema.edge_types} == {"visits.d->day", "sales.d->day"}
    assert {t.name: t.time_column for t in schema.tables} == {
        "day": None,
        "visits": "seen_at",
        "sales": "d (start of day)",
    }


def test_a_view_does_not_stand_in_for_its_table() -> None:
    found = inferred(
        "CREATE TABLE users (uid INT PRIMARY KEY, name VARCHAR)",
        "INSERT INTO users SELECT i * 3, 'name ' || i FROM range(300) t(i)",
        "CREATE VIEW v_users AS SELECT * FROM users",
        "CREATE TABLE posts (post_id INT PRIMARY KEY, uid INT)",
        "INSERT INTO posts SELECT i, (i % 300) * 3 FROM range(900) t(i)",
    )
    assert "posts.uid->users" in {str(e) for e in found.schema.edge_types}
    assert "posts.uid->v_users" not in {str(e) for e in found.schema.edge_types}


def test_a_key_of_several_columns_needs_no_key_like_names_where_others_refer_to_it() -> None:
    found = inferred(
        "CREATE TABLE results AS SELECT 2000 + i // 8 AS season, 'team ' || i % 8 AS team, i % 5 AS wins "
        "FROM range(80) t(i)",
        "CREATE TABLE roster AS SELECT 2000 + i // 80 AS season, 'team ' || (i // 10) % 8 AS team, 'p' || i % 10 AS who "
        "FROM range(800) t(i)",
    )
    assert found.schema.table("results").primary_key == "season, team"
    assert "roster.season, team->results" in {str(e) for e in found.schema.edge_types}


def test_numbers_with_gaps_are_no_reference_to_keys_with_gaps() -> None:
    found = inferred(
        "CREATE TABLE customers AS SELECT 10 + i * 3 AS id, 'name ' || i AS name FROM range(4000) t(i)",
        "CREATE TABLE orders AS SELECT i AS order_id, 100 * (1 + hash(i)::HUGEINT % 110)::BIGINT AS amount_cents "
        "FROM range(3000) t(i)",
    )
    assert found.schema.edge_types == ()


@pytest.mark.parametrize("kind", ["INT", "DOUBLE"])
@pytest.mark.parametrize("column", ["final_year", "final_season", "letztes_jahr"])
def test_a_year_after_that_of_the_row_is_set_aside_whatever_it_is_stored_as(kind: str, column: str) -> None:
    found = inferred(
        "CREATE TABLE players AS SELECT i AS player_id, DATE '2000-01-01' + (i * 9)::INT AS debut, "
        f"CASE WHEN i % 3 > 0 THEN year(DATE '2000-01-01' + (i * 9)::INT) + 1 + i % 9 END::{kind} AS {column}, "
        "CASE WHEN i % 3 > 0 THEN 'place ' || i % 4 END AS last_place FROM range(600) t(i)"
    )
    assert {(g.column, g.what) for g in found.guesses if g.what == "leak"} == {(column, "leak"), ("last_place", "leak")}


def test_what_is_planned_is_no_leak() -> None:
    found = inferred(
        "CREATE TABLE stays AS SELECT i AS stay_id, TIMESTAMP '2024-01-01' + INTERVAL (i) HOUR AS booked_at, "
        "DATE '2024-01-05' + (i // 24 + i % 40)::INT AS check_in, DATE '2024-01-09' + (i // 24 + i % 50)::INT AS departure "
        "FROM range(600) t(i)"
    )
    assert not [g for g in found.guesses if g.what == "leak"]


def test_a_year_is_judged_by_the_time_that_a_row_takes_from_its_whole() -> None:
    found = inferred(
        "CREATE TABLE orders AS SELECT i AS order_id, TIMESTAMP '2015-01-01' + INTERVAL (i * 5) DAY AS ordered_at "
        "FROM range(600) t(i)",
        "CREATE TABLE order_lines AS SELECT i % 600 AS order_id, "
        "year(TIMESTAMP '2015-01-01' + INTERVAL ((i % 600) * 5) DAY) + 1 + i % 8 AS shipped_year, i % 7 AS n "
        "FROM range(1800) t(i)",
    )
    assert found.tables()["order_lines"].time_from == "order_id"
    assert ("order_lines", "shipped_year", "leak") in {(g.table, g.column, g.what) for g in found.guesses}


def moments(url: str, root: Path, table: TableConfig) -> list[datetime | None]:

    config = Config(source=url, tables={"t": table})
    with open_source(url, root) as plain, ConfiguredSource(plain, config) as source:
        name = configured_schema(source, config).table("t").time_column
        assert name is not None
        values = exp.select(exp.column(name, quoted=True).as_("m"), exp.column("id")).from_("t").order_by("id")
        found: list[datetime | None] = source.query(values).read_all().column("m").to_pylist()
        return found


DIGITS = TableConfig.model_validate({"time_column": {"column": "comp", "format": "%Y%m%d%H%M%S"}})
AT = [datetime(2021, 3, 5, 12), datetime(2021, 12, 31, 23, 59, 59), None]


def test_a_format_reads_digits_that_a_file_stores_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "t.csv").write_text("id,comp\n1,20210305120000\n2,20211231235959\n3,7\n")
    assert moments("files:///d", tmp_path, DIGITS) == AT


def test_a_format_reads_digits_that_postgres_stores_as_numbers(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    run_all(
        url,
        (
            "CREATE TABLE t (id INT PRIMARY KEY, comp BIGINT)",
            "INSERT INTO t VALUES (1, 20210305120000), (2, 20211231235959), (3, 7)",
        ),
    )
    assert moments(url, tmp_path, DIGITS) == AT


def test_the_day_of_a_calendar_that_a_fact_refers_to_is_its_time() -> None:
    found = inferred(
        "CREATE TABLE dim_date AS SELECT strftime(DATE '2023-01-01' + i::INT, '%Y%m%d')::INT AS date_key, "
        "i % 7 AS weekday FROM range(500) t(i)",
        "CREATE TABLE fact_sales AS SELECT strftime(DATE '2023-01-01' + (i % 500)::INT, '%Y%m%d')::INT AS date_key, "
        "i % 9 AS amount FROM range(3000) t(i)",
    )
    assert [str(e) for e in found.schema.edge_types] == ["fact_sales.date_key->dim_date"]
    assert found.schema.table("fact_sales").time_column == "date_key (start of day)"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("sold", "strftime(DATE '2022-01-01' + i::INT, '%d.%m.%y')", "if they are dates, state"),
        (
            "date_of_trip",
            "CASE WHEN i % 2 = 0 THEN strftime(DATE '2022-01-01' + i::INT, '%Y-%m-%d') "
            "ELSE strftime(DATE '2022-01-01' + i::INT, '%m/%d/%Y') END",
            "dates written in several ways",
        ),
    ],
)
def test_dates_that_are_not_taken_are_said(column: str, value: str, said: str) -> None:
    found = inferred(f"CREATE TABLE trips AS SELECT i AS trip_id, {value} AS {column} FROM range(300) t(i)")
    assert found.schema.table("trips").time_column is None
    assert any(g.column == column and said in g.reason for g in found.guesses)
