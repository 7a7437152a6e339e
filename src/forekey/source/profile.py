"""Measures of a table's columns, taken in one pass over a sample that DuckDB holds in memory."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
from sqlglot import exp

from forekey.errors import SourceError
from forekey.schema import DType
from forekey.source.protocol import ColumnInfo, Source, TableInfo

_SAMPLE_ROWS = 500_000
_LONGEST_LIST = 200


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """Counts over (the first half million rows of) one column; ``distinct`` is approximate, off by up to a fifth.

    ``moments`` and ``numbers`` are the shares of texts (of those that are there) that read as a date or timestamp, or
    as a number; ``lists`` is the share of short texts in which a bar or semicolon separates words, ``parts`` how many
    different words there are.
    """

    rows: int
    non_null: int
    distinct: int
    mean_length: float
    moments: float = 0.0
    numbers: float = 0.0
    lists: float = 0.0
    parts: int = 0

    @property
    def nulls(self) -> int:
        """Return the number of NULL cells."""
        return self.rows - self.non_null

    @property
    def looks_unique(self) -> bool:
        """Whether the approximate count (seen to be off by a fifth) leaves room for every value being different."""
        return self.distinct >= 0.6 * self.rows


def profile_table(source: Source, table: TableInfo) -> dict[str, ColumnProfile]:
    """Measure every column of a table."""
    measured = [c for c in table.columns if c.dtype not in {DType.BYTES, DType.OTHER}]
    columns = [source.column(table.name, c.name).as_(f"c{i}") for i, c in enumerate(measured)]
    sample = exp.select(*columns or [exp.Literal.number(1).as_("row")]).from_(
        exp.Table(this=exp.to_identifier(table.name, quoted=True))
    )
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("incoming", source.query(sample.limit(_SAMPLE_ROWS)))
        try:
            engine.execute("CREATE TABLE sampled AS SELECT * FROM incoming")
        except duckdb.Error as error:
            reason = str(error).strip().splitlines()[0]
            raise SourceError(f"Table '{table.name}' of '{source.url}' cannot be read: {reason}") from error
        measures = [exp.Count(this=exp.Star()), *(m for i, c in enumerate(measured) for m in _measures(c, f"c{i}"))]
        statement = exp.select(*(m.as_(f"m{i}") for i, m in enumerate(measures))).from_("sampled")
        row = [value or 0 for value in engine.execute(statement.sql(dialect="duckdb")).fetchall()[0]]
        profiles = {}
        for column, measured_values in zip(measured, zip(*[iter(row[1:])] * 7, strict=True), strict=True):
            non_null, distinct, length, moments, numbers, lists, parts = measured_values
            profiles[column.name] = ColumnProfile(
                int(row[0]),
                int(non_null),
                min(int(distinct), int(non_null)),
                float(length),
                float(moments),
                float(numbers),
                float(lists),
                int(parts),
            )
    unread = ColumnProfile(int(row[0]), int(row[0]), min(2, int(row[0])), 0.0)
    return {c.name: profiles.get(c.name, unread) for c in table.columns}


def _measures(column: ColumnInfo, name: str) -> list[exp.Expression]:
    value = exp.column(name)
    nothing = exp.Literal.number(0)
    length = exp.Avg(this=exp.Length(this=value)) if column.dtype is DType.TEXT else nothing
    distinct = exp.ApproxDistinct(this=value.copy()) if column.dtype is not DType.LIST else exp.Literal.number(2)
    parsed = [_parsed(value, kind) if column.dtype is DType.TEXT else nothing for kind in ("TIMESTAMP", "DOUBLE")]
    lists = _lists(value) if column.dtype is DType.TEXT else [nothing, nothing]
    return [exp.Count(this=value.copy()), distinct, length, *parsed, *lists]


def _lists(value: exp.Expression) -> list[exp.Expression]:
    """Write the share of texts in which bars or semicolons separate words, and the number of different words."""
    between = exp.RegexpLike(this=value.copy(), expression=exp.Literal.string(r"[^\s|;][|;]\s?[^\s|;]"))
    short = exp.Length(this=value.copy()) <= exp.Literal.number(_LONGEST_LIST)
    listed = exp.and_(between, short)
    words = exp.Anonymous(this="string_split_regex", expressions=[value.copy(), exp.Literal.string(r"\s*[|;]\s*")])
    every = exp.func("flatten", exp.func("list", exp.Case().when(listed.copy(), words)))
    distinct = exp.Anonymous(this="len", expressions=[exp.Anonymous(this="list_distinct", expressions=[every])])
    return [exp.Avg(this=exp.cast(listed, "INT")), distinct]


def _parsed(value: exp.Expression, kind: str) -> exp.Expression:
    """Write the share of the texts that are there which read as a type."""
    reads = exp.TryCast(this=value.copy(), to=exp.DataType.build(kind)).is_(exp.null()).not_()
    return exp.Avg(this=exp.Case().when(value.copy().is_(exp.null()).not_(), exp.cast(reads, "INT")))
