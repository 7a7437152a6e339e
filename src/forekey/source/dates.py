"""Which format the dates of a text column are written in: one for all of its values, chosen with evidence.

Whether 03/04/2024 is in March or in April no single value says. A format counts if every part of the table agrees with
it; where the other order of day and month fits as well, the calendar decides, or nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlglot import exp

from forekey.project import MomentConfig
from forekey.schema import DType
from forekey.source.names import names_moment
from forekey.source.protocol import Source, TableInfo
from forekey.source.readings import ISO, pattern_of, read_moment

READS = 0.98
"""The share of a column's texts that must read as what it is taken for."""
_FIRST = 10
"""Texts of which one at least must have a shape before all are looked at."""
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", " %H:%M:%S.%f")
_DAYS = tuple(
    f"{order[0]}{mark}{order[1]}{mark}{year}"
    for year in ("%Y", "%y")
    for mark in "/-."
    for order in (("%m", "%d"), ("%d", "%m"))
)
_WORDED = (
    "%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d.%b.%Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y",
    "%d-%b-%y", "%d %b %y", "%Y-%b-%d",
)  # fmt: skip
_YEAR_FIRST = ("%Y/%m/%d", "%Y.%m.%d")
_MONTHS = ("%Y-%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y", "%Y/%m", "%b-%y")


@dataclass(frozen=True, slots=True)
class WrittenMoments:
    """How the moments of a text column are written; ``share`` of its texts read so.

    ``other`` is the same format with day and month exchanged, where every value reads by that too; ``chosen`` is False
    if nothing shows which of the two is meant.
    """

    told: MomentConfig
    share: float
    reason: str
    other: str | None = None
    chosen: bool = True


def written_moments(source: Source, table: TableInfo, column: str, texts: Sequence[str]) -> WrittenMoments | None:
    """Find the format of a text column from the first of its ``texts``, and verify it on every row."""
    likely = list(_likely(column, texts))
    if not likely:
        return _of_several(column, texts)
    shares = _shares(source, table.name, column, likely)
    best = max(shares.values())
    if best < READS:
        return _of_no_order(column, shares)
    fitting = [f for f in likely if shares[f] == best]
    first = fitting[0]
    if first is not None and "%y" in first and (best < 1.0 or not names_moment(column)):  # 4-10-18 may be a part number
        how = f"if they are dates, state {{type: timestamp, format: '{first}'}}"
        said = f"every text reads as {first}, as some codes do; {how}"
        return WrittenMoments(MomentConfig(format=first), best, said, chosen=False) if best == 1.0 else None
    what = f"text of which {best:.1%} reads as {'ISO 8601' if first is None else first}"
    other = exchanged(first) if first is not None else None
    if first is None or other is None or other not in fitting:
        return WrittenMoments(MomentConfig(format=first), best, what)
    return _of_two(source, table.name, column, first, other, best, texts)


def _of_no_order(column: str, shares: dict[str | None, float]) -> WrittenMoments | None:
    """Say that texts are dates of which some have the day first and others the month, if that is so."""
    ordered = [f for f in shares if f is not None and exchanged(f) in shares and "%Y" in f]
    if not ordered or not names_moment(column):
        return None
    one = max(ordered, key=lambda f: shares[f])
    two = str(exchanged(one))
    reason = (
        f"dates of which {shares[one]:.1%} read as {one} and {shares[two]:.1%} as {two}: no one order of day and month "
        f"fits all. State it as {{type: timestamp, format: '{one}'}}; those that do not read so are NULL"
    )
    return WrittenMoments(MomentConfig(format=one), shares[one], reason, two, chosen=False)


def _of_several(column: str, texts: Sequence[str]) -> WrittenMoments | None:
    """Say that texts are dates written in several ways, as where files of one table come from several hands."""
    if not names_moment(column):
        return None
    there = [t.strip() for t in texts if t.strip()]
    ways: list[tuple[str | None, str]] = [(None, ISO.regex)]
    ways += [(d + clock, pattern_of(d + clock).regex) for d in (*_YEAR_FIRST, *_DAYS, *_WORDED) for clock in _CLOCKS]
    found: dict[str | None, int] = {}
    for text in there:
        way = next((w for w, regex in ways if re.match(regex, text)), "")
        found[way] = found.get(way, 0) + 1
    if not there or found.get("", 0) > (1 - READS) * len(there):
        return None
    shares = {w: n / len(there) for w, n in found.items() if w != ""}
    first = max(shares, key=lambda w: shares[w])
    told = ", ".join(f"{s:.0%} {'ISO 8601' if w is None else w}" for w, s in shares.items())
    reason = f"dates written in several ways ({told}): define the table by a query (sql:) that reads each"
    return WrittenMoments(MomentConfig(format=first), shares[first], reason, chosen=False)


def exchanged(written: str) -> str | None:
    """Return a format with day and month exchanged, where both are numbers."""
    if "%d" not in written or "%m" not in written:
        return None
    return written.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def _likely(column: str, texts: Sequence[str]) -> Iterator[str | None]:
    """Yield the formats whose shape most of some texts have; None stands for ISO 8601."""
    there = [t for t in texts if t.strip()]
    if not there:
        return
    if _share(ISO.regex, there) >= READS:
        yield None
        return
    days = [d + clock for d in (*_YEAR_FIRST, *_DAYS, *_WORDED) for clock in _CLOCKS]
    for written in (*days, *(_MONTHS if names_moment(column) else ())):
        if _share(pattern_of(written).regex, there) >= READS:
            yield written


def _share(regex: str, texts: Sequence[str]) -> float:
    matches = re.compile(regex).match
    if not any(matches(t.strip()) for t in texts[:_FIRST]):
        return 0.0
    return sum(matches(t.strip()) is not None for t in texts) / len(texts)


def _shares(source: Source, table: str, column: str, formats: Sequence[str | None]) -> dict[str | None, float]:
    """Return the share of all of a column's texts that read by each format."""
    value = exp.column(column, quoted=True)
    blank = exp.EQ(this=exp.Trim(this=exp.cast(value.copy(), "TEXT")), expression=exp.Literal.string(""))
    answers = [exp.Count(this=exp.Case().when(exp.not_(blank), exp.Literal.number(1))).as_("there")]
    for i, written in enumerate(formats):
        read = read_moment(value.copy(), DType.TEXT, MomentConfig(format=written), source.dialect)
        answers.append(exp.Count(this=read).as_(f"f{i}"))
    row = _one_row(source, table, answers)
    return {f: int(row[f"f{i}"]) / max(int(row["there"]), 1) for i, f in enumerate(formats)}


def _of_two(
    source: Source, table: str, column: str, one: str, two: str, share: float, texts: Sequence[str]
) -> WrittenMoments:
    """Decide between two orders of day and month that fit every value, by the calendar and by the order of rows."""
    spread = {f: _calendar_spread(source, table, column, f) for f in (one, two)}
    rising = {f: _rising(f, texts) for f in (one, two)}
    both = f"every value reads as {one} and as {two}"
    for first, second in ((one, two), (two, one)):
        months, days = spread[first]
        others = spread[second][0]
        if days == 1 and months > 2 and others <= 1:
            reason = f"{both}; taken as {first}, the first of {months} months rather than {months} days of one"
            return WrittenMoments(MomentConfig(format=first), share, reason, second)
        if rising[first] >= 0.95 and rising[second] < rising[first] - 0.05:
            reason = f"{both}; taken as {first}, by which the rows are in the order of time"
            return WrittenMoments(MomentConfig(format=first), share, reason, second)
    reason = f"{both}; nothing tells which is meant: state it as {{type: timestamp, format: '{one}'}}"
    return WrittenMoments(MomentConfig(format=one), share, reason, two, chosen=False)


def _calendar_spread(source: Source, table: str, column: str, written: str) -> tuple[int, int]:
    """Return how many months of the year, and how many days of the month, a column has by a format."""
    read = read_moment(exp.column(column, quoted=True), DType.TEXT, MomentConfig(format=written), source.dialect)
    parts = [exp.Extract(this=exp.var(part), expression=read.copy()) for part in ("MONTH", "DAY")]
    answers = [exp.Count(this=exp.Distinct(expressions=[p])).as_(n) for p, n in zip(parts, ("m", "d"), strict=True)]
    row = _one_row(source, table, answers)
    return int(row["m"]), int(row["d"])


def _rising(written: str, texts: Sequence[str]) -> float:
    """Return the share of texts, as they came, that are not before the one before them."""
    pattern = pattern_of(written)
    place = {code: i for i, code in enumerate(pattern.codes)}
    found = [m.groups() for t in texts if (m := re.match(pattern.regex, t.strip()))]
    year = "Y" if "Y" in place else "y"
    keys = [tuple(int(g[place[c]]) for c in (year, "m", "d")) for g in found]
    pairs = list(pairwise(keys))
    return sum(a <= b for a, b in pairs) / len(pairs) if pairs else 0.0


def _one_row(source: Source, table: str, answers: Sequence[Any]) -> dict[str, Any]:
    statement = exp.select(*answers).from_(exp.Table(this=exp.to_identifier(table, quoted=True)))
    row: dict[str, Any] = source.query(statement).read_all().to_pylist()[0]
    return row
