"""Foreign keys to edges: child -> parent, and parent -> children in the order of time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.graph.block_store import ARRAY_BLOCK, ArrayRef, Writer
from forekey.graph.manifest import EdgeManifest
from forekey.graph.snapshot import Snapshot
from forekey.graph.statistics import degree_statistics
from forekey.graph.table_writer import Draft
from forekey.schema import EdgeType


@dataclass(frozen=True)
class _Pointers:
    """Where each child row points (-1: nowhere), which rows hold a key of nobody, and what carried over unchanged."""

    parents: NDArray[np.int32]
    null_keys: int
    orphan_rows: NDArray[np.int32]
    orphan_numbers: NDArray[np.int64]
    unchanged: int


def put_edge(
    writer: Writer, edge: EdgeType, child: Draft, parent: Draft, previous: Snapshot | None
) -> Callable[[], EdgeManifest]:
    """Derive and store one edge type; what comes back waits for the writing and returns the manifest's entry."""
    old = previous if child.kept else None
    pointers = _point(edge, child, parent, old)
    indptr, indices = _children(edge, pointers, parent, old)
    known = old.array_refs(str(edge)) if old is not None else {}
    jobs: dict[str, Future[ArrayRef]] = {
        "parents": writer.submit(writer.pool.put_array, pointers.parents, known.get("parents"), pointers.unchanged),
        "orphan_rows": writer.submit(writer.pool.put_array, pointers.orphan_rows),
        "orphan_numbers": writer.submit(writer.pool.put_array, pointers.orphan_numbers),
    }
    before: dict[str, NDArray[Any]] = (
        dict(zip(("indptr", "indices"), old.children(edge), strict=True)) if old is not None else {}
    )
    for name, array in (("indptr", indptr), ("indices", indices)):
        same = _equal_blocks(array, before[name]) if name in before else 0
        jobs[name] = writer.submit(writer.pool.put_array, array, known.get(name), same)
    entry = EdgeManifest(len(indices), pointers.null_keys, len(pointers.orphan_rows), degree_statistics(indptr))
    return lambda: replace(entry, arrays={name: job.result() for name, job in jobs.items()})


def _equal_blocks(array: NDArray[Any], before: NDArray[Any]) -> int:
    """Return how many leading values, in whole blocks, two arrays share: comparing is cheaper than hashing."""
    most = min(len(array), len(before)) // ARRAY_BLOCK * ARRAY_BLOCK
    for i in range(0, most, ARRAY_BLOCK):
        if not np.array_equal(array[i : i + ARRAY_BLOCK], before[i : i + ARRAY_BLOCK]):
            return i
    return most


def _point(edge: EdgeType, child: Draft, parent: Draft, old: Snapshot | None) -> _Pointers:
    numbers, present = child.foreign[edge.column]
    found = np.where(present, parent.index.find(numbers), np.int32(-1)).astype(np.int32)
    lost = np.flatnonzero(present & (found < 0))
    orphan_rows, orphan_numbers = (lost + child.kept).astype(np.int32), numbers[lost]
    null_keys, unchanged = int((~present).sum()), 0
    if old is not None:
        kept, kept_rows, kept_numbers = _carry_over(edge, child.kept, parent, old)
        before = old.parents(edge)[: child.kept]
        unchanged = int(np.argmin(np.append(kept == before, False)))
        null_keys += int((kept < 0).sum()) - len(kept_rows)
        found = np.concatenate([kept, found])
        orphan_rows = np.concatenate([kept_rows, orphan_rows])
        orphan_numbers = np.concatenate([kept_numbers, orphan_numbers])
    return _Pointers(found, null_keys, orphan_rows, orphan_numbers, unchanged)


def _carry_over(
    edge: EdgeType, kept: int, parent: Draft, old: Snapshot
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Return where kept rows point now, and which of them are orphans: found parents, and lost ones, are noticed."""
    before = old.parents(edge)[:kept]
    pointers = before
    rows, numbers = old.orphans(edge)
    early = int(np.searchsorted(rows, kept))
    rows, numbers = rows[:early], numbers[:early]
    if parent.moved is not None:
        pointers = np.append(parent.moved, np.int32(-1))[before]
        widowed = np.flatnonzero((before >= 0) & (pointers < 0)).astype(np.int32)
        if len(widowed):
            keys = old.index(edge.parent).numbers(old.num_nodes(edge.parent))
            rows = np.concatenate([rows, widowed])
            numbers = np.concatenate([numbers, keys[before[widowed]]])
            order = np.argsort(rows)
            rows, numbers = rows[order], numbers[order]
    found = parent.index.find(numbers)
    if (found >= 0).any():
        pointers = pointers.copy() if pointers is before else pointers
        pointers[rows[found >= 0]] = found[found >= 0]
    return pointers, rows[found < 0], numbers[found < 0]


def _children(
    edge: EdgeType, pointers: _Pointers, parent: Draft, old: Snapshot | None
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    from forekey.graph.edge_kernels import append_children, invert

    if old is not None and parent.moved is None and len(old.parents(edge)) == pointers.unchanged:
        indptr, indices = old.children(edge)
        added: NDArray[np.int32] = pointers.parents[pointers.unchanged :]
        return append_children(indptr, indices, added, pointers.unchanged, parent.length)
    return invert(pointers.parents, parent.length)
