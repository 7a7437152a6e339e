"""Embeddings: lists of numbers of one length, taken as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forekey.features.columns.column import ColumnEncoder, Encoded
from forekey.schema import ColumnSchema, Stype, TableSchema


@dataclass(frozen=True, slots=True)
class EmbeddingEncoder(ColumnEncoder):
    """``width`` is the usual length; lists of another count as missing."""

    stype: ClassVar[Stype] = Stype.EMBEDDING

    width: int = 0

    @property
    def num_values(self) -> int:
        """Return the width."""
        return self.width

    @classmethod
    def fit(cls, rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> Self:
        """Learn the usual length."""
        lengths = pc.list_value_length(rows.column(column.name)).drop_null().to_numpy()
        return cls(column.name, int(np.median(lengths)) if len(lengths) else 0)

    def encode(self, rows: pa.Table) -> Encoded:
        """Return the numbers; 0 where a list or a number is missing."""
        column = rows.column(self.name)
        out = np.zeros((len(column), self.width), np.float32)
        lists = column.combine_chunks()
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
        usable = lengths == self.width
        if self.width and usable.any():
            flat = pc.list_flatten(lists.filter(pa.array(usable))).to_numpy(zero_copy_only=False)
            out[usable] = np.nan_to_num(flat.reshape(-1, self.width), posinf=0.0, neginf=0.0)
        return Encoded.of_values(out)
