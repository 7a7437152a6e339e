"""Columns that were written after their row came to be, by evidence in the data: they are set aside.

What such a column says was not known at the time of its row. A model that learns from it learns from the future.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
from sqlglot import exp

from forekey.project import Config, TableConfig
from forekey.schema import DType, Stype
from forekey.source.configured import ConfiguredSource
from forekey.source.names import names_plan, names_year
from forekey.source.protocol import Source, TableInfo

_MOST = 0.9
_MIN_ROWS = 50
_SAMPLE_ROWS = 500_000
_TOGETHER = 0.99
_MOST_OFFSETS = 5
_YEARS = (1500, 2200)


def written_later(source: Source, table: TableInfo, entry: TableConfig, time: str | None) -> Iterator[tuple[str, str]]:
    """Yield columns that hold a moment, or a year, later than their row's time, and those filled together with them.

    Moments that are planned (``due``, or always a few days later) are known before they come.
    """
    if time is None or table.rows < _MIN_ROWS:
        return
    config = Config(source=source.url, tables={table.name: entry.model_copy(update={"foreign_keys": {}})})
    told = ConfiguredSource(source, config, (table,))
    kinds = {c.name: c.dtype for c in told.columns()[table.name]}
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        columns = [told.column(table.name, n).as_(f"c{i}") for i, n in enumerate(kinds)]
        rows = exp.select(*columns).from_(exp.Table(this=exp.to_identifier(table.name, quoted=True)))
        engine.register("incoming", told.query(rows.limit(_SAMPLE_ROWS)))
        engine.execute("CREATE TABLE sampled AS SELECT * FROM incoming")
        names = {n: f"c{i}" for i, n in enumerate(kinds)}
        late: dict[str, str] = {}
        for column, config_ in entry.readings.items():
            if column == time or names_plan(column) or config_.type is Stype.IGNORE:
                continue
            reason = _later(engine, names[column], names[time], kinds[column], column)
            if reason is not None:
                late[column] = reason
        yield from late.items()
        for column, config_ in entry.readings.items():
            if column in {time, *late} or config_.type is Stype.IGNORE:
                continue
            other = next((o for o in late if _together(engine, names[column], names[o])), None)
            if other is not None:
                yield (
                    column,
                    f"leak: it is filled where {other} is, which is written later; set a type to learn from it",
                )


def _later(engine: duckdb.DuckDBPyConnection, column: str, time: str, dtype: DType, name: str) -> str | None:
    """Return why a column must have been written after its row's time, if it must."""
    if dtype is DType.TIMESTAMP:
        later, same = f"{column} > {time}", f"epoch({column}) - epoch({time})"
    elif dtype is DType.INTEGER and names_year(name):
        years = f"{column} BETWEEN {_YEARS[0]} AND {_YEARS[1]}"
        there, all_years = engine.sql(f"SELECT count({column}), count(*) FILTER ({years}) FROM sampled").fetchall()[0]
        if there != all_years:
            return None
        # The last moment of a year is the first of the next.
        later, same = f"{column} > year({time} - INTERVAL 1 microsecond)", f"{column} - year({time})"
    else:
        return None
    there, share, offsets = engine.sql(
        f"SELECT count(*), avg(({later})::INT), count(DISTINCT {same}) FROM sampled "
        f"WHERE {column} IS NOT NULL AND {time} IS NOT NULL"
    ).fetchall()[0]
    if there < _MIN_ROWS or share < _MOST or offsets <= _MOST_OFFSETS:
        return None
    kind = "a year later than that of its row's time" if dtype is DType.INTEGER else "later than its row's own time"
    return f"leak: it is {kind} in {share:.0%} of rows; set a type to learn from it"


def _together(engine: duckdb.DuckDBPyConnection, one: str, two: str) -> bool:
    """Whether two columns are NULL in the same rows, and not in nearly all or none."""
    agree, nulls = engine.sql(
        f"SELECT avg((({one} IS NULL) = ({two} IS NULL))::INT), avg(({one} IS NULL)::INT) FROM sampled"
    ).fetchall()[0]
    return bool(agree >= _TOGETHER and 0.02 <= nulls <= 0.98)
