"""What every type of column can do: learn from rows, turn rows into arrays, be aggregated by window features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.features.formats import content
from forekey.graph import MICROS_PER_DAY, Micros
from forekey.schema import ColumnSchema, Stype, TableSchema

MAX_VOCABULARY = 5_000
MIN_COUNT = 2
RESERVED_TOKENS = 2
"""Each vocabulary begins with a token for a missing value and one for a value not in it."""
_NOTHING, _MISSING, _UNKNOWN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Encoded:
    """Encoded rows: ``values [rows, num_values] float32`` (always finite) and ``token_ids [rows, num_tokens] int32``.

    Each column numbers its tokens for itself: 0 is padding, 1 a missing value, 2 a value that is not in its vocabulary.
    """

    values: NDArray[np.float32]
    token_ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of_values(cls, values: NDArray[np.float32]) -> Encoded:
        """Return rows that have no tokens."""
        return cls(values, np.zeros((len(values), 0), np.int32))

    @classmethod
    def of_tokens(cls, token_ids: NDArray[np.int32]) -> Encoded:
        """Return rows that have tokens only."""
        return cls(np.zeros((len(token_ids), 0), np.float32), token_ids)

    @classmethod
    def beside(cls, parts: Sequence[Encoded], rows: int) -> Encoded:
        """Return the columns of several encodings of the same ``rows`` rows, one after another."""
        if len(parts) == 1:
            return parts[0]
        values = [np.zeros((rows, 0), np.float32), *(p.values for p in parts)]
        return cls(np.hstack(values), np.hstack([np.zeros((rows, 0), np.int32), *(p.token_ids for p in parts)]))

    def take(self, rows: NDArray[Any]) -> Encoded:
        """Return some of the rows."""
        # "clip" spares a copy of the outcome; no row is out of bounds. Other threads may run meanwhile.
        return Encoded(self.values.take(rows, axis=0, mode="clip"), self.token_ids.take(rows, axis=0, mode="clip"))


@dataclass(frozen=True, slots=True)
class Measure:
    """One number per row that window features aggregate: a column, or whether it holds ``value``."""

    column: str
    stype: Stype
    value: str | None = None

    def __str__(self) -> str:
        return self.column if self.value is None else f"{self.column} = {self.value}"


@dataclass(frozen=True, slots=True)
class ColumnEncoder(ABC):
    """How one column becomes arrays: learnt once from rows up to a cutoff, then a pure function of rows."""

    name: str
    stype: ClassVar[Stype]
    slow: ClassVar[bool] = False
    """Whether encoding is slow and depends on nothing learnt: such columns are cached by themselves, for all models."""

    @property
    def num_values(self) -> int:
        """Return how many numerical features the column gives."""
        return 0

    @property
    def num_tokens(self) -> int:
        """Return how many tokens a row has at most."""
        return 0

    @property
    def vocabulary_size(self) -> int:
        """Return how many distinct tokens there are, padding not included."""
        return 0

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the columns that :meth:`encode` reads."""
        return (self.name,)

    @classmethod
    @abstractmethod
    def fit(cls, rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> Self:
        """Learn the statistics of a column from rows of its table; ``text_width`` is that of the vectors of texts."""

    @abstractmethod
    def encode(self, rows: pa.Table) -> Encoded:
        """Encode rows. Missing, unseen and infinite values have outcomes of their own."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form; :func:`forekey.features.columns.column_from_dict` reads it."""
        return {"type": str(self.stype), **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote."""
        read = ((f.name, data[f.name]) for f in fields(cls))
        known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in read}
        return cls(**known)


@dataclass(frozen=True, slots=True)
class ScalarEncoder(ColumnEncoder):
    """A type of column that can be read as one number a row, which window features use and aggregate."""

    additive: ClassVar[bool] = False
    """Whether sums and extremes of its measures mean something, not only means."""

    @abstractmethod
    def numbers(self, rows: pa.Table) -> NDArray[np.float64]:
        """Return the column as one number a row, NaN where missing."""

    def as_of(self, numbers: NDArray[np.float64], times: Micros) -> NDArray[np.float64]:
        """Return what :meth:`numbers` returned as seen from ``times [n]``, microseconds since 1970."""
        return numbers

    def meaning(self, value: float) -> float | str:
        """Return what a finite number of :meth:`as_of` stands for, as JSON has it."""
        return value

    def in_words(self, meaning: float | str) -> str:
        """Say what the column holds, after its name: "is 3"."""
        return f"is {meaning if isinstance(meaning, str) else content(meaning)}"

    @classmethod
    @abstractmethod
    def measures(cls, values: pa.ChunkedArray, column: ColumnSchema, table: TableSchema) -> list[Measure]:
        """Return what window features aggregate of a column, chosen from its values up to a cutoff."""

    @classmethod
    @abstractmethod
    def measured(cls, rows: pa.Table, measure: Measure, time_column: str | None) -> NDArray[np.float64]:
        """Return a measure of each row, ``[rows] float64``."""


def robust_scale(values: NDArray[Any]) -> tuple[float, float]:
    """Return the median and the interquartile range; where that is 0 or overflows, a wider measure, at last 1."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return 0.0, 1.0
    low, center, high = np.percentile(finite, [25, 50, 75])
    with np.errstate(over="ignore", invalid="ignore"):
        candidates = (high - low, finite.std(), np.abs(finite - center).max(), 1.0)
    return float(center), float(next(s for s in candidates if np.isfinite(s) and s > 0))


_MOST = float(np.finfo(np.float64).max)


def scaled(values: NDArray[np.float64], center: float, scale: float) -> NDArray[np.float32]:
    """Return ``asinh((x - center) / scale)`` (linear near 0, logarithmic far away) and a missing flag, ``[n, 2]``."""
    missing = ~np.isfinite(values)
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = (np.where(missing, center, values) - center) / scale
        found = np.arcsinh(np.clip(ratio, -_MOST, _MOST))  # of a finite value, the ratio may be infinite
    return np.stack([found, missing], axis=1).astype(np.float32)


def days_of(rows: pa.Table, column: str, since: str | None) -> NDArray[np.float64]:
    """Return a timestamp column in days since 1970, or since another column of the row; NaN where missing."""
    micros = _micros(rows.column(column))
    return (micros - _micros(rows.column(since)) if since is not None else micros) / MICROS_PER_DAY


def _micros(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values: NDArray[np.float64] = pc.fill_null(column.cast(pa.int64()), 0).to_numpy().astype(np.float64)
    if column.null_count:
        values[column.is_null().to_numpy()] = np.nan
    return values


def vocabulary_of(values: pa.ChunkedArray) -> tuple[str, ...]:
    """Return the values seen at least twice, most frequent first (equals by name), at most ``MAX_VOCABULARY``."""
    counted = pc.value_counts(values.drop_null())
    names, counts = counted.field("values").to_pylist(), counted.field("counts").to_numpy()
    frequent = [(-int(n), str(v)) for v, n in zip(names, counts, strict=True) if n >= MIN_COUNT]
    return tuple(name for _, name in sorted(frequent)[:MAX_VOCABULARY])


def tokens_of(values: Any, vocabulary: tuple[str, ...]) -> NDArray[np.int32]:
    """Return the token of each value, ``[n] int32``: 1 if missing, 2 if unknown, 3 and up for the vocabulary."""
    found = pc.add(pc.index_in(values, value_set=pa.array(vocabulary, pa.string())), 1 + RESERVED_TOKENS)
    tokens = pc.if_else(pc.is_null(values), _MISSING, pc.fill_null(found, _UNKNOWN))
    numbers: NDArray[np.int32] = np.asarray(tokens).astype(np.int32)
    return numbers


def padded(flat: NDArray[np.int32], lengths: NDArray[Any], width: int) -> NDArray[np.int32]:
    """Lay lists of tokens out in rows of ``width``; padding fills what is left, and what does not fit is left out."""
    out = np.full((len(lengths), width), _NOTHING, np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(lengths) else np.empty(0, np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(flat)) - np.repeat(starts, lengths)
    fits = position < width
    out[row[fits], position[fits]] = flat[fits]
    return out


def mark_missing(token_ids: NDArray[np.int32], values: pa.ChunkedArray) -> None:
    """Give rows whose value is missing the token for that."""
    token_ids[values.is_null().to_numpy(), 0] = _MISSING
