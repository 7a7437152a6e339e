"""PostgreSQL as a source, read as Arrow through ADBC (binary COPY, no Python object a row)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from forekey.errors import SourceError, SourceUnavailable
from forekey.schema import Case, DType
from forekey.secrets import looks_encoded, reason_without, without_password
from forekey.source.exports import COMMENT, MARK, with_exports
from forekey.source.protocol import ColumnInfo, ForeignKeyInfo, TableInfo

# Tables, views, materialized views, foreign and partitioned tables that the search path shows, with their columns.
# The base type stands for a domain; e is an enumeration, A an array.
_COLUMNS = """
SELECT c.relname::text, a.attname::text, format_type(t.oid, a.atttypmod), t.typname::text, t.typtype::text,
       t.typcategory::text, coalesce(item.typname::text, ''),
       CASE WHEN NOT col.collisdeterministic THEN quote_ident(home.nspname) || '.' || quote_ident(col.collname)
       ELSE '' END
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type declared ON declared.oid = a.atttypid
JOIN pg_type t ON t.oid = CASE WHEN declared.typtype = 'd' THEN declared.typbasetype ELSE declared.oid END
LEFT JOIN pg_type item ON item.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_collation col ON col.oid = a.attcollation
LEFT JOIN pg_namespace home ON home.oid = col.collnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT c.relispartition
ORDER BY c.relname, a.attnum
"""

_TYPE = """
SELECT format_type(t.oid, NULL), t.typname::text, t.typtype::text, t.typcategory::text, coalesce(item.typname::text, '')
FROM pg_type t LEFT JOIN pg_type item ON item.oid = t.typelem AND t.typcategory = 'A'
WHERE t.oid = {oid}
"""

_KEYS = """
SELECT c.relname::text, k.contype::text, parent.relname::text,
       (SELECT array_agg(a.attname::text ORDER BY u.place) FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
       (SELECT array_agg(a.attname::text ORDER BY u.place) FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
LEFT JOIN pg_class parent ON parent.oid = k.confrelid
WHERE k.contype IN ('p', 'f') AND k.conparentid = 0
      AND (parent.oid IS NULL OR parent.relnamespace = c.relnamespace)
ORDER BY c.relname, k.conname
"""

_EXPORTS = f"""
SELECT c.relname::text FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
WHERE obj_description(c.oid, 'pg_class') LIKE '{MARK}%'
"""

_FAMILIES = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), DType.INTEGER),
    **dict.fromkeys(("float4", "float8", "numeric", "money"), DType.FLOAT),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "citext"), DType.TEXT),
    **dict.fromkeys(("timestamp", "timestamptz", "date"), DType.TIMESTAMP),
    "bool": DType.BOOLEAN,
    "uuid": DType.UUID,
    "bytea": DType.BYTES,
    "vector": DType.LIST,
}
_EXACT_DIGITS = 15
_TIMEOUT_SECONDS = 3600.0
_IDLE_SECONDS = 1800
"""A client that stands still this long within a transaction is dropped by the server: it hangs, or is gone."""
_LISTS_AS_THEY_ARE = {"int2", "int4", "int8", "float4", "float8", "text", "varchar", "bpchar", "bool"}


class PostgresSource:
    """A connection to PostgreSQL as a :class:`~forekey.source.Source`.

    Everything that one connection reads, it sees as of one moment (REPEATABLE READ), in UTC.
    """

    dialect = "postgres"

    def __init__(self, url: str, connection: Any) -> None:
        self.url = without_password(url)
        self._connection = connection
        self._open: list[Any] = []
        self._types: dict[tuple[str, str], tuple[str, str, str]] = {}

    @classmethod
    def open(cls, url: str, *, writable: bool = False, timeout_seconds: float | None = None) -> Self:
        """Connect by a URL that libpq understands; PGPASSWORD and ~/.pgpass work as they do for psql.

        The session is called ``forekey`` (unless the URL has another ``application_name``), cannot write unless it is
        ``writable``, and ends a statement after ``timeout_seconds``.
        """
        import adbc_driver_manager
        import adbc_driver_postgresql.dbapi as adbc

        shown = without_password(url)
        try:
            connection = adbc.connect(url)
            with connection.cursor() as cursor:
                cursor.execute("SET TIME ZONE 'UTC'")
                for statement in _settings(cursor, writable, timeout_seconds):
                    cursor.execute(statement)
            connection.commit()
        except adbc_driver_manager.Error as error:
            found = _reason(error)
            reason = reason_without(found, url)
            if any(word in found for word in ("authentication failed", "does not exist", "no password", "invalid")):
                twice = " A variable holds the password as it is, not percent-encoded." if looks_encoded(url) else ""
                raise SourceError(
                    f"'{shown}' cannot be opened: {reason}. Check user, password and database.{twice}"
                ) from error
            raise SourceUnavailable(f"'{shown}' does not answer: {reason}. Check host and port.") from error
        return cls(url, connection)

    def tables(self) -> list[TableInfo]:
        """Return the tables and views of the current schema with their declared keys."""
        columns = self.columns()
        marked = {name for (name,) in self._fetch(_EXPORTS)}
        primary: dict[str, tuple[str, ...]] = {}
        foreign: dict[str, list[ForeignKeyInfo]] = defaultdict(list)
        for table, kind, parent, own, theirs in self._fetch(_KEYS):
            if kind == "p":
                primary[table] = tuple(own)
            elif parent in columns:
                foreign[table].append(ForeignKeyInfo(tuple(own), parent, tuple(theirs)))
        found = []
        for name, cols in columns.items():
            try:
                rows = self._count(name)
            except SourceError as error:
                found.append(TableInfo(name, cols, 0, unreadable=str(error)))
            else:
                found.append(TableInfo(name, cols, rows, primary.get(name, ()), tuple(foreign[name])))
        return with_exports(found, marked)

    def columns(self) -> dict[str, tuple[ColumnInfo, ...]]:
        """Return the columns of every table and view of the current schema."""
        columns: dict[str, list[ColumnInfo]] = defaultdict(list)
        cases: dict[str, Case] = {"": Case.KEPT}
        for table, column, written, kind, group, category, item, collation in self._fetch(_COLUMNS):
            dtype = _family(kind, group, category, written)
            compared = "citext" if kind == "citext" else collation
            if compared not in cases:
                cases[compared] = self._case(compared)
            columns[table].append(ColumnInfo(column, dtype, written, cases[compared]))
            self._types[table, column] = (kind, item, written)
        return {name: tuple(told) for name, told in columns.items()}

    def describe(self, name: str, statement: exp.Query) -> tuple[ColumnInfo, ...]:
        """Return the columns that a SELECT would give: one row of NULLs has their types."""
        query = statement.sql(dialect=self.dialect)
        try:
            names = self.query(exp.select("*").from_(statement.copy().subquery("q")).limit(0)).schema.names
        except SourceError as error:
            raise SourceError(str(error).split("refused a query: ", 1)[-1]) from error
        if not names:
            return ()
        quoted = [exp.column(n, "q", quoted=True).sql(dialect=self.dialect) for n in names]
        oids = ", ".join(f"pg_typeof({q})::oid" for q in quoted)
        nothing = f"(SELECT 1) one LEFT JOIN (SELECT * FROM ({query}) z LIMIT 0) q ON true"
        found = []
        for column, oid in zip(names, self._fetch(f"SELECT {oids} FROM {nothing}")[0], strict=True):
            written, kind, group, category, item = self._fetch(_TYPE.format(oid=int(oid)))[0]
            found.append(ColumnInfo(column, _family(kind, group, category, written), written))
            self._types[name, column] = (kind, item, written)
        return tuple(found)

    def column(self, table: str, name: str) -> exp.Expression:
        """Read a column so that it arrives as what it is: numeric as double, enumerations and UUIDs as text.

        Moments that are infinite or outside the years 1 to 9999 are NULL.
        """
        if not self._types:
            self.columns()
        kind, item, written = self._types.get((table, name), ("", "", ""))
        value = exp.column(name, quoted=True)
        if kind in {"timestamp", "timestamptz", "date"}:
            first, last = (exp.cast(exp.Literal.string(day), "TIMESTAMP") for day in ("0001-01-01", "9999-12-31"))
            return exp.Case().when(exp.Between(this=value.copy(), low=first, high=last), value)
        target = _target(kind, item, written)
        source: exp.Expression = exp.cast(value, "DECIMAL") if kind == "money" else value
        if kind == "numeric" and target == "TEXT":
            source = exp.Anonymous(this="trim_scale", expressions=[value])  # 2.0 is the key 2
        return exp.Cast(this=source, to=exp.DataType.build(target, dialect="postgres")) if target else value

    def present(self, table: str, name: str) -> exp.Expression | None:
        """Tell a moment that is infinite, or too far off for a timestamp, from none."""
        kind, _, _ = self._types.get((table, name), ("", "", ""))
        moment = kind in {"timestamp", "timestamptz", "date"}
        return exp.column(name, quoted=True).is_(exp.null()).not_() if moment else None

    def fingerprint(self, values: Sequence[exp.Expression]) -> exp.Expression:
        """Use Postgres' own hash of the row that the values make, written as text."""
        row = exp.cast(exp.Anonymous(this="ROW", expressions=list(values)), "TEXT")
        return exp.Anonymous(this="hashtextextended", expressions=[row, exp.Literal.number(0)])

    def sql(self, statement: exp.Expression) -> str:
        """Return the text of a SELECT."""
        return _own_words(statement).sql(dialect=self.dialect, pretty=True)

    def query(self, statement: exp.Expression, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Run one SELECT and stream its rows."""
        import adbc_driver_manager

        cursor = self._connection.cursor()
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(batch_rows * 64)})
        try:
            cursor.execute(_own_words(statement).sql(dialect=self.dialect))
            reader = cursor.fetch_record_batch()
        except adbc_driver_manager.Error as error:
            cursor.close()
            self._connection.rollback()
            raise SourceError(f"'{self.url}' refused a query: {_reason(error)}") from error
        self._open.append(cursor)
        return _plain_reader(reader, self.url)

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Create or replace a table in one transaction."""
        import adbc_driver_manager

        self._connection.rollback()
        try:
            with self._connection.cursor() as cursor:
                cursor.adbc_ingest(name, rows, mode="replace")
                own = exp.to_identifier(name, quoted=True).sql(dialect=self.dialect)
                cursor.execute(f"COMMENT ON TABLE {own} IS '{COMMENT}'")
            self._connection.commit()
        except adbc_driver_manager.Error as error:
            self._connection.rollback()
            raise SourceError(f"Table '{name}' cannot be written to '{self.url}': {_reason(error)}") from error

    def release(self) -> None:
        """End the transaction."""
        for cursor in self._open:
            cursor.close()
        self._open.clear()
        self._connection.rollback()

    def close(self) -> None:
        """Close the connection."""
        for cursor in self._open:
            cursor.close()
        self._open.clear()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def _case(self, collation: str) -> Case:
        """Return how citext, or a collation under which different texts may be equal, compares letters.

        citext folds case as the database's own locale does: C, for one, knows ASCII alone.
        """
        if collation == "citext":
            folds = "lower(U&'\\00dc') = U&'\\00fc' COLLATE \"C\""
            utf8 = self._fetch("SELECT current_setting('server_encoding')")[0][0] == "UTF8"
            return Case.LETTERS if utf8 and self._fetch(f"SELECT {folds}")[0][0] else Case.ASCII
        return Case.LETTERS if self._fetch(f"SELECT 'a' = 'A' COLLATE {collation}")[0][0] else Case.KEPT

    def _count(self, name: str) -> int:
        table = exp.Table(this=exp.to_identifier(name, quoted=True))
        try:
            rows = self.query(exp.select(exp.Count(this=exp.Star())).from_(table)).read_all()
        except SourceError:
            self._connection.rollback()  # what failed while it was read leaves the session in an error
            raise
        return int(rows.column(0)[0].as_py())


def _settings(cursor: Any, writable: bool, timeout_seconds: float | None) -> Iterator[str]:
    """Return the statements that make a session a guest who does no harm; what URL, role or database say, stays."""
    asked = ("application_name", "statement_timeout", "idle_in_transaction_session_timeout")
    cursor.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in asked)}")
    name, timeout, idle = cursor.fetchone()
    mode = "READ WRITE" if writable else "READ ONLY"
    yield f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, {mode}"
    if not name:
        yield "SET application_name = 'forekey'"
    if timeout_seconds is not None or timeout == "0":
        seconds = _TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds
        yield f"SET statement_timeout = {round(seconds * 1000)}"
    if idle == "0":
        yield f"SET idle_in_transaction_session_timeout = {_IDLE_SECONDS * 1000}"


def _own_words(statement: exp.Expression) -> exp.Expression:
    """Write bytes in hexadecimal as Postgres does."""
    if statement.find(exp.LowerHex) is None:
        return statement

    def encoded(node: exp.Expression) -> exp.Expression:
        if not isinstance(node, exp.LowerHex):
            return node
        return exp.Anonymous(this="encode", expressions=[node.this, exp.Literal.string("hex")])

    return statement.transform(encoded)


def _family(kind: str, group: str, category: str, written: str) -> DType:
    """Return the family of a type: ``numeric(9,0)`` is an integer, an enumeration text."""
    if group == "e":
        return DType.TEXT
    if category == "A":
        return DType.LIST
    if kind == "numeric" and written.endswith(",0)") and int(written[8:-3]) <= 18:
        return DType.INTEGER
    return _FAMILIES.get(kind, DType.OTHER)


def _target(kind: str, item: str, written: str) -> str | None:
    """Return the type to which a value is cast on its way out, None where it travels as it is.

    A numeric of up to 15 digits is a double; a larger one travels as text: it may be a key, which must not be rounded,
    or beyond what a double holds.
    """
    if kind == "numeric":
        if _family(kind, "", "", written) is DType.INTEGER:
            return "BIGINT"
        digits = re.match(r"numeric\((\d+),", written)
        return "DOUBLE PRECISION" if digits and int(digits[1]) <= _EXACT_DIGITS else "TEXT"
    if kind == "money":
        return "DOUBLE PRECISION"
    if kind == "bpchar":
        return "TEXT"  # without the blanks that fill CHAR(n) up
    if kind == "vector":
        return "REAL[]"
    if item:
        return None if item in _LISTS_AS_THEY_ARE else "DOUBLE PRECISION[]" if item == "numeric" else "TEXT[]"
    return None if kind in _FAMILIES and kind != "uuid" else "TEXT"


def _plain_reader(reader: pa.RecordBatchReader, url: str) -> pa.RecordBatchReader:
    """Turn types that only the driver knows (numeric, JSON, UUID) into plain Arrow; report errors midway as ours."""
    import adbc_driver_manager

    fields = [pa.field(f.name, _plain_type(f.type)) for f in reader.schema]

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                yield pa.RecordBatch.from_arrays([_plain(c) for c in batch.columns], schema=pa.schema(fields))
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            raise SourceError(f"'{url}' broke off a query: {_reason(error)}") from error

    return pa.RecordBatchReader.from_batches(pa.schema(fields), batches())


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if not isinstance(kind, pa.BaseExtensionType):
        return kind
    if isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric":
        return pa.float64()
    return pa.string()


def _plain(column: pa.Array) -> pa.Array:
    if not isinstance(column, pa.ExtensionArray):
        return column
    target = _plain_type(column.type)
    if isinstance(column.type, pa.UuidType):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], target)
    if target == pa.float64():
        return pc.cast(column.storage, target)
    return column.storage.cast(target)


def _reason(error: BaseException) -> str:
    """Return the first line of what the server said."""
    text = str(error).strip().splitlines()[0]
    text = text.split(" failed: ", 1)[-1]
    return text.split("ERROR: ")[-1].split("FATAL: ")[-1].strip().rstrip(".")
