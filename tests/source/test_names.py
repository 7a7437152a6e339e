"""Names of databases, schemas, tables, columns and types may hold anything that their database lets them hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.source import open_source
from tests.support.servers import Postgres, run_all, running_mariadb

NAMES = {
    "capitals": "SalesOrders",
    "blanks": "Sales Orders of 2024",
    "dots": "sales.orders",
    "quotes": 'the "big" ones',
    "apostrophe": "it's",
    "percent": "100%s of %(x)s",
    "unicode": "Größe_数",
    "63 bytes": "ü" * 31 + "x",
    "a keyword": "select",
    "digits": "2024",
    "braces": "{name}",
    "a backslash": "a\\b",
    "a backtick": "a`b",
}
FEW = [NAMES["capitals"], 'the "big". 100%s', NAMES["63 bytes"]]
SERVERS = ["postgres", "duckdb", "sqlite", "mysql"]


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    with running_mariadb() as url:
        yield url


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def statements(table: str, column: str, moment: str = "TIMESTAMP", within: str = "") -> tuple[str, ...]:
    """Make a table of parents and one of events, both named after ``table``, their columns after ``column``."""
    parents, events = within + quoted(table[:-1]), within + quoted(table)
    key, own, other = quoted(column[:-1]), quoted(column), quoted("x" + column[1:])
    rows = ", ".join(f"({i}, {1 + i % 10}, '{datetime(2024, 1, 1) + timedelta(days=i)}')" for i in range(140))
    return (
        f"CREATE TABLE {parents} ({key} INTEGER PRIMARY KEY, size INTEGER)",
        f"CREATE TABLE {events} ({own} INTEGER PRIMARY KEY, {other} INTEGER, happened {moment}, "
        f"FOREIGN KEY ({other}) REFERENCES {parents}({key}))",
        f"INSERT INTO {parents} VALUES {', '.join(f'({n}, {n})' for n in range(1, 11))}",
        f"INSERT INTO {events} VALUES {rows}",
    )


def follow(url: str, folder: Path, names: dict[str, str]) -> None:
    """Hold that tables (and their columns, which ``names`` gives) are found, from `init` to one that is written back."""
    project = pipeline.init(url, folder, force=True).workspace
    snapshot = pipeline.snapshot(project)
    for table, column in names.items():
        entry, parent = project.config.tables[table], table[:-1]
        assert (entry.primary_key, entry.time_column) == (column, "happened")
        assert {c: fk.table for c, fk in entry.foreign_keys.items()} == {"x" + column[1:]: parent}
        edge = snapshot.manifest.edges[f"{table}.x{column[1:]}->{parent}"]
        assert (edge.edges, edge.orphans) == (140, 0)
        if "`" not in table:  # which a query cannot name
            parents, events, key = (f"`{n}`" for n in (parent, table, column[:-1]))
            made = pipeline.labels(project, f"PREDICT COUNT({events}.*, 0, 10, days) FOR EACH {parents}.{key}")
            assert set(made.table.column("target").to_pylist()) == {1.0}
    for table, column in names.items():
        for _ in range(2):
            pipeline.write_back(project, "w" + table[1:], pa.table({column: [1, 2], "score": [0.5, 1.5]}))
    with open_source(project.config.source, project.root) as source:
        written = {t.name: ([c.name for c in t.columns], t.rows) for t in source.tables() if t.name.startswith("w")}
    assert written == {"w" + t[1:]: ([c, "score"], 2) for t, c in names.items()}


@pytest.mark.parametrize("server", SERVERS)
def test_tables_and_columns_may_have_any_name(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    unknown = {"a backslash", "a backtick"} if server == "mysql" else set()  # to DuckDB's scanner: left out, by name
    names = {n: n for kind, n in NAMES.items() if kind not in unknown}
    if server in {"postgres", "mysql"}:
        running = request.getfixturevalue({"postgres": "postgres", "mysql": "mariadb"}[server])
        url: str = running if server == "mysql" else running.database()
    else:
        url = str(tmp_path / f"d.{server}")
    moment = "DATETIME" if server in {"mysql", "sqlite"} else "TIMESTAMP"
    run_all(url, tuple(s for n in names for s in statements(n, n, moment)))
    follow(url, tmp_path, names)


@pytest.mark.parametrize("name", FEW)
def test_a_postgres_schema_is_read_by_its_own_name_whatever_others_there_are(
    name: str, postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.database()
    decoy = ("CREATE SCHEMA shop", "CREATE TABLE shop.decoy (a INTEGER)") if name != "shop" else ()
    folded = (f"CREATE SCHEMA {quoted(name.lower())}",) if name.lower() != name else ()
    run_all(url, (*decoy, *folded, f"CREATE SCHEMA {quoted(name)}"))
    run_all(url, statements("orders", "numbers", within=f"{quoted(name)}."))
    own = url + "&options=" + quote(f"-csearch_path={quoted(name)}".replace("\\", "\\\\").replace(" ", "\\ "), safe="")
    follow(own, tmp_path, {"orders": "numbers"})
    assert set(pipeline.init(own, tmp_path, force=True).workspace.config.tables) == {"orders", "order"}


@pytest.mark.parametrize("name", FEW)
def test_a_database_of_postgres_may_have_any_name(name: str, postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    own = f"{name}_db"[-63:]
    own = own.encode()[-60:].decode(errors="ignore")
    run_all(url, (f"CREATE DATABASE {quoted(own)}",))
    before, after = url.split("/test_", 1)
    own_url = f"{before}/{quote(own, safe='')}?{after.split('?', 1)[1]}"
    try:
        run_all(own_url, statements("orders", "numbers"))
        follow(own_url, tmp_path, {"orders": "numbers"})
    finally:
        run_all(url, (f"DROP DATABASE {quoted(own)} WITH (FORCE)",))


@pytest.mark.parametrize("name", FEW)
def test_types_and_domains_of_postgres_may_have_any_name(name: str, postgres: Postgres, tmp_path: Path) -> None:
    url, own = postgres.database(), quoted(name)
    domain = quoted(("d" + name)[:20])
    run_all(
        url,
        (
            f"CREATE SCHEMA {own}",
            f"CREATE TYPE {own}.{own} AS ENUM ('low', 'high')",
            f"CREATE DOMAIN {own}.{domain} AS {own}.{own}",
            f"CREATE TABLE moods (code {own}.{own} PRIMARY KEY, other {own}.{domain}, many {own}.{own}[])",
            "INSERT INTO moods VALUES ('low', 'high', '{low,high}'), ('high', 'low', '{low}')",
        ),
    )
    project = pipeline.init(url, tmp_path).workspace
    snapshot = pipeline.snapshot(project)
    assert snapshot.lookup("moods", ["high", "low"]).tolist() == [0, 1]
    assert snapshot.rows("moods").column("other").to_pylist() == ["low", "high"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("name", [NAMES[k] for k in ("blanks", "dots", "quotes", "apostrophe", "percent", "unicode")])
def test_files_may_have_any_name(name: str, ending: str, tmp_path: Path) -> None:
    folder = tmp_path / 'the "files" of 100%s'
    folder.mkdir()
    with duckdb.connect() as engine:
        for table, sql in {
            name[:-1] or "p": f"SELECT i AS {quoted(name + ' id')}, i * 2 AS size FROM range(1, 11) r(i)",
            name: f"SELECT i AS event_id, 1 + i % 10 AS {quoted(name + ' id')}, "
            "TIMESTAMP '2024-01-01' + INTERVAL (i) DAY AS happened FROM range(140) r(i)",
        }.items():
            path = str(folder / f"{table}.{ending}").replace("'", "''")
            engine.execute(f"COPY ({sql}) TO '{path}' (FORMAT {ending})")
    project = pipeline.init(str(folder), tmp_path).workspace
    assert set(project.config.tables) == {name, name[:-1]}
    snapshot = pipeline.snapshot(project)
    assert snapshot.num_nodes(name) == 140
