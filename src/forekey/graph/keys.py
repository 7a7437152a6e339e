"""Keys of the database to rows of the graph and back.

Every key has a number of 64 bits. Where the referenced key is an integer, a key that spells one (7, '007', 7.0) is
that number. Any other key is text, trimmed, UUIDs in one spelling (and, where either side of the reference is
numeric, whole numbers in one spelling); its number is XXH64 of that text.
An index is a few sorted runs of (number, row), newest last: it opens in constant time, answers in about a
microsecond, and grows by what was added.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from forekey.schema import DType, Schema

Run = tuple[NDArray[np.int64], NDArray[np.int32]]

_FEW = 4096
_GROWTH = 4
_WHOLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_BLANKS = " \t\n\v\f\r"


class KeyForm(IntEnum):
    """How keys of one table are compared."""

    TEXT = 0
    NUMBER = 1
    INTEGER = 2


def key_form(schema: Schema, table: str) -> KeyForm:
    """Return how the keys of a table, and the foreign keys that point at it, are compared."""
    own = schema.table(table)
    dtype = own.column(own.primary_key or "").dtype
    if dtype is DType.INTEGER:
        return KeyForm.INTEGER
    children = {schema.table(e.child).column(e.column).dtype for e in schema.edge_types if e.parent == table}
    numeric = {DType.INTEGER, DType.FLOAT} & {dtype, *children}
    return KeyForm.NUMBER if numeric else KeyForm.TEXT


def key_numbers(keys: pa.Array | pa.ChunkedArray, form: KeyForm) -> NDArray[np.int64]:
    """Return the number of each key, ``[len(keys)] int64``; that of a NULL means nothing."""
    from forekey.graph.kernels import number_texts

    array = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if pa.types.is_integer(array.type) and form is KeyForm.INTEGER:
        filled: NDArray[np.int64] = pc.fill_null(array, 0).cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False)
        return filled
    if not pa.types.is_string(array.type) and not pa.types.is_binary(array.type):
        array = array.cast(pa.string())
    _, offsets, data = array.buffers()
    if len(array) == 0:
        return np.empty(0, np.int64)
    starts = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    raw = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    numbers: NDArray[np.int64] = number_texts(starts, raw, int(form))
    return numbers


def key_number(key: Any, form: KeyForm) -> int:
    """Return the number of one key, equal to what :func:`key_numbers` gives for it."""
    if form is KeyForm.INTEGER and isinstance(key, int) and -(2**63) <= key < 2**63:
        return key
    text = str(key).strip(_BLANKS)
    if form is not KeyForm.TEXT:
        whole = _whole_number(text)
        if whole is not None and form is KeyForm.INTEGER:
            return whole
        text = text if whole is None else str(whole)
    bare = text[1:-1] if len(text) == 38 and text[0] == "{" and text[-1] == "}" else text
    if _UUID.fullmatch(bare):
        text = bare.replace("-", "").lower()
    number = xxhash.xxh64_intdigest(text.encode())
    return number - 2**64 if number >= 2**63 else number


def _whole_number(text: str) -> int | None:
    if not _WHOLE.fullmatch(text):
        return None
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    scale = int(exponent or 0) - len(fraction)
    digits = f"{whole}{fraction}".lstrip("+-").lstrip("0")
    if not digits:
        return 0
    if len(digits) > 19 or scale > 18 or -scale > len(digits) or (scale < 0 and digits[scale:].strip("0")):
        return None
    number = int(digits + "0" * scale) if scale >= 0 else int(digits[:scale] or "0")
    number = -number if text.startswith("-") else number
    return number if abs(number) < 2**63 else None


@dataclass(frozen=True)
class KeyIndex:
    """Rows by the number of their key: sorted runs, each at least four times as long as the next."""

    runs: tuple[Run, ...] = ()

    @classmethod
    def build(cls, numbers: NDArray[np.int64], first: int = 0) -> KeyIndex:
        """Index keys of the rows ``first, first + 1, …``; they must differ (see :attr:`repeats`)."""
        if len(numbers) == 0:
            return cls()
        order = np.argsort(numbers).astype(np.int32)
        return cls(((numbers[order], order + np.int32(first)),))

    def extend(self, further: KeyIndex) -> KeyIndex:
        """Return an index with further rows; short runs are merged."""
        runs = [*self.runs, *further.runs]
        while len(runs) > 1 and len(runs[-2][0]) < _GROWTH * len(runs[-1][0]):
            runs[-2:] = [_merge(runs[-2], runs[-1])]
        return KeyIndex(tuple(runs))

    def find(self, wanted: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the row of each wanted number, -1 where there is none."""
        found = np.full(len(wanted), -1, np.int32)
        if len(wanted) > _FEW:
            self._find_many(wanted, found)
            return found
        for numbers, rows in self.runs:
            at = np.searchsorted(numbers, wanted)
            at[at == len(numbers)] = 0
            found = np.where(numbers[at] == wanted, rows[at], found)
        return found

    def numbers(self, count: int) -> NDArray[np.int64]:
        """Return the number of each row, ``[count] int64``."""
        by_row = np.zeros(count, np.int64)
        for numbers, rows in self.runs:
            by_row[rows] = numbers
        return by_row

    @property
    def repeats(self) -> bool:
        """Whether any number stands more than once in a run."""
        return any(bool((numbers[1:] == numbers[:-1]).any()) for numbers, _ in self.runs)

    @cached_property
    def _directories(self) -> list[tuple[NDArray[np.int32], int]]:
        from forekey.graph.kernels import directory

        return [directory(n, max(1, min(26, len(n).bit_length()))) for n, _ in self.runs]

    def _find_many(self, wanted: NDArray[np.int64], found: NDArray[np.int32]) -> None:
        from forekey.graph.kernels import find_many

        parts = os.cpu_count() or 1
        edges = np.linspace(0, len(wanted), parts + 1).astype(np.int64)
        with ThreadPoolExecutor(parts) as pool:
            for (numbers, rows), (starts, shift) in zip(self.runs, self._directories, strict=True):
                jobs = [
                    pool.submit(find_many, numbers, rows, starts, shift, wanted[a:b], found[a:b])
                    for a, b in pairwise(edges)
                ]
                for job in jobs:
                    job.result()


def _merge(one: Run, two: Run) -> Run:
    numbers = np.concatenate([one[0], two[0]])
    order = np.argsort(numbers, kind="stable")  # timsort: one pass over two sorted runs
    return numbers[order], np.concatenate([one[1], two[1]])[order]


def lookup_numbers(keys: Sequence[Any], form: KeyForm) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the numbers of keys as a caller names them, and which of them can be keys at all."""
    possible = [k is not None and not isinstance(k, bool) for k in keys]
    numbers = [key_number(k, form) if ok else 0 for k, ok in zip(keys, possible, strict=True)]
    return np.array(numbers, np.int64), np.array(possible, bool)
