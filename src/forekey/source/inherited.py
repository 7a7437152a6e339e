"""Tables without a time of their own that take it from a row they refer to: an order's lines, from the order.

Everything that is asked of such a table (its rows, counts, label SQL) sees one more column, the parent's time. The
database joins it; a line whose order is not there has no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from sqlglot import exp

from forekey.errors import SchemaError
from forekey.project import Config
from forekey.schema import ColumnSchema, DType, Stype, did_you_mean, key_parts
from forekey.source.keys import key_sql
from forekey.source.protocol import ColumnInfo, Source, TableInfo


@dataclass(frozen=True, slots=True)
class Inherited:
    """``column`` of a table, found through its foreign key ``via``: the time that ``parent`` has in ``time``."""

    column: str
    via: str
    parent: str
    time: str


def inherited_times(config: Config) -> dict[str, Inherited]:
    """Return, by table, the time that forekey.yaml says to take from a parent (``time_from``)."""
    return {name: _inherited(config, name, ()) for name, t in config.tables.items() if t.time_from is not None}


def _inherited(config: Config, name: str, below: tuple[str, ...]) -> Inherited:
    entry = config.tables[name]
    via = entry.time_from or ""
    where = f"time_from of '{name}' in forekey.yaml"
    if name in below:
        raise SchemaError(f"{where} leads back to '{name}' itself. Give one of {', '.join(below)} a time_column.")
    if entry.time_column is not None:
        raise SchemaError(f"'{name}' has a time_column and a time_from in forekey.yaml. Remove one of the two.")
    if via not in entry.foreign_keys:
        raise SchemaError(
            f"{where} must name one of its foreign keys; '{via}' is none{did_you_mean(via, entry.foreign_keys)}."
        )
    parent = entry.foreign_keys[via].table
    known = config.tables.get(parent)
    if known is None or (known.time_column is None and known.time_from is None):
        raise SchemaError(f"{where}: '{parent}' has no time itself. Give it a time_column, or remove time_from.")
    time = known.time_column or _inherited(config, parent, (*below, name)).column
    return Inherited(f"{via}.{time}", via, parent, time)


def with_inherited_times(source: Source, config: Config) -> Source:
    """Return the source with the times that its tables take from others, or as it is if none does."""
    found = inherited_times(config)
    return TimedSource(source, found, config) if found else source


class TimedSource:
    """A :class:`~forekey.source.Source` some of whose tables have one column more."""

    def __init__(self, source: Source, inherited: Mapping[str, Inherited], config: Config) -> None:
        self._source, self._inherited, self._config = source, inherited, config

    @property
    def url(self) -> str:
        """The source's URL."""
        return self._source.url

    @property
    def dialect(self) -> str:
        """The dialect of its SQL."""
        return self._source.dialect

    def tables(self) -> list[TableInfo]:
        """Return all tables and views; times that come from a parent are columns like others."""
        return [
            replace(t, columns=(*t.columns, ColumnInfo(found.column, DType.TIMESTAMP, f"time of {found.parent}")))
            if (found := self._inherited.get(t.name)) is not None
            else t
            for t in self._source.tables()
        ]

    def column(self, table: str, name: str) -> exp.Expression:
        """Write how a column is read."""
        return exp.column(name, quoted=True) if self._is_inherited(table, name) else self._source.column(table, name)

    def present(self, table: str, name: str) -> exp.Expression | None:
        """Write whether a column holds a value."""
        return None if self._is_inherited(table, name) else self._source.present(table, name)

    def fingerprint(self, values: Sequence[exp.Expression]) -> exp.Expression:
        """Write a hash of some values."""
        return self._source.fingerprint(values)

    def sql(self, statement: exp.Expression) -> str:
        """Return the text of a SELECT, the joins for the times in it."""
        return self._source.sql(self._joined(statement))

    def query(self, statement: exp.Expression, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Run one SELECT."""
        return self._source.query(self._joined(statement), batch_rows)

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Create or replace a table."""
        self._source.write_table(name, rows)

    def release(self) -> None:
        """Hold no connection until the next question."""
        self._source.release()

    def close(self) -> None:
        """Let the database go."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_inherited(self, table: str, name: str) -> bool:
        return table in self._inherited and self._inherited[table].column == name

    def _joined(self, statement: exp.Expression) -> exp.Expression:
        """Put, in the place of each table that takes its time from another, the table with that time."""
        whole = statement.copy()
        defined = {cte.alias for cte in whole.find_all(exp.CTE)}
        for table in list(whole.find_all(exp.Table)):
            if table.name in self._inherited and table.name not in defined:
                table.replace(self._relation(table.name, table.alias or table.name))
        return whole

    def _relation(self, name: str, alias: str) -> Any:
        """Write a table with the time of its parents: of several rows with one key, the first is the parent."""
        table = exp.Table(this=exp.to_identifier(name, quoted=True))
        found = self._inherited.get(name)
        if found is None:
            return exp.alias_(table, alias, table=True, quoted=True)
        key, own = self._key(found.parent), self._foreign_key(name, found)
        time = exp.cast(exp.Min(this=self.column(found.parent, found.time)), "TIMESTAMP")
        parents = (
            exp.select(key_sql(key, None, key).as_("forekey_key"), time.as_("forekey_time"))
            .from_(self._relation(found.parent, found.parent))
            .group_by("1")
        )
        rows = (
            exp.select("forekey_child.*", exp.column("forekey_time", "forekey_parent").as_(found.column, quoted=True))
            .from_(exp.alias_(table, "forekey_child", table=True))
            .join(
                parents.subquery("forekey_parent"),
                on=exp.EQ(
                    this=key_sql(own, "forekey_child", key), expression=exp.column("forekey_key", "forekey_parent")
                ),
                join_type="left",
            )
        )
        return rows.subquery(alias=exp.to_identifier(alias, quoted=True))

    def _key(self, table: str) -> ColumnSchema:
        return self._as_column(table, self._config.tables[table].primary_key or "")

    def _foreign_key(self, table: str, found: Inherited) -> ColumnSchema:
        return self._as_column(table, found.via)

    def _as_column(self, table: str, name: str) -> ColumnSchema:
        known = self._columns.get(table, {})
        if name in known:
            return known[name]
        return ColumnSchema.composite(key_parts(name, known) or [part.strip() for part in name.split(",")], known)

    @cached_property
    def _columns(self) -> dict[str, dict[str, ColumnSchema]]:
        return {
            t.name: {c.name: ColumnSchema(c.name, c.dtype, Stype.ID, case=c.case) for c in t.columns}
            for t in self._source.tables()
        }
