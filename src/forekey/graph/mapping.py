"""Files mapped into memory one after the other, as if they were one.

POSIX ``mmap`` with ``MAP_FIXED`` (IEEE Std 1003.1): an address range is reserved, then each file laid over its part
of it. A mapping outlives the deletion of its files.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FIXED = 0x10
_FAILED = ctypes.c_void_p(-1).value


def map_files(files: Sequence[tuple[Path, int]]) -> NDArray[np.uint8]:
    """Return the bytes of files of known size, ``[total size] uint8``, read-only.

    All but the last must be multiples of the page size in length. Nothing is read before it is used.
    """
    total = sum(size for _, size in files)
    if total == 0:
        return _read_only(np.empty(0, np.uint8))
    start = _reserve(total)
    raw = (ctypes.c_uint8 * total).from_address(start)
    # Not at exit: threads that still read would find their pages gone.
    weakref.finalize(raw, _libc.munmap, start, total).atexit = False
    at = start
    for path, size in files:
        _lay(path, at, size)
        at += size
    return _read_only(np.frombuffer(memoryview(raw).cast("B"), np.uint8))


def _reserve(size: int) -> int:
    """Reserve addresses; no memory is behind them yet."""
    return _checked(_libc.mmap(None, size, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0))


def _lay(path: Path, at: int, size: int) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _checked(_libc.mmap(at, size, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, descriptor, 0))
    finally:
        os.close(descriptor)


def _checked(address: int | None) -> int:
    if address is None or address == _FAILED:
        code = ctypes.get_errno()
        raise OSError(code, f"mmap: {os.strerror(code)}")
    return address


def _read_only(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    array.flags.writeable = False
    return array
