"""Categories: a token for each frequent value; aggregated as shares of the most frequent ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.features.columns.column import (
    RESERVED_TOKENS,
    Encoded,
    Measure,
    ScalarEncoder,
    tokens_of,
    vocabulary_of,
)
from forekey.schema import ColumnSchema, Stype, TableSchema

MAX_INDICATORS = 6
_MIN_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class CategoricalEncoder(ScalarEncoder):
    """``vocabulary`` holds the values that have a token of their own, most frequent first."""

    stype: ClassVar[Stype] = Stype.CATEGORICAL

    vocabulary: tuple[str, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Return 1."""
        return 1

    @property
    def vocabulary_size(self) -> int:
        """Return the number of values with a token of their own, and those for missing and for others."""
        return RESERVED_TOKENS + len(self.vocabulary)

    @classmethod
    def fit(cls, rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> Self:
        """Learn the vocabulary."""
        return cls(column.name, vocabulary_of(rows.column(column.name)))

    def encode(self, rows: pa.Table) -> Encoded:
        """Return the token of each value."""
        return Encoded.of_tokens(tokens_of(rows.column(self.name), self.vocabulary)[:, None])

    def numbers(self, rows: pa.Table) -> NDArray[np.float64]:
        """Return each value's rank in frequency, -1 for one that is not in the vocabulary."""
        values = rows.column(self.name)
        found = pc.cast(pc.index_in(values, value_set=pa.array(self.vocabulary, pa.string())), "float64")
        ranks = pc.if_else(pc.is_null(values), float("nan"), pc.fill_null(found, -1.0))
        return np.asarray(ranks, np.float64)

    def meaning(self, value: float) -> float | str:
        """Return the category."""
        return self.vocabulary[int(value)] if 0 <= value < len(self.vocabulary) else "a rare value"

    @classmethod
    def measures(cls, values: pa.ChunkedArray, column: ColumnSchema, table: TableSchema) -> list[Measure]:
        """Return the most frequent values, each as yes or no, if they are more than rare; none of a constant column."""
        counted = pc.value_counts(values.drop_null())
        names, counts = counted.field("values").to_pylist(), counted.field("counts").to_numpy()
        if len(names) < 2:
            return []
        ranked = sorted(zip(-counts, names, strict=True))[:MAX_INDICATORS]
        frequent = [str(name) for count, name in ranked if -count >= _MIN_SHARE * len(values)]
        return [Measure(column.name, cls.stype, name) for name in frequent]

    @classmethod
    def measured(cls, rows: pa.Table, measure: Measure, time_column: str | None) -> NDArray[np.float64]:
        """Return 1 where the column holds the measure's value, else 0."""
        column = rows.column(measure.column)
        return pc.cast(pc.equal(column, pa.scalar(measure.value, column.type)), pa.float64()).to_numpy()  # type: ignore[no-any-return]
