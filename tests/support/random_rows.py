"""Rows of random contents that follow from one drawn number.

Lists of rows that hypothesis draws one by one have few rows and most often none: hardly a customer then has two orders,
and whatever is said of lists holds for nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

T = TypeVar("T")

NUMBERS = st.integers(0, 2**32 - 1)
"""To draw the number from that all else follows."""


class RandomRows:
    """Sizes and values of random tables, now and then odd ones."""

    def __init__(self, number: int) -> None:
        self.random = np.random.default_rng(number)

    def size(self, most: int) -> int:
        """Return how many rows a table has: often as many as it may, now and then one or none."""
        return int(self.random.choice([0, 1, self.random.integers(0, most + 1), most], p=[0.06, 0.06, 0.38, 0.5]))

    def one(self, *values: T, none: float = 0.1) -> T | None:
        """Return one of some values, or None."""
        return None if self.random.random() < none else values[int(self.random.integers(len(values)))]

    def integer(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        return int(self.random.integers(low, high + 1))

    def day(self, start: datetime, days: int, none: float = 0.1) -> datetime | None:
        """Return the beginning of one of some days: many rows happen at once."""
        return self.one(start + timedelta(days=self.integer(0, days)), none=none)

    def different(self, below: int, most: int) -> list[int]:
        """Return different numbers below a bound, at most so many."""
        found: list[int] = self.random.permutation(below)[: self.size(most)].tolist()
        return found

    def number(self, *odd: float) -> float | None:
        """Return a number of some size, now and then an odd one."""
        values: list[Any] = [*self.random.uniform(-1e6, 1e6, 8).tolist(), odd[self.integer(0, len(odd) - 1)]]
        return self.one(*values)
