"""Numbers and spans of time as a person would write them."""

from __future__ import annotations


def span_of(value: float) -> str:
    """Write a span, given in days, in the unit that a person would use."""
    for size, unit in ((730.0, 365.2425), (1.0, 1.0), (1 / 24, 1 / 24)):
        if value >= size:
            name = {365.2425: "year", 1.0: "day"}.get(unit, "hour")
            count = number(round(value / unit, 1) if unit > 1 else round(value / unit))
            return f"{count} {name}{'' if count == '1' else 's'}"
    return "less than an hour" if value > 0 else "0 days"


def number(value: float) -> str:
    """Write a number with up to four figures that count; whole numbers with separators."""
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def content(value: float) -> str:
    """Write what a column holds: as :func:`number`, but four digits may be a year and have no separator."""
    return f"{value:.0f}" if value == round(value) and abs(value) < 10_000 else number(value)
