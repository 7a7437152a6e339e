"""Values that are not stored as what they stand for: one SQL expression reads them alike on every database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlglot import exp

from forekey import pipeline
from forekey.errors import ProjectError, SchemaError
from forekey.project import CONFIG_NAME, MomentConfig
from forekey.schema import DType
from forekey.source.readings import UnknownFormat, pattern_of, read_boolean, read_moment, read_number
from forekey.workspace import Workspace
from tests.support.servers import Postgres, run_all

Evaluate = Callable[[Callable[[str], exp.Expression]], Any]


@pytest.fixture(params=["duckdb", "postgres"])
def evaluate(request: pytest.FixtureRequest) -> Evaluate:
    """Evaluate an expression of a dialect in the database of that dialect."""
    if request.param == "postgres":
        import adbc_driver_postgresql.dbapi as adbc

        url = request.getfixturevalue("postgres").database()

        def on_postgres(write: Callable[[str], exp.Expression]) -> Any:
            with adbc.connect(url) as connection, connection.cursor() as cursor:
                cursor.execute(f"SELECT {write('postgres').sql(dialect='postgres')}")
                return cursor.fetchall()[0][0]

        return on_postgres

    def on_duckdb(write: Callable[[str], exp.Expression]) -> Any:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.sql(f"SELECT {write('duckdb').sql(dialect='duckdb')}").fetchall()[0][0]

    return on_duckdb


def literal(value: Any) -> exp.Expression:
    if isinstance(value, str):
        return exp.Literal.string(value)
    return exp.Literal.number(repr(value)) if value >= 0 else exp.Neg(this=exp.Literal.number(repr(-value)))


MOMENTS: list[tuple[Any, DType, dict[str, Any], datetime | None]] = [
    ("2024-01-31", DType.TEXT, {}, datetime(2024, 1, 31)),
    ("2024-01-31T10:11:12.5+02:00", DType.TEXT, {}, datetime(2024, 1, 31, 8, 11, 12, 500_000)),
    ("2024-01-05 10:00:00 +0000", DType.TEXT, {}, datetime(2024, 1, 5, 10)),
    ("2024-01-05 10:00:00,5", DType.TEXT, {}, datetime(2024, 1, 5, 10, 0, 0, 500_000)),
    ("2024-01-05T24:00:00", DType.TEXT, {}, None),
    ("2024-1-5 9:05", DType.TEXT, {}, datetime(2024, 1, 5, 9, 5)),
    ("0000-01-01", DType.TEXT, {}, None),
    ("0001-01-01", DType.TEXT, {}, datetime(1, 1, 1)),
    ("2024-02-30", DType.TEXT, {}, None),
    ("4-10-18", DType.TEXT, {}, None),
    ("", DType.TEXT, {}, None),
    ("01/31/2024", DType.TEXT, {"format": "%m/%d/%Y"}, datetime(2024, 1, 31)),
    ("31/01/2024", DType.TEXT, {"format": "%m/%d/%Y"}, None),
    ("1/2/24", DType.TEXT, {"format": "%m/%d/%Y"}, None),
    ("5-Jan-69", DType.TEXT, {"format": "%d-%b-%y"}, datetime(1969, 1, 5)),
    ("1/2/2024 3:04 PM", DType.TEXT, {"format": "%m/%d/%Y %I:%M %p"}, datetime(2024, 1, 2, 15, 4)),
    ("1/2/2024 12:04 AM", DType.TEXT, {"format": "%m/%d/%Y %I:%M %p"}, datetime(2024, 1, 2, 0, 4)),
    ("March 2024", DType.TEXT, {"format": "%B %Y"}, datetime(2024, 4, 1)),
    (2016, DType.INTEGER, {"unit": "year"}, datetime(2017, 1, 1)),
    (2016, DType.INTEGER, {"unit": "year", "at": "start"}, datetime(2016, 1, 1)),
    ("2016", DType.TEXT, {"unit": "year"}, datetime(2017, 1, 1)),
    (2016.5, DType.FLOAT, {"unit": "year"}, None),
    (-5, DType.INTEGER, {"unit": "year"}, None),
    (201602, DType.INTEGER, {"unit": "yyyymm"}, datetime(2016, 3, 1)),
    (20160229, DType.INTEGER, {"unit": "yyyymmdd"}, datetime(2016, 2, 29)),
    (20150229, DType.INTEGER, {"unit": "yyyymmdd"}, None),
    (20150228, DType.INTEGER, {"unit": "yyyymmdd", "at": "end"}, datetime(2015, 3, 1)),
    (1704103200, DType.INTEGER, {"unit": "s"}, datetime(2024, 1, 1, 10)),
    (1704103200123, DType.INTEGER, {"unit": "ms"}, datetime(2024, 1, 1, 10, 0, 0, 123_000)),
    (1704103200123456, DType.INTEGER, {"unit": "us"}, datetime(2024, 1, 1, 10, 0, 0, 123_456)),
    (-86400, DType.INTEGER, {"unit": "s"}, datetime(1969, 12, 31)),
    (1704103200.5, DType.FLOAT, {"unit": "s"}, datetime(2024, 1, 1, 10, 0, 0, 500_000)),
    (10**17, DType.INTEGER, {"unit": "s"}, None),
    ("soon", DType.TEXT, {"unit": "s"}, None),
    (20210305120000, DType.INTEGER, {"format": "%Y%m%d%H%M%S"}, datetime(2021, 3, 5, 12)),
    (20210305.0, DType.FLOAT, {"format": "%Y%m%d"}, datetime(2021, 3, 5)),
    (5, DType.INTEGER, {"format": "%Y%m%d"}, None),
    (2460310.8, DType.FLOAT, {"unit": "julian"}, datetime(2024, 1, 1, 7, 12)),
]


@pytest.mark.parametrize(("value", "dtype", "told", "expected"), MOMENTS)
def test_a_moment_is_read_by_its_unit_or_format(
    evaluate: Evaluate, value: Any, dtype: DType, told: dict[str, Any], expected: datetime | None
) -> None:
    config = MomentConfig.model_validate(told)
    assert evaluate(lambda dialect: read_moment(literal(value), dtype, config, dialect)) == expected


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("17,60", ",", 17.6), ("$1,760.00", ".", 1760.0), ("1.760,00 €", ",", 1760.0), ("1 760,5", ",", 1760.5),
        ("(5.00)", ".", -5.0), ("5-", ".", -5.0), ("-$3", ".", -3.0), ("12%", ".", 12.0), ("1e5", ".", 100_000.0),
        ("USD 3", ".", 3.0), ("1'234.5", ".", 1234.5), ("1,76", ".", None), ("abc", ".", None), ("NaN", ".", None),
        ("", ".", None), ("1.2.3", ".", None), ("-1.5E-3", ".", -0.0015), ("0." + "3" * 330, ".", None), ("ABC 1000", ".", None),
        ("LOT100", ".", None), ("SKU-00012", ".", None),
    ],
)  # fmt: skip
def test_a_number_is_read_as_people_write_it(
    evaluate: Evaluate, text: str, decimal: str, expected: float | None
) -> None:
    assert evaluate(lambda _: read_number(literal(text), decimal)) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("t", True), ("F", False), ("Yes", True), (" n ", False), ("maybe", None), ("", None)]
)
def test_words_for_yes_and_no_are_read(evaluate: Evaluate, text: str, expected: bool | None) -> None:
    assert evaluate(lambda _: read_boolean(literal(text))) is expected


def test_own_words_for_yes_and_no_are_read(evaluate: Evaluate) -> None:
    assert evaluate(lambda _: read_boolean(literal("Ja"), ("ja",), ("nein",))) is True
    assert evaluate(lambda _: read_boolean(literal("yes"), ("ja",), ("nein",))) is None


@pytest.mark.parametrize("written", ["%Q", "%m/%d", "%Y %Y", "%Y-%y"])
def test_a_format_that_is_not_read_says_so(written: str) -> None:
    with pytest.raises(UnknownFormat):
        pattern_of(written)


@pytest.fixture(params=["duckdb", "sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.database()
    return str(tmp_path / f"legacy.{request.param}")


ORDERS = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, member VARCHAR(3))",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, placed VARCHAR(10), price VARCHAR(12), y INTEGER, "
    "m INTEGER, FOREIGN KEY (customer) REFERENCES customers(id))",
    "INSERT INTO customers VALUES (1, 'Y'), (2, 'n'), (3, '?')",
)


def orders_of(months: int) -> str:
    rows = [
        f"({i}, {1 + i % 3}, '{1 + i % 28:02d}.{1 + i % 12:02d}.{2020 + i // 12}', '1.0{i:02d},50 €', {2020 + i // 12}, {1 + i % 12})"
        for i in range(months)
    ]
    return f"INSERT INTO orders VALUES {', '.join(rows)}"


def opened(database: str, tmp_path: Path, orders: str) -> Workspace:
    url = database if "://" in database else f"{database.rsplit('.', 1)[1]}:///{database}"
    folder = tmp_path / "project"
    folder.mkdir(exist_ok=True)
    (folder / CONFIG_NAME).write_text(
        f"source: {url}\ntables:\n  customers: {{primary_key: id, columns: {{member: boolean}}}}\n  orders: {orders}\n"
    )
    return Workspace.open(folder)


def test_graph_and_labels_see_the_same_values(database: str, tmp_path: Path) -> None:
    run_all(database, (*ORDERS, orders_of(48)))
    project = opened(
        database,
        tmp_path,
        "{primary_key: id, foreign_keys: {customer: customers}, time_column: {column: placed, format: '%d.%m.%Y'}, "
        "columns: {price: {type: numerical, decimal: ','}}}",
    )
    built = pipeline.snapshot(project)
    assert built.manifest.tables["customers"].unreadable == {"member": 1}
    assert sorted(built.rows("customers").column("member").to_pylist(), key=str) == [False, None, True]
    rows = built.rows("orders").to_pylist()
    expected = {i: (datetime(2020 + i // 12, 1 + i % 12, 1 + i % 28), 1000.5 + i) for i in range(48)}
    assert {r["id"]: (r["placed"], r["price"]) for r in rows} == expected
    made = pipeline.labels(
        project, "PREDICT SUM(orders.price, 0, 6, months) FOR EACH customers.id WHERE customers.member = TRUE"
    )
    assert made.table.num_rows
    for row in made.table.to_pylist():
        end = row["time"].replace(
            year=row["time"].year + (row["time"].month > 6), month=(row["time"].month + 5) % 12 + 1
        )
        within = [p for i, (t, p) in expected.items() if 1 + i % 3 == row["entity"] and row["time"] < t <= end]
        assert row["target"] == pytest.approx(sum(within))


def test_a_year_and_a_month_count_as_known_when_they_are_over(database: str, tmp_path: Path) -> None:
    run_all(database, (*ORDERS, orders_of(30)))
    entry = "{primary_key: id, foreign_keys: {customer: customers}, time_column: {year_month: [y, m]}, columns: {y: numerical}}"
    built = pipeline.snapshot(opened(database, tmp_path, entry))
    times = built.times("orders")
    assert times is not None
    ends = [datetime(2020 + (i + 1) // 12, 1 + (i + 1) % 12, 1) for i in range(30)]
    assert times.tolist() == sorted(int((e - datetime(1970, 1, 1)).total_seconds() * 1e6) for e in ends)
    assert built.schema.table("orders").time_column == "y, m (end of month)"


def test_a_table_may_be_defined_by_a_query(database: str, tmp_path: Path) -> None:
    run_all(database, (*ORDERS, orders_of(30)))
    entry = (
        '{sql: "SELECT o.id, o.customer, o.y * 10000 + o.m * 100 + 1 AS day, c.member FROM orders o '
        'JOIN customers c ON c.id = o.customer WHERE o.m <> 2", primary_key: id, foreign_keys: {customer: customers}, '
        "time_column: {column: day, unit: yyyymmdd}, columns: {member: categorical}}"
    )
    project = opened(database, tmp_path, entry)
    built = pipeline.snapshot(project)
    assert built.num_nodes("orders") == 27
    assert built.manifest.edges["orders.customer->customers"].edges == 27
    made = pipeline.labels(project, "PREDICT COUNT(orders.*, 0, 3, months) FOR EACH customers.id")
    assert sum(made.table.column("target").to_pylist()) > 0
    assert pipeline.check(project).errors == ()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("DELETE FROM orders", "must be one SELECT"),
        ("SELECT 1; SELECT 2", "must be one SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "reads from"),
        ("SELEC 1", "must be one SELECT|not valid SQL"),
        ("SELECT nothing FROM orders", "The query of 'orders'"),
    ],
)
def test_a_query_that_is_no_select_over_tables_is_refused(tmp_path: Path, query: str, message: str) -> None:
    database = str(tmp_path / "legacy.duckdb")
    run_all(database, ORDERS)
    with pytest.raises(SchemaError, match=message):
        pipeline.snapshot(opened(database, tmp_path, f'{{sql: "{query}", primary_key: id}}'))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{time_column: y}", "stored as integer.*unit: year"),
        ("{time_column: {column: placed, format: '%Q'}}", "%Q is not read"),
        ("{time_column: {column: nothing, unit: year}}", "names the column 'orders.nothing'"),
        ("{columns: {y: timestamp}}", "say what its numbers count"),
    ],
)
def test_a_time_that_cannot_be_read_says_what_to_do(tmp_path: Path, entry: str, message: str) -> None:
    database = str(tmp_path / "legacy.duckdb")
    run_all(database, ORDERS)
    with pytest.raises(SchemaError, match=message):
        pipeline.snapshot(opened(database, tmp_path, entry))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{time_column: {column: y, unit: years}}", "unit"),
        ("{time_column: {unit: year}}", "name one of column"),
        ("{time_column: {column: y, unit: year, format: '%Y'}}", "not both"),
        ("{columns: {price: {type: categorical, decimal: ','}}}", "decimal is for columns of type numerical"),
        ("{columns: {price: {type: boolean, true_values: J}}}", "both true_values and false_values"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path: Path, entry: str, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        opened(str(tmp_path / "legacy.duckdb"), tmp_path, entry)
