"""Where an axis has its ticks, and what stands there."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

Tick = tuple[float, str]

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_HOUR, _DAY = 3_600.0, 86_400.0
_TIME_STEPS = (60.0, 300.0, 900.0, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1_200, 2_400, 6_000, 12_000, 24_000)
_MONTH = 30.44 * _DAY
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0
"""The years 1 to 9999, in seconds since 1970."""


def number_ticks(low: float, high: float, most: int = 5) -> list[Tick]:
    """Return round numbers between two, both included, at most ``most + 1``, with enough digits to differ."""
    raw = (high - low) / max(most, 1)
    if not math.isfinite(raw) or raw <= 4.0 * math.ulp(max(abs(low), abs(high), 1e-290)):
        return [(low, short(low))]  # too far apart, or too near, for numbers between them
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(s for s in _STEPS if s * size >= raw * 0.999) * size
    first = math.ceil(low / step - 1e-9)
    values = [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
    decimals = max(0, math.ceil(-math.log10(step) - 1e-9) + (1 if round(step / size, 1) == 2.5 else 0))
    if decimals <= 6 and max(abs(low), abs(high)) < 1e6:
        return [(v, f"{v:,.{decimals}f}") for v in values]
    return [(v, short(v)) for v in values]


def time_ticks(low: float, high: float, most: int = 5) -> list[Tick]:
    """Return round moments between two, in seconds since 1970 (UTC): hours, days, weeks, or firsts of months."""
    low, high = max(low, _FIRST), min(high, _LAST)
    span = max(high - low, 1.0)
    step = next((s for s in _TIME_STEPS if span / s <= most), None)
    if step is None:
        return _months(low, high, next((m for m in _MONTHS if span / (m * _MONTH) <= most), _MONTHS[-1]))
    start = math.ceil(low / step) * step
    found = [start + i * step for i in range(int((high - start) // step) + 1)] if start <= high else []
    if step >= _DAY:
        return [(s, _said(s, "%d %b")) for s in found or [low]]
    return [(s, _said(s, "%H:%M" if i else "%d %b %H:%M")) for i, s in enumerate(found or [low])]


def short(value: float) -> str:
    """Return a number in few characters: 1,234, 1.2M, 0.0012."""
    size = abs(value)
    if not math.isfinite(value):
        return "–"
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if size >= limit:
            return f"{value / limit:.3g}{unit}"
    if size >= 1e4:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size < 1e3 else f"{value:,.4g}"


def _months(low: float, high: float, step: int) -> list[Tick]:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=low)
    number = -(-(begin.year * 12 + begin.month - 1) // step) * step
    found = []
    while number // 12 < 9999:
        moment = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
        if seconds > high:
            break
        if seconds >= low:
            found.append((seconds, f"{moment:%b %Y}" if step < 12 else f"{moment.year}"))
        number += step
    return found or [(low, _said(low, "%d %b %Y"))]


def _said(seconds: float, shape: str) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime(shape)
