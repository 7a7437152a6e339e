"""How values become what they stand for, in SQL: numbers and texts that are moments, texts that are numbers or yes/no.

The expressions give NULL for a value that does not read, on every database, and never fail on one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from forekey.project import MomentConfig
from forekey.schema import DType

TRUE_VALUES = ("true", "t", "yes", "y", "1", "on")
FALSE_VALUES = ("false", "f", "no", "n", "0", "off")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONE = "([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
_CLOCK = "(?:[T ]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
_CODES = {
    "Y": "([0-9]{4})", "y": "([0-9]{2})", "m": "([0-9]{1,2})", "d": "([0-9]{1,2})", "H": "([0-9]{1,2})",
    "I": "([0-9]{1,2})", "M": "([0-9]{1,2})", "S": "([0-9]{1,2})", "f": "([0-9]{1,9})", "p": "([AaPp][Mm])",
    "b": "([A-Za-z]{3})", "B": "([A-Za-z]{3,9})", "z": _ZONE,
}  # fmt: skip
_PARSED_ALIKE = frozenset("YmdHMSb")
"""Codes that DuckDB's parser reads as we do."""
_PLAIN_ISO = (
    r"^(?:[1-9][0-9]{3}|0[0-9]{2}[1-9]|0[0-9][1-9]0|0[1-9]00)-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:[T ](?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,6})?)?)?$"
)
"""What DuckDB casts as we read it: the years 1 to 9999, no zone."""
_DIGITS = {"year": 1, "yyyymm": 100, "yyyymmdd": 10_000}
"""What a year is multiplied by in each unit."""
_MICROS_PER = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0.001}
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_214_400_000_000
"""The years 1 to 9999, in microseconds since 1970."""
_CURRENCIES = (
    "AED|ARS|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|KWD|MAD|MXN|MYR|NGN|"
    "NOK|NZD|PEN|PHP|PKR|PLN|QAR|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
_BLANKS = "\u00a0\u202f"
_SIGN = rf"(?:[\s$€£¥₩₹₽₺฿%{_BLANKS}]|{_CURRENCIES}|R[$]|kr[.]?|zł|Kč|Fr[.])*"
_GAPS = f" '’{_BLANKS}"


class UnknownFormat(ValueError):
    """A pattern of ``strptime`` that is not read here."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A format as a regular expression, and the code that each of its groups holds."""

    regex: str
    codes: tuple[str, ...]


ISO = Pattern(rf"^\s*([0-9]{{4}})-([0-9]{{1,2}})-([0-9]{{1,2}}){_CLOCK}\s*{_ZONE}?\s*$", tuple("YmdHMSfz"))
"""ISO 8601: 2024-01-31, with a time and a zone or without."""


def pattern_of(text: str) -> Pattern:
    """Return what a format of ``strptime`` matches; :class:`UnknownFormat` names what is not read."""
    codes, regex = [], ""
    for code, literal in re.findall(r"%-?([A-Za-z%])|([^%]|%)", text):
        if not code or code == "%":
            regex += r"\s+" if (literal or "%").isspace() else re.escape(literal or "%")
        elif code in _CODES:
            regex += _CODES[code]
            codes.append(code)
        else:
            raise UnknownFormat(f"%{code} is not read; there are {', '.join(f'%{c}' for c in _CODES)}")
    if len({"Y", "y"} & set(codes)) != 1 or len(set(codes)) < len(codes) or len(codes) > 9:
        raise UnknownFormat("a format needs one year (%Y or %y), and every code at most once")
    return Pattern(rf"^\s*{regex}\s*$", tuple(codes))


def read_moment(value: exp.Expression, dtype: DType, told: MomentConfig, dialect: str) -> Any:
    """Write the moment that a value stands for, by its unit or format (a text without either: ISO 8601).

    A format reads the digits of a number as it reads those of a text: a file's digits may arrive as either.
    """
    if told.unit in _DIGITS:
        whole, size = read_whole(value, dtype), _DIGITS[told.unit]
        month = _part(whole, size // 100, 100) if size > 1 else None
        day = _part(whole, 1, 100) if size == _DIGITS["yyyymmdd"] else None
        return _at(_calendar(_part(whole, size), month, day, last_year=_last_year(told)), told, begins=True)
    if told.unit is not None:
        return _at(_since(value, dtype, told.unit, dialect), told)
    if dtype is DType.TIMESTAMP:
        return _at(exp.cast(value, "TIMESTAMP"), told)
    if dtype in {DType.INTEGER, DType.FLOAT}:
        value = read_whole(value, dtype)
    return _at(_of_text(value, told.format, dialect), told)


def read_date_parts(values: Sequence[tuple[exp.Expression, DType]], told: MomentConfig) -> Any:
    """Write the moment that a year, a month and maybe a day stand for, each in a column of its own."""
    numbers = [read_whole(value, dtype) for value, dtype in values]
    day = numbers[2] if len(numbers) > 2 else None
    return _at(_calendar(numbers[0], numbers[1], day, last_year=_last_year(told)), told, begins=True)


def read_number(value: exp.Expression, decimal: str = ".") -> Any:
    """Write the number that a text stands for; separated thousands, currencies and per cent signs do not count.

    ``decimal`` is the mark before the decimals. ``(5.00)`` and ``5.00-`` are minus five, as bookkeepers write; a per
    cent sign does not divide by a hundred.
    """
    text = exp.Trim(this=exp.cast(value, "TEXT"))
    mark, gap = ("[.]", f"[,{_GAPS}]") if decimal == "." else (",", f"[.{_GAPS}]")
    whole = rf"(?:[0-9]{{1,3}}(?:{gap}[0-9]{{3}})+|[0-9]{{1,200}})"
    digits = rf"((?:{whole}(?:{mark}[0-9]{{0,200}})?|{mark}[0-9]{{1,200}})(?:[eE][+-]?[0-9]{{1,2}})?)"
    shape = rf"^(\(|-|\+)?{_SIGN}(\(|-|\+)?{_SIGN}{digits}{_SIGN}(-|\))?{_SIGN}$"
    bare = _replaced(_group(text, shape, 3), gap, "")
    bare = _replaced(bare, ",", ".") if decimal == "," else bare
    size = exp.cast(bare, "DOUBLE")
    marks = exp.func("concat", *(_group(text, shape, i) for i in (1, 2, 4)))
    minus = exp.RegexpLike(this=marks, expression=_text("[(-]"))
    signed = exp.Case().when(minus, exp.Neg(this=size)).else_(size.copy())
    return exp.Case().when(exp.RegexpLike(this=text.copy(), expression=_text(shape)), signed)


def read_boolean(value: exp.Expression, true: Sequence[str] = TRUE_VALUES, false: Sequence[str] = FALSE_VALUES) -> Any:
    """Write whether a text is one of the words for true, or one of those for false, whatever their case."""
    word = exp.Lower(this=exp.Trim(this=exp.cast(value, "TEXT")))
    chosen = exp.Case()
    for words, meaning in ((true, True), (false, False)):
        chosen = chosen.when(word.copy().isin(*(_text(w.strip().lower()) for w in words)), exp.Boolean(this=meaning))
    return chosen


def read_whole(value: exp.Expression, dtype: DType) -> Any:
    """Write a whole number as BIGINT, whatever it is stored as; NULL for anything else."""
    if dtype is DType.INTEGER:
        return exp.cast(value, "BIGINT")
    if dtype is DType.FLOAT:
        whole = exp.EQ(this=value.copy(), expression=exp.func("floor", value.copy()))
        fits = exp.Abs(this=value.copy()) < exp.Literal.number("9e18")
        return exp.Case().when(exp.and_(fits, whole), exp.cast(value, "BIGINT"))
    text = exp.Trim(this=exp.cast(value, "TEXT"))
    digits = exp.RegexpLike(this=text, expression=_text(r"^[+-]?[0-9]{1,18}([.]0*)?$"))
    bare = exp.RegexpReplace(this=text.copy(), expression=_text(r"[.]0*$"), replacement=_text(""))
    return exp.Case().when(digits, exp.cast(bare, "BIGINT"))


def _at(moment: Any, told: MomentConfig, *, begins: bool = False) -> Any:
    """Move a moment to the end of its period that counts; ``begins``: it is the beginning of that period already."""
    if told.at is None and told.end == "start":
        return moment
    begin = moment if begins else exp.Anonymous(this="date_trunc", expressions=[_text(told.period), moment])
    return begin if told.end == "start" else exp.Add(this=begin, expression=_interval(1, told.period))


def _last_year(told: MomentConfig) -> int:
    """Return the last year that reads: the end of 9999 is beyond what moments can be."""
    return 9998 if told.end == "end" else 9999


def _calendar(year: Any, month: Any = None, day: Any = None, clock: Sequence[Any] = (), last_year: int = 9999) -> Any:
    """Write a moment of the calendar; NULL where there is no such day or time of day. Parts left out are the first."""
    bounds: list[tuple[Any, int, Any]] = [(year, 1, _number(last_year))]
    bounds += [(month, 1, _number(12))] if month is not None else []
    bounds += [(day, 1, exp.paren(_length_of_month(year, month)))] if day is not None else []
    bounds += [(n, 0, _number(most)) for n, most in zip(clock, (23, 59, 59), strict=False)]
    there = [exp.Between(this=n.copy(), low=_number(low), high=high) for n, low, high in bounds]
    hour, minute, second = [*clock, *[_number(0)] * (3 - len(clock))]
    parts = [year, month if month is not None else _number(1), day if day is not None else _number(1), hour, minute]
    whole = [n.copy() if isinstance(n, exp.Literal) else exp.cast(n.copy(), "INT") for n in parts]
    moment = exp.Anonymous(this="make_timestamp", expressions=[*whole, exp.cast(second.copy(), "DOUBLE")])
    return exp.Case().when(exp.and_(*there), moment)


def _length_of_month(year: Any, month: Any) -> Any:
    """Write how many days a month of a year has."""
    century = exp.paren(exp.or_(exp.not_(_is(_mod(year, 100), 0)), _is(_mod(year, 400), 0)))
    leap = exp.paren(exp.and_(_is(_mod(year, 4), 0), century))
    february = exp.Case().when(leap, _number(29)).else_(_number(28))
    return exp.Case().when(_is(month, 2), february).when(month.copy().isin(4, 6, 9, 11), _number(30)).else_(_number(31))


def _since(value: exp.Expression, dtype: DType, unit: str, dialect: str) -> Any:
    """Write the moment that a number of seconds (or parts of them) since 1970, or of Julian days, stands for."""
    number = read_number(value) if dtype is DType.TEXT else exp.cast(value, "DOUBLE")
    if unit == "julian":
        days = exp.paren(exp.Sub(this=number, expression=exp.Literal.number("2440587.5")))
        # As SQLite reads them, to the millisecond: a double holds no more of a Julian day.
        millis = exp.func("round", exp.Mul(this=days, expression=exp.Literal.number("86400000.0")))
        micros: Any = exp.Mul(this=millis, expression=_number(1_000))
    elif unit == "us" and dtype is DType.INTEGER:
        micros = exp.cast(value, "BIGINT")
    else:
        micros = exp.func("round", exp.Mul(this=number, expression=exp.Literal.number(repr(_MICROS_PER[unit]))))
    inside = exp.Between(this=micros, low=_number(_EARLIEST), high=_number(_LATEST))
    whole = exp.cast(micros.copy(), "BIGINT")
    if dialect == "duckdb":
        return exp.Case().when(inside, exp.Anonymous(this="make_timestamp", expressions=[whole]))
    since = exp.Mul(this=whole, expression=_interval(1, "microsecond"))
    return exp.Case().when(inside, exp.Add(this=exp.cast(_text("1970-01-01"), "TIMESTAMP"), expression=since))


def _of_text(value: exp.Expression, written: str | None, dialect: str) -> Any:
    """Write the moment that a text stands for: by DuckDB's own parsers where they agree, else from its parts."""
    text = exp.Trim(this=exp.cast(value, "TEXT"))
    pattern = ISO if written is None else pattern_of(written)
    matches = exp.RegexpLike(this=text, expression=_text(pattern.regex))
    chosen = exp.Case()
    if dialect == "duckdb" and written is None:
        plain = exp.RegexpLike(this=text.copy(), expression=_text(_PLAIN_ISO))
        chosen = chosen.when(plain, exp.TryCast(this=text.copy(), to=exp.DataType.build("TIMESTAMP")))
    elif dialect == "duckdb" and set(pattern.codes) <= _PARSED_ALIKE:
        parsed = exp.Anonymous(this="try_strptime", expressions=[text.copy(), _text(str(written))])
        return chosen.when(matches, exp.cast(parsed, "TIMESTAMP"))
    return chosen.when(matches, _of_groups(text, pattern))


def _of_groups(text: exp.Expression, pattern: Pattern) -> Any:
    """Put a moment together from the parts of a text that matches, where the database parses none safely."""
    part = {code: _group(text, pattern.regex, i + 1) for i, code in enumerate(pattern.codes)}
    number = {c: exp.cast(exp.func("nullif", v, _text("")), "INT") for c, v in part.items() if c not in "bBpz"}
    year: Any = number.get("Y")
    if year is None:
        # As POSIX has it: 69 to 99 are of the 20th century.
        century = exp.Case().when(number["y"] >= 69, _number(1900)).else_(_number(2000))
        year = exp.paren(exp.Add(this=number["y"].copy(), expression=exp.paren(century)))
    month = number.get("m") or next((_month(part[c]) for c in "bB" if c in part), None)
    clock: list[Any] = [
        exp.Coalesce(this=n, expressions=[_number(0)]) for c in "HIMS" if (n := number.get(c)) is not None
    ]
    if "p" in part and "I" in number:
        afternoon = exp.Case().when(exp.RegexpLike(this=part["p"], expression=_text("^[Pp]")), _number(12))
        clock[0] = exp.Add(this=_mod(clock[0], 12), expression=exp.paren(afternoon.else_(_number(0))))
    moment = _calendar(year, month, number.get("d"), clock)
    if "f" in part:
        micros = exp.Anonymous(
            this="rpad", expressions=[exp.Left(this=part["f"], expression=_number(6)), _number(6), _text("0")]
        )
        moment = exp.Add(
            this=moment, expression=exp.Mul(this=exp.cast(micros, "INT"), expression=_interval(1, "microsecond"))
        )
    if "z" in part:
        moment = exp.Sub(this=moment, expression=exp.Mul(this=_offset(part["z"]), expression=_interval(1, "minute")))
    return moment


def _month(name: exp.Expression) -> Any:
    short = exp.Lower(this=exp.Left(this=name, expression=_number(3)))
    chosen = exp.Case()
    for i, month in enumerate(_MONTHS):
        chosen = chosen.when(exp.EQ(this=short.copy(), expression=_text(month)), _number(i + 1))
    return exp.paren(chosen)


def _offset(zone: exp.Expression) -> Any:
    """Write how many minutes a zone such as +05:30 is ahead of UTC."""
    hours, minutes = (exp.cast(_group(zone, r"^([+-][0-9]{2}):?([0-9]{2})?$", i), "TEXT") for i in (1, 2))
    size = exp.cast(exp.Anonymous(this="right", expressions=[hours, _number(2)]), "INT")
    further = exp.cast(exp.Coalesce(this=exp.func("nullif", minutes, _text("")), expressions=[_text("0")]), "INT")
    total = exp.paren(exp.Add(this=exp.Mul(this=size, expression=_number(60)), expression=further))
    ahead = exp.Case().when(exp.RegexpLike(this=zone.copy(), expression=_text("^-")), exp.Neg(this=total))
    numeric = exp.RegexpLike(this=zone.copy(), expression=_text("^[+-]"))
    return exp.Case().when(numeric, ahead.else_(total.copy())).else_(_number(0))


def _group(text: exp.Expression, regex: str, number: int) -> exp.Expression:
    """Write a group of a text that matches as a whole: a replacement is what every database has."""
    return exp.RegexpReplace(this=text.copy(), expression=_text(regex), replacement=_text(rf"\{number}"))


def _replaced(text: exp.Expression, regex: str, put: str) -> exp.Expression:
    return exp.Anonymous(this="regexp_replace", expressions=[text, _text(regex), _text(put), _text("g")])


def _part(whole: Any, size: int, of: int | None = None) -> Any:
    """Write the digits of a whole number above ``size`` (a power of ten), ``of`` it only the last."""
    rest = exp.Sub(this=whole.copy(), expression=exp.paren(_mod(whole, size)))
    quotient = exp.cast(exp.Div(this=exp.paren(rest), expression=_number(size)), "BIGINT") if size > 1 else whole.copy()
    return exp.paren(_mod(quotient, of)) if of is not None else quotient


def _mod(value: Any, by: int) -> Any:
    return exp.Mod(this=exp.paren(value.copy()), expression=_number(by))


def _is(value: Any, number: int) -> Any:
    return exp.EQ(this=value.copy(), expression=_number(number))


def _interval(amount: int, unit: str) -> exp.Interval:
    return exp.Interval(this=_text(str(amount)), unit=exp.var(unit.upper()))


def _number(value: int) -> Any:
    return exp.Literal.number(value) if value >= 0 else exp.Neg(this=exp.Literal.number(-value))


def _text(value: str) -> exp.Expression:
    return exp.Literal.string(value)
