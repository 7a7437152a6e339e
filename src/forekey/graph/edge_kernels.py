"""Compiled loops over keys and edges."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Constants of XXH64, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)

TEXT, NUMBER, INTEGER = 0, 1, 2
_TENTH = 922337203685477580  # of the largest number of 64 bits, which ends in 7


@njit(cache=True, nogil=True)
def number_texts(offsets: NDArray[np.int32], data: NDArray[np.uint8], form: int) -> NDArray[np.int64]:
    """Return the number of each text key, ``[len(offsets) - 1] int64``: see :mod:`forekey.graph.key_index`."""
    numbers = np.empty(offsets.shape[0] - 1, np.int64)
    canonical = np.empty(32, np.uint8)
    for i in range(numbers.shape[0]):
        start, end = _trim(data, offsets[i], offsets[i + 1])
        if form != TEXT:
            whole, value = _parse_integer(data, start, end)
            if whole and form == INTEGER:
                numbers[i] = value
                continue
            if whole:
                length = _write_integer(value, canonical)
                numbers[i] = _xxh64(canonical, 0, length)
                continue
        if _uuid_digits(data, start, end, canonical):
            numbers[i] = _xxh64(canonical, 0, 32)
        else:
            numbers[i] = _xxh64(data, start, end)
    return numbers


@njit(cache=True, nogil=True)
def _trim(data: NDArray[np.uint8], start: int, end: int) -> tuple[int, int]:
    """Leave out blanks at both ends: CHAR(n) columns pad with them."""
    while start < end and (data[start] == 32 or 9 <= data[start] <= 13):
        start += 1
    while end > start and (data[end - 1] == 32 or 9 <= data[end - 1] <= 13):
        end -= 1
    return start, end


@njit(cache=True, nogil=True)
def _parse_integer(  # noqa: C901 - one pass over the digits, compiled
    data: NDArray[np.uint8], start: int, end: int
) -> tuple[bool, np.int64]:
    """Read a decimal number that is whole and fits 64 bits: 7, +7, 007, 7.0, 7e0."""
    i = start
    negative = i < end and data[i] == 45
    if i < end and (data[i] == 45 or data[i] == 43):
        i += 1
    value, digits, scale, point = np.int64(0), 0, 0, False
    while i < end and (48 <= data[i] <= 57 or (data[i] == 46 and not point)):
        if data[i] == 46:
            point = True
        elif point and data[i] == 48 and _only_zeros(data, i, end):
            digits += 1
        else:
            digit = np.int64(data[i] - 48)
            if value > _TENTH or (value == _TENTH and digit > 7):
                return False, np.int64(0)
            value = value * 10 + digit
            digits += 1
            scale -= 1 if point else 0
        i += 1
    if digits == 0:
        return False, np.int64(0)
    if i < end:
        valid, exponent = _exponent(data, i, end)
        if not valid:
            return False, np.int64(0)
        scale += exponent
    while scale < 0 and value % 10 == 0 and value != 0:
        value //= 10
        scale += 1
    if value != 0:
        if scale < 0 or scale > 18:
            return False, np.int64(0)
        for _ in range(scale):
            if value > _TENTH:
                return False, np.int64(0)
            value *= 10
    return True, np.int64(-value if negative else value)


@njit(cache=True, nogil=True)
def _only_zeros(data: NDArray[np.uint8], start: int, end: int) -> bool:
    for i in range(start, end):
        if data[i] == 101 or data[i] == 69:
            return True
        if data[i] != 48:
            return False
    return True


@njit(cache=True, nogil=True)
def _exponent(data: NDArray[np.uint8], start: int, end: int) -> tuple[bool, int]:
    if data[start] != 101 and data[start] != 69:
        return False, 0
    i = start + 1
    negative = i < end and data[i] == 45
    if i < end and (data[i] == 45 or data[i] == 43):
        i += 1
    if i >= end or end - i > 3:
        return False, 0
    value = 0
    for j in range(i, end):
        if not 48 <= data[j] <= 57:
            return False, 0
        value = value * 10 + int(data[j] - 48)
    return True, -value if negative else value


@njit(cache=True, nogil=True)
def _write_integer(value: np.int64, out: NDArray[np.uint8]) -> int:
    """Write the decimal digits of a number; return how many bytes they take."""
    length = 0
    if value < 0:
        out[0] = 45
        length = 1
    rest, first = value if value >= 0 else -value, length
    while True:
        out[length] = np.uint8(48 + rest % 10)
        length += 1
        rest //= 10
        if rest == 0:
            break
    low, high = first, length - 1
    while low < high:
        out[low], out[high] = out[high], out[low]
        low += 1
        high -= 1
    return length


@njit(cache=True, nogil=True)
def _uuid_digits(data: NDArray[np.uint8], start: int, end: int, out: NDArray[np.uint8]) -> bool:
    """Write the 32 digits of a UUID in lower case, if that is what the bytes spell (RFC 9562; braces are common)."""
    if end - start == 38 and data[start] == 123 and data[end - 1] == 125:
        start, end = start + 1, end - 1
    if end - start != 32 and end - start != 36:
        return False
    hyphens = end - start == 36
    n = 0
    for i in range(start, end):
        byte = data[i]
        place = i - start
        if hyphens and (place == 8 or place == 13 or place == 18 or place == 23):
            if byte != 45:
                return False
            continue
        if 65 <= byte <= 70:
            byte = np.uint8(byte + 32)
        elif not (48 <= byte <= 57 or 97 <= byte <= 102):
            return False
        out[n] = byte
        n += 1
    return True


@njit(cache=True, nogil=True)
def _rotate(x: np.uint64, by: int) -> np.uint64:
    return np.uint64((x << np.uint64(by)) | (x >> np.uint64(64 - by)))


@njit(cache=True, nogil=True)
def _read64(data: NDArray[np.uint8], at: int) -> np.uint64:
    value = np.uint64(0)
    for k in range(8):
        value |= np.uint64(data[at + k]) << np.uint64(8 * k)
    return value


@njit(cache=True, nogil=True)
def _round(state: np.uint64, lane: np.uint64) -> np.uint64:
    return np.uint64(_rotate(np.uint64(state + lane * _P2), 31) * _P1)


@njit(cache=True, nogil=True)
def _xxh64(data: NDArray[np.uint8], start: int, end: int) -> np.int64:
    """XXH64 of ``data[start:end]`` with seed 0, as a signed number."""
    length = end - start
    i = start
    if length >= 32:
        a, b, c, d = np.uint64(_P1 + _P2), _P2, np.uint64(0), np.uint64(np.uint64(0) - _P1)
        while i + 32 <= end:
            a = _round(a, _read64(data, i))
            b = _round(b, _read64(data, i + 8))
            c = _round(c, _read64(data, i + 16))
            d = _round(d, _read64(data, i + 24))
            i += 32
        state = np.uint64(_rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18))
        for lane in (a, b, c, d):
            state = np.uint64((state ^ _round(np.uint64(0), lane)) * _P1 + _P4)
    else:
        state = _P5
    state = np.uint64(state + np.uint64(length))
    while i + 8 <= end:
        state = np.uint64(_rotate(np.uint64(state ^ _round(np.uint64(0), _read64(data, i))), 27) * _P1 + _P4)
        i += 8
    if i + 4 <= end:
        word = np.uint64(0)
        for k in range(4):
            word |= np.uint64(data[i + k]) << np.uint64(8 * k)
        state = np.uint64(_rotate(np.uint64(state ^ np.uint64(word * _P1)), 23) * _P2 + _P3)
        i += 4
    while i < end:
        state = np.uint64(_rotate(np.uint64(state ^ np.uint64(np.uint64(data[i]) * _P5)), 11) * _P1)
        i += 1
    state ^= state >> np.uint64(33)
    state = np.uint64(state * _P2)
    state ^= state >> np.uint64(29)
    state = np.uint64(state * _P3)
    state ^= state >> np.uint64(32)
    return np.int64(state)


@njit(cache=True, nogil=True)
def directory(numbers: NDArray[np.int64], bits: int) -> tuple[NDArray[np.int32], int]:
    """Return where each of ``2 ** bits`` equal stretches of the range of sorted ``numbers`` begins, and the shift.

    The stretch of a number is its distance from the least, shifted right; keys that are hashes, or dense, fall evenly.
    """
    low = np.uint64(numbers[0])
    width = np.uint64(np.uint64(numbers[-1]) - low)
    shift = 0
    while (width >> np.uint64(shift)) >> np.uint64(bits):
        shift += 1
    starts = np.zeros((1 << bits) + 1, np.int32)
    for n in numbers:
        starts[np.int64(np.uint64(np.uint64(n) - low) >> np.uint64(shift)) + 1] += 1
    for i in range(1, starts.shape[0]):
        starts[i] += starts[i - 1]
    return starts, shift


@njit(cache=True, nogil=True)
def find_many(
    numbers: NDArray[np.int64],
    rows: NDArray[np.int32],
    starts: NDArray[np.int32],
    shift: int,
    wanted: NDArray[np.int64],
    found: NDArray[np.int32],
) -> None:
    """Write into ``found`` the row of each wanted number; what is not there keeps what stands."""
    low, high = numbers[0], numbers[-1]
    for i in range(wanted.shape[0]):
        n = wanted[i]
        if n < low or n > high:
            continue
        stretch = np.int64(np.uint64(np.uint64(n) - np.uint64(low)) >> np.uint64(shift))
        left, right = starts[stretch], starts[stretch + 1]
        while left < right:
            middle = (left + right) >> 1
            if numbers[middle] < n:
                left = middle + 1
            else:
                right = middle
        if left < numbers.shape[0] and numbers[left] == n:
            found[i] = rows[left]


@njit(cache=True, nogil=True)
def invert(parents: NDArray[np.int32], num_parents: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Turn child -> parent into parent -> children by a counting sort.

    ``parents`` is ``[num_children] int32``, -1 for none. Returns ``indptr [num_parents + 1] int64`` and ``indices
    [num_edges] int32``; the children of each parent keep their order, which is the order of time.
    """
    indptr = np.zeros(num_parents + 1, np.int64)
    for p in parents:
        if p >= 0:
            indptr[p + 1] += 1
    for i in range(num_parents):
        indptr[i + 1] += indptr[i]
    cursor = indptr[:-1].copy()
    indices = np.empty(indptr[num_parents], np.int32)
    for child in range(parents.shape[0]):
        p = parents[child]
        if p >= 0:
            indices[cursor[p]] = child
            cursor[p] += 1
    return indptr, indices


@njit(cache=True, nogil=True)
def append_children(
    indptr: NDArray[np.int64], indices: NDArray[np.int32], parents: NDArray[np.int32], first: int, num_parents: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Add children numbered ``first, first + 1, …`` with these ``parents``: what :func:`invert` would give for all."""
    new_indptr, added = invert(parents, num_parents)
    old = indptr.shape[0] - 1
    new_indices = np.empty(indices.shape[0] + added.shape[0], np.int32)
    at = 0
    for p in range(num_parents):
        if p < old:
            for j in range(indptr[p], indptr[p + 1]):
                new_indices[at] = indices[j]
                at += 1
        for j in range(new_indptr[p], new_indptr[p + 1]):
            new_indices[at] = first + added[j]
            at += 1
        new_indptr[p] += indptr[min(p, old)]
    new_indptr[num_parents] += indptr[old]
    return new_indptr, new_indices
