"""Types of columns, one file a type: what is learnt of a column, how it is encoded, how it is aggregated."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from forekey.features.columns.boolean import BooleanEncoder
from forekey.features.columns.categorical import CategoricalEncoder
from forekey.features.columns.column import ColumnEncoder, Encoded, Measure, ScalarEncoder, robust_scale
from forekey.features.columns.embedding import EmbeddingEncoder
from forekey.features.columns.multicategorical import MulticategoricalEncoder
from forekey.features.columns.numerical import NumericalEncoder
from forekey.features.columns.text import TextEncoder
from forekey.features.columns.timestamp import TimestampEncoder
from forekey.schema import ColumnSchema, Stype, TableSchema

__all__ = [
    "COLUMN_TYPES",
    "SCALAR_TYPES",
    "BooleanEncoder",
    "CategoricalEncoder",
    "ColumnEncoder",
    "EmbeddingEncoder",
    "Encoded",
    "Measure",
    "MulticategoricalEncoder",
    "NumericalEncoder",
    "ScalarEncoder",
    "TextEncoder",
    "TimestampEncoder",
    "column_from_dict",
    "fit_column",
    "robust_scale",
]

COLUMN_TYPES: dict[Stype, type[ColumnEncoder]] = {
    kind.stype: kind
    for kind in (
        NumericalEncoder,
        TimestampEncoder,
        CategoricalEncoder,
        BooleanEncoder,
        MulticategoricalEncoder,
        TextEncoder,
        EmbeddingEncoder,
    )
}
"""The encoder of each type of column; types that are not here, such as ids, are no features."""
SCALAR_TYPES: dict[Stype, type[ScalarEncoder]] = {
    stype: kind for stype, kind in COLUMN_TYPES.items() if issubclass(kind, ScalarEncoder)
}
"""Those of them that window features can read as one number a row."""


def fit_column(rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> ColumnEncoder:
    """Learn the encoder of one column of a table from its rows; ``text_width`` is that of the vectors of texts."""
    return COLUMN_TYPES[column.stype].fit(rows, column, table, text_width)


def column_from_dict(data: dict[str, Any]) -> ColumnEncoder:
    """Read what :meth:`ColumnEncoder.to_dict` wrote."""
    return COLUMN_TYPES[Stype(data["type"])].from_dict(data)
