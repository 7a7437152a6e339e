"""NaN, infinity and numbers too large to add up are missing in every aggregation and condition, on every database."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from forekey import pipeline
from forekey.project import PQLTask
from forekey.query import bind, label_sql, parse
from forekey.source import infer_schema, open_source
from tests.support.servers import Postgres, run_all

TYPES = {
    "duckdb": ("DOUBLE", "FLOAT"),
    "postgres": ("DOUBLE PRECISION", "REAL", "NUMERIC"),
    "sqlite": ("REAL",),
}
DATABASES = [(kind, sql_type) for kind, types in TYPES.items() for sql_type in types]
NOT_NUMBERS = {
    "duckdb": "'NaN', 'Infinity', '-Infinity'",
    "postgres": "'NaN', 'Infinity', '-Infinity'",
    "sqlite": "9e999, -9e999",
}
LARGE = {"DOUBLE": "1e308", "DOUBLE PRECISION": "1e308", "NUMERIC": "1e308"}


@pytest.fixture(params=DATABASES, ids=lambda p: f"{p[0]} {p[1]}")
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Customer 1 has orders of 2 and 3 and of what is no number, customer 2 has only those, customer 3 has none."""
    kind, sql_type = request.param
    url = str(tmp_path / f"odd.{kind}")
    if kind == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database()
    odd = [v.strip() for v in NOT_NUMBERS[kind].split(",")] + [LARGE[sql_type] for _ in range(3) if sql_type in LARGE]
    values = [(1, v) for v in ("2", "3", *odd)] + [(2, v) for v in odd]
    rows = ", ".join(
        f"({i}, {who}, '2024-01-02 00:00:00', CAST({v} AS {sql_type}))" for i, (who, v) in enumerate(values)
    )
    if kind == "sqlite":
        rows = ", ".join(f"({i}, {who}, '2024-01-02 00:00:00', {v})" for i, (who, v) in enumerate(values))
    run_all(
        url,
        (
            f"CREATE TABLE customers (id INTEGER PRIMARY KEY, score {sql_type})",
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id), "
            f"placed TIMESTAMP, amount {sql_type})",
            f"INSERT INTO customers VALUES (1, 7), (2, {odd[0]}), (3, NULL)",
            f"INSERT INTO orders VALUES {rows}",
        ),
    )
    return url


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("SUM(orders.amount, 0, 3)", {1: 5.0, 2: 0.0, 3: 0.0}),
        ("AVG(orders.amount, 0, 3)", {1: 2.5}),
        ("MIN(orders.amount, 0, 3)", {1: 2.0}),
        ("MAX(orders.amount, 0, 3)", {1: 3.0}),
        ("COUNT(orders.amount, 0, 3)", {1: 2, 2: 0, 3: 0}),
        ("COUNT_DISTINCT(orders.amount, 0, 3)", {1: 2, 2: 0, 3: 0}),
        ("LAST(orders.amount, 0, 3)", {1: 3.0}),
        ("COUNT(orders.* WHERE orders.amount > 2.5, 0, 3)", {1: 1, 2: 0, 3: 0}),
        ("COUNT(orders.* WHERE NOT (orders.amount > 2.5), 0, 3)", {1: 1, 2: 0, 3: 0}),
        ("COUNT(orders.* WHERE orders.amount IS NOT NULL, 0, 3)", {1: 2, 2: 0, 3: 0}),
        ("MAX(orders.amount, 0, 3) > 1", {1: 1}),
        ("SUM(orders.amount, 0, 3) > 1", {1: 1, 2: 0, 3: 0}),
    ],
)
def test_what_is_no_number_counts_for_nothing(database: str, target: str, expected: dict[int, float]) -> None:
    with open_source(database, Path()) as source:
        bound = bind(parse(f"PREDICT {target} FOR EACH customers.id"), infer_schema(source).schema)
        rows = source.query(label_sql(bound, [datetime(2024, 1, 1)])).read_all().to_pylist()
    assert {r["entity"]: float(r["label"]) for r in rows} == expected


@pytest.mark.parametrize(
    ("where", "entities"),
    [
        ("customers.score > 5", {1}),
        ("NOT (customers.score > 5)", set()),
        ("customers.score IS NULL", {2, 3}),
        ("customers.score = 7.0", {1}),
        ("customers.score != 8", {1}),
        ("customers.score < 8 OR customers.score >= 8", {1}),
    ],
)
def test_a_comparison_with_what_is_no_number_is_undefined(database: str, where: str, entities: set[int]) -> None:
    with open_source(database, Path()) as source:
        query = f"PREDICT COUNT(orders.*, 0, 3) FOR EACH customers.id WHERE {where}"
        bound = bind(parse(query), infer_schema(source).schema)
        rows = source.query(label_sql(bound, [datetime(2024, 1, 1)])).read_all().to_pylist()
    assert {r["entity"] for r in rows} == entities


@pytest.mark.parametrize("size", ["1e308", "1e300", "1e37", "1e-300"])
def test_training_goes_on_with_numbers_of_any_size(size: str, tmp_path: Path) -> None:
    url = str(tmp_path / "large.duckdb")
    run_all(
        url,
        (
            "CREATE TABLE customers AS SELECT i::INTEGER AS id FROM range(40) t(i)",
            "ALTER TABLE customers ADD PRIMARY KEY (id)",
            "CREATE TABLE orders AS SELECT i::INTEGER AS id, (i * 7 % 40)::INTEGER AS customer_id, "
            f"TIMESTAMP '2024-01-01' + i * INTERVAL 3 HOURS AS placed, CASE WHEN i % 50 = 0 THEN {size}::DOUBLE ELSE i % 9 END "
            "AS amount FROM range(1200) t(i)",
        ),
    )
    task = PQLTask(query="PREDICT SUM(orders.amount, 0, 14, days) FOR EACH customers.id")
    project = pipeline.init(url, tmp_path / "project", tasks={"spend": task}).workspace
    report = pipeline.train(project, "spend", preset="fast")
    made = pipeline.labels(project, "spend")
    assert sum(made.statistics[s]["rows"] for s in ("train", "val", "test")) == len(made.table)
    assert report.metrics["test"]["mae"] is not None
    predicted = pipeline.predict(project, "spend").predictions.values
    assert (abs(predicted) < 1e39).all()
