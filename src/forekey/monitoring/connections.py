"""Drift of the graph itself: foreign keys that match nothing, degrees, entities without rows, new entities, budgets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forekey.graph import Snapshot
from forekey.monitoring.onset import onset
from forekey.monitoring.periods import Periods
from forekey.monitoring.series import Expected, judge
from forekey.monitoring.shift import Shift, distribution_shift, share_shift
from forekey.sampling import NeighborPlan, Relation
from forekey.schema import EdgeType

LEAST_ORPHANS = 0.01
_LEAST_INDEX = 0.2
_PARENTS = 20_000
"""Parents whose neighbourhoods are looked at, at most."""


@dataclass(frozen=True)
class EdgeDrift:
    """How one edge type moved: per period, what new child rows point at, and how many each parent got.

    ``orphans`` and ``null_keys`` are shifts of shares among new rows; ``degrees`` is one of the distribution of rows
    per parent that got any. ``idle`` is the share of parents that got none, ``new_parents`` the share of those that had
    none before, ``cut`` the share of parents of whose rows the champion sees only the newest; None if not known.
    """

    edge_type: str
    orphans: Shift
    null_keys: Shift
    degrees: Shift
    orphan_rate: tuple[float, float]
    null_rate: tuple[float, float]
    mean_degree: tuple[float, float]
    idle: Expected | None
    new_parents: Expected | None
    cut: Expected | None
    days: int
    since: tuple[str | None, str | None] = (None, None)
    """From when on keys are orphans, and NULL, as often as now."""

    @property
    def shifts(self) -> tuple[Shift, Shift, Shift]:
        """Return the three in the order of orphans, NULL keys, degrees."""
        return self.orphans, self.null_keys, self.degrees


def edge_drift(snapshot: Snapshot, edge: EdgeType, periods: Periods, plan: NeighborPlan | None) -> EdgeDrift:
    """Compare what child rows of the current period point at with the reference."""
    bounds, count = periods.bounds, len(periods)
    parents = np.asarray(snapshot.parents(edge)[bounds[0] : bounds[-1]])
    period = np.repeat(np.arange(count), periods.sizes)
    orphan_rows = snapshot.orphans(edge)[0]
    inside = orphan_rows[(orphan_rows >= bounds[0]) & (orphan_rows < bounds[-1])]
    orphans = np.bincount(period[inside - bounds[0]], minlength=count)
    nulls = np.bincount(period[parents < 0], minlength=count) - orphans
    rows = periods.sizes
    connected = parents >= 0
    who, when = parents[connected].astype(np.int64), period[connected]
    pairs, degree = np.unique(when * (snapshot.num_nodes(edge.parent) + 1) + who, return_counts=True)
    at = pairs // (snapshot.num_nodes(edge.parent) + 1)
    active = np.bincount(at, minlength=count)
    binned = np.minimum(np.log2(degree).astype(np.int64), 15)
    counts = np.bincount(at * 16 + binned, minlength=count * 16).reshape(count, 16)
    counts = counts[:, counts.any(axis=0)] if counts.any() else counts[:, :2]
    total = np.bincount(when, minlength=count)
    means = total / np.maximum(active, 1)
    return EdgeDrift(
        str(edge), share_shift(orphans, rows, periods, LEAST_ORPHANS), share_shift(nulls, rows, periods, LEAST_ORPHANS),
        distribution_shift(_wide(counts), periods.with_all_earlier(), _LEAST_INDEX),
        _before_and_now(orphans, rows, periods), _before_and_now(nulls, rows, periods),
        (_mean(means, active, periods), float(means[-1])),
        judge(1.0 - active / np.maximum(_present(snapshot, edge.parent, periods), 1), periods.last_year),
        judge(_new(snapshot, edge, periods, pairs, at) / np.maximum(active, 1), periods.last_year),
        _cut(snapshot, edge, periods, plan), periods.days, _since(snapshot, edge, periods, parents, inside),
    )  # fmt: skip


def _since(
    snapshot: Snapshot, edge: EdgeType, periods: Periods, parents: NDArray[np.int32], orphans: NDArray[np.int32]
) -> tuple[str | None, str | None]:
    """Return from when on keys are orphans, and NULL, as often as in the current period."""
    times, begin = snapshot.times(edge.child), int(periods.bounds[0])
    period = np.repeat(np.arange(len(periods)), periods.sizes)
    is_orphan = np.zeros(len(parents), np.int64)
    is_orphan[orphans - begin] = 1
    is_null = (parents < 0) & (is_orphan == 0)
    own = times[begin : begin + len(parents)] if times is not None else None
    found = (onset(codes, period, periods, own) for codes in (is_orphan, is_null.astype(np.int64)))
    return next(found), next(found)


def _wide(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return counts with two bins at least, so that they can be compared."""
    return counts if counts.shape[1] > 1 else np.pad(counts, ((0, 0), (0, 1)))


def _before_and_now(hits: NDArray[np.int64], of: NDArray[np.int64], periods: Periods) -> tuple[float, float]:
    before = hits[periods.reference].sum() / max(of[periods.reference].sum(), 1)
    return float(before), float(hits[-1] / max(of[-1], 1))


def _mean(means: NDArray[np.float64], active: NDArray[np.int64], periods: Periods) -> float:
    weights = active[periods.reference]
    return float(np.average(means[periods.reference], weights=weights)) if weights.any() else 0.0


def _present(snapshot: Snapshot, table: str, periods: Periods) -> NDArray[np.int64]:
    return snapshot.presence(table).counts(periods.edges[1:])


def _new(
    snapshot: Snapshot, edge: EdgeType, periods: Periods, pairs: NDArray[np.int64], at: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return how many parents got their first row in each period."""
    adjacency = snapshot.adjacency(edge)
    who = (pairs % (snapshot.num_nodes(edge.parent) + 1)).astype(np.int32)
    before = adjacency.counts(who, periods.edges[at])
    return np.bincount(at[before == 0], minlength=len(periods))


def _cut(snapshot: Snapshot, edge: EdgeType, periods: Periods, plan: NeighborPlan | None) -> Expected | None:
    """Return which share of parents have more rows than the champion's budget, at the end of each period."""
    if plan is None:
        return None
    budget = plan.budget(Relation(edge, up=False), 0)
    parents = snapshot.num_nodes(edge.parent)
    some = np.arange(0, parents, max(parents // _PARENTS, 1), dtype=np.int32)
    presence, adjacency = snapshot.presence(edge.parent), snapshot.adjacency(edge)
    shares = np.full(len(periods), np.nan)
    for i in range(max(len(periods) - 12, 0), len(periods)):
        moment = np.full(len(some), periods.edges[i + 1])
        there = presence.of(some, moment)
        if there.any():
            shares[i] = float((adjacency.counts(some[there], moment[there]) > budget).mean())
    return judge(shares)
