"""A source as forekey.yaml means it: tables defined by a query, values read as what they stand for, times found.

Whatever is asked of a table (its rows, counts, label SQL) is asked of a relation that stands in its place in every
statement, so that the graph, the labels and the checks see the same rows and the same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from sqlglot import exp

from forekey.errors import DefinedTableError, SchemaError, SourceError, SourceUnavailable
from forekey.project import ColumnConfig, Config, TableConfig, TimeConfig
from forekey.schema import ColumnSchema, DType, Stype, key_parts
from forekey.source.defined import defining_query
from forekey.source.key_sql import key_sql
from forekey.source.protocol import ColumnInfo, Source, TableInfo
from forekey.source.readings import UnknownFormat, read_boolean, read_date_parts, read_moment, read_number
from forekey.source.times import Inherited, inherited_times, time_column_name

_THERE = "forekey there: "
_ROW = "forekey_row"


@dataclass(frozen=True)
class _Relation:
    """What stands in the place of one table: its rows as ``columns``, some of them computed."""

    query: exp.Query | None
    columns: tuple[ColumnInfo, ...]
    stored: tuple[ColumnInfo, ...]
    computed: Mapping[str, Any] = field(default_factory=dict)
    """By column: how its value is read, over the columns that are stored."""
    inherited: Inherited | None = None
    arriving: Mapping[str, exp.Expression] = field(default_factory=dict)
    """Of a table defined by a query, by column: how it is read so that it arrives as what it is."""

    @property
    def is_plain(self) -> bool:
        return self.query is None and not self.computed and self.inherited is None


class ConfiguredSource:
    """A :class:`~forekey.source.Source` whose tables are as forekey.yaml says; ``known`` is what the source has."""

    def __init__(self, source: Source, config: Config, known: tuple[TableInfo, ...] | None = None) -> None:
        self.stored, self._config, self._known = source, config, known

    @property
    def url(self) -> str:
        """The source's URL as it may be shown."""
        return self.stored.url

    @property
    def dialect(self) -> str:
        """The dialect of its SQL."""
        return self.stored.dialect

    def tables(self) -> list[TableInfo]:
        """Return all tables and views, those that forekey.yaml defines among them."""
        there = self._known if self._known is not None else self.stored.tables()
        stored = [t for t in there if t.name not in self._defined]
        infos = [replace(t, columns=self._columns(t.name, t.columns)) for t in stored]
        return [*infos, *(self._defined_table(name) for name in self._defined)]

    def stored_columns(self) -> dict[str, tuple[ColumnInfo, ...]]:
        """Return the columns as the source stores them, before any is read otherwise."""
        return {name: found.stored for name, found in self._relations.items()}

    def columns(self) -> dict[str, tuple[ColumnInfo, ...]]:
        """Return the columns of every table and view by name."""
        found = {n: self._columns(n, c) for n, c in self._stored.items() if n not in self._defined}
        return found | {name: self._relations[name].columns for name in self._defined}

    def describe(self, name: str, statement: exp.Query) -> tuple[ColumnInfo, ...]:
        """Return the columns that a SELECT would give."""
        return self.stored.describe(name, self._joined(statement))

    def column(self, table: str, name: str) -> exp.Expression:
        """Write how a column is read."""
        found = self._relations.get(table)
        if found is None or (name not in found.computed and name != _time_of(found)):
            arriving = found.arriving.get(name) if found is not None else None
            return arriving.copy() if arriving is not None else self.stored.column(table, name)
        return exp.column(name, quoted=True)

    def present(self, table: str, name: str) -> exp.Expression | None:
        """Write whether a column holds a value."""
        found = self._relations.get(table)
        if found is None or not found.computed:
            return self.stored.present(table, name) if found is None or found.query is None else None
        return exp.column(_THERE + name, quoted=True) if self._there(table, found, name) is not None else None

    def fingerprint(self, values: Sequence[exp.Expression]) -> exp.Expression:
        """Write a hash of some values."""
        return self.stored.fingerprint(values)

    def sql(self, statement: exp.Expression) -> str:
        """Return the text of a SELECT as it is run."""
        return self.stored.sql(self._joined(statement))

    def query(self, statement: exp.Expression, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Run one SELECT; :class:`DefinedTableError` if it reads a table that is defined by a query, and fails."""
        try:
            return self.stored.query(self._joined(statement), batch_rows)
        except SourceUnavailable:
            raise
        except SourceError as error:
            named = [t.name for t in statement.find_all(exp.Table) if t.name in self._defined]
            if len(set(named)) != 1:
                raise
            reason = str(error).split("refused a query: ", 1)[-1].rstrip(".")
            raise DefinedTableError(named[0], reason) from error

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Create or replace a table."""
        self.stored.write_table(name, rows)

    def release(self) -> None:
        """Hold no connection until the next question."""
        self.stored.release()

    def close(self) -> None:
        """Let the database go."""
        self.stored.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def _stored(self) -> dict[str, tuple[ColumnInfo, ...]]:
        return self.stored.columns() if self._known is None else {t.name: t.columns for t in self._known}

    @cached_property
    def _defined(self) -> dict[str, exp.Query]:
        tables = self._config.tables.items()
        return {n: defining_query(n, t.sql, self.dialect, self._stored) for n, t in tables if t.sql is not None}

    @cached_property
    def _relations(self) -> dict[str, _Relation]:
        times = inherited_times(self._config)
        found = {}
        for name, entry in self._config.tables.items():
            query = self._defined.get(name)
            if query is not None:
                stored = self._described(name, query)
            elif name in self._stored:
                stored = self._stored[name]
            else:
                continue  # that it is not there is said when the schema is made
            told = _relation(name, entry, query, stored, times.get(name), self.dialect)
            arriving = {c.name: self.stored.column(name, c.name) for c in stored} if query is not None else {}
            found[name] = replace(told, arriving=arriving)
        return found

    def _described(self, name: str, query: exp.Query) -> tuple[ColumnInfo, ...]:
        try:
            return self.stored.describe(name, query)
        except SourceError as error:
            raise SchemaError(f"The query of '{name}' (tables.{name}.sql in forekey.yaml) fails: {error}") from error

    def _columns(self, name: str, stored: tuple[ColumnInfo, ...]) -> tuple[ColumnInfo, ...]:
        found = self._relations.get(name)
        return stored if found is None or found.is_plain else found.columns

    def _defined_table(self, name: str) -> TableInfo:
        count = exp.select(exp.Count(this=exp.Star()).as_("rows")).from_(_named(name))
        rows = int(self.query(count).read_all().column(0)[0].as_py())
        return TableInfo(name, self._relations[name].columns, rows)

    def _there(self, table: str, found: _Relation, name: str) -> exp.Expression | None:
        """Write, over what is stored, whether a column holds a value that may not read; None if all of them do."""
        if not any(c.name == name for c in found.stored):
            return None
        told = self.stored.present(table, name) if found.query is None else None
        if told is None and name in found.computed:
            return exp.column(name, quoted=True).is_(exp.null()).not_()
        return told

    def _joined(self, statement: Any) -> Any:
        """Put, in the place of each table that is not plain, the relation that it stands for."""
        whole = statement.copy()
        defined = {cte.alias for cte in whole.find_all(exp.CTE)}
        for table in list(whole.find_all(exp.Table)):
            found = self._relations.get(table.name) if table.name not in defined and not table.db else None
            if found is not None and not found.is_plain:
                table.replace(self._as_relation(table.name, table.alias or table.name))
        return whole

    def _as_relation(self, name: str, alias: str) -> Any:
        """Write the rows of a table as they are read, the time of their parents among them."""
        found = self._relations.get(name)
        if found is None or found.is_plain:
            return exp.alias_(_named(name), alias, table=True, quoted=True)
        rows = self._rows(name, found)
        if self.dialect == "postgres" and time_column_name(self._config.tables[name]) in found.computed:
            rows = rows.offset(0)  # or Postgres computes the time anew for each anchor time that a row is held against
        if found.inherited is not None:
            rows = self._with_time_of_parent(name, found, rows)
        return rows.subquery(alias=exp.to_identifier(alias, quoted=True))

    def _rows(self, name: str, found: _Relation) -> exp.Select:
        """Write the rows of a table, each column as it is read."""
        base = found.query.copy().subquery(_ROW) if found.query is not None else _named(name)
        if not found.computed:
            return exp.select("*").from_(base)
        columns = [
            (found.computed[c.name].copy() if c.name in found.computed else exp.column(c.name, quoted=True)).as_(
                c.name, quoted=True
            )
            for c in found.columns
            if c.name != _time_of(found)
        ]
        flags = {c.name: self._there(name, found, c.name) for c in found.stored}
        columns += [there.as_(_THERE + c, quoted=True) for c, there in flags.items() if there is not None]
        return exp.select(*columns).from_(base)

    def _with_time_of_parent(self, name: str, found: _Relation, rows: exp.Select) -> exp.Select:
        """Join the time of the parents: of several rows with one key, the first is the parent."""
        told = found.inherited
        assert told is not None
        key = self._key(told.parent, self._config.tables[told.parent].primary_key or "")
        own = self._key(name, told.via)
        time = exp.cast(exp.Min(this=self.column(told.parent, told.time)), "TIMESTAMP")
        parents = (
            exp.select(key_sql(key, None, key).as_("forekey_key"), time.as_("forekey_time"))
            .from_(self._as_relation(told.parent, told.parent))
            .group_by("1")
        )
        child = rows.subquery("forekey_child") if found.computed or found.query is not None else None
        return (
            exp.select("forekey_child.*", exp.column("forekey_time", "forekey_parent").as_(told.column, quoted=True))
            .from_(child or exp.alias_(_named(name), "forekey_child", table=True))
            .join(
                parents.subquery("forekey_parent"),
                on=exp.EQ(
                    this=key_sql(own, "forekey_child", key), expression=exp.column("forekey_key", "forekey_parent")
                ),
                join_type="left",
            )
        )

    def _key(self, table: str, name: str) -> ColumnSchema:
        columns = self._relations[table].columns
        known = {c.name: ColumnSchema(c.name, c.dtype, Stype.ID, case=c.case) for c in columns}
        if name in known:
            return known[name]
        return ColumnSchema.composite(key_parts(name, known) or [part.strip() for part in name.split(",")], known)


def _relation(
    name: str,
    entry: TableConfig,
    query: exp.Query | None,
    stored: tuple[ColumnInfo, ...],
    inherited: Inherited | None,
    dialect: str,
) -> _Relation:
    """Work out which columns of a table are read otherwise than they are stored."""
    known = {c.name: c for c in stored}
    computed: dict[str, Any] = {}
    types: dict[str, ColumnInfo] = {}
    try:
        for column, told in entry.readings.items():
            reading = _reading(known[column], told, dialect) if column in known else None
            if reading is not None:
                types[column], computed[column] = reading
        for amount in _amounts(entry, stored, dialect):
            computed.setdefault(amount.name, _amount(amount))
            types.setdefault(amount.name, amount)
        time = entry.time
        target = time_column_name(entry)
        if time is not None and target is not None and _needs_reading(time, known, computed):
            types[target] = ColumnInfo(target, DType.TIMESTAMP, _source_of(time))
            computed[target] = _time(time, known, dialect)
    except UnknownFormat as error:
        raise SchemaError(f"forekey.yaml: a format of table '{name}' cannot be read: {error}.") from error
    columns = [types.get(c.name, c) for c in stored]
    columns += [info for column, info in types.items() if column not in known]
    if inherited is not None:
        columns.append(ColumnInfo(inherited.column, DType.TIMESTAMP, f"time of {inherited.parent}"))
    return _Relation(query, tuple(columns), stored, computed, inherited)


def _needs_reading(time: TimeConfig, known: Mapping[str, ColumnInfo], computed: Mapping[str, Any]) -> bool:
    """Whether a time is more than a column that is a timestamp, or is read as one already."""
    if not set(time.columns) <= set(known):
        return False  # that a column is not there is said when the schema is made
    if not time.is_plain or time.column is None:
        return True
    return known[time.column].dtype is DType.TEXT and time.column not in computed


def _reading(column: ColumnInfo, told: ColumnConfig, dialect: str) -> tuple[ColumnInfo, Any] | None:
    """Return how a column is read as what forekey.yaml says that it means; None if it arrives as that."""
    value = exp.column(column.name, quoted=True)
    match told.type:
        case Stype.NUMERICAL if column.dtype is DType.TEXT:
            return replace(column, dtype=DType.FLOAT), read_number(value, told.decimal or ".")
        case Stype.BOOLEAN if column.dtype is DType.TEXT:
            words = [w for w in (told.true_values, told.false_values) if w is not None]
            return replace(column, dtype=DType.BOOLEAN), read_boolean(value, *words)
        case Stype.TIMESTAMP if column.dtype is DType.TEXT or not told.is_plain:
            return replace(column, dtype=DType.TIMESTAMP), read_moment(value, column.dtype, told, dialect)
        case _:
            return None


def _amounts(entry: TableConfig, stored: tuple[ColumnInfo, ...], dialect: str) -> list[ColumnInfo]:
    """Return the columns of Postgres' money, which its queries cannot compare with numbers; keys stay as they are."""
    keys = {part.strip() for key in (entry.primary_key or "", *entry.foreign_keys) for part in key.split(",")}
    return [c for c in stored if dialect == "postgres" and c.sql_type == "money" and c.name not in keys]


def _amount(column: ColumnInfo) -> Any:
    """Write an amount of Postgres' money as a number: it compares with none."""
    return exp.cast(exp.cast(exp.column(column.name, quoted=True), "DECIMAL"), "DOUBLE")


def _time(time: TimeConfig, known: Mapping[str, ColumnInfo], dialect: str) -> Any:
    values = [(exp.column(c, quoted=True), known[c].dtype) for c in time.columns]
    return read_moment(*values[0], time, dialect) if time.column is not None else read_date_parts(values, time)


def _source_of(time: TimeConfig) -> str:
    return f"{time.end} of the {time.period} in {', '.join(time.columns)}"


def _time_of(found: _Relation) -> str | None:
    return found.inherited.column if found.inherited is not None else None


def _named(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))
