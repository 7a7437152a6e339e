"""Features of a pair of an entity and an item: what passed between the two, and between each of them and others.

A ranking asks which items an entity will meet next: products in baskets, circuits of a season. What it met before, how
lately and how often, what is popular now, what the likes of it meet: these are counted here from rows that join the
two (an order line has a customer, by way of its order, and a product). A row counts from the moment when it and all
between it and the two were there, so that a pair at a time is the same on the full database and on one cut then.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.features.feature import Origin
from forekey.features.pair_feature import BETWEEN, PairFeature, PairStat
from forekey.features.window_features import WindowFeatures
from forekey.features.window_spec import WindowSpec
from forekey.graph import MICROS_PER_DAY, Adjacency, GraphView, Micros, Seeds
from forekey.schema import EdgeType, Schema

Way = tuple[EdgeType, ...]

_MAX_HOPS = 2
_MAX_INTERACTIONS = 3
_YEAR = 365.2425
_ALL_ITEMS = 200
"""With no more items than this at a moment, all of them are candidates."""
_CANDIDATES = 60
"""How many candidates each way of finding them gives: the entity's own, those of its likes, the popular."""
_STEPS = np.array([20, 50, 20], np.int64)
_WORTH_THREADS = 64
"""Walks of so many entities are shared out among threads."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """A table each row of which joins an entity and an item, along foreign keys upwards."""

    table: str
    to_entity: Way
    to_item: Way

    @property
    def name(self) -> str:
        """Return how feature names begin: the table, and the foreign keys if they are not the only ones."""
        return (
            f"{self.table} ({'.'.join(e.column for e in self.to_entity)}, {'.'.join(e.column for e in self.to_item)})"
        )


@dataclass(frozen=True, slots=True)
class PairSpec:
    """Which features a pair has; ``items`` is the table of the items, ``windows`` are the window features of items."""

    entity: str
    items: str
    window_days: float
    interactions: tuple[Interaction, ...]
    windows: WindowSpec

    def to_dict(self) -> dict[str, Any]:
        """JSON form; :meth:`from_dict` reads it back to an equal spec."""
        return {**asdict(self), "windows": self.windows.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PairSpec:
        """Read what :meth:`to_dict` wrote."""
        ways = [(i["table"], *(tuple(EdgeType(**e) for e in i[w]) for w in _WAYS)) for i in data["interactions"]]
        interactions = tuple(Interaction(*way) for way in ways)
        windows = WindowSpec.from_dict(data["windows"])
        return cls(data["entity"], data["items"], data["window_days"], interactions, windows)


_WAYS = ("to_entity", "to_item")


def interactions_between(
    schema: Schema, entity: str, items: str, target: tuple[str, Way, EdgeType] | None = None
) -> tuple[Interaction, ...]:
    """Return the tables with a time whose rows join an entity and an item, those of the ``target`` first.

    ``target`` is a table with its way to the entity and its foreign key to the item.
    """
    found = [Interaction(target[0], target[1], (target[2],))] if target is not None else []
    for table in schema.tables:
        if table.time_column is None or table.name in {entity, items}:
            continue
        ways = [(a, b) for a in _up(schema, table.name, entity) for b in _up(schema, table.name, items) if a != b]
        found += [Interaction(table.name, a, b) for a, b in sorted(ways, key=lambda w: len(w[0]) + len(w[1]))]
    return tuple(dict.fromkeys(found))[:_MAX_INTERACTIONS]


def _up(schema: Schema, start: str, goal: str) -> list[Way]:
    """Return the ways up from one table to another, the shortest first."""
    frontier: list[Way] = [(e,) for e in schema.edge_types if e.child == start]
    found: list[Way] = []
    for _ in range(_MAX_HOPS):
        found += [p for p in frontier if p[-1].parent == goal]
        frontier = [
            (*p, e) for p in frontier if p[-1].parent != goal for e in schema.edge_types if e.child == p[-1].parent
        ]
    return found


@dataclass(frozen=True)
class _Rows:
    """The rows of one interaction in the order in which they came to be seen, listed by entity and by item."""

    entity: NDArray[np.int32]
    item: NDArray[np.int32]
    seen: Micros
    by_entity: Adjacency
    by_item: Adjacency

    @classmethod
    def of(cls, view: GraphView, interaction: Interaction) -> _Rows:
        """Gather them from a graph."""
        count = view.num_nodes(interaction.table)
        seen = np.array(view.times(interaction.table))
        ends = []
        for path in (interaction.to_entity, interaction.to_item):
            at = np.arange(count, dtype=np.int32)
            for edge in path:
                parents = view.parents(edge)
                at = np.where(at >= 0, parents[np.maximum(at, 0)] if len(parents) else -1, -1).astype(np.int32)
                times = view.times(edge.parent)
                if times is not None and len(times):
                    seen = np.where(at >= 0, np.maximum(seen, times[np.maximum(at, 0)]), seen)
            ends.append(at)
        there = np.flatnonzero((ends[0] >= 0) & (ends[1] >= 0))
        there = there[np.argsort(seen[there], kind="stable")]
        entity, item, seen = ends[0][there], ends[1][there], seen[there]
        sizes = [view.num_nodes(path[-1].parent) for path in (interaction.to_entity, interaction.to_item)]
        lists = [
            Adjacency.gathered(interaction.table, owner, size, seen)
            for owner, size in zip((entity, item), sizes, strict=True)
        ]
        return cls(entity, item, seen, lists[0], lists[1])


class PairFeatures:
    """Finds candidates and computes the numbers of a :class:`PairSpec` on one graph."""

    def __init__(self, view: GraphView, spec: PairSpec) -> None:
        self.view = view
        self.spec = spec
        self.num_items = view.num_nodes(spec.items)
        self._rows = [_Rows.of(view, i) for i in spec.interactions]
        self._windows = WindowFeatures(view, spec.windows)

    def candidates(
        self, seeds: Seeds, extra: NDArray[np.int32] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the items worth scoring for each entity as known by its cutoff: ``ptr [n + 1]``, items ascending.

        With few items, all that were there; else the entity's own newest, those that its likes had, the popular ones,
        and ``extra [n, m]`` (-1 for none).
        """
        from forekey.features.pair_kernels import merged

        bounds = self.view.presence(self.spec.items).bounds(seeds.cutoffs)
        few = np.flatnonzero(bounds <= _ALL_ITEMS)
        every = np.arange(_ALL_ITEMS, dtype=np.int32)
        if len(few) == len(seeds):
            everything = np.ascontiguousarray(np.broadcast_to(every, (len(seeds), _ALL_ITEMS)))
            return merged(everything, bounds, self.num_items)
        parts = [self.popular(seeds.cutoffs, _CANDIDATES)]
        if self._rows:
            parts += [self.newest(seeds, _CANDIDATES), self.alike(seeds, _CANDIDATES)]
        parts += [extra] if extra is not None else []
        parts.append(np.full((len(seeds), _ALL_ITEMS), -1, np.int32))
        lists = np.concatenate(parts, axis=1)
        lists[few] = -1
        lists[few, -_ALL_ITEMS:] = every
        return merged(lists, bounds, self.num_items)

    def newest(self, seeds: Seeds, most: int) -> NDArray[np.int32]:
        """Return each entity's own newest items, ``[n, most] int32``, -1 where there are fewer."""
        from forekey.features.pair_kernels import newest_items

        if not self._rows:
            return np.full((len(seeds), most), -1, np.int32)
        known = self._rows[0]
        return newest_items(known.by_entity.parts, known.item, seeds.rows, seeds.cutoffs, most, self.num_items)

    def alike(self, seeds: Seeds, most: int) -> NDArray[np.int32]:
        """Return the items at which most short walks from each entity end, ``[n, most] int32``, -1 for none."""
        if not self._rows:
            return np.full((len(seeds), most), -1, np.int32)
        return self._walks(seeds, np.zeros(len(seeds) + 1, np.int64), np.empty(0, np.int32), most)[1]

    def popular(self, cut: Micros, most: int) -> NDArray[np.int32]:
        """Return the items that most rows of the last window have, ``[n, most] int32``, -1 where there are fewer."""
        out = np.full((len(cut), most), -1, np.int32)
        every = np.arange(self.num_items, dtype=np.int32)
        moments, position = np.unique(cut, return_inverse=True)
        for m, moment in enumerate(moments):
            chosen = np.arange(min(most, self.num_items), dtype=np.int32)
            if self._rows:
                lists = self._rows[0].by_item
                now, before = (np.full(self.num_items, t, np.int64) for t in (moment, moment - self._window))
                all_time = lists.counts(every, now)
                recent = all_time - lists.counts(every, before)
                chosen = np.lexsort((every, -all_time, -recent))[:most].astype(np.int32)
            out[position == m, : len(chosen)] = chosen
        return out

    def compute(self, seeds: Seeds, ptr: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Describe the candidates of each entity as of its time, from what was known by its cutoff.

        Returns ``[pairs, features] float32``, NaN where a value is missing.
        """
        query = np.repeat(np.arange(len(seeds)), np.diff(ptr))
        blocks: list[NDArray[Any]] = []
        for known in self._rows:
            blocks += [self._between(known, seeds, ptr, items, query)]
        if self._rows:
            blocks.append(self._walks(seeds, ptr, items, 0)[0][:, None])
        blocks.append(self._of_items(seeds, items, query))
        with np.errstate(over="ignore"):
            out = np.concatenate(blocks, axis=1).astype(np.float32)
        return np.where(np.isinf(out), np.float32(np.nan), out)

    @cached_property
    def features(self) -> tuple[PairFeature, ...]:
        """Return what each column of :meth:`compute` is; hops are counted from the nearer of the two ends."""
        found: list[PairFeature] = []
        days, interactions = self.spec.window_days, self.spec.interactions
        for i in interactions:
            alone = sum(other.table == i.table for other in interactions) == 1
            through = tuple(dict.fromkeys(e.parent for way in (i.to_entity, i.to_item) for e in way[:-1]))
            origin = Origin(i.table, None, min(len(i.to_entity), len(i.to_item)), through)
            found += [PairFeature(origin, stat, i.table if alone else i.name, days) for stat in BETWEEN]
        if found:
            found.append(replace(found[0], stat=PairStat.WALKS))
        return (*found, *(PairFeature(feature.origin, item=feature) for feature in self._windows.features))

    @property
    def _window(self) -> int:
        return int(self.spec.window_days * MICROS_PER_DAY)

    def _between(
        self,
        known: _Rows,
        seeds: Seeds,
        ptr: NDArray[np.int64],
        items: NDArray[np.int32],
        query: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        from forekey.features.pair_kernels import describe_pairs

        rows, times, cut = seeds.rows, seeds.times, seeds.cutoffs
        windows = np.array([self._window, 3 * self._window], np.int64)
        year = int(_YEAR * MICROS_PER_DAY)
        season = np.stack([times - year, times - year + self._window], axis=1)
        lists = known.by_entity
        pair, different = describe_pairs(
            lists.parts, known.item, known.seen, rows, cut, season, windows, ptr, items, self.num_items
        )
        own_all, own_one = self._counts(lists, rows, cut, (0, self._window))
        item_cut = cut[query]
        item_all, item_one, item_three = self._counts(known.by_item, items, item_cut, (0, *windows))
        last_year, two_years_ago = (self._season(known, items, times[query] - n * year, item_cut) for n in (1, 2))
        total = np.searchsorted(known.seen, cut, "right") - np.searchsorted(known.seen, cut - self._window, "right")
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = {
                PairStat.PAIR_ONE: pair[:, 0],
                PairStat.PAIR_THREE: pair[:, 1],
                PairStat.PAIR_ALL: pair[:, 2],
                PairStat.PAIR_LAST_YEAR: np.where(season[query, 1] <= cut[query], pair[:, 3], np.nan),
                PairStat.SINCE_PAIR: pair[:, 4] / MICROS_PER_DAY,
                PairStat.RANK: pair[:, 5],
                PairStat.ITEM_ALL: item_all,
                PairStat.ITEM_ONE: item_one,
                PairStat.ITEM_THREE: item_three,
                PairStat.ITEM_LAST_YEAR: last_year,
                PairStat.ITEM_TWO_YEARS_AGO: two_years_ago,
                PairStat.SINCE_ITEM: self._age(known, known.by_item, items, item_cut),
                PairStat.ENTITY_ALL: own_all[query],
                PairStat.ENTITY_ONE: own_one[query],
                PairStat.DIFFERENT: different[query],
                PairStat.SINCE_ENTITY: self._age(known, lists, rows, cut)[query],
                PairStat.SHARE_ONE: pair[:, 0] / own_one[query],
                PairStat.SHARE_ALL: pair[:, 2] / own_all[query],
                PairStat.ITEM_SHARE: item_one / total[query],
                PairStat.ITEM_TREND: item_one / (item_three / 3.0),
            }
        return np.column_stack([columns[stat] for stat in BETWEEN])

    def _season(self, known: _Rows, items: NDArray[np.int32], start: Micros, cut: Micros) -> NDArray[np.float64]:
        """Count the items' rows in a window that begins in the past; NaN where it is not over by the cutoff."""
        end = start + self._window
        count = known.by_item.counts(items, np.minimum(end, cut)) - known.by_item.counts(items, start)
        return np.where(end <= cut, count, np.nan)

    def _counts(
        self, lists: Adjacency, rows: NDArray[np.int32], cut: Micros, windows: Sequence[int]
    ) -> list[NDArray[np.int64]]:
        """Count the rows of lists by ``cut``: all for a window of 0, else those within it."""
        every = lists.counts(rows, cut)
        return [every - lists.counts(rows, cut - w) if w else every for w in windows]

    def _age(self, known: _Rows, lists: Adjacency, rows: NDArray[np.int32], cut: Micros) -> NDArray[np.float64]:
        """Return the days since the newest row of each list."""
        degrees = lists.degrees(rows, cut)
        newest = lists.at(rows, degrees, degrees.sum(axis=1) - 1)
        out = np.full(len(rows), np.nan)
        some = newest >= 0
        out[some] = (cut[some] - known.seen[newest[some]]) / MICROS_PER_DAY
        return out

    def _walks(
        self, seeds: Seeds, ptr: NDArray[np.int64], items: NDArray[np.int32], most: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        import numba

        from forekey.features.pair_kernels import walk_scores

        known = self._rows[0]
        own, others = known.by_entity.parts, known.by_item.parts

        def walked(part: slice) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
            a, b = part.start, part.stop
            asked = seeds.rows[a:b], seeds.cutoffs[a:b], _STEPS, ptr[a : b + 1] - ptr[a], items[ptr[a] : ptr[b]]
            return walk_scores(own, others, known.entity, known.item, *asked, self.num_items, most)

        if len(seeds) < _WORTH_THREADS:
            return walked(slice(0, len(seeds)))
        workers = numba.get_num_threads()
        edges = np.linspace(0, len(seeds), workers + 1).astype(int)
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(walked, map(slice, edges[:-1].tolist(), edges[1:].tolist())))
        return np.concatenate([shares for shares, _ in found]), np.concatenate([best for _, best in found])

    def _of_items(self, seeds: Seeds, items: NDArray[np.int32], query: NDArray[np.int64]) -> NDArray[np.float32]:
        """Describe the items' own past; each item at each moment once."""
        moments, which = seeds.moments()
        code = which[query] * np.int64(self.num_items) + items
        distinct, position = np.unique(code, return_inverse=True)
        moment = moments[distinct // max(self.num_items, 1)] if len(distinct) else moments[:0]
        rows = (distinct % max(self.num_items, 1)).astype(np.int32)
        return self._windows.compute(Seeds.at(self.spec.items, rows, moment[:, 0], moment[:, 1]))[position]
