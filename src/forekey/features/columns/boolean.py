"""Flags: a token for false and one for true; aggregated as the share of true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.features.columns.column import RESERVED_TOKENS, Encoded, Measure, ScalarEncoder, tokens_of
from forekey.schema import ColumnSchema, Stype, TableSchema

_VALUES = ("false", "true")


@dataclass(frozen=True, slots=True)
class BooleanEncoder(ScalarEncoder):
    """Nothing is learnt of flags."""

    stype: ClassVar[Stype] = Stype.BOOLEAN

    @property
    def num_tokens(self) -> int:
        """Return 1."""
        return 1

    @property
    def vocabulary_size(self) -> int:
        """Return 4: missing, other, false, true."""
        return RESERVED_TOKENS + len(_VALUES)

    @classmethod
    def fit(cls, rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> Self:
        """Return the encoder of a column."""
        return cls(column.name)

    def encode(self, rows: pa.Table) -> Encoded:
        """Return the token of each flag."""
        return Encoded.of_tokens(tokens_of(rows.column(self.name).cast(pa.string()), _VALUES)[:, None])

    def numbers(self, rows: pa.Table) -> NDArray[np.float64]:
        """Return 0 and 1."""
        return _as_numbers(rows.column(self.name))

    def meaning(self, value: float) -> float | str:
        """Return "true" or "false"."""
        return _VALUES[int(value >= 0.5)]

    @classmethod
    def measures(cls, values: pa.ChunkedArray, column: ColumnSchema, table: TableSchema) -> list[Measure]:
        """Return the column itself."""
        return [Measure(column.name, cls.stype)]

    @classmethod
    def measured(cls, rows: pa.Table, measure: Measure, time_column: str | None) -> NDArray[np.float64]:
        """Return 0 and 1."""
        return _as_numbers(rows.column(measure.column))


def _as_numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return pc.cast(column, pa.float64()).to_numpy()  # type: ignore[no-any-return]
