"""Keys of the database to rows of the graph and back.

Integer keys stand for themselves; any other key is text and stands as the first 64 bits of its MD5 (RFC 1321), as
DuckDB computes it for whole columns and :mod:`hashlib` for one. An index is two arrays, sorted by that number, so
it opens in constant time and answers in about a microsecond.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlglot import exp

from forekey.errors import SnapshotError
from forekey.schema import DType


def stored_key(value: exp.Expression, own: DType, target: DType) -> exp.Expression:
    """Write, in SQL, a key as keys of the family ``target`` are stored: a 64-bit integer, or text.

    7.0 and '7' are the key 7; 7.5 is no key, and must not be rounded to one.
    """
    if target is not DType.INTEGER:
        return exp.TryCast(this=value, to=exp.DataType.build("VARCHAR"))
    whole = exp.TryCast(this=value, to=exp.DataType.build("BIGINT"))
    if own is DType.INTEGER:
        return whole
    number = exp.TryCast(this=value.copy(), to=exp.DataType.build("DOUBLE"))
    return exp.Case().when(exp.EQ(this=number, expression=exp.func("floor", number.copy())), whole)


def key_type(dtype: DType) -> pa.DataType:
    """Return the Arrow type in which keys of this family are stored."""
    return pa.int64() if dtype is DType.INTEGER else pa.string()


def key_numbers(keys: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the number of each key, ``[len(keys)] int64``; that of a NULL means nothing."""
    if pa.types.is_integer(keys.type):
        filled: NDArray[np.int64] = pc.fill_null(keys, 0).to_numpy().astype(np.int64, copy=False)
        return filled
    if len(keys) == 0:
        return np.empty(0, np.int64)
    with duckdb.connect() as connection:
        connection.register("rows", pa.table({"k": keys}))
        hashed = connection.sql("SELECT CAST('0x' || substr(md5(coalesce(k, '')), 1, 16) AS UBIGINT) AS h FROM rows")
        return hashed.to_arrow_table().column("h").to_numpy().view(np.int64)  # type: ignore[no-any-return]


def key_number(key: int | str) -> int:
    """Return the number of one key, equal to what :func:`key_numbers` gives."""
    if isinstance(key, int):
        return key
    return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest()[:8], "big", signed=True)


def build_index(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the numbers sorted, and the row of each."""
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    sorted_numbers = numbers[order]
    if len(numbers) > 1 and bool((sorted_numbers[1:] == sorted_numbers[:-1]).any()):
        raise SnapshotError("Two keys have the same hash; rename one of them or use integer keys.")
    return sorted_numbers, order


def find(sorted_numbers: NDArray[np.int64], rows: NDArray[np.int32], wanted: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the row of each wanted number, -1 where there is none."""
    if len(sorted_numbers) == 0:
        return np.full(len(wanted), -1, np.int32)
    at = np.searchsorted(sorted_numbers, wanted)
    at[at == len(sorted_numbers)] = 0
    return np.where(sorted_numbers[at] == wanted, rows[at], np.int32(-1)).astype(np.int32, copy=False)


def as_keys(values: Sequence[Any], dtype: DType) -> list[int | str | None]:
    """Return what a caller named an entity by, as keys of this family; None where it cannot be one."""
    if dtype is not DType.INTEGER:
        return [str(v) for v in values]
    return [_as_integer(v) for v in values]


def _as_integer(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -(2**63) <= number < 2**63 and str(value).strip() == str(number) else None
