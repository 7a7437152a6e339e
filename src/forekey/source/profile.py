"""Measures of a table's columns, taken in one pass over a sample that DuckDB holds in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
from sqlglot import exp

from forekey import duckdb_session
from forekey.errors import SourceError
from forekey.project import MomentConfig
from forekey.schema import DType
from forekey.source.duck import first_line
from forekey.source.protocol import ColumnInfo, Source, TableInfo
from forekey.source.readings import FALSE_VALUES, TRUE_VALUES, read_moment, read_number

_SAMPLE_ROWS = 500_000
_TEXTS = 2_000
_LONGEST_LIST = 200


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """Counts over (the first half million rows of) one column; ``distinct`` is approximate, off by up to a fifth.

    Of texts that are there: ``moments`` is the share that reads as a date or timestamp in ISO 8601, ``numbers`` as a
    number with a decimal point, ``commas`` as one with a decimal comma, ``plain`` as a number without any other sign,
    ``padded`` as digits after a leading zero, ``lists`` the share of short texts in which a bar or semicolon separates
    words, ``parts`` how many different words there are, ``answers`` the share that is a word for yes or no, ``texts``
    the first of them. Of numbers: ``low`` and ``high``, the same without the outermost hundredths (``usual_low``,
    ``usual_high``: one placeholder must not decide), and the share that is ``whole``.
    """

    rows: int
    non_null: int
    distinct: int
    mean_length: float
    moments: float = 0.0
    numbers: float = 0.0
    lists: float = 0.0
    parts: int = 0
    commas: float = 0.0
    plain: float = 0.0
    padded: float = 0.0
    answers: float = 0.0
    low: float = 0.0
    high: float = 0.0
    usual_low: float = 0.0
    usual_high: float = 0.0
    whole: float = 0.0
    texts: tuple[str, ...] = ()

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
    with duckdb_session.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("incoming", source.query(sample.limit(_SAMPLE_ROWS)))
        try:
            engine.execute("CREATE TABLE sampled AS SELECT * FROM incoming")
        except duckdb.Error as error:
            raise SourceError(f"Table '{table.name}' of '{source.url}' cannot be read: {first_line(error)}") from error
        rows = int(engine.execute("SELECT count(*) FROM sampled").fetchall()[0][0])
        profiles = {c.name: _profile(engine, c, f"c{i}", rows) for i, c in enumerate(measured)}
    unread = ColumnProfile(rows, rows, min(2, rows), 0.0)
    return {c.name: profiles.get(c.name, unread) for c in table.columns}


def _profile(engine: Any, column: ColumnInfo, name: str, rows: int) -> ColumnProfile:
    value = exp.column(name)
    measures: dict[str, Any] = {"non_null": exp.Count(this=value), "distinct": exp.Literal.number(2)}
    if column.dtype is not DType.LIST:
        measures["distinct"] = exp.ApproxDistinct(this=value.copy())
    if column.dtype is DType.TEXT:
        measures |= _of_texts(value)
    elif column.dtype in {DType.INTEGER, DType.FLOAT}:
        measures |= _of_numbers(value)
    statement = exp.select(*(m.as_(n) for n, m in measures.items())).from_("sampled")
    found = engine.execute(statement.sql(dialect="duckdb"))
    row = dict(zip(measures, (v or 0 for v in found.fetchall()[0]), strict=True))
    texts: tuple[str, ...] = ()
    if column.dtype is DType.TEXT:
        first = exp.select(value.copy()).from_("sampled").where(value.copy().is_(exp.null()).not_()).limit(_TEXTS)
        texts = tuple(t for (t,) in engine.execute(first.sql(dialect="duckdb")).fetchall())
    whole = {n: int(row.pop(n)) for n in ("non_null", "distinct")}
    parts = int(row.pop("parts", 0))
    length = float(row.pop("mean_length", 0.0))
    distinct = min(whole["distinct"], whole["non_null"])
    return ColumnProfile(
        rows, whole["non_null"], distinct, length, parts=parts, texts=texts, **{n: float(v) for n, v in row.items()}
    )


def _of_texts(value: exp.Expression) -> dict[str, Any]:
    moments = read_moment(value.copy(), DType.TEXT, MomentConfig(), "duckdb")
    plain = exp.TryCast(this=value.copy(), to=exp.DataType.build("DOUBLE"))
    word = exp.Lower(this=exp.Trim(this=value.copy()))
    answers = word.isin(*(exp.Literal.string(w) for w in (*TRUE_VALUES, *FALSE_VALUES)))
    padded = exp.RegexpLike(this=value.copy(), expression=exp.Literal.string(r"^\s*0[0-9]+\s*$"))
    lists, parts = _lists(value)
    return {
        "mean_length": exp.Avg(this=exp.Length(this=value.copy())),
        "moments": _share(value, moments.is_(exp.null()).not_()),
        "numbers": _share(value, read_number(value.copy(), ".").is_(exp.null()).not_()),
        "commas": _share(value, read_number(value.copy(), ",").is_(exp.null()).not_()),
        "plain": _share(value, plain.is_(exp.null()).not_()),
        "padded": _share(value, padded),
        "answers": _share(value, answers),
        "lists": lists,
        "parts": parts,
    }


def _of_numbers(value: exp.Expression) -> dict[str, Any]:
    number = exp.cast(value.copy(), "DOUBLE")
    finite = exp.Case().when(exp.func("isfinite", number), number.copy())
    floor = exp.func("floor", number.copy())
    return {
        "low": exp.Min(this=finite),
        "high": exp.Max(this=finite.copy()),
        "usual_low": exp.Anonymous(this="quantile_disc", expressions=[finite.copy(), exp.Literal.number("0.01")]),
        "usual_high": exp.Anonymous(this="quantile_disc", expressions=[finite.copy(), exp.Literal.number("0.99")]),
        "whole": _share(value, exp.EQ(this=number.copy(), expression=floor)),
    }


def _lists(value: exp.Expression) -> tuple[exp.Expression, exp.Expression]:
    """Write the share of texts in which bars or semicolons separate words, and the number of different words."""
    between = exp.RegexpLike(this=value.copy(), expression=exp.Literal.string(r"[^\s|;][|;]\s?[^\s|;]"))
    short = exp.Length(this=value.copy()) <= exp.Literal.number(_LONGEST_LIST)
    listed = exp.and_(between, short)
    words = exp.Anonymous(this="string_split_regex", expressions=[value.copy(), exp.Literal.string(r"\s*[|;]\s*")])
    every = exp.func("flatten", exp.func("list", exp.Case().when(listed.copy(), words)))
    distinct = exp.Anonymous(this="len", expressions=[exp.Anonymous(this="list_distinct", expressions=[every])])
    return exp.Avg(this=exp.cast(listed, "INT")), distinct


def _share(value: exp.Expression, condition: Any) -> exp.Expression:
    """Write the share of the values that are there for which a condition holds."""
    return exp.Avg(this=exp.Case().when(value.copy().is_(exp.null()).not_(), exp.cast(exp.paren(condition), "INT")))
