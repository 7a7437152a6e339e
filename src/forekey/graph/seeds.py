"""What is asked of a graph: rows of one table, each as of a time, each from what was known by a cutoff."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.graph.timestamps import Micros, from_micros


@dataclass(frozen=True, slots=True)
class Seeds:
    """Rows of ``table`` (``rows [n] int32``), each as of ``times [n] int64``, in microseconds.

    ``cutoffs [n] int64`` is up to when each seed sees the graph: its own time, or earlier where data come late or end
    before what is predicted. Make them by :meth:`at`, which sees to it that no cutoff is after its time.
    """

    table: str
    rows: NDArray[np.int32]
    times: Micros
    cutoffs: Micros

    @classmethod
    def at(cls, table: str, rows: NDArray[Any], times: Micros | int, cutoffs: Micros | int | None = None) -> Seeds:
        """Return seeds of some rows; one time or cutoff counts for all of them, and without cutoffs times do."""
        own = np.ascontiguousarray(rows, np.int32)
        moments = np.ascontiguousarray(np.broadcast_to(np.asarray(times, np.int64), own.shape))
        if cutoffs is None:
            return cls(table, own, moments, moments)
        return cls(table, own, moments, np.minimum(moments, np.asarray(cutoffs, np.int64)))

    @classmethod
    def joined(cls, one: Seeds, two: Seeds) -> Seeds:
        """Return the seeds of both, which are of one table."""
        names = ("rows", "times", "cutoffs")
        return cls(one.table, *(np.concatenate([getattr(one, n), getattr(two, n)]) for n in names))

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        if not len(self):
            return f"Seeds(none of {self.table})"
        first, last = (from_micros(int(t)).isoformat(" ", "seconds") for t in (self.times.min(), self.times.max()))
        when = first if first == last else f"{first} to {last}"
        late = int((self.cutoffs < self.times).sum())
        return f"Seeds({len(self):,} of {self.table}, {when}{f', {late:,} cut off before' if late else ''})"

    def take(self, index: NDArray[Any] | slice) -> Seeds:
        """Return some of them, by positions, flags or a slice."""
        return Seeds(self.table, self.rows[index], self.times[index], self.cutoffs[index])

    def moved(self, table: str, rows: NDArray[np.int32]) -> Seeds:
        """Return other rows, perhaps of another table, at the same times and cutoffs."""
        return Seeds(table, np.ascontiguousarray(rows, np.int32), self.times, self.cutoffs)

    def seen_by(self, cutoffs: Micros | int) -> Seeds:
        """Return the same rows and times with other cutoffs."""
        return Seeds.at(self.table, self.rows, self.times, cutoffs)

    def batches(self, size: int) -> Iterator[tuple[slice, Seeds]]:
        """Yield consecutive batches with their places; one empty batch where there are no seeds."""
        for first in range(0, max(len(self), 1), size):
            part = slice(first, min(first + size, len(self)))
            yield part, self.take(part)

    def moments(self) -> tuple[Micros, NDArray[np.int64]]:
        """Return the distinct pairs of time and cutoff ``[m, 2]``, and which of them each seed has, ``[n]``."""
        pairs = np.stack([self.times, self.cutoffs], axis=1)
        distinct, which = np.unique(pairs, axis=0, return_inverse=True)
        return distinct, which.ravel()
