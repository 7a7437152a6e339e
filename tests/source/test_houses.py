"""What is inferred of databases of several houses, none of which declares anything."""

from __future__ import annotations

import duckdb
import pytest

from forekey.source import Inference, infer_schema
from forekey.source.duck import DuckDBSource
from forekey.testing.houses import HOUSES, House, open_house

BEYOND = {"office": {"Orders.ShipVia->Shippers"}}
"""References that neither a name nor the data tell: small numbers that any column may hold."""


@pytest.fixture(params=HOUSES, ids=lambda house: house.name)
def house(request: pytest.FixtureRequest) -> House:
    found: House = request.param
    return found


@pytest.fixture
def inferred(house: House) -> Inference:
    return infer_schema(DuckDBSource("memory", open_house(house)))


def test_keys_references_and_times_are_those_that_a_person_would_name(house: House, inferred: Inference) -> None:
    schema, entries = inferred.schema, inferred.tables()
    assert {t.name: t.primary_key for t in schema.tables if t.primary_key} == house.primary
    assert {str(e) for e in schema.edge_types} == house.foreign - BEYOND.get(house.name, set())
    own = {t.name: t.time_column for t in schema.tables if t.time_column and entries[t.name].time_from is None}
    assert own == house.times
    assert {n: t.time_from for n, t in entries.items() if t.time_from is not None} == house.parts


def test_every_guess_says_why(inferred: Inference) -> None:
    assert all(g.reason for g in inferred.guesses)


def test_a_part_needs_evidence_to_take_the_time_of_its_whole() -> None:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE people AS SELECT i AS pid, TIMESTAMP '1990-01-01' + INTERVAL (i) DAY AS since FROM range(300) t(i)"
    )
    connection.execute(
        "CREATE TABLE bats AS SELECT i % 300 AS pid, 1995 + i // 300 AS yr, 'T' || i % 7 AS team, "
        "make_timestamp(1995 + i // 300, 9, 1, 0, 0, 0) AS ended, i % 50 AS hr FROM range(6000) t(i)"
    )
    connection.execute("CREATE TABLE notes AS SELECT i % 300 AS pid, 'text ' || i AS body FROM range(900) t(i)")
    connection.execute(
        "CREATE TABLE people_items AS SELECT i % 300 AS pid, 'thing ' || i % 5 AS thing FROM range(900) t(i)"
    )
    found = infer_schema(DuckDBSource("memory", connection))
    entries = found.tables()
    assert entries["bats"].time_from is None
    assert found.schema.table("bats").time_column == "yr (end of year)"
    assert entries["notes"].time_from is None
    assert found.schema.table("notes").time_column is None
    assert entries["people_items"].time_from == "pid"
    assert set(found.untimed) == {"notes"}


def test_codes_are_not_taken_for_dates() -> None:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE parts AS SELECT i AS part_id, '4-' || (1 + i % 12) || '-' || (10 + i % 18) AS part_no, "
        "lpad((i * 7 % 9000)::TEXT, 5, '0') AS bin, i % 5 AS shelf FROM range(500) t(i)"
    )
    found = infer_schema(DuckDBSource("memory", connection)).schema.table("parts")
    assert found.time_column is None
    assert {found.column(c).stype for c in ("part_no", "bin")} <= {"categorical", "text"}


def test_columns_written_later_are_set_aside_and_plans_are_not() -> None:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE people AS SELECT i AS person_id, DATE '1950-01-01' + (i * 31)::INT AS joined, "
        "DATE '1950-01-01' + (i * 31 + 100 + i * 37 % 4000)::INT AS final_game, 1930 + i * 31 // 365 AS birth_year, "
        "CASE WHEN i % 3 = 0 THEN 1990 + i % 25 END AS death_year, CASE WHEN i % 3 = 0 THEN 'place ' || i % 40 END AS "
        "death_place, DATE '1950-01-01' + (i * 31 + 30)::INT AS valid_to FROM range(400) t(i)"
    )
    found = infer_schema(DuckDBSource("memory", connection))
    stypes = {c.name: c.stype for c in found.schema.table("people").columns}
    assert stypes["final_game"] == stypes["death_year"] == stypes["death_place"] == "ignore"
    assert stypes["birth_year"] == "numerical"
    assert stypes["valid_to"] == "timestamp"
    reasons = {g.column: g.reason for g in found.guesses if g.what == "leak"}
    assert "later than its row's own time in 100% of rows" in reasons["final_game"]
    assert "a year later than that of its row's time" in reasons["death_year"]
    assert "filled where death_year is" in reasons["death_place"]
