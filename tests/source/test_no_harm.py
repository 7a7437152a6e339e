"""A source is a guest: it reads as of one moment, is let go before anything is computed, and waits for no one."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.errors import SourceError
from forekey.pipeline import Listener
from forekey.project import PQLTask
from forekey.source import open_source
from forekey.workspace import Workspace
from tests.support.servers import Postgres, run_all, running_mariadb

QUERY = "PREDICT SUM(orders.amount, 0, 20, days) FOR EACH customers.id"
LONGEST_IDLE = 1.0
"""Seconds that this process may compute while a session stands within a transaction between two statements.

They are counted in the process's own CPU time: a loaded machine stretches every wait, but makes no one compute."""


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    with running_mariadb() as url:
        yield url


def fill(url: str) -> None:
    moment = "DATETIME" if url.startswith("mysql") or url.endswith(".sqlite") else "TIMESTAMP"
    rows = ", ".join(
        f"({i}, {1 + i % 30}, '2024-{1 + i // 100:02}-{1 + i // 4 % 25:02} 0{i % 4}:00:00', {i % 17})"
        for i in range(1200)
    )
    run_all(
        url,
        (
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, size INTEGER)",
            f"CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER, placed {moment}, "
            "amount DOUBLE PRECISION, FOREIGN KEY (customer_id) REFERENCES customers(id))",
            f"INSERT INTO customers VALUES {', '.join(f'({n}, {n})' for n in range(1, 31))}",
            f"INSERT INTO orders VALUES {rows}",
        ),
    )


def project_on(url: str, folder: Path) -> Workspace:
    fill(url)
    project = pipeline.init(url, folder, tasks={"spend": PQLTask(query=QUERY)}).workspace
    pipeline.snapshot(project)
    return project


SESSIONS = (
    "SELECT state, pid, state_change::text FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'forekey'"
)
Seen = list[tuple[tuple[str, int, str], float]]
"""Every look at a session: its state, process and since when; and the CPU seconds of this process so far, without
those of looking."""


@contextmanager
def watched(url: str) -> Iterator[Seen]:
    """Poll the server's sessions of ours."""
    seen: Seen = []
    done = threading.Event()

    def poll() -> None:
        with adbc.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            while not done.is_set():
                cursor.execute(SESSIONS)
                computed = time.process_time() - time.thread_time()
                seen.extend((session, computed) for session in cursor.fetchall())
                time.sleep(0.005)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def longest_idle(seen: Seen) -> float:
    """For how many CPU seconds this process computed during the longest idle stay within one transaction."""
    stays: dict[tuple[str, int, str], list[float]] = {}
    for session, at in seen:
        if session[0].startswith("idle in transaction"):
            stays.setdefault(session, []).append(at)
    return max((moments[-1] - moments[0] for moments in stays.values()), default=0.0)


def sessions(url: str) -> list[Any]:
    with adbc.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(SESSIONS)
        return list(cursor.fetchall())


def test_no_session_is_open_while_anything_is_computed(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    project = project_on(url, tmp_path)
    during: list[list[Any]] = []

    def at_epoch(_: object) -> None:
        during.append(sessions(url))
        run_all(url, ("SET lock_timeout = '1s'", "ALTER TABLE orders ADD COLUMN IF NOT EXISTS later INTEGER"))

    def at_step(line: str) -> None:
        if line.startswith(("training", "growing", "baseline", "asking", "building edges")):
            during.append(sessions(url))

    with watched(url) as seen:
        pipeline.train(project, "spend", preset="fast", listener=Listener(at_step, at_epoch))
        pipeline.evaluate(project, "spend")
        pipeline.embed(project, "spend")
        pipeline.monitor(project)
        pipeline.snapshot(project, full=True, listener=Listener(at_step))
    assert len(during) > 5
    assert not any(during)
    assert seen, "labels are read in sessions called forekey"
    assert longest_idle(seen) < LONGEST_IDLE
    assert sessions(url) == []


def test_init_and_check_hold_no_transaction_while_they_judge(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    with watched(url) as seen:
        project = project_on(url, tmp_path)
        pipeline.check(project)
        pipeline.labels(project, "spend")
    assert seen
    assert longest_idle(seen) < LONGEST_IDLE
    assert sessions(url) == []


def test_what_is_cut_off_leaves_no_session(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    project = project_on(url, tmp_path)

    def cut(_: object) -> None:
        raise KeyboardInterrupt

    for listener in (Listener(epoch=cut), Listener(step=cut)):
        with pytest.raises(KeyboardInterrupt):
            pipeline.train(project, "spend", preset="fast", listener=listener)
        assert sessions(url) == []
    with pytest.raises(KeyboardInterrupt):
        pipeline.snapshot(
            project, full=True, listener=Listener(step=lambda line: cut(line) if "orders" in line else None)
        )
    assert sessions(url) == []


SETTINGS = ("application_name", "default_transaction_read_only", "transaction_isolation", "statement_timeout")


def settings_of(source: Any) -> list[str]:
    connection = source.connect()._connection if hasattr(source, "connect") else source._connection
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in SETTINGS)}")
        return list(cursor.fetchone())


def test_a_session_of_postgres_says_who_it_is_and_can_only_read(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    with open_source(url, tmp_path) as source:
        assert settings_of(source) == ["forekey", "on", "repeatable read", "1h"]
        with pytest.raises(SourceError, match="read-only transaction"):
            source.write_table("t", pa.table({"a": [1]}))
    with open_source(url, tmp_path, timeout_seconds=2.5) as source:
        assert settings_of(source)[3] == "2500ms"
    with open_source(f"{url}&application_name=mine&options=-cstatement_timeout%3D7s", tmp_path) as source:
        assert settings_of(source)[0::3] == ["mine", "7s"]
    with open_source(url, tmp_path, writable=True) as source:
        assert settings_of(source)[1] == "off"


def test_a_statement_that_takes_too_long_is_ended_in_one_line(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    project = project_on(url, tmp_path)
    slow = "CREATE VIEW slow AS SELECT id, size FROM customers, (SELECT pg_sleep(5)) s"
    run_all(url, (slow,))
    path = tmp_path / "forekey.yaml"
    path.write_text(path.read_text().replace("tasks:", "statement_timeout_seconds: 0.5\ntasks:"))
    project = Workspace.open(tmp_path)
    path.write_text(path.read_text().replace("tables:", "tables:\n  slow: {columns: {size: numerical}}"))
    started = time.perf_counter()
    with pytest.raises(SourceError, match="statement timeout"):
        pipeline.snapshot(Workspace.open(tmp_path))
    assert time.perf_counter() - started < 4
    assert len(pipeline.labels(project, "spend").table) > 0  # the other tables are read as before


def add_an_order(url: str) -> None:
    run_all(url, ("INSERT INTO orders SELECT max(order_id) + 1, 1, '2024-12-25 00:00:00', 1 FROM orders",))


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_file_can_be_written_to_during_a_training(kind: str, tmp_path: Path) -> None:
    url = str(tmp_path / f"shop.{kind}")
    project = project_on(url, tmp_path)
    errors: list[Exception] = []
    written: list[int] = []

    def at_epoch(_: object) -> None:
        # In a thread and, of DuckDB, by an engine that wants the file for itself alone, as another process would.
        try:
            add_an_order(url)
            written.append(1)
        except (duckdb.Error, OSError) as error:
            errors.append(error)

    pipeline.train(project, "spend", preset="fast", listener=Listener(epoch=at_epoch))
    assert written
    assert not errors


def test_no_session_of_mysql_is_open_while_anything_is_computed(mariadb: str, tmp_path: Path) -> None:
    with open_source(mariadb, tmp_path) as source:
        old = sorted((t.name for t in source.tables()), reverse=True)
    run_all(mariadb, tuple(f"DROP TABLE {name}" for name in old))
    project = project_on(mariadb, tmp_path)
    during: list[list[Any]] = []

    def look(_: object) -> None:
        port, own = mariadb.rsplit(":", 1)[1].split("/")[0], "SELECT count(*) FROM information_schema.processlist"
        told = subprocess.run(
            ["mariadb", "-h127.0.0.1", f"-P{port}", "-uu", "-pp w", "-N", "-e", f"{own} WHERE id <> connection_id()"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        during.append(told.stdout.split())

    pipeline.train(project, "spend", preset="fast", listener=Listener(epoch=look))
    assert during
    assert {tuple(d) for d in during} == {("0",)}


def test_mysql_reads_every_table_as_of_one_moment(mariadb: str, tmp_path: Path) -> None:
    with open_source(mariadb, tmp_path) as source:
        old = sorted((t.name for t in source.tables()), reverse=True)
    run_all(mariadb, tuple(f"DROP TABLE {name}" for name in old))
    fill(mariadb)
    counted: Callable[[Any], int] = lambda s: {t.name: t.rows for t in s.tables()}["orders"]  # noqa: E731
    with open_source(mariadb, tmp_path) as source:
        before = counted(source)
        add_an_order(mariadb)
        assert counted(source) == before
        source.release()
        assert counted(source) == before + 1
