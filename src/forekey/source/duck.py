"""DuckDB as a source, and as the engine that reads folders of files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
from sqlglot import exp

from forekey.errors import SourceError, SourceUnavailable
from forekey.schema import DType
from forekey.source.protocol import ColumnInfo, ForeignKeyInfo, TableInfo

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
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
        connection.execute("SET TimeZone = 'UTC'")

    @classmethod
    def open(cls, url: str, path: Path, *, writable: bool = False) -> Self:
        """Open a DuckDB file, read-only unless ``writable``."""
        if not path.is_file():
            raise SourceError(f"'{url}' cannot be opened: there is no file '{path}'. Check the path.")
        try:
            return cls(url, duckdb.connect(str(path), read_only=not writable))
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
        primary, foreign = self._declared_keys()
        return [
            TableInfo(name, tuple(cols), self._count(name), primary.get(name, ()), tuple(foreign.get(name, ())))
            for name, cols in columns.items()
        ]

    def column(self, table: str, name: str) -> exp.Expression:
        """Read a column as it is: DuckDB hands over Arrow."""
        return exp.column(name, quoted=True)

    def present(self, table: str, name: str) -> exp.Expression | None:
        """Say that every value arrives."""
        return None

    def fingerprint(self, values: Sequence[exp.Expression]) -> exp.Expression:
        """Use DuckDB's own hash, cut to what sums up quickly."""
        values = [*values, exp.Literal.number(0)]
        whole = exp.Mod(this=exp.Anonymous(this="hash", expressions=values), expression=exp.Literal.number(1 << 48))
        return exp.cast(whole, "BIGINT")

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
            self._connection.execute(f"CREATE OR REPLACE TABLE {target} AS SELECT * FROM forekey_rows")
        except duckdb.Error as error:
            raise SourceError(f"Table '{name}' cannot be written to '{self.url}': {first_line(error)}") from error
        finally:
            self._connection.unregister("forekey_rows")

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

    def _count(self, name: str) -> int:
        statement = exp.select("COUNT(*)").from_(exp.to_table(exp.to_identifier(name, quoted=True).sql()))
        try:
            return int(self._fetch(statement.sql(dialect=self.dialect))[0][0])
        except duckdb.Error as error:
            raise SourceError(f"Table '{name}' of '{self.url}' cannot be read: {first_line(error)}") from error


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
    """Return the first line of what DuckDB said."""
    return str(error).strip().splitlines()[0]
