"""Every type that a key may have, in every source: from `init` to examples that find their rows, or refused by `init`.

Each case is a table of parents and one of events that refer to them by a declared foreign key: twenty parents, ten
events each (of booleans, two). What is asked is that none is lost on the way: not in the graph, not between labels and graph, not when a
key is named by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import adbc_driver_manager
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forekey import pipeline
from forekey.errors import SchemaError
from forekey.graph import Snapshot
from forekey.project import LabelTask, PQLTask
from forekey.serving.state import ServingState
from forekey.source import open_source
from forekey.training import resolve_examples
from forekey.training.evaluate import Resolved
from forekey.workspace import Workspace
from tests.support.servers import Postgres, run_all, running_mariadb

PARENTS, EVENTS = 20, 200
DAYS = 5
QUERY = "PREDICT COUNT(events.*, 0, {days}, days) FOR EACH parents.{key}"


@dataclass(frozen=True)
class KeyType:
    """How a key is declared, and how its ``n``-th value is written by parents and by events, in SQL."""

    declared: str
    parent: str
    event: str = ""
    referring: str = ""
    """How the events declare it; as the parents do if left out."""
    by_hand: str = ""
    """How a person may name the third key."""
    count: int = PARENTS
    refers: bool = True
    """Whether a foreign key can be declared."""
    needs: str = ""
    """A statement that must work for the database to have such keys at all."""


CASELESS = "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"


def value(pattern: str, n: int) -> str:
    for field, text in {
        "{n}": str(n), "{n:02}": f"{n:02}", "{n:04}": f"{n:04}", "{n:012}": f"{n:012}", "{n:x}": f"{n:040x}",
        "{2n}": str(2 * n), "{bits}": f"{n:08b}", "{letter}": "abcdefghijklmnopqrstuvwxyz"[n],
        "{n0}": str(n * 10**19 + 1),
    }.items():  # fmt: skip
        pattern = pattern.replace(field, text)
    return pattern


ANYWHERE = {
    "integer": KeyType("BIGINT", "{n}", by_hand="3"),
    "text": KeyType("VARCHAR(20)", "'k{n}'", by_hand="k3"),
    "char, padded": KeyType("CHAR(8)", "'k{n}'", by_hand="k3"),
    "date": KeyType("DATE", "'2020-03-{n:02}'", by_hand="2020-03-03"),
    "boolean": KeyType("BOOLEAN", "{n} = 1", count=2),
    "double": KeyType("DOUBLE PRECISION", "{n}.5", by_hand="3.5"),
    "decimal": KeyType("DECIMAL(20, 5)", "{n}.5", by_hand="3.5"),
    "decimal of 38 digits": KeyType("DECIMAL(38, 0)", "{n0}", by_hand=str(3 * 10**19 + 1)),
}
POSTGRES = ANYWHERE | {
    "citext": KeyType("CITEXT", "'Ünit{n}@X.org'", "'üNIT{n}@x.ORG'", by_hand="ÜNIT3@x.org"),
    "collation without case": KeyType(
        "VARCHAR(20) COLLATE caseless", "'ÜNIT{n}'", "'ünit{n}'", by_hand="ünIT3", needs=CASELESS
    ),
    "bytea": KeyType("BYTEA", "decode('{n:x}', 'hex')", by_hand=f"{3:040x}"),
    "timestamp": KeyType("TIMESTAMP", "'2020-03-{n:02} 10:00:00.5'", by_hand="2020-03-03 10:00:00.5"),
    "timestamptz": KeyType("TIMESTAMPTZ", "'2020-03-{n:02} 10:00:00+02'", by_hand="2020-03-03 08:00:00"),
    "numeric": KeyType("NUMERIC", "{n}.50", "{n}.5", by_hand="3.5"),
    "enum": KeyType("mood", "'m{n:02}'", by_hand="m03"),
    "uuid": KeyType(
        "UUID", "'6f9619ff-8b86-d011-b42d-{n:012}'", by_hand="{6F9619FF-8B86-D011-B42D-000000000003}"
    ),
    "inet": KeyType("INET", "'10.0.0.{n}'"),
    "interval": KeyType("INTERVAL", "'{n} days'"),
    "time": KeyType("TIME", "'10:{n:02}:00'", by_hand="10:03:00"),
    "bit": KeyType("BIT(8)", "B'{bits}'"),
    "money": KeyType("MONEY", "{n}"),
    "real": KeyType("REAL", "{n}.25", by_hand="3.25"),
}  # fmt: skip
DUCKDB = ANYWHERE | {
    "collation without case": KeyType(
        "VARCHAR COLLATE NOCASE", "'Ünit{n}'", "'üNIT{n}'", referring="VARCHAR COLLATE NOCASE", by_hand="ÜNIT3",
        refers=False,
    ),
    "blob": KeyType("BLOB", "unhex('{n:x}')", by_hand=f"{3:040x}"),
    "timestamp": KeyType("TIMESTAMP", "'2020-03-{n:02} 10:00:00.5'", by_hand="2020-03-03 10:00:00.5"),
    "uuid": KeyType("UUID", "'6f9619ff-8b86-d011-b42d-{n:012}'", by_hand="6F9619FF8B86D011B42D000000000003"),
    "unsigned bigint": KeyType("UBIGINT", "18446744073709551{n:02}0", by_hand="18446744073709551030"),
    "hugeint": KeyType("HUGEINT", "{n0}", by_hand=str(3 * 10**19 + 1)),
    "small unsigned bigint": KeyType("UBIGINT", "{n}", by_hand="3"),
    "enum": KeyType("mood", "'m{n:02}'", by_hand="m03", refers=False),
    "time": KeyType("TIME", "'10:{n:02}:00'", by_hand="10:03:00"),

    "float": KeyType("FLOAT", "{n}.25", by_hand="3.25"),
    "tiny fractions": KeyType("DOUBLE", "{n}.5e-7", by_hand="3.5e-07"),
}  # fmt: skip
SQLITE = {name: k for name, k in ANYWHERE.items() if not name.startswith("decimal")} | {
    "nocase": KeyType("TEXT COLLATE NOCASE", "'Unit{n}'", "'uNIT{n}'", referring="TEXT", by_hand="UNIT3"),
    "rtrim": KeyType("TEXT COLLATE RTRIM", "'k{n}  '", "'k{n}'", referring="TEXT", by_hand="k3"),
    "blob": KeyType("BLOB", "X'{n:x}'", by_hand=f"{3:040x}"),
    "text in a blob column": KeyType("BLOB", "'k{n:02}'"),
    "datetime": KeyType("DATETIME", "'2020-03-{n:02} 10:00:00'", by_hand="2020-03-03 10:00:00"),
}
MYSQL = ANYWHERE | {
    "text without case": KeyType("VARCHAR(20)", "'Ünit{n}'", "'üNIT{n}'", by_hand="ÜNIT3"),
    "text with case": KeyType("VARCHAR(20) COLLATE utf8mb4_bin", "'Unit{n}'", by_hand="Unit3"),
    "binary": KeyType("BINARY(20)", "unhex('{n:x}')", by_hand=f"{3:040x}"),
    "varbinary": KeyType("VARBINARY(20)", "unhex('{n:x}')", by_hand=f"{3:040x}"),
    "datetime": KeyType("DATETIME", "'2020-03-{n:02} 10:00:00'", by_hand="2020-03-03 10:00:00"),
    "unsigned bigint": KeyType("BIGINT UNSIGNED", "18446744073709551{n:02}0", by_hand="18446744073709551030"),
    "enum": KeyType(f"ENUM({', '.join(repr(f'm{n:02}') for n in range(21))})", "'m{n:02}'", by_hand="m03"),
    "time": KeyType("TIME", "'10:{n:02}:00'", by_hand="10:03:00"),
}
SETUP = {
    "postgres": (
        "CREATE EXTENSION citext",
        f"CREATE TYPE mood AS ENUM ({', '.join(repr(f'm{n:02}') for n in range(21))})",
    ),
    "duckdb": (f"CREATE TYPE mood AS ENUM ({', '.join(repr(f'm{n:02}') for n in range(21))})",),
}
CASES = [
    *(("postgres", name) for name in POSTGRES),
    *(("duckdb", name) for name in DUCKDB),
    *(("sqlite", name) for name in SQLITE),
    *(("mysql", name) for name in MYSQL),
]
TYPES = {"postgres": POSTGRES, "duckdb": DUCKDB, "sqlite": SQLITE, "mysql": MYSQL}
MOMENTS = {"date", "timestamp", "timestamptz", "datetime"}
"""`init` takes a declared key that is a moment for a time; forekey.yaml may say otherwise."""


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    with running_mariadb() as url:
        yield url


def empty_database(server: str, request: pytest.FixtureRequest, folder: Path) -> str:
    if server == "postgres":
        database: Postgres = request.getfixturevalue("postgres")
        return database.database()
    if server != "mysql":
        return str(folder / f"keys.{server}")
    url: str = request.getfixturevalue("mariadb")
    with open_source(url, folder) as source:
        tables = sorted((t.name for t in source.tables()), key=lambda name: name == "parents")
    run_all(url, tuple(f'DROP TABLE "{name}"' for name in tables))
    return url


def fill(url: str, server: str, kind: KeyType) -> None:
    """Write parents, and events every six hours, which refer to them in turn."""
    if kind.needs:
        try:
            run_all(url, (kind.needs,))
        except adbc_driver_manager.Error:
            pytest.skip("this Postgres was built without ICU")
    moment = "DATETIME" if server in {"mysql", "sqlite"} else "TIMESTAMP"
    refers = ", FOREIGN KEY (parent) REFERENCES parents(code)" if kind.refers else ""
    parents = [f"({value(kind.parent, n)}, {n})" for n in range(1, kind.count + 1)]
    events = [f"({i}, {value(kind.event or kind.parent, 1 + i % kind.count)}, '{moment_of(i)}')" for i in range(EVENTS)]
    run_all(
        url,
        (
            *SETUP.get(server, ()),
            f"CREATE TABLE parents (code {kind.declared}, size INTEGER, PRIMARY KEY (code))",
            f"CREATE TABLE events (number INTEGER PRIMARY KEY, parent {kind.referring or kind.declared}, "
            f"happened {moment}{refers})",
            f"INSERT INTO parents VALUES {', '.join(parents)}",
            f"INSERT INTO events VALUES {', '.join(events)}",
        ),
    )


def moment_of(event: int) -> datetime:
    return datetime(2024, 1, 1) + timedelta(hours=6 * event)


def in_windows(anchors: list[str]) -> int:
    """How many events the windows of anchors hold, each of which counts once per window that holds it."""
    starts = [datetime.fromisoformat(a) for a in anchors]
    return sum(a < moment_of(i) <= a + timedelta(days=DAYS) for a in starts for i in range(EVENTS))


def edges(snapshot: Snapshot, name: str) -> dict[str, int]:
    entry = snapshot.manifest.edges[name]
    return {part: getattr(entry, part) for part in ("edges", "null_keys", "orphans")}


def project_on(url: str, folder: Path, name: str, kind: KeyType) -> Workspace:
    project = pipeline.init(url, folder).workspace
    tables = project.config.tables
    if name not in MOMENTS and kind.refers:
        assert tables["parents"].primary_key == "code"
        assert [fk.table for fk in tables["events"].foreign_keys.values()] == ["parents"]
        return project
    text = (folder / "forekey.yaml").read_text()
    head = text.split("tables:")[0]
    (folder / "forekey.yaml").write_text(
        f"{head}tables:\n  parents: {{primary_key: code, columns: {{size: numerical}}}}\n"
        "  events: {primary_key: number, time_column: happened, foreign_keys: {parent: parents}}\n"
    )
    return Workspace.open(folder)


@pytest.mark.parametrize(("server", "name"), CASES, ids=[f"{s}: {n}" for s, n in CASES])
def test_a_key_of_every_type_is_found_from_init_to_training(
    server: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    kind = TYPES[server][name]
    url = empty_database(server, request, tmp_path)
    fill(url, server, kind)
    project = project_on(url, tmp_path, name, kind)
    snapshot = pipeline.snapshot(project)
    assert snapshot.num_nodes("parents") == kind.count
    assert edges(snapshot, "events.parent->parents") == {"edges": EVENTS, "null_keys": 0, "orphans": 0}
    made = pipeline.labels(project, QUERY.format(days=DAYS, key="code"))
    examples = train_examples(project, made, snapshot)
    assert examples.unknown == 0
    assert sum(examples.target) == in_windows(made.anchors["train"])
    if kind.by_hand:
        third, none = snapshot.lookup("parents", [kind.by_hand, "no such key"]).tolist()
        assert (snapshot.rows("parents").column("size")[third].as_py(), none) == (3, -1)


def train_examples(project: Workspace, made: pipeline.Labelled, snapshot: Snapshot) -> Resolved:
    with open_source(project.config.source, project.root) as source:
        return resolve_examples(snapshot, made.task, made.task.labels.make(source, snapshot).split("train"))


CASELESS_TEXT = {
    "postgres": "CITEXT", "duckdb": "VARCHAR COLLATE NOCASE", "sqlite": "TEXT COLLATE NOCASE", "mysql": "VARCHAR(20)",
}  # fmt: skip
BINARY = {"postgres": "BYTEA", "duckdb": "BLOB", "sqlite": "BLOB", "mysql": "VARBINARY(20)"}
SERVERS = ["postgres", "duckdb", "sqlite", "mysql"]


def hexadecimal(server: str, text: str) -> str:
    return {"postgres": f"'\\x{text}'", "sqlite": f"X'{text}'"}.get(server, f"unhex('{text}')")


def fill_mixed(url: str, server: str) -> None:
    """Write parents whose key is a text without case, bytes, a day and a decimal; the events write each otherwise."""
    moment = "DATETIME" if server in {"mysql", "sqlite"} else "TIMESTAMP"
    decimal = "REAL" if server == "sqlite" else "DECIMAL(20, 5)"
    columns = f"a {CASELESS_TEXT[server]}, b {BINARY[server]}, c DATE, d {decimal}"
    key = "FOREIGN KEY (a, b, c, d) REFERENCES parents(a, b, c, d)" if server != "duckdb" else "UNIQUE (number)"
    rows = [(n % 4, f"{n:02x}ff2c", f"2020-03-{n:02}") for n in range(1, PARENTS + 1)]
    parents = [f"('Unit,{a}', {hexadecimal(server, b)}, '{c}', 1.50, {n})" for n, (a, b, c) in enumerate(rows, 1)]
    events = [
        f"({i}, 'uNIT,{a}', {hexadecimal(server, b)}, '{c}', 1.5, '{moment_of(i)}')"
        for i in range(EVENTS)
        for a, b, c in [rows[i % PARENTS]]
    ]
    run_all(
        url,
        (
            *SETUP.get(server, ()),
            f"CREATE TABLE parents ({columns}, size INTEGER, PRIMARY KEY (a, b, c, d))",
            f"CREATE TABLE events (number INTEGER PRIMARY KEY, {columns}, happened {moment}, {key})",
            f"INSERT INTO parents VALUES {', '.join(parents)}",
            f"INSERT INTO events VALUES {', '.join(events)}",
        ),
    )


@pytest.mark.parametrize("server", SERVERS)
def test_composite_keys_of_mixed_types_are_found(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = empty_database(server, request, tmp_path)
    fill_mixed(url, server)
    project = pipeline.init(url, tmp_path).workspace
    path = tmp_path / "forekey.yaml"
    head = path.read_text().split("tables:")[0]
    path.write_text(
        f"{head}tables:\n  parents: {{primary_key: [a, b, c, d], columns: {{size: numerical}}}}\n"
        "  events: {primary_key: number, time_column: happened, foreign_keys: {'a, b, c, d': parents}}\n"
    )
    project = Workspace.open(tmp_path)
    snapshot = pipeline.snapshot(project)
    assert edges(snapshot, "events.a, b, c, d->parents") == {"edges": EVENTS, "null_keys": 0, "orphans": 0}
    made = pipeline.labels(project, QUERY.format(days=DAYS, key="`a, b, c, d`"))
    examples = train_examples(project, made, snapshot)
    assert (examples.unknown, sum(examples.target)) == (0, in_windows(made.anchors["train"]))
    third = int(snapshot.lookup("parents", ["UNIT\\,3,03FF2C,2020-03-03,1.5"])[0])
    assert snapshot.rows("parents").column("size")[third].as_py() == 3


@pytest.mark.parametrize(("server", "kind"), [(s, k) for s in SERVERS for k in ("caseless", "binary")])
def test_placeholders_are_made_once_for_all_spellings(
    server: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    declared = (CASELESS_TEXT if kind == "caseless" else BINARY)[server]
    there, gone = ("'Here'", ["'Gone'", "'gOnE'", "'GONE'"])
    if kind == "binary":
        there, gone = hexadecimal(server, "0d0a20"), [hexadecimal(server, "20090d")] * 3
    url = empty_database(server, request, tmp_path)
    values = ", ".join(f"({i}, {key}, '{moment_of(i)}')" for i, key in enumerate([there, *gone, "NULL"]))
    run_all(
        url,
        (
            *SETUP.get(server, ()),
            f"CREATE TABLE parents (code {declared}, size INTEGER, PRIMARY KEY (code))",
            f"CREATE TABLE events (number INTEGER PRIMARY KEY, parent {declared}, happened "
            f"{'DATETIME' if server in {'mysql', 'sqlite'} else 'TIMESTAMP'})",
            f"INSERT INTO parents VALUES ({there}, 1)",
            f"INSERT INTO events VALUES {values}",
        ),
    )
    (tmp_path / "forekey.yaml").write_text(
        f"source: {url if '://' in url else f'{server}:///{url}'}\ntables:\n  parents: {{primary_key: code}}\n"
        "  events: {time_column: happened, foreign_keys: {parent: {table: parents, on_orphan: create}}}\n"
    )
    snapshot = pipeline.snapshot(Workspace.open(tmp_path))
    assert (snapshot.num_nodes("parents"), snapshot.manifest.tables["parents"].placeholders) == (2, 1)
    assert edges(snapshot, "events.parent->parents") == {"edges": 4, "null_keys": 1, "orphans": 0}


def test_a_trailing_byte_that_reads_as_a_blank_is_part_of_a_binary_key(tmp_path: Path) -> None:
    run_all(
        str(tmp_path / "b.duckdb"),
        (
            "CREATE TABLE t (code BLOB PRIMARY KEY)",
            "INSERT INTO t SELECT unhex(x) FROM (VALUES ('0a'), ('0a09'), ('0a20')) v(x)",
        ),
    )
    (tmp_path / "forekey.yaml").write_text("source: duckdb:///b.duckdb\ntables: {t: {primary_key: code}}\n")
    snapshot = pipeline.snapshot(Workspace.open(tmp_path))
    assert snapshot.keys("t").to_pylist() == ["0a", "0a09", "0a20"]
    assert snapshot.lookup("t", ["0A09", b"\x0a", "\\x0a20", "0x0a20"]).tolist() == [1, 0, 2, 2]


REFUSED = {
    "postgres": {"list": "INTEGER[]", "json": "JSONB"},
    "duckdb": {"list": "INTEGER[]", "struct": "STRUCT(a INTEGER)", "map": "MAP(INTEGER, INTEGER)"},
}


@pytest.mark.parametrize(("server", "declared"), [(s, t) for s, kinds in REFUSED.items() for t in kinds.values()])
def test_keys_that_are_lists_or_structures_are_refused_in_one_line(
    server: str, declared: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = empty_database(server, request, tmp_path)
    key = ", PRIMARY KEY (code)" if server == "postgres" else ""  # DuckDB declares none on such types
    run_all(url, (f"CREATE TABLE parents (code {declared}, size INTEGER{key})",))
    made = pipeline.init(url, tmp_path)
    assert made.workspace.config.tables["parents"].primary_key is None
    notes = [g.reason for g in made.inference.guesses if g.what == "not_used"]
    if key:
        assert [n.split(": ")[1].split(" of ")[0] for n in notes] == ["a key"]
    pipeline.snapshot(made.workspace)
    path = tmp_path / "forekey.yaml"
    path.write_text(f"{path.read_text().split('tables:')[0]}tables: {{parents: {{primary_key: code}}}}\n")
    with pytest.raises(SchemaError, match=r"'parents.code': a key of type .* cannot be used. Remove that key"):
        pipeline.snapshot(Workspace.open(tmp_path))


LETTERS = [("Ünit", "üNIT"), ("İo", "io"), ("straße", "STRAßE"), ("ẞ1", "ß1"), ("ΟΔΟΣ", "οδοσ"), ("Kelvin", "kELVIN")]


@pytest.mark.parametrize(("parent", "child"), LETTERS)
def test_sql_and_graph_fold_letters_by_unicodes_simple_lower_case(parent: str, child: str, tmp_path: Path) -> None:
    run_all(
        str(tmp_path / "k.duckdb"),
        (
            "CREATE TABLE p (code VARCHAR COLLATE NOCASE PRIMARY KEY)",
            "CREATE TABLE c (n INTEGER PRIMARY KEY, code VARCHAR, seen TIMESTAMP)",
            f"INSERT INTO p VALUES ('{parent}')",
            f"INSERT INTO c SELECT i, '{child}', TIMESTAMP '2024-01-01' + INTERVAL (i) DAY FROM range(40) r(i)",
        ),
    )
    (tmp_path / "forekey.yaml").write_text(
        "source: duckdb:///k.duckdb\n"
        "tables: {p: {primary_key: code}, c: {primary_key: n, time_column: seen, foreign_keys: {code: p}}}\n"
    )
    project = Workspace.open(tmp_path)
    snapshot = pipeline.snapshot(project)
    assert edges(snapshot, "c.code->p")["edges"] == 40
    assert snapshot.lookup("p", [child, parent]).tolist() == [0, 0]
    made = pipeline.labels(project, f"PREDICT COUNT(c.*, 0, 5, days) FOR p.code = '{child}'")
    assert set(made.table.column("target").to_pylist()) == {5.0}


def test_a_key_without_case_may_be_named_in_any_spelling_from_training_to_service(tmp_path: Path) -> None:
    kind = SQLITE["nocase"]
    fill(str(tmp_path / "keys.sqlite"), "sqlite", kind)
    made_by_hand = pa.table(
        {
            "who": [f"UNIT{1 + i % 20}" for i in range(400)],
            "at": [datetime(2024, 1, 5) + timedelta(days=i // 20) for i in range(400)],
            "y": [float(i % 3) for i in range(400)],
        }
    )
    pq.write_table(made_by_hand, tmp_path / "labels.parquet")
    tasks = {
        "busy": PQLTask(query=QUERY.format(days=DAYS, key="code")),
        "told": LabelTask.model_validate(
            {
                "labels": "labels.parquet",
                "entity": {"column": "who", "key": "parents.code"},
                "time": "at",
                "target": "y",
                "task_type": "regression",
                "horizon_days": 1,
            }
        ),
    }
    project = pipeline.init(str(tmp_path / "keys.sqlite"), tmp_path, tasks=tasks).workspace
    snapshot = pipeline.snapshot(project)
    with open_source(project.config.source, project.root) as source:
        told = pipeline.find_task(project, snapshot.schema, "told")
        assert resolve_examples(snapshot, told, told.labels.make(source, snapshot).split("train")).unknown == 0
    pipeline.train(project, "busy", preset="fast")
    pipeline.embed(project, "busy")
    with project.store() as store:
        state = ServingState(project, store)
        answers = state.predict("busy", ["Unit3", "uNIT3", "unit3", "nobody"], "stored")
        assert [a.prediction if a is not None else None for a in answers][:3] == [answers[0].prediction] * 3  # type: ignore[union-attr]
        assert answers[3] is None
        assert "Unit3" not in [key for key, _ in state.similar("busy", "UNIT3", 20)[1]]
    run_all(
        str(tmp_path / "keys.sqlite"),
        tuple(
            f"INSERT INTO events VALUES ({1000 + i}, 'UNIT{1 + i % 20}', '{moment_of(EVENTS + i)}')" for i in range(40)
        ),
    )
    pipeline.snapshot(project)
    quality = pipeline.monitor(project).quality
    assert [(q.n, q.unlabelled) for q in quality if q.is_final] == [(PARENTS, 0)]


# Queries over the events of the third parent, which labels and events spell as they like, and the newest label of it.
SPELLED = {
    "COUNT(events.*, 0, 5, days) FOR parents.code = 'üniT3'": 1,
    "COUNT(events.* WHERE events.parent = 'ÜNIT3', 0, 5, days) FOR EACH parents.code": 1,
    "COUNT(events.* WHERE events.parent NOT IN ('ünit3', 'x'), 0, 5, days) FOR EACH parents.code": 0,
    "COUNT_DISTINCT(events.parent, 0, 10, days) FOR EACH parents.code": 1,
    "LIST_DISTINCT(events.parent, 0, 10, days) RANK TOP 3 FOR EACH parents.code": ["ünit3"],
    "LAST(events.parent, 0, 5, days) = 'ÜNit3' FOR EACH parents.code": 1,
    "COUNT(events.*, 0, 5, days) FOR EACH parents.code WHERE parents.code = 'ÜNIT3'": 1,
}


@pytest.mark.parametrize("query", SPELLED)
@pytest.mark.parametrize("server", ["postgres", "duckdb", "mysql"])
def test_queries_compare_a_key_as_its_database_does(
    server: str, query: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    kind = KeyType(CASELESS_TEXT[server], "'Ünit{n}'", "'üNIT{n}'", refers=server != "duckdb")
    url = empty_database(server, request, tmp_path)
    fill(url, server, kind)
    project = project_on(url, tmp_path, "collation", kind)
    pipeline.snapshot(project)
    made = pipeline.labels(project, f"PREDICT {query}").table.to_pylist()
    newest = max(r["time"] for r in made)
    assert {r["entity"]: r["target"] for r in made if r["time"] == newest}["ünit3"] == SPELLED[query]
