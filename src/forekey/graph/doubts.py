"""What is doubtful about how values are read: dates that read two ways, times that differ from others of their row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from forekey.graph.findings import Finding
from forekey.graph.rows import quoted
from forekey.project import ColumnConfig, Config, MomentConfig, TableConfig, TimeConfig
from forekey.schema import DType, Schema, Stype, TableSchema, key_parts
from forekey.source import (
    MOST_PARTS,
    ColumnInfo,
    ConfiguredSource,
    Source,
    exchanged_format,
    names_own_time,
    read_moment,
    read_number,
)

_MOST_APART = 0.05


def check_readings(source: ConfiguredSource, config: Config, schema: Schema) -> Iterator[Finding]:
    """List columns whose values read as well another way, and times that lie in another period than others."""
    stored = source.stored_columns()
    for table in schema.tables:
        entry, columns = config.tables[table.name], {c.name: c for c in stored.get(table.name, ())}
        for column, told in _written(entry).items():
            if entry.sql is None and column in columns and columns[column].dtype is DType.TEXT:
                yield from _read_otherwise(source.stored, table.name, columns[column], told)
        if entry.time is not None and not entry.time.is_plain:
            yield from _apart(source, table, entry.time)
        if entry.time_from is not None:
            yield from _inherited(source, table, entry.time_from)


def _written(entry: TableConfig) -> Mapping[str, MomentConfig]:
    """Return how the values of columns are written, by what forekey.yaml says."""
    found: dict[str, MomentConfig] = {c: told for c, told in entry.readings.items() if not told.is_plain}
    if entry.time is not None and entry.time.column is not None:
        found[entry.time.column] = entry.time
    return found


def _read_otherwise(source: Source, table: str, column: ColumnInfo, told: MomentConfig) -> Iterator[Finding]:
    value = exp.column(column.name, quoted=True)
    other = exchanged_format(told.format) if told.format is not None else None
    if other is not None:
        both = (MomentConfig(format=f) for f in (told.format, other))
        one, two = (read_moment(value.copy(), DType.TEXT, f, source.dialect) for f in both)
        ways = (str(told.format), other)
        what = f"every value reads as {told.format} and as {other}; it is read as {told.format}"
        how = f"If that is not the order of day and month, set format: '{other}' in forekey.yaml."
    elif isinstance(told, ColumnConfig) and told.type is Stype.NUMERICAL and told.decimal is not None:
        mark = "," if told.decimal == "." else "."
        one, two = read_number(value.copy(), told.decimal), read_number(value.copy(), mark)
        ways = (f"decimal: '{told.decimal}'", f"decimal: '{mark}'")
        what = f"every value reads with decimal: '{told.decimal}' and with decimal: '{mark}'"
        how = "Set the one that is meant in forekey.yaml."
    else:
        return
    differ = exp.Case().when(exp.NEQ(this=one.copy(), expression=two.copy()), exp.Literal.number(1))
    there = exp.Count(this=value.copy())
    counts = {"there": there, "one": exp.Count(this=one), "two": exp.Count(this=two), "differ": exp.Count(this=differ)}
    statement = exp.select(*(c.as_(n) for n, c in counts.items())).from_(quoted(table))
    row = source.query(statement).read_all().to_pylist()[0]
    if row["one"] < row["two"]:
        what = f"{row['one']:,} of {row['there']:,} values read by {ways[0]}, {row['two']:,} by {ways[1]}"
    if row["one"] and row["one"] <= row["two"] and row["differ"]:
        yield Finding(f"{table}.{column.name}", what, how)


def _apart(source: Source, table: TableSchema, time: TimeConfig) -> Iterator[Finding]:
    """Compare a time that is a year, month or day with the other moments of its row."""
    own_columns = {table.time_column, *time.columns}
    others = [c for c in table.columns if c.stype is Stype.TIMESTAMP and c.name not in own_columns]
    own: exp.Expression = exp.column(table.time_column or "", quoted=True)
    if time.end == "end":  # the end of a period is the first moment of the next
        own = exp.Sub(this=own, expression=exp.Interval(this=exp.Literal.string("1"), unit=exp.var("MICROSECOND")))
    for column in others:
        moment = exp.cast(exp.column(column.name, quoted=True), "TIMESTAMP")
        unit = exp.Literal.string(time.period)
        periods = [exp.Anonymous(this="date_trunc", expressions=[unit.copy(), m.copy()]) for m in (own, moment)]
        apart = exp.Case().when(exp.NEQ(this=periods[0], expression=periods[1]), exp.Literal.number(1))
        counts = exp.select(exp.Count(this=moment.copy()).as_("there"), exp.Count(this=apart).as_("apart"))
        row = source.query(counts.from_(quoted(table.name))).read_all().to_pylist()[0]
        if row["there"] and row["apart"] > _MOST_APART * row["there"]:
            yield Finding(
                f"{table.name}.{table.time_column}",
                f"{column.name} is in another {time.period} in {row['apart'] / row['there']:.0%} of rows",
                "Check that time_column names the moment of the row.",
            )


def _inherited(source: Source, table: TableSchema, via: str) -> Iterator[Finding]:
    """Doubt a time taken from a parent: where rows have one of their own, or are too many to be parts."""
    setting = f"{table.name}.time_from"
    dated = [c.name for c in table.columns if c.name != table.time_column and names_own_time(table.name, c.name)]
    if dated:
        what = f"leak risk: rows take the time of their {via}, though {', '.join(dated)} may say when they came to be"
        yield Finding(setting, what, "Set time_column, and remove time_from.")
        return
    columns = key_parts(via, [c.name for c in table.columns]) or (via,)
    value = exp.column(columns[0], quoted=True)
    counts = [exp.Count(this=value), exp.Count(this=exp.Distinct(expressions=[value.copy()]))]
    statement = exp.select(*(c.as_(n) for c, n in zip(counts, ("rows", "wholes"), strict=True)))
    row = source.query(statement.from_(quoted(table.name))).read_all().to_pylist()[0]
    if row["rows"] > MOST_PARTS * max(row["wholes"], 1):
        what = f"leak risk: rows take the time of their {via}, {row['rows'] / row['wholes']:,.0f} rows each"
        yield Finding(setting, what, "Set time_column, unless all of them came to be when that did.")
