"""Queries that are hard on a parser, on a database, or on both: the same answer on DuckDB and Postgres, or a clear no."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from forekey.errors import PQLError
from forekey.query import bind, label_sql, parse
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from forekey.source import Source, infer_schema, open_source
from tests.query.test_names_and_times import label_rows
from tests.support.databases import SHOP_SCHEMA
from tests.support.servers import run_all

FOR = "FOR EACH customers.customer_id"
ANCHOR = datetime(2024, 1, 5)
UUIDS = [f"aaaaaaaa-0000-0000-0000-00000000000{i}" for i in range(3)]


@pytest.fixture(params=["duckdb", "postgres"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    postgres = request.param == "postgres"
    url = request.getfixturevalue("postgres").database() if postgres else str(tmp_path / "a.duckdb")
    run_all(
        url,
        (
            "CREATE TYPE tier AS ENUM ('gold', 'silver')",
            "CREATE TABLE people (id int PRIMARY KEY, score real, rank tier, code char(6), vip boolean)",
            "CREATE TABLE visits (id int PRIMARY KEY, person int REFERENCES people(id), seen timestamp, rating double precision)",
            "INSERT INTO people VALUES (1, 0.1, 'gold', 'ab', true), (2, 0.25, 'silver', 'abc', false), (3, NULL, NULL, NULL, NULL)",
            "INSERT INTO visits VALUES (1, 1, '2024-01-06', 1), (2, 1, '2024-01-07', 2), (3, 2, '2024-01-06 12:00', 2.5)",
            "CREATE TABLE members (id uuid PRIMARY KEY)",
            *(f"INSERT INTO members VALUES ('{u}')" for u in UUIDS),
            "CREATE TABLE logins (member uuid REFERENCES members(id), seen timestamp)",
            f"INSERT INTO logins VALUES ('{UUIDS[1]}', '2024-01-06')",
        ),
    )
    with open_source(url, tmp_path) as opened:
        yield opened


def schema_of(source: Source) -> Schema:
    """Return the schema with ratings as categories."""
    found = infer_schema(source).schema
    tables = []
    for table in found.tables:
        columns = tuple(
            ColumnSchema(c.name, c.dtype, Stype.CATEGORICAL) if c.name == "rating" else c for c in table.columns
        )
        tables.append(TableSchema(table.name, columns, table.primary_key, table.time_column, table.foreign_keys))
    return Schema(tuple(tables))


def passing(source: Source, condition: str) -> list[int]:
    query = f"PREDICT COUNT(visits.*, 0, 9) FOR EACH people.id WHERE {condition}"
    return [row[0] for row in label_rows(source, schema_of(source), query, ANCHOR)]


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("people.score = 0.1", [1]),
        ("people.score > 0.1", [2]),
        ("people.score <= 0.1", [1]),
        ("people.score BETWEEN 0.05 AND 0.2", [1]),
        ("people.score IN (0.1, 0.25)", [1, 2]),
        ("people.score = 0.25", [2]),
        ("people.rank = 'gold'", [1]),
        ("people.rank = 'platinum'", []),
        ("people.rank LIKE 'g%'", [1]),
        ("people.rank STARTS WITH 's'", [2]),
        ("people.code LIKE 'ab'", [1]),
        ("people.code ENDS WITH 'c'", [2]),
        ("people.code = 'ab'", [1]),
        ("people.vip = 1.0", [1]),
        ("people.vip = 0", [2]),
        ("people.vip = TRUE", [1]),
    ],
)
def test_types_of_the_database_compare_alike_everywhere(source: Source, condition: str, ids: list[int]) -> None:
    assert passing(source, condition) == ids


def test_classes_that_are_numbers_are_spelled_alike(source: Source) -> None:
    last = label_rows(source, schema_of(source), "PREDICT LAST(visits.rating, 0, 9) FOR EACH people.id", ANCHOR)
    assert [(r[0], r[2]) for r in last] == [(1, "2"), (2, "2.5")]
    listed = "PREDICT LIST_DISTINCT(visits.rating, 0, 9) CLASSIFY FOR EACH people.id"
    rows = label_rows(source, schema_of(source), listed, ANCHOR)
    assert [(r[0], list(r[2])) for r in rows] == [(1, ["1", "2"]), (2, ["2.5"])]


@pytest.mark.parametrize("spelling", [UUIDS[1], UUIDS[1].upper(), UUIDS[1].replace("-", ""), f"{{{UUIDS[1]}}}"])
def test_uuids_are_found_in_any_spelling(source: Source, spelling: str) -> None:
    query = f"PREDICT COUNT(logins.*, 0, 9) FOR EACH members.id WHERE members.id = '{spelling}'"
    assert [r[2] for r in label_rows(source, schema_of(source), query, ANCHOR)] == [1]
    nobody = "PREDICT COUNT(logins.* WHERE logins.member = 'nonsense', 0, 9) FOR EACH members.id"
    with pytest.raises(PQLError, match="is a UUID; 'nonsense' is not"):
        bind(parse(nobody), schema_of(source))


def test_an_offset_in_a_moment_counts(source: Source) -> None:
    count = "PREDICT COUNT(visits.* WHERE visits.seen <= '{}', 0, 9) FOR EACH people.id WHERE people.id = 1"
    for moment, expected in (("2024-01-06T00:00:00+00:00", 1), ("2024-01-06T01:00:00+02:00", 0), ("2024-01-06", 1)):
        assert label_rows(source, schema_of(source), count.format(moment), ANCHOR)[0][2] == expected


@pytest.mark.parametrize(
    "text",
    [
        f"PREDICT COUNT(orders.*, 0, {'9' * 5000}) {FOR}",
        f"PREDICT SUM(orders.amount, 0, 7) FORECAST {'9' * 5000} TIMEFRAMES {FOR}",
        f"PREDICT COUNT(orders.*, 0, 7) > {'9' * 5000} {FOR}",
        f"PREDICT {'NOT ' * 1000} customers.age = 1 {FOR}",
        f"PREDICT {'NOT (' * 190} customers.age = 1 {')' * 190} {FOR}",
        f"PREDICT {'(' * 500} customers.age = 1 {')' * 500} {FOR}",
        f"PREDICT COUNT(orders.*, 0, 7) {FOR} WHERE customers.region = '\\ud800'",
        f"PREDICT COUNT(orders.*, 0, 7) {FOR} WHERE customers.region = 'a\\u0000'",
        f"PREDICT COUNT(orders.*, 0, 7) {FOR} WHERE customers.age > 1e999",
    ],
)
def test_what_no_database_could_take_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(PQLError):
        bind(parse(text), SHOP_SCHEMA)


def test_conditions_nested_as_deep_as_allowed_compile() -> None:
    for text in (
        f"PREDICT {'NOT (' * 48} COUNT(orders.*, 0, 7) = 1 {')' * 48} {FOR}",
        f"PREDICT {'NOT ' * 98} COUNT(orders.*, 0, 7) = 1 {FOR}",
        f"PREDICT {'(' * 98} COUNT(orders.*, 0, 7) = 1 {')' * 98} {FOR}",
    ):
        for dialect in ("duckdb", "postgres"):
            assert "COUNT" in label_sql(bind(parse(text), SHOP_SCHEMA), [ANCHOR]).sql(dialect=dialect)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"PREDICT LIST_DISTINCT(orders.customer_id, 0, 7) RANK TOP 0 {FOR}", "k of 1 or more"),
        (f"PREDICT LIST_DISTINCT(orders.customer_id, 0, 7) RANK TOP -3 {FOR}", "k of 1 or more"),
        (f"PREDICT LIST_DISTINCT(orders.order_id, 0, 7) RANK TOP 3 {FOR}", "key of its own rows"),
    ],
)
def test_rankings_of_nothing_are_refused(text: str, says: str) -> None:
    with pytest.raises(PQLError, match=says):
        bind(parse(text), SHOP_SCHEMA)


def test_rows_of_the_entity_s_own_table_are_named_by_how_they_refer_to_it() -> None:
    columns = (
        ColumnSchema("id", DType.INTEGER, Stype.ID),
        ColumnSchema("boss", DType.INTEGER, Stype.ID),
        ColumnSchema("hired", DType.TIMESTAMP, Stype.TIMESTAMP),
    )
    schema = Schema((TableSchema("staff", columns, "id", "hired", (ForeignKey("boss", "staff"),)),))
    with pytest.raises(PQLError, match=r"Say which refer to it: staff.\* VIA boss"):
        bind(parse("PREDICT COUNT(staff.*, 0, 30) FOR EACH staff.id"), schema)
    assert bind(parse("PREDICT COUNT(staff.* VIA boss, 0, 30) FOR EACH staff.id"), schema).task_type == "regression"


def test_foreign_keys_are_followed_as_far_as_they_lead() -> None:
    def table(i: int) -> TableSchema:
        columns = [ColumnSchema("id", DType.INTEGER, Stype.ID), ColumnSchema("at", DType.TIMESTAMP, Stype.TIMESTAMP)]
        columns += [ColumnSchema("up", DType.INTEGER, Stype.ID)] if i else []
        return TableSchema(f"t{i}", tuple(columns), "id", "at", (ForeignKey("up", f"t{i - 1}"),) if i else ())

    schema = Schema(tuple(table(i) for i in range(8)))
    bound = bind(parse("PREDICT COUNT(t7.*, 0, 10) FOR EACH t0.id"), schema)
    assert [len(a.path) for a in bound.aggregations.values()] == [7]


def test_one_id_may_stand_without_parentheses() -> None:
    assert parse("PREDICT COUNT(orders.*, 0, 7) FOR customers.customer_id IN 42").ids == (42,)
