"""DuckDB as a source, and as the engine that reads folders of files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
from sqlglot import exp

from forekey import duckdb_session
from forekey.errors import SourceError, SourceUnavailable
from forekey.schema import Case, DType
from forekey.source.exports import COMMENT, MARK, with_exports
from forekey.source.protocol import ColumnInfo, ForeignKeyInfo, TableInfo

_INTEGERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
}
_FAMILIES = {
    **dict.fromkeys(_INTEGERS, DType.INTEGER),
    **dict.fromkeys(("FLOAT", "DOUBLE"), DType.FLOAT),
    **dict.fromkeys(("VARCHAR", "CHAR", "BPCHAR", "TEXT"), DType.TEXT),
    "BOOLEAN": DType.BOOLEAN,
    "UUID": DType.UUID,
    "BLOB": DType.BYTES,
    "DATE": DType.TIMESTAMP,
}


class DuckDBSource:
    """A DuckDB connection as a :class:`~forekey.source.Source`."""

    dialect = "duckdb"

    def __init__(self, url: str, connection: Any) -> None:
        self.url = url
        self._connection = connection
        self._failed: dict[str, str] = {}
        """Tables that cannot be read at all, and why."""
        self._exact: set[tuple[str, str]] | None = None
        """Columns of whole numbers of which some are beyond 64 bits; None before the tables were looked at."""
        connection.execute("SET TimeZone = 'UTC'")

    @classmethod
    def open(cls, url: str, path: Path, *, writable: bool = False) -> Self:
        """Open a DuckDB file, read-only unless ``writable``."""
        if not path.is_file():
            raise SourceError(f"'{url}' cannot be opened: there is no file '{path}'. Check the path.")
        try:
            return cls(url, duckdb_session.connect(path, read_only=not writable))
        except duckdb.IOException as error:
            if "lock" in str(error).lower():
                raise SourceUnavailable(
                    f"'{url}' is held by another process, which writes to it. Close that process, or try again later."
                ) from error
            raise SourceError(f"'{url}' cannot be opened: {first_line(error)}") from error
        except duckdb.Error as error:
            raise SourceError(f"'{url}' cannot be opened: {first_line(error)}") from error

    def tables(self) -> list[TableInfo]:
        """Return the tables and views of the current schema with their declared keys."""
        columns: dict[str, list[ColumnInfo]] = defaultdict(list)
        for table, column, sql_type in self._fetch(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE schema_name = current_schema() AND NOT internal AND database_name = current_database() "
            "ORDER BY table_name, column_index"
        ):
            columns[table].append(ColumnInfo(column, dtype_of(sql_type), sql_type))
        for (table, column), case in self._cases(columns).items():
            columns[table] = [replace(c, case=case) if c.name == column else c for c in columns[table]]
        primary, foreign = self._declared_keys()
        self._exact = self._exact or set()
        found = []
        for name, cols in columns.items():
            try:
                rows, exact = self._measure(name, [c for c in cols if _may_overflow(c)])
            except SourceError as error:
                found.append(TableInfo(name, tuple(cols), 0, unreadable=str(error)))
                continue
            typed = tuple(replace(c, dtype=DType.FLOAT) if c.name in exact else c for c in cols)
            found.append(TableInfo(name, typed, rows, primary.get(name, ()), tuple(foreign.get(name, ()))))
        found += [TableInfo(name, (), 0, unreadable=why) for name, why in self._failed.items()]
        return with_exports(found, self._exports(found))

    def columns(self) -> dict[str, tuple[ColumnInfo, ...]]:
        """Return the columns of every table and view that can be read."""
        return {t.name: t.columns for t in self.tables() if t.unreadable is None}

    def describe(self, name: str, statement: exp.Query) -> tuple[ColumnInfo, ...]:
        """Return the columns that a SELECT would give."""
        try:
            told = self._connection.sql(statement.sql(dialect=self.dialect))
        except duckdb.Error as error:
            raise SourceError(first_line(error)) from error
        pairs = zip(told.columns, map(str, told.types), strict=True)
        return tuple(ColumnInfo(column, dtype_of(kind), kind) for column, kind in pairs)

    def column(self, table: str, name: str) -> exp.Expression:
        """Read a column as it is: DuckDB hands over Arrow. What is beyond 64 bits travels as text, not rounded."""
        if self._exact is None:
            self.tables()
        value = exp.column(name, quoted=True)
        return exp.cast(value, "TEXT") if (table, name) in (self._exact or ()) else value

    def present(self, table: str, name: str) -> exp.Expression | None:
        """Say that every value arrives."""
        return None

    def fingerprint(self, values: Sequence[exp.Expression]) -> exp.Expression:
        """Use DuckDB's own hash, cut to what sums up quickly."""
        values = [*values, exp.Literal.number(0)]
        whole = exp.Mod(this=exp.Anonymous(this="hash", expressions=values), expression=exp.Literal.number(1 << 48))
        return exp.cast(whole, "BIGINT")

    def _cases(self, columns: Mapping[str, Sequence[ColumnInfo]]) -> dict[tuple[str, str], Case]:
        """Return the columns that are compared without case.

        DuckDB says of a column's collation no more than the statement that made its table, so a comparison is tried.
        """
        collated = self._fetch(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = current_schema() "
            "AND database_name = current_database() AND sql ILIKE '%collate%'"
        )
        found = {}
        for table in (t for (t,) in collated if t in columns):
            for name in (c.name for c in columns[table] if c.dtype is DType.TEXT):
                own, rows = (exp.to_identifier(n, quoted=True).sql(dialect="duckdb") for n in (name, table))
                tried = f"SELECT {own} AS x FROM {rows} WHERE false UNION ALL SELECT 'a'"
                if self._fetch(f"SELECT x FROM ({tried}) WHERE x = 'A'"):
                    found[table, name] = Case.LETTERS
        return found

    def _declared_keys(self) -> tuple[dict[str, tuple[str, ...]], dict[str, list[ForeignKeyInfo]]]:
        primary: dict[str, tuple[str, ...]] = {}
        foreign: dict[str, list[ForeignKeyInfo]] = defaultdict(list)
        for table, kind, own, parent, theirs in self._fetch(
            "SELECT table_name, constraint_type, constraint_column_names, referenced_table, referenced_column_names "
            "FROM duckdb_constraints() WHERE schema_name = current_schema() AND database_name = current_database()"
        ):
            if kind == "PRIMARY KEY":
                primary[table] = tuple(own)
            elif kind == "FOREIGN KEY":
                foreign[table].append(ForeignKeyInfo(tuple(own), parent, tuple(theirs)))
        return primary, foreign

    def _exports(self, tables: Sequence[TableInfo]) -> list[str]:
        """Name the tables that Forekey wrote."""
        own = f"database_name = current_database() AND starts_with(comment, '{MARK}')"
        return [name for (name,) in self._fetch(f"SELECT table_name FROM duckdb_tables() WHERE {own}")]

    def sql(self, statement: exp.Expression) -> str:
        """Return the text of a SELECT."""
        return statement.sql(dialect=self.dialect, pretty=True)

    def query(self, statement: exp.Expression, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Stream the rows of one SELECT as Arrow batches."""
        try:
            return self._connection.sql(statement.sql(dialect=self.dialect)).to_arrow_reader(batch_rows)
        except duckdb.Error as error:
            raise SourceError(f"'{self.url}' refused a query: {first_line(error)}") from error

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Create or replace a table in one transaction."""
        target = exp.to_identifier(name, quoted=True).sql(dialect=self.dialect)
        self._connection.register("forekey_rows", rows)
        try:
            self._connection.execute("BEGIN")
            self._connection.execute(f"CREATE OR REPLACE TABLE {target} AS SELECT * FROM forekey_rows")
            self._connection.execute(f"COMMENT ON TABLE {target} IS '{COMMENT}'")
            self._connection.execute("COMMIT")
        except duckdb.Error as error:
            self._connection.execute("ROLLBACK")
            raise SourceError(f"Table '{name}' cannot be written to '{self.url}': {first_line(error)}") from error
        finally:
            self._connection.unregister("forekey_rows")

    def release(self) -> None:
        """Hold on: a file is let go by closing it, which whoever opened it does."""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return rows

    def _measure(self, name: str, wide: Sequence[ColumnInfo]) -> tuple[int, set[str]]:
        """Count a table's rows, and name those of its ``wide`` columns that hold more than 64 bits."""
        beyond = [exp.Abs(this=exp.cast(exp.column(c.name, quoted=True), "DOUBLE")) >= _TWO_TO_63 for c in wide]
        answers = [exp.Count(this=exp.Star()), *(exp.LogicalOr(this=b) for b in beyond)]
        statement = exp.select(*answers).from_(exp.Table(this=exp.to_identifier(name, quoted=True)))
        try:
            row = self._fetch(statement.sql(dialect=self.dialect))[0]
        except duckdb.Error as error:
            raise SourceError(f"Table '{name}' of '{self.url}' cannot be read: {first_line(error)}") from error
        exact = {c.name for c, more in zip(wide, row[1:], strict=True) if more}
        self._exact = (self._exact or set()) | {(name, column) for column in exact}
        return int(row[0]), exact


def dtype_of(sql_type: str) -> DType:
    """Return the family of a DuckDB type."""
    head = sql_type.upper()
    if head.endswith("]"):
        return DType.LIST
    if head.startswith(("TIMESTAMP", "DATETIME")):
        return DType.TIMESTAMP
    if head.startswith("DECIMAL"):
        return DType.INTEGER if head.endswith(",0)") and int(head[8:-3]) <= 18 else DType.FLOAT
    if head.startswith("ENUM"):
        return DType.TEXT
    return _FAMILIES.get(head, DType.OTHER)


def first_line(error: Exception) -> str:
    """Return the first line of what DuckDB said; of a CSV file, which line is wrong and why."""
    lines = str(error).strip().splitlines()
    if "CSV Error on Line" not in lines[0]:
        return lines[0]
    reason = next((line for line in lines[1:] if line and not line.startswith("Original Line")), "")
    return f"CSV Error on Line{lines[0].split('CSV Error on Line', 1)[1]}, {reason}".rstrip(", ")


_TWO_TO_63 = exp.Literal.number("9223372036854775808")


def _may_overflow(column: ColumnInfo) -> bool:
    """Whether a column of whole numbers may hold more than 64 bits with a sign do."""
    return column.sql_type.upper() in {"UBIGINT", "HUGEINT", "UHUGEINT"}
