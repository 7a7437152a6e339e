"""What Forekey needs of a database: its tables, answers to SQL as Arrow batches, and a way to write one table back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa
from sqlglot import exp

from forekey.schema import Case, DType


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """One column as the database declares it; ``sql_type`` is the database's own word for its type."""

    name: str
    dtype: DType
    sql_type: str
    case: Case = Case.KEPT
    """Which letters the database takes for the same when it compares the column."""


@dataclass(frozen=True, slots=True)
class ForeignKeyInfo:
    """A declared foreign key: ``columns`` hold what ``parent_columns`` of ``parent`` hold."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One table or view as the database declares it; a composite key has all its columns in order."""

    name: str
    columns: tuple[ColumnInfo, ...]
    rows: int
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKeyInfo, ...] = ()
    time_column: str | None = None
    unreadable: str | None = None
    """Why no row of it can be read, if none can."""
    export: bool = False
    """Whether Forekey wrote it: it is no data, unless forekey.yaml names it."""


class Source(Protocol):
    """A connected database. A context manager; closing it twice is fine."""

    @property
    def url(self) -> str:
        """Its URL as it may be shown and kept."""
        ...

    @property
    def dialect(self) -> str:
        """The dialect of SQL in which it is asked, by sqlglot's name."""
        ...

    def tables(self) -> list[TableInfo]:
        """Return all tables and views, by name, with what is declared about them."""
        ...

    def columns(self) -> dict[str, tuple[ColumnInfo, ...]]:
        """Return the columns of every table and view by name; no row is read for it."""
        ...

    def describe(self, name: str, statement: exp.Query) -> tuple[ColumnInfo, ...]:
        """Return the columns that a SELECT would give; :class:`SourceError` if the database refuses it.

        ``name`` is that by which :meth:`column` will be asked about them.
        """
        ...

    def column(self, table: str, name: str) -> exp.Expression:
        """Write, in SQL, how a column is read so that it arrives as what it is."""
        ...

    def present(self, table: str, name: str) -> exp.Expression | None:
        """Write, in SQL, whether a column holds a value, though what arrives of it may be NULL.

        None if every value arrives.
        """
        ...

    def fingerprint(self, values: Sequence[exp.Expression]) -> exp.Expression:
        """Write, in SQL, a hash of some values: a BIGINT, the same for equal values as long as the database is."""
        ...

    def sql(self, statement: exp.Expression) -> str:
        """Return the text of a SELECT as :meth:`query` runs it, laid out to be read."""
        ...

    def query(self, statement: exp.Expression, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Run one SELECT, compiled for this database's dialect, and stream its rows."""
        ...

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Create or replace a table with these rows, all at once."""
        ...

    def release(self) -> None:
        """End what was read as of one moment, and hold no connection until the next question: computing comes next."""
        ...

    def close(self) -> None:
        """Let the database go."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
