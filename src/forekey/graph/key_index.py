"""Keys of the database to rows of the graph and back.

Every key has a number of 64 bits. Where the referenced key is an integer, a key that spells one (7, '007', 7.0) is
that number. Any other key is text, trimmed, UUIDs in one spelling (and, where either side of the reference is
numeric, whole numbers in one spelling); its number is XXH64 of that text. Keys that the database compares without
case are in lower case then, bytes in hexadecimal (:class:`Spelling`; :func:`forekey.source.key_sql` writes the same).
An index is a few sorted runs of (number, row), newest last: it opens in constant time, answers in about a
microsecond, and grows by what was added.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from forekey.schema import Case, ColumnSchema, DType, Schema
from forekey.source import WHOLE_NUMBER

Run = tuple[NDArray[np.int64], NDArray[np.int32]]

_FEW = 4096
_GROWTH = 4
_WHOLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_PART = re.compile(r",((?:[^\\,]|\\.)*)", re.DOTALL)
"""A part of a composite key and the comma before it; a comma in a part has a backslash before it."""
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


def spelling_of(schema: Schema, table: str) -> Spelling:
    """Return in which spelling the keys of a table, and the foreign keys that point at it, are numbered."""
    own = schema.table(table)
    return Spelling.of(own.column(own.primary_key or ""))


def key_numbers(keys: pa.Array | pa.ChunkedArray, form: KeyForm) -> NDArray[np.int64]:
    """Return the number of each key, ``[len(keys)] int64``; that of a NULL means nothing."""
    from forekey.graph.edge_kernels import number_texts

    array = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if pa.types.is_integer(array.type) and form is KeyForm.INTEGER:
        filled: NDArray[np.int64] = pc.fill_null(array, 0).cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False)
        return filled
    array = as_text(array)
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
    text = (key.hex() if isinstance(key, bytes) else str(key)).strip(_BLANKS)
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


@dataclass(frozen=True, slots=True)
class Spelling:
    """In which of its spellings a key is numbered; ``parts`` are those of the columns of a composite key."""

    dtype: DType
    case: Case = Case.KEPT
    parts: tuple[Spelling, ...] = ()

    @classmethod
    def of(cls, column: ColumnSchema) -> Spelling:
        """Return how keys that refer to a column are spelled, and its own."""
        parts = tuple(cls.of(m) for m in column.of_parts) if column.parts else ()
        # Hexadecimal digits mean the same in either case.
        return cls(column.dtype, Case.ASCII if column.dtype is DType.BYTES else column.case, parts)

    @property
    def is_plain(self) -> bool:
        """Whether a key's own text will do."""
        special = {DType.BYTES, DType.TIMESTAMP, DType.BOOLEAN}
        return self.case is Case.KEPT and self.dtype not in special and all(p._is_plain_part for p in self.parts)

    @property
    def _is_plain_part(self) -> bool:
        return self.is_plain and self.dtype is not DType.UUID

    def many(self, keys: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Return keys as text in this spelling; integers stay what they are."""
        array = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
        if pa.types.is_integer(array.type) and not self.parts:
            return array
        was_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
        array = as_text(array)
        if self.is_plain:
            return array
        if self.parts or (self.dtype is DType.TIMESTAMP and was_text):
            return pa.array([None if k is None else self.one(k) for k in array.to_pylist()], pa.string())
        return self.part(array)

    def part(self, texts: pa.Array) -> pa.Array:
        """Return the texts of one column, maybe of several, in this spelling."""
        if self.dtype is DType.UUID:
            texts = pc.replace_substring_regex(texts, "[-{}]", "")
        return _fold(texts, Case.LETTERS if self.dtype is DType.UUID else self.case)

    def one(self, key: Any) -> Any:
        """Return a key, as a caller names it, in this spelling."""
        if self.is_plain:
            return key.hex() if isinstance(key, bytes) else key
        if self.parts:
            texts = _PART.findall("," + str(key))
            if len(texts) != len(self.parts):
                return str(key)
            return ",".join(_escape(p._one_part(_unescape(t))) for p, t in zip(self.parts, texts, strict=True))
        if isinstance(key, bool):
            return str(key).lower() if self.dtype is DType.BOOLEAN else key
        if isinstance(key, bytes | bytearray):
            return bytes(key).hex()
        if self.dtype is DType.TIMESTAMP:
            return _moment(key)
        text = str(key)
        if self.dtype is DType.BYTES:
            text = re.sub(r"^(\\|0)x|[-{}]", "", text.strip(_BLANKS))
        return _fold(pa.array([text], pa.string()), self.case)[0].as_py()

    def _one_part(self, text: str) -> str:
        if self.dtype is DType.TIMESTAMP:
            return str(self.one(text))
        return str(self.part(pa.array([re.sub(WHOLE_NUMBER, r"\1", text.strip(_BLANKS))], pa.string()))[0].as_py())


def as_text(array: pa.Array) -> pa.Array:
    """Return keys as text: bytes in hexadecimal, moments as databases write them, without a time of day at midnight."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _hexadecimal(array.cast(pa.binary()))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        moments = array.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        return pa.array([None if m is None else _moment(m) for m in moments.to_pylist()], pa.string())
    return array.cast(pa.string())


def _hexadecimal(array: pa.Array) -> pa.Array:
    if len(array) == 0:
        return pa.array([], pa.string())
    filled = pc.fill_null(array, b"") if array.null_count else array
    _, offsets, data = filled.buffers()
    starts = np.frombuffer(offsets, np.int32)[filled.offset : filled.offset + len(filled) + 1].astype(np.int64)
    raw = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]] if data is not None else np.empty(0, np.uint8)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = digits[np.stack([raw >> 4, raw & 15], axis=1)].reshape(-1)
    ends = ((starts - starts[0]) * 2).astype(np.int32)
    found = pa.StringArray.from_buffers(len(filled), pa.py_buffer(ends), pa.py_buffer(text))
    return pc.if_else(array.is_null(), None, found) if array.null_count else found


def _moment(key: Any) -> str:
    """Write a moment as SQL does: 2024-01-31, or 2024-01-31 10:00:00.5, in UTC; another text stays as it is."""
    if not isinstance(key, date):
        try:
            key = datetime.fromisoformat(str(key).strip(_BLANKS))
        except ValueError:
            return str(key)
    if isinstance(key, datetime):
        key = key.astimezone(UTC).replace(tzinfo=None) if key.tzinfo is not None else key
        text: str = key.isoformat(sep=" ")
        return (text.rstrip("0") if "." in text else text).removesuffix(" 00:00:00")
    return str(key.isoformat())


def _fold(texts: pa.Array, case: Case) -> pa.Array:
    if case is Case.KEPT:
        return texts
    return pc.ascii_lower(texts) if case is Case.ASCII else pc.utf8_lower(texts)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,")


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


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
        from forekey.graph.edge_kernels import directory

        return [directory(n, max(1, min(26, len(n).bit_length()))) for n, _ in self.runs]

    def _find_many(self, wanted: NDArray[np.int64], found: NDArray[np.int32]) -> None:
        from forekey.graph.edge_kernels import find_many

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
