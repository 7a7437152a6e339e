"""What an encoder must know of a column (centre, scale, vocabulary), learnt from rows up to a cut-off only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forekey.graph import MICROS_PER_DAY
from forekey.schema import ColumnSchema, Stype, TableSchema

MAX_VOCABULARY = 5_000
MIN_COUNT = 2
TEXT_BUCKETS = 4_096
TEXT_SLOTS = 12
SET_SLOTS = 8
RESERVED_CODES = 2
"""Each vocabulary begins with a code for a missing value and one for a value not in it."""


@dataclass(frozen=True, slots=True)
class ColumnFeature:
    """How one column becomes numbers.

    ``center`` and ``scale`` are the median and the interquartile range of a number (days, for a timestamp);
    ``vocabulary`` holds the values that have a code of their own, most frequent first; ``width`` is the length of
    an embedding list, or of the vectors of texts (0: their words are hashed). ``relative`` measures a timestamp from
    its row's own time.
    """

    name: str
    stype: Stype
    center: float = 0.0
    scale: float = 1.0
    vocabulary: tuple[str, ...] = ()
    width: int = 0
    relative: bool = False

    @property
    def numbers(self) -> int:
        """Return how many numerical features the column gives."""
        match self.stype:
            case Stype.NUMERICAL:
                return 2
            case Stype.TIMESTAMP:
                return 8
            case Stype.EMBEDDING | Stype.TEXT:
                return self.width
            case _:
                return 0

    @property
    def slots(self) -> int:
        """Return how many codes the column gives."""
        match self.stype:
            case Stype.CATEGORICAL | Stype.BOOLEAN:
                return 1
            case Stype.MULTICATEGORICAL:
                return SET_SLOTS
            case Stype.TEXT if not self.width:
                return TEXT_SLOTS
            case _:
                return 0

    @property
    def num_codes(self) -> int:
        """Return how many distinct codes the column uses."""
        if self.slots == 0:
            return 0
        return RESERVED_CODES + (TEXT_BUCKETS if self.stype is Stype.TEXT else len(self.vocabulary))


@dataclass(frozen=True, slots=True)
class TableFeatures:
    """The features of one table. Code 0 is "nothing here"; each column's codes follow those before it."""

    table: str
    columns: tuple[ColumnFeature, ...]

    @property
    def numbers(self) -> int:
        """Return the width of the numerical block."""
        return sum(c.numbers for c in self.columns)

    @property
    def slots(self) -> int:
        """Return the width of the code block."""
        return sum(c.slots for c in self.columns)

    @property
    def num_codes(self) -> int:
        """Return the number of distinct codes, "nothing here" included."""
        return 1 + sum(c.num_codes for c in self.columns)


def fit_column(rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> ColumnFeature:
    """Learn the statistics of one column of a table from its rows; ``text_width`` is that of the vectors of texts."""
    values = rows.column(column.name)
    match column.stype:
        case Stype.NUMERICAL:
            center, scale = robust_scale(values.drop_null().to_numpy())
            return ColumnFeature(column.name, column.stype, center, scale)
        case Stype.TIMESTAMP:
            relative = table.time_column is not None and column.name != table.time_column
            center, scale = robust_scale(days_of(rows, column.name, table.time_column if relative else None))
            return ColumnFeature(column.name, column.stype, center, scale, relative=relative)
        case Stype.CATEGORICAL:
            return ColumnFeature(column.name, column.stype, vocabulary=_vocabulary(values))
        case Stype.MULTICATEGORICAL:
            return ColumnFeature(column.name, column.stype, vocabulary=_vocabulary(pc.list_flatten(values)))
        case Stype.BOOLEAN:
            return ColumnFeature(column.name, column.stype, vocabulary=("false", "true"))
        case Stype.EMBEDDING:
            lengths = pc.list_value_length(values).drop_null().to_numpy()
            return ColumnFeature(column.name, column.stype, width=int(np.median(lengths)) if len(lengths) else 0)
        case Stype.TEXT:
            return ColumnFeature(column.name, column.stype, width=text_width)
        case _:
            return ColumnFeature(column.name, column.stype)


def robust_scale(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return the median and the interquartile range; where that is 0 or overflows, a wider measure, at last 1."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return 0.0, 1.0
    low, center, high = np.percentile(finite, [25, 50, 75])
    with np.errstate(over="ignore", invalid="ignore"):
        candidates = (high - low, finite.std(), np.abs(finite - center).max(), 1.0)
    return float(center), float(next(s for s in candidates if np.isfinite(s) and s > 0))


def days_of(rows: pa.Table, column: str, since: str | None) -> np.ndarray[Any, Any]:
    """Return a timestamp column in days since 1970, or since another column of the row; NaN where missing."""
    micros = _micros(rows.column(column))
    return (micros - _micros(rows.column(since)) if since is not None else micros) / MICROS_PER_DAY


def _micros(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = pc.fill_null(column.cast(pa.int64()), 0).to_numpy().astype(np.float64)
    if column.null_count:
        values[column.is_null().to_numpy()] = np.nan
    return values


def _vocabulary(values: pa.ChunkedArray) -> tuple[str, ...]:
    """Return the values seen at least twice, most frequent first (equals by name), at most ``MAX_VOCABULARY``."""
    counted = pc.value_counts(values.drop_null())
    names, counts = counted.field("values").to_pylist(), counted.field("counts").to_numpy()
    frequent = [(-int(n), str(v)) for v, n in zip(names, counts, strict=True) if n >= MIN_COUNT]
    return tuple(name for _, name in sorted(frequent)[:MAX_VOCABULARY])
