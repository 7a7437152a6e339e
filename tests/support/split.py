"""A graph in two parts, base and live, made of a snapshot: what a live graph looks like to whoever reads it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.graph import Adjacency, Micros, Presence, Snapshot
from forekey.graph.edge_kernels import invert
from forekey.schema import EdgeType


class SplitView:
    """The rows of a snapshot, of which some of the tables with a time came later, in any order.

    ``live`` holds their row numbers in the snapshot, in the order in which they came. Rows of the base part keep their
    order and come first; :meth:`rows_of` gives the number that a row of the snapshot has here.
    """

    def __init__(self, whole: Snapshot, live: dict[str, NDArray[np.int32]]) -> None:
        self.id, self.schema, self._whole, self._live = f"split {whole.id}", whole.schema, whole, live

    @property
    def as_of(self) -> datetime:
        return self._whole.as_of

    def num_nodes(self, table: str) -> int:
        return self._whole.num_nodes(table)

    def _base_rows(self, table: str) -> int:
        return self.num_nodes(table) - len(self._live.get(table, ()))

    def _order(self, table: str) -> NDArray[np.int32]:
        """Return which row of the snapshot each row here is."""
        came = self._live.get(table, np.empty(0, np.int32))
        base = np.setdiff1d(np.arange(self.num_nodes(table), dtype=np.int32), came)
        return np.concatenate([base, came]).astype(np.int32)

    def rows_of(self, table: str, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the number here of rows of the snapshot; -1 stays."""
        order = self._order(table)
        number = np.empty(len(order) + 1, np.int32)
        number[order], number[-1] = np.arange(len(order)), -1
        return number[rows]

    def times(self, table: str) -> Micros | None:
        times = self._whole.times(table)
        return times[self._order(table)] if times is not None else None

    def presence(self, table: str) -> Presence:
        return Presence(self.times(table), self._base_rows(table), self.num_nodes(table))

    def parents(self, edge: EdgeType) -> NDArray[np.int32]:
        return self.rows_of(edge.parent, self._whole.parents(edge)[self._order(edge.child)])

    def adjacency(self, edge: EdgeType) -> Adjacency:
        if edge not in self._adjacency:
            parents, base = self.parents(edge), self._base_rows(edge.child)
            every = np.arange(len(parents), dtype=np.int32)
            settled = (every < base) & (parents < self._base_rows(edge.parent))
            times = self.times(edge.child)
            first = invert(np.where(settled, parents, np.int32(-1)), self._base_rows(edge.parent))
            later = np.where(settled, np.int32(-1), parents)
            live = Adjacency.gathered(edge.child, later, self.num_nodes(edge.parent), times).base
            self._adjacency[edge] = Adjacency(edge.child, first, times, base, numbered=True, live=live)
        return self._adjacency[edge]

    @cached_property
    def _adjacency(self) -> dict[EdgeType, Adjacency]:
        return {}

    def all_contents(self, table: str) -> pa.Table:
        return self._whole.rows(table).take(pa.array(self._order(table)))

    def contents_at(self, table: str, rows: NDArray[np.int32], moments: Micros) -> NDArray[np.int32]:
        return rows

    def parts(self, table: str) -> list[tuple[str, int]]:
        return [(f"base of {table}", self._base_rows(table))]

    def lookup(self, table: str, keys: Sequence[Any]) -> NDArray[np.int32]:
        return self.rows_of(table, self._whole.lookup(table, keys))

    def lookup_keys(self, table: str, keys: pa.ChunkedArray) -> NDArray[np.int32]:
        return self.rows_of(table, self._whole.lookup_keys(table, keys))

    def keys(self, table: str) -> pa.ChunkedArray:
        return self._whole.keys(table).take(pa.array(self._order(table)))
