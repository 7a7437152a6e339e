"""Names that look like SQL, moments with zones, the ends of months: the same on DuckDB and Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from forekey.query import bind, label_sql, parse
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from forekey.source import Source, open_source
from tests.support.servers import run_all

PEOPLE, VISITS, AT, WHO = "x'); DROP TABLE kept; --", 'sel"ect', "größe ; --", "who's"


def schema_of(people: str = "people", visits: str = "visits", at: str = "seen", who: str = "who") -> Schema:
    identity = ColumnSchema("id", DType.INTEGER, Stype.ID)
    born = ColumnSchema("born", DType.TIMESTAMP, Stype.TIMESTAMP)
    columns = (ColumnSchema(at, DType.TIMESTAMP, Stype.TIMESTAMP), ColumnSchema(who, DType.INTEGER, Stype.ID))
    return Schema(
        (
            TableSchema(people, (identity, born), "id", "born"),
            TableSchema(visits, columns, None, at, (ForeignKey(who, people),)),
        )
    )


@pytest.fixture(params=["duckdb", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres").database())
    return str(tmp_path / "a.duckdb")


@pytest.fixture
def opened(url: str, tmp_path: Path) -> Iterator[Any]:
    """A function that runs statements and opens the database."""
    sources: list[Source] = []

    def open_after(*statements: str) -> Source:
        run_all(url, statements)
        sources.append(open_source(url, tmp_path))
        return sources[-1]

    yield open_after
    for source in sources:
        source.close()


def label_rows(source: Source, schema: Schema, text: str, *anchors: datetime) -> list[tuple[Any, ...]]:
    rows = source.query(label_sql(bind(parse(text), schema), anchors)).read_all().to_pylist()
    return sorted((r["entity"], r["anchor_time"], r["label"]) for r in rows)


def quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def test_names_are_names_not_sql(opened: Any) -> None:
    source = opened(
        "CREATE TABLE kept (id INTEGER)",
        f"CREATE TABLE {quoted(PEOPLE)} (id INTEGER, born TIMESTAMP)",
        f"CREATE TABLE {quoted(VISITS)} ({quoted(AT)} TIMESTAMP, {quoted(WHO)} INTEGER)",
        f"INSERT INTO {quoted(PEOPLE)} VALUES (1, '2024-01-01')",
        f"INSERT INTO {quoted(VISITS)} VALUES ('2024-02-02', 1)",
    )
    text = f"PREDICT COUNT(`{VISITS}`.`{AT}`, 0, 5) FOR EACH `{PEOPLE}`.id WHERE `{PEOPLE}`.born > 2000-01-01"
    anchor = datetime(2024, 2, 1)
    assert label_rows(source, schema_of(PEOPLE, VISITS, AT, WHO), text, anchor) == [(1, anchor, 1.0)]
    assert {"kept", PEOPLE, VISITS} <= {t.name for t in source.tables()}


def test_moments_with_a_zone_are_compared_in_utc(opened: Any) -> None:
    source = opened(
        "CREATE TABLE people (id INTEGER, born TIMESTAMPTZ)",
        "CREATE TABLE visits (seen TIMESTAMPTZ, who INTEGER)",
        "INSERT INTO people VALUES (1, '2024-01-01 00:00:00+00'), (2, '2024-02-01 02:00:00+05:30')",
        "INSERT INTO visits VALUES ('2024-02-01 05:30:00+05:30', 1), ('2024-02-01 05:30:01+05:30', 1), "
        "('2024-02-02 05:30:00+05:30', 1), ('2024-02-01 19:00:01-05:00', 1), ('2024-02-01 12:00:00+00', 2)",
    )
    anchor = datetime(2024, 2, 1)
    found = label_rows(source, schema_of(), "PREDICT COUNT(visits.*, 0, 1, days) FOR EACH people.id", anchor)
    # Midnight itself is before the window, the next midnight in it; person 2 was born at 20:30 UTC the day before.
    assert found == [(1, anchor, 2.0), (2, anchor, 1.0)]


def test_who_is_not_born_yet_has_no_label(opened: Any) -> None:
    source = opened(
        "CREATE TABLE people (id INTEGER, born TIMESTAMP)",
        "CREATE TABLE visits (seen TIMESTAMP, who INTEGER)",
        "INSERT INTO people VALUES (1, '2024-01-01'), (2, '2024-01-10'), (3, '2024-01-10 00:00:01'), (4, NULL)",
        "INSERT INTO visits VALUES ('2024-01-12', 1), ('2024-01-12', 2), ('2024-01-12', 3), ('2024-01-12', 4)",
    )
    anchor = datetime(2024, 1, 10)
    found = label_rows(source, schema_of(), "PREDICT COUNT(visits.*, 0, 5) FOR EACH people.id", anchor)
    assert found == [(1, anchor, 1.0), (2, anchor, 1.0)]


@pytest.mark.parametrize(
    ("anchor", "months", "last"),
    [
        (datetime(2024, 1, 31), 1, datetime(2024, 2, 29)),
        (datetime(2023, 1, 31), 1, datetime(2023, 2, 28)),
        (datetime(2024, 2, 29), 12, datetime(2025, 2, 28)),
        (datetime(2023, 11, 30, 6), 3, datetime(2024, 2, 29, 6)),
    ],
)
def test_a_month_ends_where_the_calendar_ends_it(opened: Any, anchor: datetime, months: int, last: datetime) -> None:
    source = opened(
        "CREATE TABLE people (id INTEGER, born TIMESTAMP)",
        "CREATE TABLE visits (seen TIMESTAMP, who INTEGER)",
        "INSERT INTO people VALUES (1, '2000-01-01')",
        f"INSERT INTO visits VALUES ('{last}', 1), (CAST('{last}' AS TIMESTAMP) + INTERVAL '1 second', 1), "
        f"('{anchor}', 1), (CAST('{anchor}' AS TIMESTAMP) + INTERVAL '1 second', 1)",
    )
    text = f"PREDICT COUNT(visits.*, 0, {months}, months) FOR EACH people.id"
    assert label_rows(source, schema_of(), text, anchor) == [(1, anchor, 2.0)]


def test_windows_without_rows_are_zero_or_undefined(opened: Any) -> None:
    source = opened(
        "CREATE TABLE people (id INTEGER, born TIMESTAMP)",
        "CREATE TABLE visits (seen TIMESTAMP, who INTEGER)",
        "INSERT INTO people VALUES (1, '2000-01-01')",
    )
    anchor = datetime(2024, 1, 1)
    for target, label in (
        ("COUNT(visits.*, 0, 5)", 0.0),
        ("COUNT(visits.*, 0, 5) > 0", 0),
        ("COUNT_DISTINCT(visits.seen, 0, 5)", 0.0),
    ):
        assert label_rows(source, schema_of(), f"PREDICT {target} FOR EACH people.id", anchor) == [(1, anchor, label)]
    undefined = "PREDICT MAX(visits.seen, 0, 5) > 2020-01-01 FOR EACH people.id"
    assert label_rows(source, schema_of(), undefined, anchor) == []
    assert label_rows(source, schema_of(), f"{undefined} WHERE NOT MAX(visits.seen, -5, 0) > 2020-01-01", anchor) == []
