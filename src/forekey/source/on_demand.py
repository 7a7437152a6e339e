"""A source that is connected only while it is read.

It connects when it is first asked something, and again whenever it is asked after it was released. Who is done with
reading for now releases it before anything is computed, so that no connection, transaction or lock on a file is held
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import pyarrow as pa
from sqlglot import exp

from forekey.source.protocol import ColumnInfo, Source, TableInfo


class OnDemandSource:
    """A :class:`~forekey.source.Source` that opens another when it needs it, and closes it when released.

    ``holds`` is False of sources that nobody else waits for while they are open, such as folders of files: these stay.
    """

    def __init__(self, connect: Callable[[], Source], *, holds: bool = True) -> None:
        self._connect, self._holds = connect, holds
        self._live: Source | None = None
        self._known: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        """The source's URL as it may be shown."""
        return self._facts()[0]

    @property
    def dialect(self) -> str:
        """The dialect of its SQL."""
        return self._facts()[1]

    def connect(self) -> Source:
        """Connect, unless that is so already. What is read between two releases is of one moment, where it can be."""
        if self._live is None:
            self._live = self._connect()
            self._known = (self._live.url, self._live.dialect)
        return self._live

    def tables(self) -> list[TableInfo]:
        """Return all tables and views."""
        return self.connect().tables()

    def columns(self) -> dict[str, tuple[ColumnInfo, ...]]:
        """Return the columns of every table and view by name."""
        return self.connect().columns()

    def describe(self, name: str, statement: exp.Query) -> tuple[ColumnInfo, ...]:
        """Return the columns that a SELECT would give."""
        return self.connect().describe(name, statement)

    def column(self, table: str, name: str) -> exp.Expression:
        """Write how a column is read."""
        return self.connect().column(table, name)

    def present(self, table: str, name: str) -> exp.Expression | None:
        """Write whether a column holds a value."""
        return self.connect().present(table, name)

    def fingerprint(self, values: Sequence[exp.Expression]) -> exp.Expression:
        """Write a hash of some values."""
        return self.connect().fingerprint(values)

    def sql(self, statement: exp.Expression) -> str:
        """Return the text of a SELECT."""
        return self.connect().sql(statement)

    def query(self, statement: exp.Expression, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Run one SELECT; its rows must be read before the source is released."""
        return self.connect().query(statement, batch_rows)

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Create or replace a table."""
        self.connect().write_table(name, rows)

    def release(self) -> None:
        """Let the database go until the next question."""
        if self._holds:
            self.close()

    def close(self) -> None:
        """Let the database go."""
        if self._live is not None:
            live, self._live = self._live, None
            live.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _facts(self) -> tuple[str, str]:
        if self._known is None:
            self.connect()
        assert self._known is not None
        return self._known
