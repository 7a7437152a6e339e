"""Columns that were written after their row came to be, by evidence in the data: they are set aside.

What such a column says was not known at the time of its row. A model that learns from it learns from the future.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import duckdb
from sqlglot import exp

from forekey import duckdb_session
from forekey.errors import SourceError
from forekey.project import Config, TableConfig
from forekey.schema import DType, Stype
from forekey.source.configured import ConfiguredSource
from forekey.source.duck import first_line
from forekey.source.names import names_plan, names_year
from forekey.source.protocol import ColumnInfo, Source, TableInfo
from forekey.source.times import inherited_times, time_column_name

MOST_LATER, FEWEST_ROWS, TOGETHER = 0.9, 50, 0.99
"""The share of rows in which a moment must be later than its row, of how many, and in which two columns agree."""
YEARS = (1500, 2200)
_SAMPLE_ROWS = 500_000
_MOST_OFFSETS = 5
_FEWEST_NULLS = 0.02


def written_later(
    source: Source, infos: Mapping[str, TableInfo], tables: Mapping[str, TableConfig], name: str
) -> Iterator[tuple[str, str]]:
    """Yield columns that hold a moment, or a year, later than their row's time, and those filled together with them.

    Moments that are planned (``due``, or always a few days later) are known before they come.
    """
    config = Config(source=source.url, tables=dict(tables))
    inherited = inherited_times(config)
    time = inherited[name].column if name in inherited else time_column_name(tables[name])
    if time is None or infos[name].rows < FEWEST_ROWS:
        return
    told = ConfiguredSource(source, config, tuple(infos.values()))
    kinds = {c.name: c for c in told.columns()[name]}
    judged = [c for c, entry in tables[name].readings.items() if entry.type is not Stype.IGNORE and c != time]
    later = [c for c in judged if _may_be_later(kinds[c])]
    if not later:
        return
    with duckdb_session.connect() as engine:
        _sample(told, engine, name, time, judged, later)
        late: dict[str, str] = {}
        for column in later:
            reason = _reason(engine, f"v{judged.index(column)}", kinds[column].dtype)
            if reason is not None:
                late[column] = f"leak suspected: {reason}; set a type to learn from it"
        yield from late.items()
        for i, column in enumerate(judged):
            other = next((o for o in late if column not in late and _together(engine, i, judged.index(o))), None)
            if other is not None:
                filled = f"it is filled where {other} is, which is written later"
                yield column, f"leak suspected: {filled}; set a type to learn from it"


def _may_be_later(column: ColumnInfo) -> bool:
    is_year = column.dtype in {DType.INTEGER, DType.FLOAT} and names_year(column.name)
    return (is_year or column.dtype is DType.TIMESTAMP) and not names_plan(column.name)


def _sample(
    source: ConfiguredSource,
    engine: duckdb.DuckDBPyConnection,
    name: str,
    time: str,
    judged: list[str],
    later: list[str],
) -> None:
    """Hold of some rows their time, what columns say that may be later (``v…``), and what is missing (``n…``)."""
    values = [source.column(name, time).as_("time")]
    for i, column in enumerate(judged):
        values.append(exp.column(column, quoted=True).is_(exp.null()).as_(f"n{i}"))
        if column in later:
            values.append(source.column(name, column).as_(f"v{i}"))
    rows = exp.select(*values).from_(exp.Table(this=exp.to_identifier(name, quoted=True))).limit(_SAMPLE_ROWS)
    engine.execute("SET TimeZone = 'UTC'")
    engine.register("incoming", source.query(rows))
    try:
        engine.execute("CREATE TABLE sampled AS SELECT * FROM incoming")
    except duckdb.Error as error:
        raise SourceError(f"Table '{name}' of '{source.url}' cannot be read: {first_line(error)}") from error


def _reason(engine: duckdb.DuckDBPyConnection, column: str, dtype: DType) -> str | None:
    """Say why a column seems to have been written after its row's time; None if it does not."""
    later, offset = f"{column} > time", f"epoch({column}) - epoch(time)"
    if dtype is not DType.TIMESTAMP:
        inside = f"count(*) FILTER ({column} BETWEEN {YEARS[0]} AND {YEARS[1]} AND {column} = floor({column}))"
        there, years = engine.sql(f"SELECT count({column}), {inside} FROM sampled").fetchall()[0]
        if there != years:
            return None
        # The end of a year, as the time of a row, is the first moment of the next.
        later, offset = f"{column} > year(time - INTERVAL 1 microsecond)", f"{column} - year(time)"
    there, share, offsets = engine.sql(
        f"SELECT count(*), avg(({later})::INT), count(DISTINCT {offset}) FROM sampled "
        f"WHERE {column} IS NOT NULL AND time IS NOT NULL"
    ).fetchall()[0]
    if there < FEWEST_ROWS or share < MOST_LATER or offsets <= _MOST_OFFSETS:
        return None
    kind = (
        "a year later than that of its row's time" if dtype is not DType.TIMESTAMP else "later than its row's own time"
    )
    return f"it is {kind} in {share:.0%} of rows"


def _together(engine: duckdb.DuckDBPyConnection, one: int, two: int) -> bool:
    """Whether two columns are missing in the same rows, and not in nearly all or none."""
    agree, missing = engine.sql(f"SELECT avg((n{one} = n{two})::INT), avg(n{one}::INT) FROM sampled").fetchall()[0]
    return bool(agree >= TOGETHER and _FEWEST_NULLS <= missing <= 1 - _FEWEST_NULLS)
