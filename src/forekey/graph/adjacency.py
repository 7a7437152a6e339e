"""Which rows belong to a row: its children along foreign keys, in the order of time. The only place that bisects them.

A list has two parts: the base part is a snapshot's, the live part holds rows that came since. Whoever reads a list sees
one, merged by time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forekey.graph.timestamps import Micros

if TYPE_CHECKING:
    from forekey.graph.adjacency_kernels import Parts

Rows = NDArray[np.int32] | NDArray[np.int64]

_NO_KEYS = np.empty(0, np.int64)
_NO_ROWS = np.empty(0, np.int32)
_NO_LIVE = (_NO_KEYS, _NO_ROWS)


@dataclass(frozen=True)
class Presence:
    """Which rows of a table are there at a moment.

    ``times [rows] int64`` is the moment from which each row is there; None for rows without a time, which always are.
    The first ``base_rows`` are a snapshot's, in the order of time; the others came since, in any order.
    """

    times: Micros | None
    base_rows: int
    rows: int

    def __repr__(self) -> str:
        return f"Presence({self.base_rows:,} rows and {self.rows - self.base_rows:,} that came since)"

    def bounds(self, cutoffs: Micros) -> NDArray[np.int64]:
        """Return, for each cutoff, below which number a row of the base part is there."""
        if self.times is None:
            return np.full(len(cutoffs), self.base_rows, np.int64)
        return np.searchsorted(self.times[: self.base_rows], cutoffs, side="right").astype(np.int64)

    def counts(self, moments: Micros) -> NDArray[np.int64]:
        """Return how many rows are there at each moment."""
        total = self.bounds(moments)
        if self.rows == self.base_rows:
            return total
        if self.times is None:
            return total + (self.rows - self.base_rows)
        later = np.sort(self.times[self.base_rows :])
        return total + np.searchsorted(later, moments, side="right")

    def of(self, rows: NDArray[np.int32], cutoffs: Micros) -> NDArray[np.bool_]:
        """Return whether each row is there at its cutoff; row -1 never is."""
        if self.times is None or not self.rows:
            return rows >= 0
        known: NDArray[np.bool_] = (rows >= 0) & (self.times[np.maximum(rows, 0)] <= cutoffs)
        return known

    def at(self, moment: int) -> NDArray[np.int32]:
        """Return all rows that are there at a moment, ascending."""
        bound = int(self.bounds(np.array([moment], np.int64))[0])
        first = np.arange(bound, dtype=np.int32)
        if self.rows == self.base_rows:
            return first
        later = np.arange(self.base_rows, self.rows, dtype=np.int32)
        return np.concatenate([first, later[self.of(later, np.full(len(later), moment, np.int64))]])

    @property
    def keys(self) -> Micros:
        """Return the times as compiled loops take them: empty where there are none."""
        return self.times if self.times is not None else _NO_KEYS


@dataclass(frozen=True)
class Adjacency:
    """For each row of a table, the rows of ``table`` that belong to it, ascending by the moment from which they count.

    ``base`` and ``live`` are CSR: ``indptr [parents + 1] int64`` and ``rows [edges] int32``. ``times [rows of table]
    int64`` is that moment of every row; None for rows without any time, which count always. ``numbered`` says that the
    base part's rows are numbered by time, of which the first ``base_rows`` are a snapshot's: then they are compared by
    their numbers, which spares looking their times up.
    """

    table: str
    base: tuple[NDArray[np.int64], NDArray[np.int32]]
    times: Micros | None
    base_rows: int
    numbered: bool = False
    live: tuple[NDArray[np.int64], NDArray[np.int32]] = _NO_LIVE

    def __repr__(self) -> str:
        return f"Adjacency({self.table}, {len(self.base[1]):,} edges and {len(self.live[1]):,} that came since)"

    @classmethod
    def gathered(cls, table: str, owner: NDArray[np.int32], owners: int, times: Micros | None) -> Adjacency:
        """List the rows of a table by their owners ``[rows]`` (-1 for none)."""
        from forekey.graph.edge_kernels import invert

        if times is None or (times[1:] >= times[:-1]).all():
            return cls(table, invert(owner, owners), times, len(owner))
        by_time = np.argsort(times, kind="stable").astype(np.int32)
        indptr, places = invert(owner[by_time], owners)
        return cls(table, (indptr, by_time[places]), times, len(owner))

    def degrees(self, rows: Rows, cutoffs: Micros) -> NDArray[np.int64]:
        """Return how many children each row has at its cutoff, ``[n, 2]``: of the base part and of the live part."""
        from forekey.graph.adjacency_kernels import degrees

        return degrees(self.parts, rows, self.limits(cutoffs), cutoffs + 1)

    def counts(self, rows: Rows, cutoffs: Micros) -> NDArray[np.int64]:
        """Return how many children each row has at its cutoff; 0 for row -1."""
        total: NDArray[np.int64] = self.degrees(rows, cutoffs).sum(axis=1)
        return total

    def at(self, rows: NDArray[np.int32], degrees: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the child of each row at a place, the oldest being 0; -1 where there is none."""
        from forekey.graph.adjacency_kernels import children_at

        return children_at(self.parts, rows, degrees, places)

    def newest(
        self, rows: NDArray[np.int32], degrees: NDArray[np.int64], taken: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the newest ``taken [n]`` children of each row, newest first, list after list; and whose each is."""
        from forekey.graph.adjacency_kernels import newest_children

        return newest_children(self.parts, rows, degrees, taken)

    @cached_property
    def parts(self) -> Parts:
        """Return the arrays as compiled loops take them (see :mod:`forekey.graph.adjacency_kernels`)."""
        times = self.times if self.times is not None else _NO_KEYS
        keys = _NO_KEYS if self.numbered or self.times is None else times
        return (*self.base, keys, *self.live, times)

    def limits(self, cutoffs: Micros) -> NDArray[np.int64]:
        """Return below which key a row of the base part counts, for each cutoff."""
        if self.times is None:
            return np.full(len(cutoffs), np.iinfo(np.int64).max)
        if self.numbered:
            return np.searchsorted(self.times[: self.base_rows], cutoffs, side="right").astype(np.int64)
        return np.asarray(cutoffs + 1, np.int64)
