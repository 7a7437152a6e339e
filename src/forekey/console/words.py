"""How numbers, moments and values are written on pages."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from forekey.charts.ticks import short

_LONGEST = 300


def number(value: float | None, digits: int = 4) -> str:
    """Write a number with so many significant digits; thousands are set apart, the very large and small in powers."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        return f"{value:.{digits - 1}e}"
    if float(value).is_integer():
        return f"{value:,.0f}"
    decimals = max(digits - 1 - math.floor(math.log10(size)), 0)
    text = f"{value:,.{min(decimals, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float | None) -> str:
    """Write a share as percent; one that is not 0 is not written as 0."""
    if share is None or not math.isfinite(share):
        return "–"
    size = abs(share * 100)
    if size == 0:
        return "0 %"
    if size < 0.001:
        return "< 0.001 %" if share > 0 else "> -0.001 %"
    return f"{share * 100:.{1 if size >= 0.1 else 3}f} %"


def effect(found: float, task_type: str) -> str:
    """Write by how much a prediction is higher: of a probability, in percentage points."""
    if task_type == "binary_classification":
        return f"{found * 100:+.1f} points" if abs(found) >= 0.0005 else f"{found * 100:+.2g} points"
    return f"{'+' if found > 0 else ''}{number(found, 3)}"


def ago(seconds: float | None) -> str:
    """Say how long that is, in the largest unit that fits."""
    if seconds is None:
        return "–"
    for size, unit in ((86_400.0 * 365.25, "years"), (86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


def moment(value: str | datetime | None) -> str:
    """Write a moment (ISO 8601, UTC) to the minute; to the day where it is a midnight."""
    if value is None:
        return "–"
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return str(value)
    shown = when.isoformat(sep=" ")
    return shown[:10] if (when.hour, when.minute, when.second) == (0, 0, 0) else shown[:16]


def value(found: Any) -> str:
    """Write a value of the database; a long one is cut."""
    if found is None:
        return "NULL"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, float):
        return _exact(found)
    if isinstance(found, datetime):
        return moment(found)
    if isinstance(found, date):
        return found.isoformat()
    if isinstance(found, dict):
        return cut(", ".join(f"{k}: {value(v)}" for k, v in found.items()))
    if isinstance(found, list | tuple):
        return cut(", ".join(value(v) for v in found[:20]) + (" …" if len(found) > 20 else ""))
    return cut(str(found))


def _exact(found: float) -> str:
    """Write a number of the database as it is."""
    if not math.isfinite(found) or abs(found) >= 1e15 or 0 < abs(found) < 1e-4:
        return repr(found)
    return f"{found:,.0f}" if found.is_integer() else f"{found:,}"


def prediction(found: Any, task_type: str | None) -> str:
    """Write a prediction: a probability of yes as percent, anything else as its value."""
    if task_type == "binary_classification" and isinstance(found, float):
        return percent(found)
    return number(found) if isinstance(found, float) else value(found)


def cut(text: str, longest: int = _LONGEST) -> str:
    """Return a text that is not too long for a page."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def plural(count: int, one: str, many: str = "") -> str:
    """Write a count with what it counts."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def in_path(text: Any) -> str:
    """Return a value as it stands in a path (RFC 3986)."""
    return quote(str(text), safe="")


def with_commands(text: str) -> Markup:
    """Return a text in which what stands between backquotes is shown as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    code = Markup('<code class="command">{}</code>')
    return Markup("").join(code.format(part) if i % 2 else escape(part) for i, part in enumerate(parts))


FILTERS = {
    "ago": ago,
    "cut": cut,
    "effect": effect,
    "in_path": in_path,
    "moment": moment,
    "number": number,
    "percent": percent,
    "prediction": prediction,
    "plural": plural,
    "short": short,
    "value": value,
    "with_commands": with_commands,
}
