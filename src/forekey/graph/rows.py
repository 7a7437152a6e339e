"""The rows of one table as the graph holds them: typed by meaning, in the order of time, keys as numbers.

Row order is canonical: by time, then primary key, then every column. A row's number is therefore its rank in time,
so "visible at T" is "number below a bound", and equal rows give equal snapshots however they were read.

On their way from the source to the blocks of a snapshot, rows are *staged*: column ``c0:x`` is what the graph keeps of
column x, ``u0:x`` whether x holds something that does not read as its type, ``p`` the number of the primary key,
``f0:x`` that of the foreign key in x (see :mod:`forekey.graph.key_index`); ``h``, where asked for, is the hash of the
row in the source (see :mod:`forekey.graph.change_detection`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlglot import exp

from forekey import duckdb_session
from forekey.errors import ForekeyError
from forekey.graph.key_index import KeyForm, Spelling, as_text, key_form, key_numbers, spelling_of
from forekey.graph.timestamps import from_micros, to_micros
from forekey.schema import ColumnSchema, DType, OnOrphan, Schema, Stype, TableSchema
from forekey.source import WHOLE_NUMBER, Source, is_written, written

_BATCH = 1 << 17
_SORT_MEMORY = 160 << 20
"""Bytes in memory while rows are sorted; what is beyond goes to disk. More made ten million rows no faster."""
_WIDE_MEMORY = 1 << 30
"""The same for rows with long values, which DuckDB moves in larger pieces."""
_WIDE = {Stype.TEXT, Stype.EMBEDDING, Stype.MULTICATEGORICAL}
_HASH = "forekey: hash of the row"
_WRITTEN = "forekey: key in "
_NATURAL = {
    "DOUBLE": (DType.INTEGER, DType.FLOAT, DType.BOOLEAN),
    "BOOLEAN": (DType.BOOLEAN, DType.INTEGER, DType.FLOAT),
    "FLOAT[]": (DType.LIST,),
    "VARCHAR[]": (DType.LIST,),
}
"""Per type that columns are kept in, those whose every value has a place in it (a moment may be infinite)."""
_NOTHING = ""
"""Stands in for the contents of a table that has none but foreign keys, so that its rows can be counted."""


@dataclass(frozen=True, slots=True)
class Period:
    """Rows with ``after < time <= until`` (ISO timestamps in UTC; ``after`` None for all before).

    Rows without a time are read too, unless ``undated`` is False. Tables without a time column are read whole. Rows
    whose ``deleted`` column is not after a moment are left out; ``changed`` asks for those alone whose column of that
    name is not before a moment, ``later_keys`` for those whose column of that name is above a number. ``hashed`` asks
    for each row's hash too, with its time in it or without.
    """

    until: str
    after: str | None = None
    undated: bool = True
    deleted: tuple[str, str] | None = None
    changed: tuple[str, str] | None = None
    later_keys: tuple[str, int] | None = None
    hashed: Literal["timed", "untimed"] | None = None


@dataclass
class Intake:
    """Counts what streams by."""

    read: int = 0
    rows: int = 0
    """Rows with a time (in a table without times: a key), counted if rows are hashed."""
    checksum: int = 0
    """The sum of their hashes."""
    error: ForekeyError | None = None

    def take(self, batch: pa.RecordBatch, table: TableSchema) -> None:
        """Count a batch of the source."""
        self.read += len(batch)
        if _HASH in batch.schema.names and (placed := table.time_column or table.primary_key) is not None:
            there = key_values(batch, table.column(placed)).is_valid()
            hashes = batch.column(_HASH).filter(there).to_numpy()
            self.rows += len(hashes)
            self.checksum += total(hashes)


@dataclass(frozen=True)
class Staging:
    """How one table is staged: what it is, and the form of every key in it."""

    table: TableSchema
    own_form: KeyForm | None
    forms: dict[str, KeyForm] = field(default_factory=dict)
    spellings: dict[str, Spelling] = field(default_factory=dict)
    """Per key, in which spelling it is numbered: that of the key it refers to decides."""
    named: frozenset[str] = frozenset()
    """Foreign keys whose contents are kept too: placeholders are named after them."""

    @classmethod
    def of(cls, schema: Schema, name: str) -> Staging:
        """Derive it from the schema."""
        table = schema.table(name)
        own = key_form(schema, name) if table.primary_key is not None else None
        forms = {fk.column: key_form(schema, fk.parent) for fk in table.foreign_keys}
        created = (fk.column for fk in table.foreign_keys if fk.on_orphan is OnOrphan.CREATE)
        spellings = {fk.column: spelling_of(schema, fk.parent) for fk in table.foreign_keys}
        return cls(table, own, forms, spellings, frozenset(c for c in created if forms[c] is not KeyForm.INTEGER))

    @property
    def kept(self) -> list[ColumnSchema]:
        """The columns whose contents the graph keeps: everything but foreign keys and what is ignored."""
        t = self.table
        return [
            c
            for c in t.columns
            if c.name in {t.primary_key, t.time_column, *self.named}
            or (c.name not in self.forms and c.stype not in {Stype.IGNORE, Stype.ID})
        ]

    @property
    def order(self) -> list[str]:
        """Staged columns by which rows are ordered."""
        t = self.table
        leading = [self.c(c) for c in (t.time_column, t.primary_key) if c is not None]
        rest = [] if t.primary_key is not None else self.rest
        return [*leading, *rest]

    @property
    def rest(self) -> list[str]:
        """Staged columns that distinguish rows of equal time and key."""
        leading = {self.table.time_column, self.table.primary_key}
        contents = [self.c(c.name) for c in self.kept if c.name not in leading]
        return [*contents, *(self.f(c) for c in self.forms)]

    @property
    def keys(self) -> list[ColumnSchema]:
        """Columns that hold keys: those of composite keys too."""
        every = [self.table.column(n) for n in sorted(self.table.keys)]
        return list({m.name: m for c in every for m in (c.of_parts or (c,))}.values())

    def c(self, column: str) -> str:
        """Name a column's contents. The number separates names that differ in case alone: to DuckDB they are one."""
        return f"c{self._places.get(column, '')}:{column}"

    def u(self, column: str) -> str:
        """Name the flag of values that do not read as a column's type."""
        return f"u{self._places[column]}:{column}"

    def may_fail(self, column: ColumnSchema) -> bool:
        """Whether there are values of a column's stored type that do not read as what the graph keeps of it.

        A row without a key or a time is left out, and counted as such.
        """
        if column.name in {self.table.primary_key, self.table.time_column}:
            return False
        kind = storage_type(column, self.table)
        return kind != "VARCHAR" and column.dtype not in _NATURAL.get(kind, ())

    def f(self, column: str) -> str:
        """Name the numbers of a foreign key."""
        return f"f{list(self.forms).index(column)}:{column}"

    @cached_property
    def _places(self) -> dict[str, int]:
        return {c.name: i for i, c in enumerate(self.kept)}


def open_source(source: Source, staging: Staging, period: Period, intake: Intake) -> pa.RecordBatchReader:
    """Stream a table's rows from the source, keys turned into numbers; ``intake`` counts them."""
    table = staging.table
    used = [c for c in table.columns if c in staging.kept or c.name in staging.forms]
    names = list(dict.fromkeys(part for c in used for part in c.parts or (c.name,)))
    columns = [source.column(table.name, n).as_(n, quoted=True) for n in names]
    columns += written_keys(staging.keys)
    for column in staging.kept:
        there = source.present(table.name, column.name) if not column.parts else None
        if there is not None and column.name not in table.keys | {table.time_column}:
            columns.append(there.as_(staging.u(column.name), quoted=True))
    if period.hashed is not None:
        columns.append(row_hash(source, table, timed=period.hashed == "timed").as_(_HASH))
    statement = exp.select(*columns or [exp.Literal.number(1).as_("row")]).from_(quoted(table.name))
    reader = source.query(statement.where(*_within(table, period)), _BATCH)
    empty = _stage(pa.RecordBatch.from_pylist([], schema=reader.schema), staging)

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                intake.take(batch, table)
                yield _stage(batch, staging)
        except ForekeyError as error:
            intake.error = error
            raise

    return pa.RecordBatchReader.from_batches(empty.schema, batches())


@contextmanager
def in_order(
    staging: Staging, incoming: Sequence[Any], engine: Any, *, first_of_key: bool = False
) -> Iterator[pa.RecordBatchReader]:
    """Stream staged rows, of all that come in together, in canonical order, typed as they are kept.

    ``first_of_key`` drops repeated keys. Sorting is DuckDB's, partly on disk.
    """
    memory = _WIDE_MEMORY if any(c.stype in _WIDE for c in staging.kept) else _SORT_MEMORY
    engine.execute(f"SET memory_limit = '{memory}B'")
    parts = []
    flagged = [c for c in staging.kept if any(staging.u(c.name) in rows.schema.names for rows in incoming)]
    for i, rows in enumerate(incoming):
        engine.register(f"incoming_{i}", rows)
        parts.append(_typed(staging, f"incoming_{i}", rows.schema, flagged))
    together = exp.union(*parts, distinct=False) if len(parts) > 1 else parts[0]
    statement = exp.select("*").from_(together.subquery("typed"))
    if first_of_key:
        order = [_ascending(c) for c in (*staging.order, *staging.rest)]
        rank = exp.Window(
            this=exp.RowNumber(), partition_by=[exp.column("p", quoted=True)], order=exp.Order(expressions=order)
        )
        statement = statement.qualify(exp.EQ(this=rank, expression=exp.Literal.number(1)))
    if staging.order:
        statement = statement.order_by(*(_ascending(c) for c in staging.order))
    try:
        yield engine.sql(statement.sql(dialect="duckdb")).to_arrow_reader(_BATCH)
    finally:
        for i in range(len(incoming)):
            engine.unregister(f"incoming_{i}")


def alive(deleted: tuple[str, str] | None) -> list[exp.Expression]:
    """Write the condition under which a row is not deleted yet, by a column and a moment."""
    if deleted is None:
        return []
    column, by = deleted
    moment = exp.cast(exp.column(column, quoted=True), "TIMESTAMP")
    return [exp.paren(exp.or_(moment.is_(exp.null()), moment.copy() > timestamp(by)))]


def row_hash(source: Source, table: TableSchema, *, timed: bool) -> exp.Expression:
    """Write, in SQL, a hash of what places a row in the graph: its primary key, or else foreign keys, and its time.

    The time is left out where changed rows are marked as such, or where there is none. Where it is in, keys of text are
    left out: reading all of them again would cost more than the rest of an update.
    """
    timed = timed and table.time_column is not None
    keys = [table.primary_key] if table.primary_key is not None else [fk.column for fk in table.foreign_keys]
    short = [k for k in keys if not timed or table.column(k).dtype in {DType.INTEGER, DType.UUID}]
    names = dict.fromkeys(part for key in short for part in table.column(key).parts or (key,))
    values: list[exp.Expression] = [exp.column(n, quoted=True) for n in names]
    return source.fingerprint([*values, *([time_of(table)] if timed else [])])


def total(hashes: NDArray[np.int64]) -> int:
    """Add up hashes; the sum may be beyond 64 bits."""
    return (int((hashes >> 32).sum()) << 32) + int((hashes & 0xFFFFFFFF).sum())


def storage_type(column: ColumnSchema, table: TableSchema) -> str:
    """Return the DuckDB type in which a column is kept: it follows from what the column means."""
    if column.name == table.time_column:
        return "TIMESTAMP"
    if column.name == table.primary_key:
        return "BIGINT" if column.dtype is DType.INTEGER else "VARCHAR"
    return {
        Stype.NUMERICAL: "DOUBLE",
        Stype.TIMESTAMP: "TIMESTAMP",
        Stype.BOOLEAN: "BOOLEAN",
        Stype.EMBEDDING: "FLOAT[]",
        Stype.MULTICATEGORICAL: "VARCHAR[]",
    }.get(column.stype, "VARCHAR")


def canonical(rows: pa.Table) -> pa.Table:
    """Return the rows with equal bytes for equal contents: what lies under a NULL is zero, no slack, no offsets."""
    return pa.table({name: _canonical_column(rows.column(name)) for name in rows.column_names})


def contents(staged: pa.Table) -> pa.Table:
    """Return what the graph keeps of staged rows, under the columns' own names."""
    kept = [n for n in staged.column_names if n.startswith("c")]
    return staged.select(kept).rename_columns([n.split(":", 1)[1] for n in kept])


def time_of(table: TableSchema) -> exp.Expression:
    """Write a row's time in SQL."""
    return exp.cast(exp.column(table.time_column or "", quoted=True), "TIMESTAMP")


def timestamp(moment: str) -> exp.Expression:
    """Write a moment in SQL."""
    return exp.cast(exp.Literal.string(moment), "TIMESTAMP")


def sql_moment(micros: int) -> str:
    """Return a moment as SQL has it; one before the year 1 as its beginning."""
    return from_micros(max(micros, to_micros(datetime.min))).isoformat(sep=" ")


def quoted(name: str) -> exp.Table:
    """Write a table's name in SQL."""
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def _stage(batch: pa.RecordBatch, staging: Staging) -> pa.RecordBatch:
    """Turn a batch of the source into staged columns; contents keep the source's types."""
    table = staging.table
    columns: dict[str, Any] = {staging.c(c.name): key_values(batch, c) for c in staging.kept}
    if not columns:
        columns[staging.c(_NOTHING)] = pa.nulls(len(batch), pa.bool_())
    if table.primary_key is not None and staging.own_form is not None:
        own = table.column(table.primary_key)
        columns["p"] = _numbered(key_values(batch, own, Spelling.of(own)), staging.own_form)
    for name, form in staging.forms.items():
        columns[staging.f(name)] = _numbered(key_values(batch, table.column(name), staging.spellings[name]), form)
    for column in staging.kept:
        flag = staging.u(column.name)
        if flag in batch.schema.names:
            columns[flag] = batch.column(flag)
        elif staging.may_fail(column):
            columns[flag] = batch.column(column.name).is_valid()
    if _HASH in batch.schema.names:
        columns["h"] = batch.column(_HASH)
    return pa.RecordBatch.from_pydict(columns)


def written_keys(columns: Iterable[ColumnSchema]) -> list[Any]:
    """Write the keys that are compared as the text which the database writes of them, beside what they hold."""
    return [
        written(exp.column(c.name, quoted=True), c.dtype).as_(_WRITTEN + c.name, quoted=True)
        for c in columns
        if is_written(c.dtype)
    ]


def key_values(batch: pa.RecordBatch, column: ColumnSchema, spelling: Spelling | None = None) -> pa.Array:
    """Return a key as the source sent it; a composite key: its parts as text, with commas, NULL where one is.

    With ``spelling``, all spellings of one key are one text.
    """
    if not column.parts:
        values = _key_part(batch, column.name)
        return values if spelling is None else spelling.many(values)
    parts = [_spelled(as_text(_key_part(batch, p))) for p in column.parts]
    if spelling is not None and len(spelling.parts) == len(parts):
        parts = [s.part(p) for s, p in zip(spelling.parts, parts, strict=True)]
    return pc.binary_join_element_wise(*map(_escaped, parts), ",", null_handling="emit_null")


def _key_part(batch: pa.RecordBatch, name: str) -> pa.Array:
    return batch.column(_WRITTEN + name if _WRITTEN + name in batch.schema.names else name)


def _spelled(texts: pa.Array) -> pa.Array:
    """Write parts of keys so that equal ones are equal texts: 1.0 is 1, padding is none; key_sql does the same."""
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), WHOLE_NUMBER, r"\1")


def _escaped(texts: pa.Array) -> pa.Array:
    """Mark commas that are in a value, so that ('a,b', 'c') and ('a', 'b,c') differ; key_sql does the same."""
    return pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), ",", "\\,")


def _numbered(keys: pa.Array, form: KeyForm) -> pa.Array:
    numbers = key_numbers(keys, form)
    return pa.array(numbers, mask=keys.is_null().to_numpy(zero_copy_only=False) if keys.null_count else None)


def _typed(staging: Staging, incoming: str, arriving: pa.Schema, flagged: Sequence[ColumnSchema]) -> exp.Select:
    """Give staged columns the types they are kept in; flag the values that do not read as such."""
    table = staging.table
    stored = {c.name: _as_stored(c, staging, arriving) for c in staging.kept}
    kept = [value.as_(staging.c(name), quoted=True) for name, value in stored.items()]
    kept = kept or [exp.column(staging.c(_NOTHING), quoted=True)]
    own = ["p"] if table.primary_key is not None else []
    numbers = [exp.column(n, quoted=True) for n in (*own, *(staging.f(c) for c in staging.forms))]
    flags = []
    for name in (c.name for c in flagged):
        there = exp.column(staging.u(name), quoted=True)
        unread = exp.and_(there, exp.paren(stored[name].copy().is_(exp.null())))
        flags.append((unread if staging.u(name) in arriving.names else exp.false()).as_(staging.u(name), quoted=True))
    return exp.select(*kept, *numbers, *flags).from_(incoming)


def _as_stored(column: ColumnSchema, staging: Staging, arriving: pa.Schema) -> Any:
    kind = storage_type(column, staging.table)
    value = exp.column(staging.c(column.name), quoted=True)
    if kind == "VARCHAR[]" and pa.types.is_string(arriving.field(staging.c(column.name)).type):
        return _split(value)
    stored = exp.TryCast(this=value, to=exp.DataType.build(kind, dialect="duckdb"))
    if kind == "TIMESTAMP":
        # An infinite moment is no moment.
        return exp.Case().when(exp.func("isfinite", stored.copy()), stored)
    return stored


def _split(text: exp.Expression) -> exp.Expression:
    """Take a text apart: at bars, or else at semicolons, or else at commas; [a, b] is a list already."""
    trimmed = exp.Trim(this=text)
    separator = exp.Case()
    for mark in ("|", ";"):
        separator = separator.when(
            exp.func("contains", text.copy(), exp.Literal.string(mark), dialect="duckdb"),
            exp.Literal.string(rf"\s*[{mark}]\s*"),
        )
    separator = separator.else_(exp.Literal.string(r"\s*,\s*"))
    parts = exp.Anonymous(this="string_split_regex", expressions=[trimmed, separator])
    listed = exp.and_(trimmed.copy().like("[%"), trimmed.copy().like("%]"))
    written = exp.TryCast(this=trimmed.copy(), to=exp.DataType.build("VARCHAR[]", dialect="duckdb"))
    empty = exp.EQ(this=trimmed.copy(), expression=exp.Literal.string(""))
    nothing = exp.cast(exp.Array(expressions=[]), exp.DataType.build("VARCHAR[]", dialect="duckdb"))
    return (
        exp.Case().when(text.copy().is_(exp.null()), exp.null()).when(empty, nothing).when(listed, written).else_(parts)
    )


def _within(table: TableSchema, period: Period) -> list[Any]:
    conditions: list[Any] = alive(period.deleted)
    if period.changed is not None:
        column, since = period.changed
        conditions.append(exp.cast(exp.column(column, quoted=True), "TIMESTAMP") >= timestamp(since))
    if period.later_keys is not None:
        column, number = period.later_keys
        conditions.append(exp.column(column, quoted=True) > exp.Literal.number(number))
    if table.time_column is None:
        return conditions
    time = time_of(table)
    after = [time > timestamp(period.after)] if period.after is not None else []
    inside = exp.and_(time <= timestamp(period.until), *after)
    dated = exp.paren(exp.or_(time.is_(exp.null()), inside)) if period.undated else inside
    return [*conditions, dated]


def _ascending(column: str) -> exp.Ordered:
    return exp.Ordered(this=exp.column(column, quoted=True), desc=False, nulls_first=False)


@contextmanager
def sorting_engine(workspace: Path) -> Iterator[Any]:
    """Open a DuckDB that keeps what does not fit in memory in ``workspace``."""
    with duckdb_session.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute("SET preserve_insertion_order = false")
        engine.execute(f"SET temp_directory = {exp.Literal.string(str(workspace)).sql(dialect='duckdb')}")
        yield engine


def _canonical_column(column: pa.ChunkedArray) -> pa.Array:
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy().astype(np.int64)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        flat = _canonical_column(pa.chunked_array([array.flatten()]))
        missing = array.is_null() if array.null_count else None
        return pa.ListArray.from_arrays(offsets, flat, type=array.type, mask=missing)
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if pa.types.is_string(array.type):
        filled = pc.fill_null(array, "") if missing is not None else array
        bitmap = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing is not None else None
        _, offsets, data = filled.buffers()
        return pa.StringArray.from_buffers(len(filled), offsets, data, bitmap, array.null_count, filled.offset)
    if missing is None:
        return pa.Array.from_buffers(array.type, len(array), [None, *array.buffers()[1:]], 0, array.offset)
    plain = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
    zero = False if pa.types.is_boolean(array.type) else 0
    values = pc.fill_null(plain, zero).to_numpy(zero_copy_only=False)
    return pa.array(values, mask=missing).cast(array.type)


def missing_of(column: pa.Array) -> NDArray[np.bool_]:
    """Return which values are NULL."""
    flags: NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return flags
