"""Measures of a table's columns, taken in one query."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from forekey.schema import DType
from forekey.source.protocol import ColumnInfo, Source, TableInfo

_SAMPLE_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """Counts over (the first million rows of) one column; ``distinct`` is approximate, off by a few per cent."""

    rows: int
    non_null: int
    distinct: int
    mean_length: float

    @property
    def nulls(self) -> int:
        """Return the number of NULL cells."""
        return self.rows - self.non_null

    @property
    def looks_unique(self) -> bool:
        """Whether the approximate count leaves room for every value being different."""
        return self.distinct >= 0.85 * self.rows


def profile_table(source: Source, table: TableInfo) -> dict[str, ColumnProfile]:
    """Measure every column of a table in one pass."""
    measures: list[exp.Expression] = [exp.Count(this=exp.Star())]
    for column in table.columns:
        measures += _measures(column)
    sample = (
        exp.select(*(exp.column(c.name, quoted=True) for c in table.columns))
        .from_(exp.Table(this=exp.to_identifier(table.name, quoted=True)))
        .limit(_SAMPLE_ROWS)
        .subquery("sampled")
    )
    statement = exp.select(*(m.as_(f"m{i}") for i, m in enumerate(measures))).from_(sample)
    row = [values[0] or 0 for values in source.query(statement).read_all().to_pydict().values()]
    return {
        column.name: ColumnProfile(
            int(row[0]), int(row[1 + 3 * i]), min(int(row[2 + 3 * i]), int(row[1 + 3 * i])), float(row[3 + 3 * i])
        )
        for i, column in enumerate(table.columns)
    }


def _measures(column: ColumnInfo) -> list[exp.Expression]:
    value = exp.column(column.name, quoted=True)
    length = exp.Avg(this=exp.Length(this=value)) if column.dtype is DType.TEXT else exp.Literal.number(0)
    comparable = column.dtype not in {DType.LIST, DType.BYTES, DType.OTHER}
    distinct = exp.ApproxDistinct(this=value.copy()) if comparable else exp.Literal.number(2)
    return [exp.Count(this=value.copy()), distinct, length]
