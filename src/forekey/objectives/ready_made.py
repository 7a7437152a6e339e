"""Labels that a task brings ready-made: texts become what they stand for, as forekey.yaml has it for columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from forekey import duckdb_session
from forekey.project import MomentConfig
from forekey.schema import DType
from forekey.source import read_boolean, read_moment, read_number


def read_times(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return texts in ISO 8601 as timestamps; any other column as it is."""
    return _read(column, name, "a time in ISO 8601", lambda v: read_moment(v, DType.TEXT, MomentConfig(), "duckdb"))


def read_answers(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return words for yes and no as booleans; any other column as it is."""
    return _read(column, name, "a word for yes or no", read_boolean)


def read_numbers(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return texts that are numbers, with a decimal point, as such; any other column as it is."""
    return _read(column, name, "a number", read_number)


def finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column whose NaN and infinities are NULL, as they are in features."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.fill_null(pc.is_finite(column), False), column, pa.scalar(None, column.type))


def list_of_texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return lists of anything as lists of texts; ``ValueError`` if the column has none."""
    if not pa.types.is_list(column.type) and not pa.types.is_large_list(column.type):
        raise ValueError(f"'{name}' is {column.type}, not a list")
    return column.cast(pa.list_(pa.string()))


def _read(column: pa.ChunkedArray, name: str, what: str, read: Callable[[exp.Expression], Any]) -> pa.ChunkedArray:
    """Read the texts of a column; ``ValueError`` names the first that does not read."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    value = exp.column("value", quoted=True)
    with duckdb_session.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("labels", pa.table({"value": column}))
        shown = read(value.copy()).sql(dialect="duckdb")
        found = engine.sql(f"SELECT {shown} AS value FROM labels").to_arrow_table().column("value")
    pairs = zip(column.to_pylist(), found.to_pylist(), strict=True)
    odd = next((text for text, value in pairs if value is None and (text or "").strip()), None)
    if odd is not None:
        how = "Set how it is written under columns: of its table in forekey.yaml, or mend it"
        raise ValueError(f"'{name}' holds '{odd[:40]}', which does not read as {what}. {how}")
    return found
