"""When the rows of a table came to be, guessed: timestamps, moments written as numbers or texts, years and months.

A table whose rows are parts of others, with no time of their own, takes the time of the row that they are part of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from forekey.project import MomentConfig, TableConfig, TimeConfig
from forekey.schema import DType, key_parts
from forekey.source.dates import READS, WrittenMoments, written_moments
from forekey.source.names import calendar_part, names_moment, names_ordinal, names_parts, singular, time_name_score
from forekey.source.profile import ColumnProfile
from forekey.source.protocol import Source, TableInfo
from forekey.source.readings import read_moment

Moments = dict[str, WrittenMoments | MomentConfig]
Profiles = Mapping[str, ColumnProfile]

_RISING = 0.9
_LAST_RESORT = -0.1
"""The score of a year or month: any moment that reads like that of the row is better."""
MOST_PARTS = 100.0
"""How many rows each whole may have on average, if its parts share its time."""
_MOST_NULLS = 0.02
"""A row without a time is left out: a year that many rows do not have is not the time of the table."""
_FIRST_YEAR, _LAST_YEAR = 1500, 2200
_SECONDS = (3e8, 4.2e9)
"""From 1979 to 2103, in seconds since 1970."""
_SCALES = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
_CALENDAR = {"yyyymmdd": 10_000, "yyyymm": 100}
_SURE, _SPREAD = 20, 100
"""How many different dates, and from how far apart, say by themselves that a column holds dates."""
_JULIAN = (2_299_160.5, 2_561_118.5)
"""From 1582 to 2300, in Julian days."""


@dataclass(frozen=True, slots=True)
class TimeGuess:
    """The time of a table's rows, and why."""

    time: TimeConfig
    reason: str
    certainty: float = 0.9


def hidden_moments(source: Source, table: TableInfo, profile: Profiles) -> Moments:
    """Find the columns of texts and numbers that hold moments (a year alone is a number, and stays one)."""
    found: Moments = {}
    for column in table.columns:
        own = profile[column.name]
        if column.dtype is DType.TEXT and own.non_null:
            told = _digits(column.name, own) or written_moments(source, table, column.name, own.texts)
        elif column.dtype in {DType.INTEGER, DType.FLOAT} and own.non_null:
            told = _counted(source, table, column.name, own)
        else:
            told = None
        if told is not None:
            found[column.name] = told
    return found


def _counted(source: Source, table: TableInfo, column: str, profile: ColumnProfile) -> MomentConfig | None:
    """Return what the numbers of a column count, if all of them say that it holds moments, and its name does too.

    Of numbers in general, one in 27 is a day written as ``yyyymmdd``, one in 8 a month: where twenty different ones
    all are, the name need not say so.
    """
    named, spread = names_moment(column), profile.usual_high - profile.usual_low
    for unit, digits in _CALENDAR.items():
        sure = named or (profile.distinct >= _SURE and spread >= _SPREAD)
        if sure and profile.whole >= READS and _are_dates(source, table, column, profile, unit, digits):
            return MomentConfig.model_validate({"unit": unit})
    if not named:
        return None
    if _JULIAN[0] <= profile.usual_low <= profile.usual_high <= _JULIAN[1]:
        return MomentConfig(unit="julian")
    for unit, per in _SCALES:
        if _SECONDS[0] * per <= profile.usual_low <= profile.usual_high <= _SECONDS[1] * per:
            return MomentConfig.model_validate({"unit": unit})
    return None


def _digits(column: str, profile: ColumnProfile) -> MomentConfig | None:
    """Return the unit of a column of texts that are all days or months, written as eight or six digits."""
    texts = [t.strip() for t in profile.texts]
    if not texts or profile.plain < 1.0 or not (names_moment(column) or len(set(texts)) >= _SURE):
        return None
    for unit, length in (("yyyymmdd", 8), ("yyyymm", 6)):
        if all(len(t) == length and _is_date(t) for t in texts):
            return MomentConfig.model_validate({"unit": unit})
    return None


def _is_date(text: str) -> bool:
    year, month, day = text[:4], text[4:6], text[6:] or "01"
    return text.isdigit() and "1500" <= year <= "2200" and "01" <= month <= "12" and "01" <= day <= "31"


def _are_dates(source: Source, table: TableInfo, column: str, profile: ColumnProfile, unit: str, digits: int) -> bool:
    """Whether the whole numbers of a column are days, such as 20240131, or months, such as 202401."""
    if not _FIRST_YEAR * digits <= profile.usual_low <= profile.usual_high <= _LAST_YEAR * digits:
        return False
    value, told = exp.column(column, quoted=True), MomentConfig.model_validate({"unit": unit})
    date = read_moment(value.copy(), DType.FLOAT, told, source.dialect)
    counts = exp.select(exp.Count(this=value).as_("there"), exp.Count(this=date).as_("dates")).from_(_table(table.name))
    row = source.query(counts).read_all().to_pylist()[0]
    return int(row["dates"]) >= READS * int(row["there"])


def guess_time(
    source: Source,
    table: TableInfo,
    profile: Profiles,
    moments: Moments,
    primary: str | None,
    foreign: Collection[str] = (),
) -> TimeGuess | None:
    """Choose the moment at which a row came to be: by its name, and by how it rises with a key of integers.

    A day that refers to another table (a calendar's, ``20240131``) may be the time too, in a column of its own; a row's
    own key may not.
    """
    if table.time_column is not None:
        return TimeGuess(TimeConfig(column=table.time_column), "declared")
    times = _single_times(table, profile, moments)
    days = {c.name for c in table.columns if c.sql_type.upper() == "DATE"}
    for name in [n for n in times if n == primary or n in foreign]:
        time = times.pop(name)
        if name != primary and (name in days or time.unit in _CALENDAR):
            times[name] = time.model_copy(update={"at": "start"}) if name in days else time
    named = {name: time_name_score(singular(table.name), name) for name in times}
    counted = len(times) > 1 and {c.name: c.dtype for c in table.columns}.get(primary or "") is DType.INTEGER
    stored = {c.name for c in table.columns if c.dtype is DType.TIMESTAMP}
    rises = {n: _rises(source, table.name, n, primary or "") if counted and n in stored else 0.0 for n in times}
    scored = sorted(((named[t] + 0.4 * (rises[t] > _RISING), -i, t) for i, t in enumerate(times)), reverse=True)
    if scored and scored[0][0] >= 0:
        name = scored[0][2]
        why = "the only timestamp" if len(times) == 1 else f"reads most like the moment of the row among {len(times)}"
        why += f"; rises with {primary}" if rises[name] > _RISING else ""
        sure = 0.9 if len(times) == 1 or rises[name] > _RISING else 0.75 if named[name] > 0 else 0.6
        return TimeGuess(times[name], why + _written(moments.get(name)), sure if name in stored else min(sure, 0.75))
    return _calendar_time(table, profile, primary)


def _written(told: WrittenMoments | MomentConfig | None) -> str:
    if told is None:
        return ""
    return f"; {told.reason}" if isinstance(told, WrittenMoments) else f"; {what_is_counted(told)}"


def what_is_counted(told: MomentConfig) -> str:
    """Say what the digits of a column mean."""
    return f"its values are {told.unit}" if told.unit in _CALENDAR else f"its numbers count {told.unit}"


def _single_times(table: TableInfo, profile: Profiles, moments: Moments) -> dict[str, TimeConfig]:
    """Return the columns that hold moments, in the table's order, and how each is read as a time."""
    found = {}
    for column in table.columns:
        there, told = profile[column.name], moments.get(column.name)
        if column.dtype is DType.TIMESTAMP and (there.non_null > 0 or there.rows == 0):
            found[column.name] = TimeConfig(column=column.name)
        elif isinstance(told, WrittenMoments) and told.chosen:
            found[column.name] = TimeConfig(column=column.name, format=told.told.format)
        elif isinstance(told, MomentConfig):
            found[column.name] = TimeConfig(column=column.name, unit=told.unit)
    return found


def _says_more(table: TableInfo, primary: str | None) -> bool:
    """Whether a table has more than its key: rows that only name a season, or a team in one, have nothing to hide."""
    own = key_parts(primary or "", [c.name for c in table.columns]) or ()
    return len(table.columns) > len(own)


def _calendar_time(table: TableInfo, profile: Profiles, primary: str | None) -> TimeGuess | None:
    """Take the time from a year, with a month and a day where there are such columns."""
    parts = _calendar_columns(table, profile, primary)
    if "year" not in parts or not _says_more(table, primary):
        return None
    year, low, high = parts["year"]
    seen = f"{year} goes from {low:.0f} to {high:.0f}" if low < high else f"such as {high:.0f} in {year}"
    if "month" in parts and "day" in parts:
        time = TimeConfig(year_month_day=(year, parts["month"][0], parts["day"][0]))
        return TimeGuess(time, f"a date in parts; {seen}", 0.75)
    if "month" in parts:
        time = TimeConfig(year_month=(year, parts["month"][0]))
        return TimeGuess(time, f"a year and a month; {seen}; a row counts as known at the end of its month", 0.75)
    if profile[year].distinct < 2:
        return None  # of one year only: that is no clock
    time = TimeConfig(column=year, unit="year", at="end")
    return TimeGuess(time, f"a year; {seen}; a row counts as known at the end of its year", 0.7)


def _calendar_columns(
    table: TableInfo, profile: Profiles, primary: str | None = None
) -> dict[str, tuple[str, float, float]]:
    """Return the columns of the year, month and day of a row's date, each with its lowest and highest number.

    They are named so and have such numbers only; of a key with a year, a part that goes from 1 to 12 is the month.
    """
    within = {"year": (_FIRST_YEAR, _LAST_YEAR), "month": (1, 12), "day": (1, 31)}
    found: dict[str, tuple[str, float, float]] = {}
    for column in table.columns:
        part, own = calendar_part(table.name, column.name), profile[column.name]
        if part is None or part in found or not own.non_null or own.nulls > _MOST_NULLS * own.rows:
            continue
        low, high, whole = own.usual_low, own.usual_high, own.whole
        if column.dtype is DType.TEXT:
            numbers = sorted(float(t) for t in own.texts if t.strip().isdigit()) or [0.0]
            low, high, whole = numbers[len(numbers) // 100], numbers[-1 - len(numbers) // 100], own.plain
        if whole >= READS and within[part][0] <= low <= high <= within[part][1]:
            found[part] = (column.name, low, high)
    if "year" in found and "month" not in found:
        for name in key_parts(primary or "", [c.name for c in table.columns]) or ():
            own = profile[name]
            if (own.low, own.high, own.whole) == (1, 12, 1.0) and not names_ordinal(name):
                found["month"] = (name, 1, 12)
    return found


def has_time_of_its_own(table: TableInfo, profile: Profiles, moments: Moments) -> bool:
    """Whether any column is a time, if only a year, or one that is not that of the row."""
    timed = any(c.dtype is DType.TIMESTAMP for c in table.columns)
    named = any(calendar_part(table.name, c.name) is not None for c in table.columns)
    written = any(isinstance(m, MomentConfig) or m.chosen or names_moment(c) for c, m in moments.items())
    return timed or written or named or bool(_calendar_columns(table, profile))


def guess_wholes(
    source: Source,
    infos: Mapping[str, TableInfo],
    tables: Mapping[str, TableConfig],
    timeless: Mapping[str, bool],
) -> Iterator[tuple[str, str, str]]:
    """Find tables whose rows are parts of others, as (table, foreign key, reason): such rows have no time of their own.

    There must be evidence: no column that is a time, a key that the key of the whole is part of or a name that says
    so, and few rows to each whole.
    """
    known = dict(tables)
    for name in _children_last(tables):
        entry = known[name]
        timed = [c for c, fk in entry.foreign_keys.items() if _is_timed(known[fk.table])]
        if entry.time_column is not None or not timeless.get(name, False) or len(timed) != 1:
            continue
        column, whole = timed[0], entry.foreign_keys[timed[0]].table
        columns = [c.name for c in infos[name].columns]
        own = key_parts(entry.primary_key or "", columns) or ()
        inside = len(own) > 1 and set(key_parts(column, columns) or ()) <= set(own)
        if not inside and not names_parts(name):
            continue
        each = _rows_each(source, infos[name], column)
        if 0 < each <= MOST_PARTS:
            why = f"its key holds that of {whole}" if inside else f"it is named like parts of {whole}"
            known[name] = entry.model_copy(update={"time_from": column})
            yield name, column, f"its rows are parts of {whole}, and have no time: {why}, {each:.1f} rows each"


def _children_last(tables: Mapping[str, TableConfig]) -> list[str]:
    """Return the tables so that those which others refer to come first, as far as there are no cycles."""
    done: list[str] = []
    waiting = list(tables)
    while waiting:
        ready = [n for n in waiting if all(fk.table in {*done, n} for fk in tables[n].foreign_keys.values())]
        done += ready or waiting[:1]
        waiting = [n for n in waiting if n not in done]
    return done


def _is_timed(table: TableConfig) -> bool:
    return table.time_column is not None or table.time_from is not None


def _rows_each(source: Source, table: TableInfo, column: str) -> float:
    """Return how many rows there are for each value of a foreign key on average; 0 if there is none."""
    columns = key_parts(column, [c.name for c in table.columns]) or (column,)
    value = exp.column(columns[0], quoted=True)
    counts = exp.select(
        exp.Count(this=value).as_("rows"), exp.Count(this=exp.Distinct(expressions=[value.copy()])).as_("wholes")
    )
    row = source.query(counts.from_(_table(table.name))).read_all().to_pylist()[0]
    return int(row["rows"]) / int(row["wholes"]) if row["wholes"] else 0.0


def _rises(source: Source, table: str, time: str, key: str) -> float:
    """Return the share of rows (of the first 100,000) whose time is not before that of the row with the key before."""
    first = exp.select(source.column(table, time).as_("moment"), exp.column(key, quoted=True).as_("number"))
    first = first.from_(_table(table)).limit(100_000)
    order = exp.Order(expressions=[exp.Ordered(this=exp.column("number"), desc=False)])
    before = exp.Window(this=exp.Lag(this=exp.column("moment")), order=order)
    pairs = exp.select("moment", before.as_("earlier")).from_(first.subquery("first_rows"))
    rising = exp.Case().when(exp.column("moment") >= exp.column("earlier"), exp.Literal.number(1))
    statement = exp.select(exp.Count(this=rising).as_("rising"), exp.Count(this=exp.column("earlier")).as_("pairs"))
    row = source.query(statement.from_(pairs.subquery("pairs"))).read_all().to_pylist()[0]
    return int(row["rising"]) / int(row["pairs"]) if row["pairs"] else 0.0


def _table(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))
