"""What a careful analyst would compute by hand: counts, sums and means of an entity's rows over windows of time.

They feed the gradient-boosted baseline that every report is held against. Because each entity's rows lie in the
order of time, any window is the difference of two prefix sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forekey.graph import MICROS_PER_DAY, Micros, Snapshot
from forekey.schema import EdgeType, Stype


@dataclass(frozen=True, slots=True)
class AggregatePlan:
    """Which windows to aggregate over, in days before the anchor time; None reaches back to the beginning."""

    windows: tuple[float | None, ...]


def windowed_aggregates(
    snapshot: Snapshot, entity: str, rows: NDArray[np.int32], anchors: Micros, plan: AggregatePlan
) -> tuple[NDArray[np.float32], list[str]]:
    """Aggregate every table that points at the entity, over rows with ``anchor - window < time <= anchor``.

    Returns ``[len(rows), features] float32`` (NaN where a window is empty) and the features' names: per table and
    window the number of rows and the mean of each numerical column, and per table the days since the newest row.
    """
    blocks: list[NDArray[np.float32]] = []
    names: list[str] = []
    for edge in snapshot.edge_types:
        if edge.parent == entity:
            block, block_names = _aggregate_edge(snapshot, edge, rows, anchors, plan)
            blocks.append(block)
            names += block_names
    width = np.concatenate(blocks, axis=1) if blocks else np.zeros((len(rows), 0), np.float32)
    return width, names


def _aggregate_edge(
    snapshot: Snapshot, edge: EdgeType, rows: NDArray[np.int32], anchors: Micros, plan: AggregatePlan
) -> tuple[NDArray[np.float32], list[str]]:
    from forekey.features.kernels import count_below

    indptr, indices = snapshot.children(edge)
    base = indptr[rows]
    now = count_below(indptr, indices, rows, snapshot.visible(edge.child, anchors))
    times = snapshot.times(edge.child)
    starts: list[NDArray[np.int64]] = []
    for window in plan.windows:
        if window is None or times is None:
            starts.append(np.zeros(len(rows), np.int64))
            continue
        before = snapshot.visible(edge.child, anchors - np.int64(window * MICROS_PER_DAY))
        starts.append(count_below(indptr, indices, rows, before))
    features = [(now - start).astype(np.float32) for start in starts]
    names = [f"{edge}: rows in {_label(w)}" for w in plan.windows]
    for column, prefix_value, prefix_count in _prefix_sums(snapshot, edge, indices):
        for window, start in zip(plan.windows, starts, strict=True):
            total = prefix_value[base + now] - prefix_value[base + start]
            count = prefix_count[base + now] - prefix_count[base + start]
            with np.errstate(invalid="ignore", divide="ignore"):
                features += [total.astype(np.float32), (total / count).astype(np.float32)]
            names += [f"{edge}: {kind} {column} in {_label(window)}" for kind in ("sum", "mean")]
    if times is not None and len(indices):
        last = times[indices[np.maximum(base + now - 1, 0)]]
        age = np.where(now > 0, (anchors - last) / MICROS_PER_DAY, np.nan)
        features.append(age.astype(np.float32))
        names.append(f"{edge}: days since newest row")
    return np.stack(features, axis=1), names


def _prefix_sums(
    snapshot: Snapshot, edge: EdgeType, indices: NDArray[np.int32]
) -> list[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Return, per numerical column, running sums of values and of valid counts along the edge's children."""
    table = snapshot.schema.table(edge.child)
    found = []
    for column in table.columns:
        if column.stype is not Stype.NUMERICAL:
            continue
        values = snapshot.rows(table.name).column(column.name).to_numpy()[indices]
        valid = np.isfinite(values)
        sums = np.concatenate([[0.0], np.cumsum(np.where(valid, values, 0.0))])
        found.append((column.name, sums, np.concatenate([[0.0], np.cumsum(valid, dtype=np.float64)])))
    return found


def _label(window: float | None) -> str:
    return "all time" if window is None else f"{window:g} days"
