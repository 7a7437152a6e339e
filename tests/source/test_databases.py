"""Every database that Forekey opens: what is declared is found, what is stored arrives, what fails says so."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlglot import exp

from forekey import pipeline
from forekey.errors import SourceError, SourceUnavailable
from forekey.graph import SnapshotStore, build_snapshot
from forekey.project import PQLTask
from forekey.schema import DType, Schema
from forekey.source import Source, infer_schema, open_source
from forekey.source.protocol import ForeignKeyInfo
from forekey.testing import SHOP_DDL, SHOP_TASKS, shop_tables, write_database
from forekey.workspace import Workspace
from tests.query.test_labels import rounded
from tests.support.servers import Postgres, run_all, running_mariadb

UTC = datetime.UTC
DECLARED = (
    "CREATE TABLE staff (id INTEGER PRIMARY KEY, manager_id INTEGER REFERENCES staff(id), name VARCHAR(20))",
    "CREATE TABLE teams (code VARCHAR(10) NOT NULL, season INTEGER NOT NULL, PRIMARY KEY (code, season))",
    'CREATE TABLE "select" (id INTEGER PRIMARY KEY, "from" INTEGER REFERENCES staff(id), "größe ""x""" VARCHAR(10), '
    "season INTEGER, code VARCHAR(10), FOREIGN KEY (code, season) REFERENCES teams(code, season))",
    "CREATE VIEW busy AS SELECT id, name FROM staff",
)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    with running_mariadb() as url:
        yield url


@pytest.fixture(params=["duckdb", "sqlite", "postgres", "mysql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.database()
    if request.param == "mysql":
        url: str = request.getfixturevalue("mariadb")
        with open_source(url, tmp_path, writable=True) as source:
            for table in sorted((t.name for t in source.tables()), key=["order_lines", "orders"].count, reverse=True):
                quoted = exp.to_identifier(table, quoted=True).sql(dialect="duckdb")
                kind = "VIEW" if table == "busy" else "TABLE"
                source._connection.execute(f"DROP {kind} {quoted} CASCADE")  # type: ignore[attr-defined]
        return url
    return str(tmp_path / f"database.{request.param}")


def test_declared_keys_of_every_shape_are_found(database: str, tmp_path: Path) -> None:
    run_all(database, DECLARED)
    with open_source(database, tmp_path) as source:
        found = {t.name: t for t in source.tables()}
    assert set(found) == {"staff", "teams", "select", "busy"}
    assert found["staff"].primary_key == ("id",)
    assert found["staff"].foreign_keys == (ForeignKeyInfo(("manager_id",), "staff", ("id",)),)
    assert found["teams"].primary_key == ("code", "season")
    assert set(found["select"].foreign_keys) == {
        ForeignKeyInfo(("from",), "staff", ("id",)),
        ForeignKeyInfo(("code", "season"), "teams", ("code", "season")),
    }
    assert [c.name for c in found["select"].columns] == ["id", "from", 'größe "x"', "season", "code"]
    assert [c.dtype for c in found["staff"].columns] == [DType.INTEGER, DType.INTEGER, DType.TEXT]


def test_self_references_and_keys_of_several_columns_become_edges(database: str, tmp_path: Path) -> None:
    rows = (
        "INSERT INTO staff VALUES (1, NULL, 'Ada')",
        "INSERT INTO staff VALUES (2, 1, 'Bob'), (3, 1, 'Céline')",
        "INSERT INTO teams VALUES ('red', 2020), ('red', 2021), ('blue', 2020)",
        "INSERT INTO \"select\" VALUES (1, 2, 'x', 2021, 'red'), (2, NULL, NULL, 2020, 'blue'), (3, 3, 'y', NULL, 'red')",
    )
    run_all(database, DECLARED + rows)
    project = pipeline.init(database, tmp_path / "project").workspace
    snapshot = pipeline.snapshot(project)
    named = {str(e): e for e in snapshot.edge_types}
    assert snapshot.parents(named["staff.manager_id->staff"]).tolist() == [-1, 0, 0]
    teams = snapshot.keys("teams").to_pylist()
    own = [teams[p] if p >= 0 else None for p in snapshot.parents(named["select.code, season->teams"])]
    assert own == ["red,2021", "blue,2020", None]
    assert snapshot.lookup("teams", ["red,2020", "red,1999"]).tolist() == [teams.index("red,2020"), -1]
    assert pipeline.snapshot(project, full=True).id == snapshot.id


def fill_shop(url: str) -> None:
    """Write the small shop into a database of any kind, keys declared."""
    tables = shop_tables(60, 200)
    if url.endswith(".duckdb"):
        write_database(Path(url), tables, SHOP_DDL)
        return
    text = "TEXT" if url.endswith(".sqlite") else "VARCHAR(40)"
    types = {
        "VARCHAR": text,
        "DOUBLE": "DOUBLE PRECISION",
        "TIMESTAMP": "TIMESTAMP(6)" if "mysql" in url else "TIMESTAMP",
    }
    if url.startswith("mysql"):
        types["TIMESTAMP"] = "DATETIME(6)"
    statements = []
    for ddl in SHOP_DDL:
        for old, new in types.items():
            ddl = ddl.replace(old, new)
        statements.append(ddl)
    for name, rows in tables.items():
        for start in range(0, len(rows), 500):
            values = ", ".join(
                "(" + ", ".join(_literal(v) for v in row.values()) + ")" for row in rows.slice(start, 500).to_pylist()
            )
            statements.append(f"INSERT INTO {name} VALUES {values}")
    run_all(url, tuple(statements))


def _literal(value: Any) -> str:
    return (
        repr(value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else f"'{value}'"
        if not isinstance(value, bool)
        else str(value)
    )


def test_the_same_rows_give_the_same_graph_and_the_same_labels(database: str, tmp_path: Path) -> None:
    fill_shop(database)
    reference = str(write_database(tmp_path / "reference.duckdb", shop_tables(60, 200), SHOP_DDL))
    tasks = {name: PQLTask(query=pql) for name, pql in SHOP_TASKS.items()}
    one = pipeline.init(database, tmp_path / "one", tasks=tasks).workspace
    two = pipeline.init(reference, tmp_path / "two", tasks=tasks).workspace
    assert one.config.tables.keys() == two.config.tables.keys()
    here, there = pipeline.snapshot(one), pipeline.snapshot(two)
    for table in here.schema.names:
        for column in there.rows(table).column_names:
            assert here.rows(table).column(column).to_pylist() == there.rows(table).column(column).to_pylist(), column
    for edge in here.edge_types:
        assert here.parents(edge).tolist() == there.parents(edge).tolist()
    for task in SHOP_TASKS:
        assert sorted_rows(one, task) == sorted_rows(two, task)
    assert set(pipeline.snapshot(one).manifest.read.values()) <= {"new rows", "full"}


def sorted_rows(project: Workspace, task: str) -> list[tuple[Any, ...]]:
    rows = pipeline.labels(project, task).table.to_pylist()
    return sorted((str(r["entity"]), str(r["time"]), rounded(r["target"])) for r in rows)


def test_a_table_can_be_written_back_and_replaced(database: str, tmp_path: Path) -> None:
    run_all(database, DECLARED[:1])
    rows = pa.table({"id": [1, 2], "score": [0.5, 0.25], "name": ["a", "ü"]})
    with open_source(database, tmp_path, writable=True) as source:
        source.write_table("my scores", rows.slice(0, 1))
        source.write_table("my scores", rows)
    with open_source(database, tmp_path) as source:
        table = exp.Table(this=exp.to_identifier("my scores", quoted=True))
        assert source.query(exp.select("*").from_(table).order_by("id")).read_all().to_pylist() == rows.to_pylist()


def test_a_query_that_fails_is_one_line(database: str, tmp_path: Path) -> None:
    run_all(database, DECLARED[:1])
    with open_source(database, tmp_path) as source:
        with pytest.raises(SourceError, match="refused a query") as caught:
            source.query(exp.select("nothing").from_("nowhere"))
        assert "\n" not in str(caught.value)
        assert source.tables()[0].name == "staff"


POSTGRES_TYPES: list[tuple[str, str, Any, DType]] = [
    ("numeric(12,2)", "12.5", 12.5, DType.FLOAT),
    ("numeric(9,0)", "7", 7, DType.INTEGER),
    ("numeric", "'NaN'", "NaN", DType.FLOAT),
    ("money", "5.25", 5.25, DType.FLOAT),
    ("timestamptz", "'2024-01-01 10:00+02'", datetime.datetime(2024, 1, 1, 8, tzinfo=UTC), DType.TIMESTAMP),
    ("timestamp", "'infinity'", None, DType.TIMESTAMP),
    ("date", "'-infinity'", None, DType.TIMESTAMP),
    ("date", "'5874897-12-31'", None, DType.TIMESTAMP),
    ("timestamp", "'294276-12-31'", None, DType.TIMESTAMP),
    ("timestamptz", "'4713-01-01 BC'", None, DType.TIMESTAMP),
    ("date", "'2024-02-29'", datetime.date(2024, 2, 29), DType.TIMESTAMP),
    ("uuid", "'6F9619FF-8B86-D011-B42D-00CF4FC964FF'", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", DType.UUID),
    ("jsonb", "'{\"a\": 1}'", '{"a": 1}', DType.OTHER),
    ("text[]", "'{a,b}'", ["a", "b"], DType.LIST),
    ("numeric[]", "'{1.5,2}'", [1.5, 2.0], DType.LIST),
    ("real[]", "'{1.5,2}'", [1.5, 2.0], DType.LIST),
    ("mood", "'sad'", "sad", DType.TEXT),
    ("positive", "3", 3, DType.INTEGER),
    ("bytea", "'\\x00ff'", b"\x00\xff", DType.BYTES),
    ("char(5)", "'ab'", "ab", DType.TEXT),
    ("boolean", "true", True, DType.BOOLEAN),
    ("interval", "'1 day'", "1 day", DType.OTHER),
    ("inet", "'1.2.3.4'", "1.2.3.4/32", DType.OTHER),
]


def test_values_of_every_type_arrive_from_postgres_as_what_they_are(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    columns = ", ".join(f"c{i} {t[0]}" for i, t in enumerate(POSTGRES_TYPES))
    values = ", ".join(t[1] for t in POSTGRES_TYPES)
    nulls = ", ".join("NULL" for _ in POSTGRES_TYPES)
    run_all(
        url,
        (
            "CREATE TYPE mood AS ENUM ('sad', 'ok')",
            "CREATE DOMAIN positive AS integer CHECK (value > 0)",
            f"CREATE TABLE t ({columns})",
            f"INSERT INTO t VALUES ({values}), ({nulls})",
        ),
    )
    with open_source(url, tmp_path) as source:
        table = source.tables()[0]
        assert [c.dtype for c in table.columns] == [t[3] for t in POSTGRES_TYPES]
        read = exp.select(*(source.column("t", c.name).as_(c.name) for c in table.columns)).from_("t")
        rows = source.query(read).read_all().to_pylist()
    for (_, _, expected, _), value, missing in zip(POSTGRES_TYPES, rows[0].values(), rows[1].values(), strict=True):
        assert missing is None
        assert value == expected or (expected != expected and np.isnan(value))


def test_postgres_reads_every_table_as_of_one_moment(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    run_all(url, ("CREATE TABLE a (id int)", "CREATE TABLE b (id int)"))

    def count(source: Source, table: str) -> int:
        statement = exp.select(exp.Count(this=exp.Star())).from_(table)
        return int(source.query(statement).read_all().column(0)[0].as_py())

    with open_source(url, tmp_path) as source:
        assert count(source, "a") == 0
        run_all(url, ("INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1)"))
        assert (count(source, "a"), count(source, "b")) == (0, 0)
    with open_source(url, tmp_path) as source:
        assert (count(source, "a"), count(source, "b")) == (1, 1)


def test_sqlite_values_that_do_not_fit_their_column_are_null_and_moments_may_be_numbers(tmp_path: Path) -> None:
    place = str(tmp_path / "x.sqlite")
    run_all(
        place,
        (
            "CREATE TABLE e (id INTEGER PRIMARY KEY, at DATETIME, amount REAL, ok BOOLEAN)",
            "INSERT INTO e VALUES (1, '2024-01-01 10:00:00.25', 'much', 1), (2, 1704103200, 2, 0), "
            "(3, '2024-01-01T12:00:00+02:00', NULL, NULL), (4, 'never', 1e3, 'x')",
        ),
    )
    with open_source(place, tmp_path) as source:
        rows = source.query(exp.select("*").from_("e").order_by("id")).read_all()
    ten = datetime.datetime(2024, 1, 1, 10)
    assert rows.column("at").to_pylist() == [ten.replace(microsecond=250_000), ten, ten, None]
    assert rows.column("amount").to_pylist() == [None, 2.0, None, 1000.0]
    assert rows.column("ok").to_pylist() == [True, False, None, None]


def test_a_password_is_never_written_down_or_shown(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database().replace("postgres:@", "postgres:hunter2@")
    run_all(url, ("CREATE TABLE a (id int primary key)", "INSERT INTO a VALUES (1)"))
    monkeypatch.delenv("FOREKEY_PASSWORD", raising=False)
    project = pipeline.init(url, tmp_path).workspace
    assert "hunter2" not in (tmp_path / "forekey.yaml").read_text()
    assert "postgres:${FOREKEY_PASSWORD}@" in (tmp_path / "forekey.yaml").read_text()
    snapshot = pipeline.snapshot(project)
    assert "hunter2" not in str(snapshot.manifest)
    broken = url.replace("/test_", "/none_")
    with pytest.raises(SourceError) as caught:
        open_source(broken, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert "does not exist" in str(caught.value)


def test_a_server_that_does_not_answer_is_a_dependency_that_is_down(tmp_path: Path) -> None:
    for url in ("postgresql://localhost:1/x", "mysql://localhost:1/x"):
        with pytest.raises(SourceUnavailable) as caught:
            open_source(url, tmp_path)
        assert caught.value.exit_code == 3


BAD: dict[str, Callable[[], tuple[str, ...]]] = {
    "empty table": lambda: ("CREATE TABLE t (id INTEGER PRIMARY KEY, moment TIMESTAMP, x DOUBLE PRECISION)",),
    "one row": lambda: ("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)", "INSERT INTO t VALUES (1, 'a')"),
    "all NULL": lambda: (
        "CREATE TABLE t (id INTEGER, moment TIMESTAMP, x TEXT)",
        "INSERT INTO t VALUES (NULL, NULL, NULL), (NULL, NULL, NULL)",
    ),
    "huge strings": lambda: (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)",
        "INSERT INTO t VALUES (1, repeat('é', 3000000)), (2, '')",
    ),
    "extreme numbers": lambda: (
        "CREATE TABLE t (id BIGINT PRIMARY KEY, x DOUBLE PRECISION)",
        "INSERT INTO t VALUES (9223372036854775807, 1e308), (-9223372036854775807, -1e308), (0, 'NaN'), (1, 'Infinity')",
    ),
    "times before the year 1": lambda: (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, moment TIMESTAMP)",
        "INSERT INTO t VALUES (1, '0044-03-15 (BC)'), (2, '0100-01-01 (BC)')",
    ),
    "extreme dates": lambda: (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, moment TIMESTAMP)",
        "INSERT INTO t VALUES (1, '0001-01-01'), (2, '9999-12-31'), (3, '2024-01-01')",
    ),
    "repeated keys": lambda: (
        "CREATE TABLE t (id INTEGER, moment TIMESTAMP, x INTEGER)",
        "INSERT INTO t VALUES (1, '2024-01-02', 1), (1, '2024-01-01', 2), (1, '2024-01-01', 1), (NULL, '2024-01-01', 3)",
    ),
    "zones and the future": lambda: (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, moment TIMESTAMPTZ)",
        "INSERT INTO t VALUES (1, '2024-01-01 10:00:00+02'), (2, '2999-01-01'), (3, NULL)",
    ),
    "mixed keys": lambda: (
        "CREATE TABLE p (id TEXT PRIMARY KEY, x INTEGER)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p_id INTEGER)",
        "INSERT INTO p VALUES ('1', 1), ('two', 2), (' 3 ', 3), ('', 4)",
        "INSERT INTO c VALUES (1, 1), (2, 3), (3, 7), (4, NULL)",
    ),
    "cycle": lambda: (
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b_id INTEGER)",
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER)",
        "INSERT INTO a VALUES (1, 1), (2, 9)",
        "INSERT INTO b VALUES (1, 2), (2, NULL)",
    ),
    "bridge": lambda: (
        "CREATE TABLE a (id INTEGER PRIMARY KEY)",
        "CREATE TABLE b (id INTEGER PRIMARY KEY)",
        "CREATE TABLE a_b (a_id INTEGER, b_id INTEGER)",
        "INSERT INTO a VALUES (1), (2)",
        "INSERT INTO b VALUES (1), (2)",
        "INSERT INTO a_b VALUES (1, 2), (1, 2), (2, NULL), (NULL, NULL)",
    ),
    "no columns worth having": lambda: ("CREATE TABLE t (x BYTEA)", "INSERT INTO t VALUES (NULL)"),
}


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_counted_or_refused_in_one_line(
    case: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres").database() if kind == "postgres" else str(tmp_path / "x.duckdb")
    run_all(url, BAD[case]())
    with open_source(url, tmp_path) as source:
        schema = infer_schema(source).schema
        snapshot = build_snapshot(source, schema, SnapshotStore(tmp_path / "snapshots"))
        again = build_snapshot(source, schema, SnapshotStore(tmp_path / "snapshots"))
    assert again.id == snapshot.id
    for entry in snapshot.manifest.tables.values():
        assert entry.read == entry.nodes + entry.left_out


def test_names_that_differ_in_case_alone_are_told_apart(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    run_all(
        url,
        (
            'CREATE TABLE "Users" ("Id" INTEGER PRIMARY KEY, id INTEGER, "Name" TEXT, name TEXT)',
            'CREATE TABLE users (id INTEGER PRIMARY KEY, "Users_Id" INTEGER REFERENCES "Users"("Id"))',
            "INSERT INTO \"Users\" VALUES (1, 10, 'A', 'a'), (2, 20, 'B', 'b')",
            "INSERT INTO users VALUES (5, 2), (6, 1)",
        ),
    )
    project = pipeline.init(url, tmp_path).workspace
    snapshot = pipeline.snapshot(project)
    rows = snapshot.rows("Users").to_pylist()
    assert [(r["Id"], r["id"], r["Name"], r["name"]) for r in rows] == [(1, "10", "A", "a"), (2, "20", "B", "b")]
    edge = next(e for e in snapshot.edge_types if e.child == "users")
    assert snapshot.parents(edge).tolist() == [1, 0]
    run_all(url, ('UPDATE "Users" SET name = \'z\' WHERE "Id" = 1',))
    changed = pipeline.snapshot(project)
    versions = changed.versions("Users")
    assert versions is not None
    assert versions.rows.column("name").to_pylist() == ["a"]


@pytest.mark.parametrize("kind", ["numeric(18,0)", "numeric", "numeric(20,2)"])
def test_large_numeric_keys_of_postgres_are_not_rounded(postgres: Postgres, tmp_path: Path, kind: str) -> None:
    url = postgres.database()
    run_all(
        url,
        (
            f"CREATE TABLE p (id {kind} PRIMARY KEY)",
            f"CREATE TABLE c (id INTEGER PRIMARY KEY, p_id {kind} REFERENCES p(id))",
            "INSERT INTO p VALUES (900719925474099301), (900719925474099302), (900719925474099303)",
            "INSERT INTO c VALUES (1, 900719925474099302), (2, 900719925474099303)",
        ),
    )
    snapshot = pipeline.snapshot(pipeline.init(url, tmp_path).workspace)
    assert snapshot.num_nodes("p") == 3
    assert snapshot.parents(snapshot.edge_types[0]).tolist() == [1, 2]


def test_sqlite_tables_without_row_ids_are_read(tmp_path: Path) -> None:
    place = str(tmp_path / "x.sqlite")
    run_all(place, ("CREATE TABLE t (id TEXT PRIMARY KEY, x REAL) WITHOUT ROWID", "INSERT INTO t VALUES ('a', 0.1)"))
    with open_source(place, tmp_path) as source:
        assert source.tables()[0].rows == 1
        assert source.query(exp.select("*").from_("t")).read_all().to_pylist() == [{"id": "a", "x": 0.1}]


def test_a_reference_to_another_schema_is_not_taken_for_one_of_ours(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    run_all(
        url,
        (
            "CREATE SCHEMA other",
            "CREATE TABLE other.p (id INTEGER PRIMARY KEY)",
            "CREATE TABLE p (id INTEGER PRIMARY KEY)",
            "CREATE TABLE c (id INTEGER PRIMARY KEY, ref INTEGER REFERENCES other.p(id))",
        ),
    )
    with open_source(url, tmp_path) as source:
        assert {t.name: t.foreign_keys for t in source.tables()} == {"c": (), "p": ()}


def test_sqlite_values_that_are_not_of_their_declared_type_are_null_and_counted(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.sqlite") as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, x REAL, name TEXT, at DATETIME)")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?)",
            [
                (1, 1, 1.5, "a", 1_600_000_000),
                (2, "two", 2, b"\xff\xfe", 1_600_000_000_000),
                (3, None, "x", "c", "x"),
                (4, 4, None, "d", None),
            ],
        )
    with open_source(f"sqlite:///{tmp_path}/a.sqlite", tmp_path) as source:
        assert [c.name for c in source.tables()[0].columns] == ["id", "n", "x", "name", "at"]
        schema = infer_schema(source).schema
        schema = Schema((replace(schema.tables[0], time_column=None),))
        built = build_snapshot(source, schema, SnapshotStore(tmp_path / "s"))
    assert built.rows("t").column("n").to_pylist() == [1, None, None, 4]
    assert built.rows("t").column("name").to_pylist() == ["a", None, "c", "d"]
    # A column counts in one unit: of seconds and milliseconds, one is not read.
    assert built.manifest.tables["t"].unreadable == {"at": 2, "n": 1, "name": 1, "x": 1}


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_sqlite_moments_may_count_seconds_or_parts_of_them(tmp_path: Path, scale: int) -> None:
    with sqlite3.connect(tmp_path / "a.sqlite") as connection:
        connection.execute("CREATE TABLE t (at DATETIME)")
        connection.execute("INSERT INTO t VALUES (?)", (1_600_000_000 * scale,))
    with open_source(f"sqlite:///{tmp_path}/a.sqlite", tmp_path) as source:
        rows = source.query(exp.select("at").from_("t")).read_all()
    assert rows.column("at").to_pylist() == [datetime.datetime(2020, 9, 13, 12, 26, 40)]


def test_an_infinite_moment_of_postgres_is_counted_as_unreadable(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    run_all(url, ("CREATE TABLE t (id INT PRIMARY KEY, until TIMESTAMP)",))
    run_all(url, ("INSERT INTO t VALUES (1, 'infinity'), (2, NULL), (3, '2024-01-01')",))
    with open_source(url, tmp_path) as source:
        schema = Schema((replace(infer_schema(source).schema.tables[0], time_column=None),))
        built = build_snapshot(source, schema, SnapshotStore(tmp_path / "s"))
    assert built.manifest.tables["t"].unreadable == {"until": 1}
