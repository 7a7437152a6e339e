"""SQLite and MySQL (MariaDB) as sources: DuckDB attaches them, so that SQL means the same as on a DuckDB file.

SQLite has no timestamps, and MySQL no Arrow driver of its own; DuckDB's scanners read both as Arrow and push filters
down. Their wheels carry the extension, so nothing is fetched at run time (docs/decisions/0007).
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
from sqlglot import exp, parse_one

from forekey import duckdb_session
from forekey.errors import SourceError, SourceUnavailable
from forekey.project import MomentConfig
from forekey.schema import Case, DType
from forekey.secrets import decoded, looks_encoded, without_password
from forekey.source.duck import DuckDBSource, first_line
from forekey.source.exports import COMMENT, MARK, with_exports
from forekey.source.protocol import ColumnInfo, ForeignKeyInfo, TableInfo
from forekey.source.readings import read_moment
from forekey.source.sqlite_types import COUNTED, Kind, fits_unit, kind_of

_THREADS = 1
"""Of a statement: the scanners of DuckDB 1.5 share state between threads without a lock, and now and then end the
process (docs/decisions/0048)."""
_MOST_COUNTS = 500
"""Columns of one SELECT: SQLite has at most 2,000."""

Keys = tuple[dict[str, tuple[str, ...]], dict[str, list[ForeignKeyInfo]]]

_SQLITE_KEYS = """
SELECT m.name AS a, 'PRIMARY KEY' AS b, c.name AS c, '' AS d, '' AS e, c.pk AS f, 0 AS g
FROM sqlite_master m, pragma_table_info(m.name) c WHERE c.pk > 0
UNION ALL
SELECT m.name, 'FOREIGN KEY', f."from", coalesce(p.name, f."table"),
       coalesce((SELECT c.name FROM pragma_table_info(p.name) c WHERE c.name = f."to" COLLATE NOCASE), f."to", ''),
       f.seq, f.id
FROM sqlite_master m, pragma_foreign_key_list(m.name) f
LEFT JOIN sqlite_master p ON p.type = 'table' AND p.name = f."table" COLLATE NOCASE
WHERE m.type = 'table'
"""

_MYSQL_KEYS = """
SELECT k.table_name, k.constraint_name, k.column_name, coalesce(k.referenced_table_name, ''),
       coalesce(k.referenced_column_name, ''), k.ordinal_position, 0
FROM information_schema.key_column_usage k
WHERE k.table_schema = database() AND (k.constraint_name = 'PRIMARY' OR k.referenced_table_name IS NOT NULL)
"""

_MYSQL_CASES = """
SELECT c.table_name, c.column_name FROM information_schema.columns c
WHERE c.table_schema = database() AND c.collation_name LIKE '%\\_ci'
"""


class SQLiteSource(DuckDBSource):
    """A SQLite file. A value that does not fit its column's declared type reads as NULL."""

    _path: Path
    _recorded: frozenset[str] = frozenset()
    """Tables that this project wrote, by its own record."""
    _unfit: frozenset[str] = frozenset()
    """Tables in which some values are not of their column's declared type."""
    _kinds: dict[tuple[str, str], Kind]

    @classmethod
    def open(cls, url: str, path: Path, *, writable: bool = False, recorded: Collection[str] = ()) -> Self:
        """Open a file, read-only unless ``writable``; ``recorded`` are tables that the project wrote."""
        if not path.is_file():
            raise SourceError(f"'{url}' cannot be opened: there is no file '{path}'. Check the path.")
        connection = duckdb_session.connect(threads=_THREADS)
        load_extension(connection, "sqlite_scanner", "forekey")
        mode = "" if writable else ", READ_ONLY"
        try:
            connection.execute(f"ATTACH {_literal(str(path))} AS forekey_attached (TYPE sqlite{mode})")
            connection.sql(
                "SELECT * FROM sqlite_query('forekey_attached', 'SELECT count(*) FROM sqlite_master')"
            ).fetchall()
        except duckdb.Error as error:
            raise SourceError(f"'{url}' cannot be opened: {first_line(error)}") from error
        source = cls(url, connection)
        source._path = path
        source._kinds = {}
        source._recorded = frozenset(recorded)
        source._make_views()
        return source

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Create or replace a table in one transaction."""
        replace_table(self, f"forekey_attached.{_quoted(name)}", name, rows)

    def _make_views(self) -> None:
        """Lay a view over each table that casts every column to what its declaration says."""
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        generated: set[str] = set()
        shadows = {name for (name,) in self._ask("SELECT name FROM pragma_table_list WHERE type = 'shadow'")}
        for table, column, declared, hidden in self._ask(
            "SELECT m.name AS a, c.name AS b, c.type AS c, c.hidden AS d "
            "FROM sqlite_master m, pragma_table_xinfo(m.name) c "
            "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND c.hidden <> 1 "
            "ORDER BY m.name, c.cid"
        ):
            if table not in shadows:
                found[table].append((column, declared or ""))
                generated |= {table} if hidden else set()
        for table, columns in found.items():
            try:
                self._make_view(table, self._kinds_of(table, columns), table in generated)
            except duckdb.Error as error:
                self._failed[table] = f"Table '{table}' of '{self.url}' cannot be read: {first_line(error)}"

    def _make_view(self, table: str, kinds: dict[str, Kind], generated: bool) -> None:
        parts = [f"{_cast(_quoted(c), kind)} AS {_quoted(c)}" for c, kind in kinds.items()]
        rows = f"forekey_attached.{_quoted(table)}"
        fit = self._all_fit(table, kinds)
        if not fit or generated or not self._has_row_ids(table):
            rows = self._as_text(table, kinds)
            blobs = {c: f"from_hex({_quoted(c)}) AS {_quoted(c)}" for c, kind in kinds.items() if kind.name == "BLOB"}
            parts = [blobs.get(c, part) for c, part in zip(kinds, parts, strict=True)]
        if not fit:
            parts += [f"{_there(c)} <> '0' AS {_there(c)}" for c in kinds]
            self._unfit |= {table}
        self._connection.execute(f"CREATE VIEW {_quoted(table)} AS SELECT {', '.join(parts)} FROM {rows}")
        self._kinds |= {(table, column): kind for column, kind in kinds.items()}

    def _kinds_of(self, table: str, columns: list[tuple[str, str]]) -> dict[str, Kind]:
        """Look at every value once: what each column holds, its declared type alone does not say."""
        counts = [
            f"coalesce(sum({condition.format(c=_quoted(c))}), 0) AS c{i}_{name}"
            for i, (c, _) in enumerate(columns)
            for name, condition in COUNTED.items()
        ]
        answers: list[int] = []
        for first in range(0, len(counts), _MOST_COUNTS):
            part = ", ".join(counts[first : first + _MOST_COUNTS])
            answers += map(int, self._ask(f"SELECT {part} FROM {_quoted(table)}")[0])
        size = len(COUNTED)
        return {
            column: kind_of(declared, dict(zip(COUNTED, answers[i * size : (i + 1) * size], strict=True)))
            for i, (column, declared) in enumerate(columns)
        }

    def tables(self) -> list[TableInfo]:
        """Return the tables and views of the file with their declared keys."""
        found = [
            replace(i, columns=tuple(self._as_counted(i.name, c) for c in i.columns if not c.name.startswith(_THERE)))
            for i in super().tables()
        ]
        return with_exports(found, self._recorded)

    def _as_counted(self, table: str, column: ColumnInfo) -> ColumnInfo:
        """Say in a column's type what its numbers count, if they are moments."""
        kind = self._kinds.get((table, column.name))
        return replace(column, sql_type=str(kind)) if kind is not None and kind.unit is not None else column

    def present(self, table: str, name: str) -> exp.Expression | None:
        """Tell a value that is not of its column's declared type from none."""
        return exp.column(_THERE + name, quoted=True) if table in self._unfit else None

    def _cases(self, columns: Mapping[str, Sequence[ColumnInfo]]) -> dict[tuple[str, str], Case]:
        """Return the columns that are declared COLLATE NOCASE: SQLite shows it in how it compares."""
        found: dict[tuple[str, str], Case] = {}
        if not self._ask("SELECT 1 AS a FROM sqlite_master WHERE sql LIKE '%collate%' LIMIT 1"):
            return found
        texts = [(t, c.name) for t, every in columns.items() for c in every if c.dtype is DType.TEXT]
        for table, name in texts:
            if name.startswith(_THERE):
                continue
            tried = f"SELECT {_quoted(name)} FROM {_quoted(table)} WHERE 0 UNION SELECT 'a' UNION SELECT 'A'"
            if self._ask(f"SELECT count(*) AS a FROM ({tried})") == [("1",)]:
                found[table, name] = Case.ASCII
        return found

    def _has_row_ids(self, table: str) -> bool:
        own = f"SELECT 1 AS a FROM sqlite_master WHERE name = {_literal(table)} AND sql LIKE '%WITHOUT%ROWID%'"
        return not self._ask(own)

    def _all_fit(self, table: str, kinds: dict[str, Kind]) -> bool:
        """Whether every value is of its column's type."""
        doubtful = [
            f"({_quoted(c)} IS NOT NULL AND NOT ({fits}))"
            for c, kind in kinds.items()
            if (fits := kind.fits(_quoted(c))) is not None
        ]
        if not doubtful:
            return True
        return not self._ask(f"SELECT 1 AS a FROM {_quoted(table)} WHERE {' OR '.join(doubtful)} LIMIT 1")

    def _as_text(self, table: str, kinds: dict[str, Kind]) -> str:
        """Read a table through SQLite's own SQL, values as exact text; what is not of its column's type as NULL."""
        parts = []
        for column, kind in kinds.items():
            own = _quoted(column)
            text = f"CASE WHEN typeof({own}) = 'real' THEN printf('%!.17g', {own}) ELSE CAST({own} AS TEXT) END"
            text = f"printf('%!.17g', {own})" if kind.name == "DOUBLE" else text
            text = f"hex({own})" if kind.name == "BLOB" else text
            fits = f"typeof({own}) <> 'blob'" if kind.name != "BLOB" else f"{own} IS NOT NULL"
            if kind.name in {"BIGINT", "BOOLEAN", "DOUBLE"}:
                fits = kind.fits(own) or fits
            if kind.unit is not None:
                fits = f"typeof({own}) = 'text' OR ({fits_unit(own, kind.unit)})"
            elif kind.name == "TIMESTAMP":
                fits = f"typeof({own}) = 'text'"
            parts.append(f"CASE WHEN {fits} THEN {text} END AS {own}, {own} IS NOT NULL AS {_there(column)}")
        statement = f"SELECT {', '.join(parts)} FROM {_quoted(table)}"
        return f"sqlite_query('forekey_attached', {_literal(statement)})"

    def _declared_keys(self) -> Keys:
        return _collect(self._ask(_SQLITE_KEYS))

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._fetch(f"SELECT * FROM sqlite_query('forekey_attached', {_literal(sql)})")


class MySQLSource(DuckDBSource):
    """A database of a MySQL or MariaDB server."""

    _writable: bool

    @classmethod
    def connect(cls, url: str, *, writable: bool = False) -> Self:
        """Connect by ``mysql://user:password@host:port/database``."""
        shown = without_password(url)
        try:
            parts = urlsplit(url)
            port = parts.port or 3306
        except ValueError as error:
            raise SourceError(
                f"'{shown}' names no host and port. Use mysql://user:password@host:3306/database."
            ) from error
        database = unquote(parts.path.lstrip("/"))
        if not database:
            raise SourceError(f"'{shown}' names no database. Use mysql://user:password@host:3306/database.")
        connection = duckdb_session.connect(threads=_THREADS)
        load_extension(connection, "mysql_scanner", "forekey[mysql]")
        settings = {
            "HOST": parts.hostname or "127.0.0.1",
            "DATABASE": database,
            "USER": unquote(parts.username or "root"),
        }
        settings["PASSWORD"] = decoded(parts.password or "")
        secret = ", ".join(f"{name} {_literal(value)}" for name, value in settings.items() if value)
        mode = "" if writable else ", READ_ONLY"
        try:
            connection.execute(f"CREATE SECRET forekey (TYPE mysql, PORT {port}, {secret})")
            connection.execute(f"ATTACH '' AS forekey_attached (TYPE mysql, SECRET forekey{mode})")
            connection.execute(f"USE forekey_attached.{_quoted(database)}")
            if not writable:
                connection.execute("BEGIN")  # what is read now is of one moment (REPEATABLE READ), until it is closed
        except duckdb.Error as error:
            reason = first_line(error)
            if "Access denied" in reason or "Unknown database" in reason or "Catalog Error" in reason:
                twice = " A variable holds the password as it is, not percent-encoded." if looks_encoded(url) else ""
                raise SourceError(f"'{shown}' cannot be opened: check user, password and database.{twice}") from error
            raise SourceUnavailable(f"'{shown}' does not answer. Check host and port.") from error
        source = cls(shown, connection)
        source._writable = writable
        return source

    def query(self, statement: exp.Expression, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Stream the rows of one SELECT; one that fails ends what is read as of one moment."""
        try:
            return super().query(statement, batch_rows)
        except SourceError:
            self._begin_again()
            raise

    def _measure(self, name: str, wide: Sequence[ColumnInfo]) -> tuple[int, set[str]]:
        try:
            return super()._measure(name, wide)
        except SourceError:
            self._begin_again()
            raise

    def _begin_again(self) -> None:
        if not self._writable:
            self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN")

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Create or replace a table."""
        replace_table(self, _quoted(name), name, rows)
        own = exp.to_identifier(name, quoted=True).sql(dialect="mysql")
        marking = f"ALTER TABLE {own} COMMENT = '{COMMENT}'"
        self._connection.execute(f"CALL mysql_execute('forekey_attached', {_literal(marking)})")

    def _exports(self, tables: Sequence[TableInfo]) -> list[str]:
        own = (
            "SELECT table_name FROM information_schema.tables "
            f"WHERE table_schema = database() AND table_comment LIKE '{MARK}%'"
        )
        rows = self._fetch(f"SELECT * FROM mysql_query('forekey_attached', {_literal(own)})")
        return [name for (name,) in rows]

    def _cases(self, columns: Mapping[str, Sequence[ColumnInfo]]) -> dict[tuple[str, str], Case]:
        """Return the columns whose collation is one of those that end with ``_ci``, as by default."""
        rows = self._fetch(f"SELECT * FROM mysql_query('forekey_attached', {_literal(_MYSQL_CASES)})")
        return {(table, column): Case.LETTERS for table, column in rows if table in columns}

    def _declared_keys(self) -> Keys:
        rows = self._fetch(f"SELECT * FROM mysql_query('forekey_attached', {_literal(_MYSQL_KEYS)})")
        named = [(t, "PRIMARY KEY" if n == "PRIMARY" else "FOREIGN KEY", c, p, k, o, n) for t, n, c, p, k, o, _ in rows]
        return _collect(named)


def load_extension(connection: Any, name: str, extra: str) -> None:
    """Load a DuckDB extension from its wheel."""
    try:
        package = importlib.import_module(f"duckdb_extension_{name}")
        file = next(Path(str(package.__file__)).parent.rglob(f"v{duckdb.__version__}/*.duckdb_extension"))
        connection.execute(f"LOAD {_literal(str(file))}")
    except (ImportError, StopIteration, duckdb.Error) as error:
        raise SourceError(
            f"DuckDB's extension {name} for version {duckdb.__version__} is not installed. Run `pip install '{extra}'`."
        ) from error


def replace_table(source: DuckDBSource, target: str, name: str, rows: pa.Table) -> None:
    """Drop and create a table, where the database can in one transaction."""
    connection = source._connection
    connection.register("forekey_rows", rows)
    try:
        connection.execute("BEGIN")
        connection.execute(f"DROP TABLE IF EXISTS {target}")
        connection.execute(f"CREATE TABLE {target} AS SELECT * FROM temp.forekey_rows")
        connection.execute("COMMIT")
    except duckdb.Error as error:
        connection.execute("ROLLBACK")
        raise SourceError(f"Table '{name}' cannot be written to '{source.url}': {first_line(error)}") from error
    finally:
        connection.unregister("forekey_rows")


def _collect(rows: list[tuple[Any, ...]]) -> Keys:
    """Put keys together from rows of (table, kind, column, parent, parent's column, place, number)."""
    primary: dict[str, list[str]] = defaultdict(list)
    foreign: dict[tuple[str, Any, str], list[tuple[str, str]]] = defaultdict(list)
    for table, kind, column, parent, key, _, number in sorted(rows, key=lambda r: (r[0], str(r[6]), r[5])):
        if kind == "PRIMARY KEY":
            primary[table].append(column)
        else:
            foreign[table, number, parent].append((column, key))
    own = {table: tuple(columns) for table, columns in primary.items()}
    found: dict[str, list[ForeignKeyInfo]] = defaultdict(list)
    for (table, _, parent), pairs in foreign.items():
        theirs = tuple(k for _, k in pairs) if all(k for _, k in pairs) else own.get(parent, ())
        found[table].append(ForeignKeyInfo(tuple(c for c, _ in pairs), parent, theirs))
    return own, found


_THERE = "forekey there: "


def _there(column: str) -> str:
    """Name the column that is true where another holds a value."""
    return _quoted(_THERE + column)


def _cast(column: str, kind: Kind) -> str:
    """Cast a value to what its column holds; a moment may be a text, or a number."""
    if kind.name != "TIMESTAMP":
        return column if kind.name == "VARCHAR" else f"TRY_CAST({column} AS {kind.name})"
    text = f"TRY_CAST(TRY_CAST({column} AS TIMESTAMPTZ) AS TIMESTAMP)"
    if kind.unit is None:
        return text
    number = exp.TryCast(
        this=exp.cast(parse_one(column, into=exp.Column, dialect="duckdb"), "VARCHAR"), to=exp.DataType.build("DOUBLE")
    )
    told = MomentConfig.model_validate({"unit": kind.unit})
    return f"coalesce({text}, {read_moment(number, DType.FLOAT, told, 'duckdb').sql(dialect='duckdb')})"


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def _literal(text: str) -> str:
    return exp.Literal.string(text).sql(dialect="duckdb")
