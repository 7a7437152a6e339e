"""How long work reports what it is doing, how far it is, and how much time it may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Listener:
    """What is called as work goes on; by default nothing.

    ``step`` begins a phase, ``advance(done, total)`` says how far it is, ``epoch`` gets a
    :class:`forekey.training.epochs.Epoch`, ``note`` a line that a reader should keep.
    """

    step: Callable[[str], None] = lambda _: None
    epoch: Callable[[Any], None] = lambda _: None
    advance: Callable[[float, float], None] = lambda done, total: None
    note: Callable[[str], None] = lambda _: None

    def through(self, parts: Sequence[T], sizes: Iterable[float] | None = None) -> Iterator[T]:
        """Yield parts of a phase one by one, reporting after each how much of all is done."""
        weights = [1.0] * len(parts) if sizes is None else list(sizes)
        total, done = sum(weights), 0.0
        for part, weight in zip(parts, weights, strict=True):
            yield part
            done += weight
            self.advance(done, total)


SILENT = Listener()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by which work must be over; none by default. Seconds on a clock that only goes forward."""

    at: float = float("inf")

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Return the deadline that many seconds from now; none for None."""
        return cls() if seconds is None else cls(time.perf_counter() + seconds)

    @property
    def left(self) -> float:
        """Return the seconds that are left, at least 0; infinite without a deadline."""
        return max(self.at - time.perf_counter(), 0.0)

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return self.left <= 0.0


NEVER = Deadline()


def in_words(seconds: float) -> str:
    """Write a span of time as people do: ``8 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
