"""Numbers: scaled by median and interquartile range, with a flag for missing ones; aggregated as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.features.columns.column import Encoded, Measure, ScalarEncoder, robust_scale, scaled
from forekey.schema import ColumnSchema, Stype, TableSchema


@dataclass(frozen=True, slots=True)
class NumericalEncoder(ScalarEncoder):
    """``center`` and ``scale`` are median and interquartile range."""

    stype: ClassVar[Stype] = Stype.NUMERICAL
    additive: ClassVar[bool] = True

    center: float = 0.0
    scale: float = 1.0

    @property
    def num_values(self) -> int:
        """Return 2: the scaled number, and whether it is missing."""
        return 2

    @classmethod
    def fit(cls, rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> Self:
        """Learn median and interquartile range."""
        return cls(column.name, *robust_scale(rows.column(column.name).drop_null().to_numpy()))

    def encode(self, rows: pa.Table) -> Encoded:
        """Return ``asinh((x - center) / scale)`` and a missing flag."""
        return Encoded.of_values(scaled(self.numbers(rows), self.center, self.scale))

    def numbers(self, rows: pa.Table) -> NDArray[np.float64]:
        """Return the numbers."""
        return rows.column(self.name).to_numpy().astype(np.float64)  # type: ignore[no-any-return]

    @classmethod
    def measures(cls, values: pa.ChunkedArray, column: ColumnSchema, table: TableSchema) -> list[Measure]:
        """Return the column itself."""
        return [Measure(column.name, cls.stype)]

    @classmethod
    def measured(cls, rows: pa.Table, measure: Measure, time_column: str | None) -> NDArray[np.float64]:
        """Return the numbers."""
        return rows.column(measure.column).to_numpy().astype(np.float64)  # type: ignore[no-any-return]
