"""What columns of SQLite hold: by declared affinity and by their values."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from forekey import pipeline
from forekey.schema import DType
from forekey.source import Source, infer_schema, open_source
from tests.support.servers import run_all


def opened(tmp_path: Path, declared: str, values: list[Any]) -> Source:
    with sqlite3.connect(tmp_path / "a.sqlite") as connection:
        connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, x {declared})")
        connection.executemany("INSERT INTO t (x) VALUES (?)", [(v,) for v in values])
    return open_source(f"sqlite:///{tmp_path}/a.sqlite", tmp_path)


@pytest.mark.parametrize(
    ("declared", "values", "dtype"),
    [
        ("NUM", [1, 2.5], DType.FLOAT),
        ("NUMBER(10,2)", [1, 2], DType.FLOAT),
        ("NUMBER", [1, 2], DType.INTEGER),
        ("MONEY", [1.5, None], DType.FLOAT),
        ("CURRENCY", [1.5], DType.FLOAT),
        ("NUMERIC", ["a", "b"], DType.TEXT),
        ("", [1, 2], DType.INTEGER),
        ("", ["a", "b"], DType.TEXT),
        ("", [1.5, 2], DType.FLOAT),
        ("", [b"\x01", b"\x02"], DType.BYTES),
        ("INT", [1, 2.5], DType.FLOAT),
        ("BIGINT UNSIGNED", [1, 2], DType.INTEGER),
        ("FLOATING POINT", [1, 2], DType.INTEGER),  # it has INT in it: SQLite's own rule
        ("STRING", [1, 2], DType.INTEGER),  # and this has numeric affinity
        ("VARCHAR(9)", [1, 2], DType.TEXT),
        ("DATETIME", [2460310.5, 2460311.25], DType.TIMESTAMP),
        ("DATE", [20240131, 20240201], DType.TIMESTAMP),
        ("DATE", [1999, 2004], DType.INTEGER),
        ("DATE", ["31.01.2024", "01.02.2024"], DType.TEXT),
        ("TEXT", ["2024-01-0001", "2024-02-0002"], DType.TEXT),
        ("TEXT", ["2024-01-01", "2024-02-02 10:00"], DType.TIMESTAMP),
        ("BOOLEAN", [0, 1], DType.BOOLEAN),
        ("BOOLEAN", ["Y", "N"], DType.TEXT),
    ],
)
def test_a_column_is_what_its_values_are(tmp_path: Path, declared: str, values: list[Any], dtype: DType) -> None:
    with opened(tmp_path, declared, values) as source:
        assert source.columns()["t"][1].dtype is dtype


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2460310.80001], [datetime(2024, 1, 1, 7, 12, 0, 864_000)]),
        ([20240131, 20240201], [datetime(2024, 1, 31), datetime(2024, 2, 1)]),
        ([1_600_000_000, 1_700_000_000], [datetime(2020, 9, 13, 12, 26, 40), datetime(2023, 11, 14, 22, 13, 20)]),
        ([1_600_000_000_000, 0], [datetime(2020, 9, 13, 12, 26, 40), datetime(1970, 1, 1)]),
        ([1_600_000_000_000, 1_700_000_000_000, 1_600_000_000], [None]),
    ],
)
def test_the_moments_of_a_column_are_counted_in_one_unit(
    tmp_path: Path, values: list[Any], expected: list[datetime | None]
) -> None:
    run_all(str(tmp_path / "a.sqlite"), ("CREATE TABLE t (id INTEGER PRIMARY KEY, x TIMESTAMP)",))
    run_all(str(tmp_path / "a.sqlite"), tuple(f"INSERT INTO t (x) VALUES ({v})" for v in values))
    project = pipeline.init(str(tmp_path / "a.sqlite"), tmp_path).workspace
    path = tmp_path / "forekey.yaml"
    path.write_text(
        path.read_text()
        .replace("time_column: x", "")
        .replace("primary_key: id", "primary_key: id\n    columns: {x: timestamp}")
        if "columns" not in path.read_text()
        else path.read_text().replace("    time_column: x", "")
    )
    built = pipeline.snapshot(type(project).open(tmp_path))
    found = built.rows("t").column("x").to_pylist()
    if expected == [None]:
        assert found[2] is None
        assert built.manifest.tables["t"].unreadable == {"x": 1}
    else:
        assert found == expected


def test_shadow_tables_are_not_data(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.sqlite") as connection:
        connection.execute("CREATE VIRTUAL TABLE docs USING fts5(title, body)")
        connection.execute("INSERT INTO docs VALUES ('a', 'b')")
        connection.execute("CREATE VIRTUAL TABLE places USING rtree(id, x0, x1)")
        connection.execute("CREATE TABLE docs_of_mine (id INTEGER PRIMARY KEY, note TEXT)")
        connection.execute("INSERT INTO docs_of_mine VALUES (1, 'x')")
        connection.execute("CREATE TABLE sqliteish (id INTEGER PRIMARY KEY)")
    with open_source(f"sqlite:///{tmp_path}/a.sqlite", tmp_path) as source:
        names = set(infer_schema(source).schema.names)
    assert {"docs_of_mine", "docs", "sqliteish"} <= names
    assert not any(n.startswith(("docs_c", "docs_d", "docs_i", "places_")) for n in names)


def test_numbers_that_an_older_table_keeps_as_text_are_numbers_by_forekey_yaml(tmp_path: Path) -> None:
    database = str(tmp_path / "a.sqlite")
    run_all(
        database,
        (
            "CREATE TABLE c (id INTEGER PRIMARY KEY)",
            "CREATE TABLE o (id INTEGER PRIMARY KEY, c INTEGER REFERENCES c(id), at DATETIME, amount TEXT)",
            "INSERT INTO c VALUES (1)",
            "INSERT INTO o VALUES " + ", ".join(f"({i}, 1, '2024-01-{1 + i % 28:02d}', '{i}.5')" for i in range(100)),
        ),
    )
    (tmp_path / "forekey.yaml").write_text(
        f"source: sqlite:///{database}\ntables:\n  c: {{primary_key: id}}\n  o: {{primary_key: id, time_column: at, "
        "foreign_keys: {c: c}, columns: {amount: numerical}}\n"
    )
    from forekey.workspace import Workspace

    made = pipeline.labels(Workspace.open(tmp_path), "PREDICT SUM(o.amount, 0, 5, days) FOR EACH c.id")
    assert made.table.num_rows > 0
