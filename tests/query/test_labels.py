"""The labels that compiled SQL makes equal those of a plain reading of the language, on any database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forekey.query import TaskType, bind, dropped_sql, label_sql, parse, population_sql
from forekey.source import Source
from forekey.source.postgres import PostgresSource
from tests.query.reference import Database, labels
from tests.support.databases import SHOP_SCHEMA, START, Tables, source_of, table
from tests.support.examples import examples
from tests.support.random_rows import NUMBERS, RandomRows
from tests.support.servers import Postgres


@st.composite
def databases(draw: st.DrawFn) -> Database:
    """Draw customers, orders and lines whose keys are unique: labels are defined on clean keys."""
    r = RandomRows(draw(NUMBERS))
    kinds = ("a", "ab", "b", "o'b", 'q"', "a\\", "%", "Ä_")

    def amount() -> float | None:
        odd = (float("nan"), float("inf"), -float("inf"), 1e308, -1e308)
        return r.one(*(float(r.integer(-5, 20)) for _ in range(6)), r.one(*odd, none=0.0))

    customers = [(i, r.one(*kinds), amount()) for i in r.different(6, 5)]
    orders = [(i, r.one(*range(7)), r.day(START, 90, none=0.15), amount(), r.one(*kinds)) for i in r.different(31, 25)]
    lines = [(r.one(*range(31)), r.day(START, 90, none=0.15), r.integer(-3, 3)) for _ in range(r.size(25))]
    return {
        "customers": [dict(zip(("customer_id", "region", "age"), r, strict=True)) for r in customers],
        "orders": [
            dict(zip(("order_id", "customer_id", "placed_at", "amount", "kind"), r, strict=True)) for r in orders
        ],
        "lines": [dict(zip(("order_id", "added_at", "quantity"), r, strict=True)) for r in lines],
    }


def window(start: st.SearchStrategy[str], end: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    unit = st.sampled_from(["days", "weeks", "months", "hours"])
    return st.builds(lambda s, e, u: f", {s}, {e}, {u}", start, end, unit)


AHEAD = window(st.just("0"), st.integers(1, 4))
BEHIND = st.one_of(window(st.sampled_from(["-4", "-30", "-INF"]), st.sampled_from([0, -1])), st.just(""))
ROW_FILTERS = st.sampled_from(
    [
        "",
        " WHERE orders.amount > 3",
        " WHERE orders.kind = 'a' OR orders.amount IS NULL",
        " WHERE NOT (orders.kind STARTS WITH 'a' AND orders.amount <= 10)",
        " WHERE orders.kind CONTAINS 'b'",
        " WHERE orders.kind IN ('a', 'o''b')",
        " WHERE customers.region = 'a'",
        " WHERE orders.kind LIKE 'a%' OR orders.kind NOT LIKE '_'",
        " WHERE orders.kind NOT IN ('a', 'b') AND orders.kind ENDS WITH '\\\\'",
        " WHERE COUNT(lines.*, -INF, 0, days) > 0",
        " WHERE SUM(lines.quantity WHERE lines.quantity > 0, -40, 0, days) BETWEEN 1 AND 3 OR orders.amount > 5",
        " WHERE NOT (MAX(lines.quantity, -60, -1, days) > 0)",
    ]
)


@st.composite
def aggregations(draw: st.DrawFn, windows: st.SearchStrategy[str]) -> str:
    if draw(st.booleans()):
        column, where = (
            draw(st.sampled_from(["COUNT(orders.*", "COUNT(orders.kind", "COUNT_DISTINCT(orders.kind"])),
            None,
        )
    else:
        name = draw(st.sampled_from(["SUM", "AVG", "MIN", "MAX", "FIRST", "LAST", "COUNT"]))
        column, where = f"{name}(orders.amount", None
    if draw(st.integers(0, 4)) == 0:
        column, where = f"{draw(st.sampled_from(['SUM', 'COUNT', 'MAX']))}(lines.quantity", ""
    return f"{column}{draw(ROW_FILTERS) if where is None else where}{draw(windows)})"


@st.composite
def conditions(draw: st.DrawFn, windows: st.SearchStrategy[str], depth: int = 2) -> str:
    if depth and draw(st.booleans()):
        kind = draw(st.sampled_from(["AND", "OR", "NOT"]))
        first = draw(conditions(windows, depth - 1))
        return f"NOT ({first})" if kind == "NOT" else f"({first}) {kind} ({draw(conditions(windows, depth - 1))})"
    operand = draw(st.one_of(aggregations(windows), st.just("customers.age")))
    test = draw(
        st.sampled_from(["= 0", "> 0", "!= 2", "<= 5", "BETWEEN 1 AND 6", "IS NULL", "IS NOT NULL", "IN (1, 2)"])
    )
    return f"{operand} {test}"


@st.composite
def queries(draw: st.DrawFn) -> str:
    unit = draw(st.sampled_from(["days", "weeks", "months"]))
    ahead = st.integers(1, 4).map(lambda e: f", 0, {e}, {unit}")
    kind = draw(st.integers(0, 5))
    target = draw(st.one_of(aggregations(ahead), conditions(ahead)))
    if kind == 0:
        listed = draw(st.sampled_from(["orders.kind", "orders.customer_id"]))
        target = f"LIST_DISTINCT({listed}{draw(ROW_FILTERS)}{draw(ahead)}) {draw(st.sampled_from(['CLASSIFY', 'RANK TOP 3']))}"
    elif kind == 1:
        folded = draw(
            st.sampled_from(["SUM(orders.amount", "COUNT(orders.*", "AVG(orders.amount", "MAX(lines.quantity"])
        )
        target = f"{folded}{draw(ahead)}) FORECAST {draw(st.integers(1, 4))} TIMEFRAMES"
    where = draw(st.one_of(st.just(""), conditions(BEHIND).map(lambda c: f" WHERE {c}")))
    assuming = draw(st.one_of(st.just(""), st.just(""), conditions(ahead).map(lambda c: f" ASSUMING {c}")))
    return f"PREDICT {target} FOR EACH customers.customer_id{where}{assuming}"


@settings(max_examples=examples(150))
@given(databases(), queries(), st.lists(st.integers(0, 80), min_size=1, max_size=3, unique=True))
def test_sql_agrees_with_the_plain_reading(database: Database, text: str, days: list[int]) -> None:
    check_labels(source(database), database, text, [START + timedelta(days=d) for d in days])


@settings(max_examples=examples(60))
@given(databases(), queries(), st.lists(st.integers(0, 80), min_size=1, max_size=3, unique=True))
def test_postgres_agrees_with_the_plain_reading(
    postgres_tables: PostgresSource, database: Database, text: str, days: list[int]
) -> None:
    for name, rows in tables_of(database).items():
        postgres_tables.write_table(name, rows)
    check_labels(postgres_tables, database, text, [START + timedelta(days=d) for d in days])


@pytest.fixture(scope="module")
def postgres_tables(postgres: Postgres) -> Iterator[PostgresSource]:
    with PostgresSource.open(postgres.database(), writable=True) as opened:
        yield opened


def check_labels(opened: Source, database: Database, text: str, anchors: list[datetime]) -> None:
    """Hold what the SQL gives in a database against the plain reading of its rows."""
    query = parse(text)
    bound = bind(query, SHOP_SCHEMA)
    rows = opened.query(label_sql(bound, anchors)).read_all().to_pylist()
    listed = bound.task_type in {TaskType.MULTILABEL_CLASSIFICATION, TaskType.LINK_PREDICTION}
    for row in rows:
        row["label"] = tuple(sorted(row["label"])) if listed else row["label"]
    found = {(r["entity"], r["anchor_time"], rounded(r["label"])) for r in rows}
    assert found == {(e, a, rounded(v)) for e, a, v in labels(query, database, anchors)}
    assert len(rows) == len(found)


@settings(max_examples=examples(40))
@given(databases(), queries(), st.integers(101, 130))
def test_more_anchors_than_there_may_be_columns_give_the_same_labels(database: Database, text: str, count: int) -> None:
    check_labels(source(database), database, text, [START + timedelta(hours=18 * i) for i in range(count)])


def test_entities_that_are_not_there_yet_are_counted() -> None:
    born = [0, 10, 20, None]
    orders = [
        {"order_id": i, "customer_id": 1, "placed_at": d if d is None else START + timedelta(days=d)}
        for i, d in enumerate(born)
    ]
    database: Database = {
        "customers": [{"customer_id": 1, "region": None, "age": None}],
        "orders": [{**o, "amount": 1.0, "kind": None} for o in orders],
        "lines": [],
    }
    bound = bind(parse("PREDICT COUNT(lines.*, 0, 5, days) FOR EACH orders.order_id"), SHOP_SCHEMA)
    anchors = [START + timedelta(days=5), START + timedelta(days=15)]
    counted = source(database).query(dropped_sql(bound, anchors)).read_all().to_pylist()[0]
    assert (counted["pairs"], counted["unborn"]) == (3, 3)


def test_a_forecast_of_hundreds_of_frames_makes_labels() -> None:
    database: Database = {
        "customers": [{"customer_id": 1, "region": None, "age": None}],
        "orders": [
            {"order_id": i, "customer_id": 1, "placed_at": START + timedelta(days=i), "amount": float(i), "kind": None}
            for i in range(500)
        ],
        "lines": [],
    }
    text = "PREDICT SUM(orders.amount, 0, 1, days) FORECAST 400 TIMEFRAMES FOR EACH customers.customer_id"
    found = source(database).query(label_sql(bind(parse(text), SHOP_SCHEMA), [START, START + timedelta(days=9)]))
    labels = sorted(found.read_all().column("label").to_pylist())
    assert labels == [[float(i) for i in range(1, 401)], [float(i) for i in range(10, 410)]]


@given(databases(), conditions(BEHIND), st.integers(0, 80))
def test_the_population_is_who_passes_where(database: Database, where: str, day: int) -> None:
    text = f"PREDICT COUNT(orders.*, 0, 1, days) FOR EACH customers.customer_id WHERE {where}"
    bound = bind(parse(text), SHOP_SCHEMA)
    anchor = START + timedelta(days=day)
    rows = source(database).query(population_sql(bound, anchor)).read_all().to_pylist()
    assert {r["entity"] for r in rows} == {e for e, _, _ in labels(bound.query, database, [anchor])}


@given(databases(), queries(), st.integers(0, 80))
def test_every_pair_is_an_example_or_counted_as_dropped(database: Database, text: str, day: int) -> None:
    bound = bind(parse(text), SHOP_SCHEMA)
    anchors = [START + timedelta(days=day)]
    shop = source(database)
    examples = shop.query(label_sql(bound, anchors)).read_all().num_rows
    counted = shop.query(dropped_sql(bound, anchors)).read_all().to_pylist()[0]
    assert int(counted["pairs"]) == len(database["customers"])
    assert examples + int(counted["filtered"] or 0) + int(counted["undefined"] or 0) == int(counted["pairs"])


def test_a_window_excludes_its_start_and_includes_its_end() -> None:
    anchor = START + timedelta(days=10)
    database: Database = {
        "customers": [{"customer_id": 1, "region": None, "age": None}],
        "orders": [
            {"order_id": i, "customer_id": 1, "placed_at": START + timedelta(days=d), "amount": 1.0, "kind": None}
            for i, d in enumerate((10, 11, 15, 16))
        ],
        "lines": [],
    }
    bound = bind(parse("PREDICT COUNT(orders.*, 0, 5, days) FOR EACH customers.customer_id"), SHOP_SCHEMA)
    assert source(database).query(label_sql(bound, [anchor])).read_all().column("label").to_pylist() == [2.0]


@pytest.mark.parametrize("text", ["x'; DROP TABLE customers; --", 'a"b', "%", "back\\slash", "new\nline", "\u2028"])
def test_literals_are_data_not_sql(text: str) -> None:
    database: Database = {"customers": [{"customer_id": 1, "region": text, "age": 1.0}], "orders": [], "lines": []}
    quoted = text.replace("'", "''")
    query = f"PREDICT COUNT(orders.*, 0, 5, days) FOR EACH customers.customer_id WHERE customers.region = '{quoted}'"
    shop = source(database)
    found = shop.query(label_sql(bind(parse(query), SHOP_SCHEMA), [START])).read_all()
    assert found.num_rows == 1
    assert shop.tables()[0].rows == 1


def source(database: Database) -> Source:
    """A DuckDB of these rows."""
    return source_of(tables_of(database))


def tables_of(database: Database) -> Tables:
    """Type the rows."""
    import pyarrow as pa

    types = {
        "customers": {"customer_id": pa.int64(), "region": pa.string(), "age": pa.float64()},
        "orders": {
            "order_id": pa.int64(),
            "customer_id": pa.int64(),
            "placed_at": pa.timestamp("us"),
            "amount": pa.float64(),
            "kind": pa.string(),
        },
        "lines": {"order_id": pa.int64(), "added_at": pa.timestamp("us"), "quantity": pa.int64()},
    }
    return {n: table(t, [tuple(r.values()) for r in database[n]]) for n, t in types.items()}


def rounded(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(rounded(v) for v in value)
    return round(float(value), 6) if isinstance(value, int | float) else value


def test_anchors_are_timestamps_without_zone() -> None:
    bound = bind(parse("PREDICT COUNT(orders.*, 0, 5, days) FOR EACH customers.customer_id"), SHOP_SCHEMA)
    database: Database = {"customers": [{"customer_id": 1, "region": None, "age": None}], "orders": [], "lines": []}
    rows = source(database).query(label_sql(bound, [datetime(2024, 2, 29, 12, 30)])).read_all().to_pylist()
    assert rows[0]["anchor_time"] == datetime(2024, 2, 29, 12, 30)
