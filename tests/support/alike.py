"""Comparing answers whose numbers were computed in different threads.

A matrix product of single precision may round differently in another thread: MKL chooses its kernels by how many threads
it may use at the moment (seen on AMD processors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any


def alike(one: Any, two: Any) -> bool:
    """Whether two answers are the same but for the last digits of their numbers."""
    if is_dataclass(one) and not isinstance(one, type):
        return type(one) is type(two) and alike(asdict(one), asdict(two))
    if isinstance(one, Mapping):
        return one.keys() == two.keys() and all(alike(one[key], two[key]) for key in one)
    if isinstance(one, Sequence) and not isinstance(one, str):
        return len(one) == len(two) and all(alike(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-5, abs_tol=1e-6)
    return bool(one == two)
