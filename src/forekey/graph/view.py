"""What may be asked of a graph, whatever it is made of: a snapshot's files, or these and rows that came since."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.graph.adjacency import Adjacency, Presence
from forekey.graph.timestamps import Micros
from forekey.schema import EdgeType, Schema


class GraphView(Protocol):
    """A graph as models read it.

    Rows of a table are numbered from 0. A number means the same row as long as the view lives; of a snapshot, rows with
    a time are numbered by it.
    """

    id: str
    schema: Schema

    @property
    def as_of(self) -> datetime:
        """The moment that the graph shows (UTC)."""
        ...

    def num_nodes(self, table: str) -> int:
        """Return the number of rows of a table."""
        ...

    def times(self, table: str) -> Micros | None:
        """Return the time of each row, ``[num_nodes] int64``; None for a table without a time column."""
        ...

    def presence(self, table: str) -> Presence:
        """Return which rows of a table are there at which moment."""
        ...

    def parents(self, edge: EdgeType) -> NDArray[np.int32]:
        """Return the parent row of each child row, ``[num_children] int32``; -1 where there is none."""
        ...

    def adjacency(self, edge: EdgeType) -> Adjacency:
        """Return the children of each parent row, in the order of time."""
        ...

    def all_contents(self, table: str) -> pa.Table:
        """Return the contents of all rows, and after them former contents of those that changed."""
        ...

    def contents_at(self, table: str, rows: NDArray[np.int32], moments: Micros) -> NDArray[np.int32]:
        """Return where the contents of each row at each moment stand in :meth:`all_contents`."""
        ...

    def parts(self, table: str) -> list[tuple[str, int]]:
        """Return the blocks that :meth:`all_contents` begins with: the hash of each, and how many rows it has."""
        ...

    def lookup(self, table: str, keys: Sequence[Any]) -> NDArray[np.int32]:
        """Return the row of each primary key; -1 where no row has it."""
        ...

    def lookup_keys(self, table: str, keys: pa.ChunkedArray) -> NDArray[np.int32]:
        """Return the row of each primary key of an Arrow column, -1 where there is none."""
        ...

    def keys(self, table: str) -> pa.ChunkedArray:
        """Return the primary key of each row."""
        ...
