"""Time arithmetic of windows, in one place so that every database computes the same bounds."""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime, timedelta

from forekey.query.tree import Unit

_SECONDS = {Unit.SECONDS: 1, Unit.MINUTES: 60, Unit.HOURS: 3600, Unit.DAYS: 86_400, Unit.WEEKS: 604_800}

_MONTHS = {Unit.MONTHS: 1, Unit.YEARS: 12}


def shift(moment: datetime, amount: int, unit: Unit) -> datetime:
    """Move a moment by whole units, forwards or backwards.

    Months are calendar months, a year twelve of them: the 31st moved to a shorter month is its last day. Beyond the
    calendar's ends (years 1 and 9999) the nearest end is returned.
    """
    try:
        if unit in _MONTHS:
            return _shift_months(moment, amount * _MONTHS[unit])
        return moment + timedelta(seconds=amount * _SECONDS[unit])
    except (OverflowError, ValueError):
        return datetime.max if amount > 0 else datetime.min


def _shift_months(moment: datetime, months: int) -> datetime:
    year, month0 = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, monthrange(year, month0 + 1)[1])
    return moment.replace(year=year, month=month0 + 1, day=day)
