"""Moments: days since 1970 or since the row's own time, and where in the day, the week and the year they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.features.columns.column import Encoded, Measure, ScalarEncoder, days_of, robust_scale, scaled
from forekey.features.formats import span_of
from forekey.graph import MICROS_PER_DAY, Micros
from forekey.schema import ColumnSchema, Stype, TableSchema

_PERIODS_DAYS = (1.0, 7.0, 365.2425)


@dataclass(frozen=True, slots=True)
class TimestampEncoder(ScalarEncoder):
    """``center`` and ``scale`` are in days; ``since`` is the row's time column, from which other moments are measured.

    ``is_row_time`` says that the column is the row's own time: how long ago that was is known to a model by the row's
    age, and the date alone would be new at every prediction.
    """

    stype: ClassVar[Stype] = Stype.TIMESTAMP

    center: float = 0.0
    scale: float = 1.0
    since: str | None = None
    is_row_time: bool = False

    @property
    def num_values(self) -> int:
        """Return 8: days, whether they are missing, and sine and cosine of three periods."""
        return 2 + 2 * len(_PERIODS_DAYS)

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the column, and that of the row's time."""
        return (self.name,) if self.since is None else (self.name, self.since)

    @classmethod
    def fit(cls, rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> Self:
        """Learn median and interquartile range in days."""
        is_row_time = column.name == table.time_column
        since = None if is_row_time else table.time_column
        return cls(column.name, *robust_scale(days_of(rows, column.name, since)), since, is_row_time)

    def encode(self, rows: pa.Table) -> Encoded:
        """Return scaled days, a missing flag, and sines and cosines."""
        since_epoch = self.numbers(rows)
        days = since_epoch if self.since is None else days_of(rows, self.name, self.since)
        values = scaled(days, self.center, self.scale)
        if self.is_row_time:
            values[:, 0] = 0.0
        return Encoded.of_values(np.hstack([values, _cycles(since_epoch)]))

    def numbers(self, rows: pa.Table) -> NDArray[np.float64]:
        """Return days since 1970."""
        return days_of(rows, self.name, None)

    def as_of(self, numbers: NDArray[np.float64], times: Micros) -> NDArray[np.float64]:
        """Return how many days before ``times`` the moments were."""
        return times / MICROS_PER_DAY - numbers

    def in_words(self, meaning: float | str) -> str:
        """Say how long ago the moment was."""
        days = float(meaning)
        return f"was {span_of(days)} ago" if days >= 0 else f"is in {span_of(-days)}"

    @classmethod
    def measures(cls, values: pa.ChunkedArray, column: ColumnSchema, table: TableSchema) -> list[Measure]:
        """Return the span from the row's own time, if it has one."""
        return [Measure(column.name, cls.stype)] if table.time_column not in {None, column.name} else []

    @classmethod
    def measured(cls, rows: pa.Table, measure: Measure, time_column: str | None) -> NDArray[np.float64]:
        """Return days since the row's own time."""
        return days_of(rows, measure.column, time_column)


def _cycles(days: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return sine and cosine of the time of day, of the week and of the year; zero where missing."""
    with np.errstate(invalid="ignore"):
        angle = np.nan_to_num((days[:, None] / np.array(_PERIODS_DAYS)) % 1.0) * (2 * np.pi)
    waves = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    return np.where(np.isfinite(days)[:, None], waves, 0.0).astype(np.float32)
