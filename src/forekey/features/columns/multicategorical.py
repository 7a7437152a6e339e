"""Sets of categories: a token for each frequent member, up to eight of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc

from forekey.features.columns.column import (
    RESERVED_TOKENS,
    ColumnEncoder,
    Encoded,
    padded,
    tokens_of,
    vocabulary_of,
)
from forekey.schema import ColumnSchema, Stype, TableSchema

MAX_MEMBERS = 8


@dataclass(frozen=True, slots=True)
class MulticategoricalEncoder(ColumnEncoder):
    """``vocabulary`` holds the members that have a token of their own, most frequent first."""

    stype: ClassVar[Stype] = Stype.MULTICATEGORICAL

    vocabulary: tuple[str, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Return how many members of a set are read."""
        return MAX_MEMBERS

    @property
    def vocabulary_size(self) -> int:
        """Return the number of members with a token of their own, and those for missing and for others."""
        return RESERVED_TOKENS + len(self.vocabulary)

    @classmethod
    def fit(cls, rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> Self:
        """Learn the vocabulary."""
        return cls(column.name, vocabulary_of(pc.list_flatten(rows.column(column.name))))

    def encode(self, rows: pa.Table) -> Encoded:
        """Return the tokens of each set's members."""
        lists = rows.column(self.name).combine_chunks()
        flat = tokens_of(pc.list_flatten(lists), self.vocabulary)
        return Encoded.of_tokens(padded(flat, pc.fill_null(pc.list_value_length(lists), 0).to_numpy(), MAX_MEMBERS))
