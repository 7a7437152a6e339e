"""What earlier looks measured, kept in one small SQLite file, so that "since when" has an answer.

.forekey/monitor/history.sqlite: looks, measurements (one row a look, monitor and subject), alerts that were sent,
requests by route, and the quality of predictions whose labels are in.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forekey.monitoring.alerts import Alert
from forekey.monitoring.finding import Finding, State
from forekey.monitoring.quality import Quality

_SCHEMA = """
CREATE TABLE IF NOT EXISTS looks (look INTEGER PRIMARY KEY, at TEXT, snapshot TEXT, as_of TEXT, state TEXT);
CREATE TABLE IF NOT EXISTS measurements (
    look INTEGER, monitor TEXT, subject TEXT, value REAL, "limit" REAL, state TEXT, since TEXT, what TEXT,
    PRIMARY KEY (monitor, subject, look)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS measurements_by_look ON measurements (look);
CREATE TABLE IF NOT EXISTS sent (monitor TEXT, subject TEXT, state TEXT, PRIMARY KEY (monitor, subject)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (route TEXT PRIMARY KEY, requests INTEGER, errors INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quality (
    task TEXT, version TEXT, anchor TEXT, final INTEGER, data TEXT, PRIMARY KEY (task, version, anchor)
) WITHOUT ROWID;
"""
_SECONDS = 30.0
_LOOKS_KEPT = 5_000
_WHOLE_LOOKS, _EVERY = 400, 7
"""So many looks are kept whole; of what was ok before, every seventh: daily looks of years stay small."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement of an earlier look."""

    at: str
    as_of: str
    value: float
    limit: float
    state: State
    since: str | None = None
    what: str = ""


class MonitorHistory:
    """The looks of a project. Several processes may read and write at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "history.sqlite"

    def last(self) -> dict[tuple[str, str], Measured]:
        """Return the measurements of the newest look by monitor and subject."""
        with self._open() as db:
            rows = db.execute(
                'SELECT monitor, subject, at, as_of, value, "limit", m.state, since, what FROM measurements m '
                "JOIN looks USING (look) WHERE look = (SELECT max(look) FROM looks)"
            ).fetchall()
        return {(r[0], r[1]): _measured(r[2:]) for r in rows}

    def of(self, monitor: str, subject: str, most: int = 400) -> list[Measured]:
        """Return the newest measurements of one thing, oldest first."""
        return self.of_many([(monitor, subject)], most)[monitor, subject]

    def of_many(self, names: Sequence[tuple[str, str]], most: int = 400) -> dict[tuple[str, str], list[Measured]]:
        """Return likewise those of several monitors and subjects, in the order of ``names``."""
        with self._open() as db:
            return {name: [_measured(r) for r in reversed(_newest(db, name, most))] for name in names}

    def not_ok(self) -> dict[tuple[str, str], list[Measured]]:
        """Return all measurements that were not as they should be, by monitor and subject, oldest first."""
        with self._open() as db:
            rows = db.execute(
                'SELECT monitor, subject, at, as_of, value, "limit", m.state, since, what FROM measurements m '
                "JOIN looks USING (look) WHERE m.state != 'ok' ORDER BY look"
            ).fetchall()
        found: dict[tuple[str, str], list[Measured]] = {}
        for row in rows:
            found.setdefault((row[0], row[1]), []).append(_measured(row[2:]))
        return found

    def looks(self, most: int = 400) -> list[tuple[str, str, State]]:
        """Return when the newest looks were, as of when, and what state they found, oldest first."""
        with self._open() as db:
            rows = db.execute("SELECT at, as_of, state FROM looks ORDER BY look DESC LIMIT ?", (most,)).fetchall()
        return [(at, as_of, State(state)) for at, as_of, state in reversed(rows)]

    def quality(self, task: str) -> dict[tuple[str, str], Quality]:
        """Return what earlier looks found of a task's predictions, by version and anchor."""
        with self._open() as db:
            rows = db.execute("SELECT version, anchor, data FROM quality WHERE task = ?", (task,)).fetchall()
        return {(version, anchor): Quality.from_dict(json.loads(data)) for version, anchor, data in rows}

    def add(
        self,
        at: str,
        snapshot: tuple[str, str],
        found: Sequence[tuple[Finding, State, str | None]],
        quality: Sequence[Quality],
    ) -> None:
        """Keep one look: at what time, of which snapshot as of when, each finding with its state and since when."""
        worst = State.worst([state for _, state, _ in found])
        with self._open() as db, db:
            look = db.execute(
                "INSERT INTO looks (at, snapshot, as_of, state) VALUES (?, ?, ?, ?)", (at, *snapshot, worst)
            ).lastrowid
            db.executemany(
                "INSERT OR REPLACE INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        look,
                        f.monitor,
                        f.subject,
                        f.value,
                        f.limit,
                        state,
                        since,
                        f.what if state is not State.OK else "",
                    )
                    for f, state, since in found
                ],
            )
            db.executemany(
                "INSERT OR REPLACE INTO quality VALUES (?, ?, ?, ?, ?)",
                [(q.task, q.version, q.anchor, q.is_final, json.dumps(q.to_dict())) for q in quality],
            )
            db.execute("DELETE FROM measurements WHERE look <= ?", ((look or 0) - _LOOKS_KEPT,))
            db.execute(
                "DELETE FROM measurements WHERE look = ? AND state = 'ok' AND look % ? != 0",
                ((look or 0) - _WHOLE_LOOKS, _EVERY),
            )
            db.execute("DELETE FROM looks WHERE look <= ?", ((look or 0) - _LOOKS_KEPT,))

    def requests(self) -> dict[str, tuple[int, int]]:
        """Return the requests and errors by route that the last look knew."""
        with self._open() as db:
            return {r: (n, e) for r, n, e in db.execute("SELECT route, requests, errors FROM requests").fetchall()}

    def keep_requests(self, routes: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the requests and errors by route for the next look."""
        rows = [(route, int(found["requests"]), int(found["errors"])) for route, found in routes.items()]
        with self._open() as db, db:
            db.execute("DELETE FROM requests")
            db.executemany("INSERT INTO requests VALUES (?, ?, ?)", rows)

    def unsent(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Return the alerts that nobody has been sent yet, or only when they were less bad."""
        with self._open() as db:
            rows = db.execute("SELECT monitor, subject, state FROM sent").fetchall()
        known = {(monitor, subject): State(state) for monitor, subject, state in rows}
        return [a for a in alerts if known.get((a.monitor, a.subject), State.OK).rank < a.state.rank]

    def mark_sent(self, alerts: Sequence[Alert]) -> None:
        """Keep that these alerts, all that stand now, were sent; those that ended are new when they come again."""
        with self._open() as db, db:
            db.execute("DELETE FROM sent")
            db.executemany("INSERT INTO sent VALUES (?, ?, ?)", [(a.monitor, a.subject, a.state) for a in alerts])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            # Not a database any more. What it held can be measured again, but for old looks: it is set aside.
            self._path.replace(self._path.with_suffix(".damaged"))
            connection = self._connect()
        with closing(connection):
            yield connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_SECONDS)
        try:
            connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection


def _newest(db: sqlite3.Connection, name: tuple[str, str], most: int) -> list[tuple[Any, ...]]:
    return db.execute(
        'SELECT at, as_of, value, "limit", m.state, since, what FROM measurements m JOIN looks USING (look) '
        "WHERE monitor = ? AND subject = ? ORDER BY look DESC LIMIT ?",
        (*name, most),
    ).fetchall()


def _measured(row: tuple[str, str, float, float, str, str | None, str]) -> Measured:
    at, as_of, value, limit, state, since, what = row
    return Measured(at, as_of, value, limit, State(state), since, what)
