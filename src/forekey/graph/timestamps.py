"""Moments as Forekey stores them: UTC, as 64-bit counts of microseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

_EPOCH = datetime(1970, 1, 1)
MICROS_PER_DAY = 86_400_000_000

Micros = NDArray[np.int64]


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970; a moment without zone is taken as UTC."""
    return (in_utc(moment) - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Return the moment, in UTC, without zone."""
    return _EPOCH + timedelta(microseconds=int(micros))


def in_utc(moment: datetime) -> datetime:
    """Return the moment in UTC, without zone."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment


def utc_now() -> datetime:
    """Return the present moment in UTC, without zone, to the second."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)
