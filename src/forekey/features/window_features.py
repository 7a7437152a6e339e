"""Window features of an entity: how much, how often, how recently, by table, column and window of time.

A graph network reads means of recent neighbours; an analyst would also count and sum over windows of time, look at
the last few rows, at the season a year ago, and at how others around the entity have been doing (the shop of the last
order, the team of the last race). Those are computed here from the graph, for any row at any moment, by the same code
in training, in batches and online. Each number reads only rows seen by the moment, and adds them up list by list, so
that it is bit for bit what a database cut at that moment would give.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.features.columns import SCALAR_TYPES, Measure, ScalarEncoder
from forekey.features.feature import Feature
from forekey.features.feature_kind import FeatureKind
from forekey.features.lists import MAX_LISTED, paths_of, row_lists
from forekey.features.measures import choose_measures, measure_rows
from forekey.features.window_spec import EXTREMES, Focus, ListFeatures, Piece, WindowSpec
from forekey.graph import MICROS_PER_DAY, Adjacency, GraphView, Micros, Seeds, Snapshot, take_rows
from forekey.schema import EdgeType
from forekey.task import LaggedLabels

HALF_LIVES = (2.0, 5.0, 12.0)
"""In how many rows the weight of a row halves, in means that look at the newest rows most."""
_YEAR = 365.2425
_MAX_POSITIONS = 4_000_000
_SMALL = 200_000
"""Tables of up to so many rows are turned into numbers as a whole, once; of larger ones, the rows asked for."""


def fit_windows(
    snapshot: Snapshot,
    entity: str,
    cutoff: int,
    window_days: float,
    hidden: Iterable[tuple[str, str]] = (),
    *,
    lagged_labels: bool = False,
) -> WindowSpec:
    """Choose the window features of an entity.

    ``window_days`` is the length of what is predicted, the natural unit to look back in. ``hidden`` names ``(table,
    column)`` pairs that must not be read.
    """
    left_out = set(hidden)
    windows = (window_days, 3 * window_days, 12 * window_days)
    schema = snapshot.schema

    def listed(
        path: tuple[EdgeType, ...], spans: tuple[float, ...], fading: tuple[float, ...], own: bool
    ) -> ListFeatures:
        timed = schema.table(path[-1].child).time_column is not None
        seen = any(schema.table(edge.child).time_column is not None for edge in path)
        measures = choose_measures(snapshot, path[-1].child, cutoff, left_out)
        return ListFeatures(path, measures, spans if timed else (), fading if timed else (), own, seen)

    own = [listed(path, windows, HALF_LIVES if len(path) == 1 else (), True) for path in paths_of(schema, entity, 2)]
    foci = [Focus(None, None, entity, _columns(snapshot, entity, cutoff, left_out), tuple(own))]
    for down, up in _routes(snapshot, entity, cutoff):
        around = [listed(path, windows[2:], HALF_LIVES[1:], False) for path in paths_of(schema, up.parent, 1)]
        foci.append(Focus(down, up, up.parent, _columns(snapshot, up.parent, cutoff, left_out), tuple(around)))
    timed = {p.path[-1].child for p in own if schema.table(p.path[-1].child).time_column is not None}
    return WindowSpec(entity, window_days, tuple(foci), tuple(t for t in schema.names if t in timed), lagged_labels)


def _routes(snapshot: Snapshot, entity: str, cutoff: int) -> list[tuple[EdgeType | None, EdgeType]]:
    """Return the ways to others around an entity: its parents, and the parents of the newest row that points at it.

    Only those that have a past of their own: a shop has sold for years, an invoice lives for a moment. Where several
    ways lead to one table, the one along the most rows is taken.
    """
    edges = snapshot.schema.edge_types
    found: dict[str, tuple[EdgeType | None, EdgeType]] = {}
    for up in edges:
        if up.child == entity and up.parent != entity and _lives_on(snapshot, up.parent, cutoff):
            found.setdefault(up.parent, (None, up))
    busiest = sorted((e for e in edges if e.parent == entity), key=lambda e: (-_edges_by(snapshot, e, cutoff), str(e)))
    for down in busiest:
        for up in edges:
            if up.child == down.child and up.parent != entity and _lives_on(snapshot, up.parent, cutoff):
                found.setdefault(up.parent, (down, up))
    return list(found.values())


def _edges_by(snapshot: Snapshot, edge: EdgeType, cutoff: int) -> int:
    """Return how many edges there were by a moment: a choice must not know more than training does."""
    seen = int(snapshot.visible(edge.child, np.array([cutoff]))[0])
    return int((snapshot.parents(edge)[:seen] >= 0).sum())


def _lives_on(snapshot: Snapshot, table: str, cutoff: int) -> bool:
    """Whether rows that point at a row of the table are typically spread over time: half of them over a day or more."""
    for edge in snapshot.schema.edge_types:
        times = snapshot.times(edge.child)
        if edge.parent != table or times is None:
            continue
        indptr, order = snapshot.children(edge)
        # What was seen by the cut-off: the choice must not know more than training does.
        seen = np.flatnonzero(times[order] <= cutoff) if len(order) else np.empty(0, np.int64)
        owner = np.searchsorted(indptr, seen, side="right") - 1
        owners, first = np.unique(owner, return_index=True)
        last = np.append(first[1:], len(owner)) - 1
        several = last > first
        if len(owners) and several.any():
            spread = times[order[seen[last[several]]]] - times[order[seen[first[several]]]]
            if np.median(spread) >= MICROS_PER_DAY:
                return True
    return False


def _columns(snapshot: Snapshot, table: str, cutoff: int, hidden: set[tuple[str, str]]) -> tuple[ScalarEncoder, ...]:
    shape = snapshot.schema.table(table)
    rows = snapshot.rows_at(table, cutoff)
    return tuple(
        SCALAR_TYPES[column.stype].fit(rows, column, shape)
        for column in shape.columns
        if column.stype in SCALAR_TYPES and (table, column.name) not in hidden
    )


class WindowFeatures:
    """Computes the features of a :class:`WindowSpec` on one graph; ``past`` must be given where the spec asks."""

    def __init__(self, view: GraphView, spec: WindowSpec, past: LaggedLabels | None = None) -> None:
        self.view = view
        self.spec = spec
        self._past = past if spec.lagged_labels else None
        if spec.lagged_labels and past is None:
            raise ValueError("the spec asks for past labels, and none were given")
        self._lists: dict[tuple[EdgeType, ...], Adjacency] = {}
        self._lists_of: dict[int, Adjacency] = {}
        # By the identity of a part of the spec: to compare what it consists of takes longer than to compute with it.
        self._matrices: dict[int, NDArray[np.float32]] = {}
        self._columns: dict[int, NDArray[np.float64]] = {}
        self._whole: dict[tuple[str, tuple[Measure, ...]], NDArray[np.float32]] = {}

    @property
    def features(self) -> tuple[Feature, ...]:
        """Return the features that :meth:`compute` gives, in its order."""
        return self.spec.features(self._classes)

    def compute(self, seeds: Seeds) -> NDArray[np.float32]:
        """Describe rows of the entity table as of their times, from what was known by their cutoffs.

        Returns ``[n, features] float32``, NaN where a value is missing or not finite.
        """
        out = np.empty((len(seeds), sum(len(kept) for _, kept in self._plan)), np.float32)
        focused: dict[int, Seeds] = {}
        at = 0
        for piece, kept in self._plan:
            if len(kept) == 0:
                continue
            own = seeds
            if piece.focus is not None:
                if id(piece.focus) not in focused:
                    focused[id(piece.focus)] = self._focused(piece.focus, seeds)
                own = focused[id(piece.focus)]
            block = self._computed(piece, own)
            with np.errstate(over="ignore"):
                narrow = block[:, kept].astype(np.float32)
            # Adding zero makes one number of 0 and -0, which databases do not always tell apart.
            out[:, at : at + len(kept)] = np.where(np.isinf(narrow), np.float32(np.nan), narrow) + np.float32(0.0)
            at += len(kept)
        return out

    @cached_property
    def _plan(self) -> list[tuple[Piece, NDArray[np.int64]]]:
        """Return the pieces, each with the positions of those of its features that are used."""
        pieces = self.spec.pieces(self._classes)
        ends = np.cumsum([0, *(len(p.features) for p in pieces)])
        kept = np.arange(ends[-1]) if self.spec.kept is None else np.array(self.spec.kept, np.int64)
        return [(p, kept[(kept >= a) & (kept < b)] - a) for p, a, b in zip(pieces, ends, ends[1:], strict=False)]

    def _computed(self, piece: Piece, seeds: Seeds) -> NDArray[Any]:
        """Compute all features of a piece, ``[n, features]``, for the rows of its focus."""
        if piece.listed is not None:
            return np.concatenate(list(self._aggregated(piece.listed, seeds)), axis=1)
        if piece.focus is not None:
            return self._read_off(piece.focus, seeds)
        if piece.season is not None:
            return self._season(piece.season, seeds)
        if piece.features[0].kind is FeatureKind.CALENDAR:
            stale = ((seeds.times - seeds.cutoffs) / MICROS_PER_DAY).astype(np.float32)[:, None]
            return np.concatenate([_calendar(seeds.times), stale], axis=1)
        assert self._past is not None
        return self._past.describe(seeds)

    @property
    def _classes(self) -> tuple[str | None, ...]:
        return self._past.classes or (None,) if self._past is not None else ()

    def _focused(self, focus: Focus, seeds: Seeds) -> Seeds:
        """Return the row that a focus looks at for each entity, -1 where there is none that was known."""
        if focus.up is None:
            return seeds
        rows = seeds.rows
        if focus.down is not None:
            lists = self._listed((focus.down,))
            degrees = lists.degrees(rows, seeds.cutoffs)
            rows = lists.at(rows, degrees, degrees.sum(axis=1) - 1)
        parents = self.view.parents(focus.up)
        found = np.where(rows >= 0, parents[np.maximum(rows, 0)] if len(parents) else -1, -1).astype(np.int32)
        there = self.view.presence(focus.table).of(found, seeds.cutoffs)
        return seeds.moved(focus.table, np.where(there, found, np.int32(-1)))

    def _read_off(self, focus: Focus, seeds: Seeds) -> NDArray[Any]:
        out = np.full((len(seeds), len(focus.columns)), np.nan, np.float32)
        there = np.flatnonzero(seeds.rows >= 0)
        if len(there) and focus.columns:
            known = seeds.take(there)
            contents = self.view.contents_at(focus.table, known.rows, known.cutoffs)
            values = self._plain_values(focus, contents)
            for at, column in enumerate(focus.columns):
                with np.errstate(over="ignore"):  # what does not fit is infinite, and counts as missing
                    out[there, at] = column.as_of(values[:, at], known.times)
        return np.where(np.isfinite(out), out, np.nan)

    def _plain_values(self, focus: Focus, contents: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the columns of a focus as numbers, ``[len(contents), columns]``; moments in days since 1970."""
        if self.view.num_nodes(focus.table) <= _SMALL:
            if id(focus) not in self._columns:
                self._columns[id(focus)] = _plain_columns(self.view.all_contents(focus.table), focus)
            return self._columns[id(focus)][contents]
        distinct, position = np.unique(contents, return_inverse=True)
        read = self.view.all_contents(focus.table).select([c.name for c in focus.columns])
        return _plain_columns(take_rows(read, distinct), focus)[position]

    def _season(self, table: str, seeds: Seeds) -> NDArray[Any]:
        """Count all rows of a table in the last window, and in the window to come one and two years before."""
        presence, width = self.view.presence(table), self.spec.window_days
        spans = [(-width, 0.0), (-_YEAR, width - _YEAR), (-2 * _YEAR, width - 2 * _YEAR)]
        columns = []
        for start, end in spans:
            low, high = seeds.times + _micros(start), seeds.times + _micros(end)
            count = presence.counts(high) - presence.counts(low)
            columns.append(np.where(high <= seeds.cutoffs, count, np.nan))
        return np.stack(columns, axis=1)

    def _aggregated(self, listed: ListFeatures, seeds: Seeds) -> Iterable[NDArray[Any]]:
        rows, times, cut = seeds.rows, seeds.times, seeds.cutoffs
        lists = self._lists_of.get(id(listed))
        if lists is None:
            lists = self._lists_of[id(listed)] = self._listed(listed.path)
        degrees = lists.degrees(rows, cut)
        count = degrees.sum(axis=1)
        # Windows end where what is seen ends: of data that came late, the newest there are tell most.
        before = [np.minimum(lists.counts(rows, cut - _micros(w)), count) for w in listed.windows]
        within = [count - b for b in before]
        nobody = rows < 0
        counts = np.stack([*within, count], axis=1).astype(np.float64)
        counts[nobody] = np.nan
        yield counts
        if lists.times is not None:
            yield self._recency(lists, seeds, degrees)
            span = (times - _micros(_YEAR), times + _micros(self.spec.window_days - _YEAR))
            year = [lists.counts(rows, np.minimum(cut, moment)) for moment in span]
            yield np.where(span[1] <= cut, year[1] - year[0], np.nan)[:, None]
        if listed.measures:
            takes = np.minimum(np.stack([*within, count], axis=1), MAX_LISTED)
            yield from self._measured(listed, lists, seeds, degrees, takes)

    def _measured(
        self,
        listed: ListFeatures,
        lists: Adjacency,
        seeds: Seeds,
        degrees: NDArray[np.int64],
        takes: NDArray[np.int64],
    ) -> Iterable[NDArray[Any]]:
        from forekey.features.window_kernels import recent_form, sums_of_newest

        rows, lengths = seeds.rows, np.minimum(degrees.sum(axis=1), MAX_LISTED)
        decays = np.exp2(-1.0 / np.array(listed.half_lives, np.float64))
        sums, known, form = [], [], []
        for part in _parts(np.cumsum(lengths), _MAX_POSITIONS):
            newest, owner = lists.newest(rows[part], degrees[part], lengths[part])
            contents = self.view.contents_at(lists.table, newest, seeds.cutoffs[part][owner])
            values, index = self._values(lists.table, listed, contents)
            one, two = sums_of_newest(values, index, lengths[part], takes[part])
            sums.append(one)
            known.append(two)
            form.append(recent_form(values, index, lengths[part], decays, EXTREMES))
        total, count_known, recent = np.concatenate(sums), np.concatenate(known), np.concatenate(form)
        d = len(listed.half_lives)
        with np.errstate(invalid="ignore", divide="ignore"):
            yield _flat(total / count_known)
        yield _flat(recent[:, :, :d])
        additive = listed.additive
        if listed.detailed and additive:
            total[rows < 0] = np.nan
            yield _flat(total[:, additive, :-1])
            if d:
                yield _flat(recent[:, additive, d:])

    def _recency(self, lists: Adjacency, seeds: Seeds, degrees: NDArray[np.int64]) -> NDArray[Any]:
        """Return the days from the newest, the fifth newest and the oldest row known to the cutoff."""
        assert lists.times is not None
        count = degrees.sum(axis=1)
        out = np.full((len(seeds), 3), np.nan)
        for at, position in enumerate((count - 1, count - 5, np.zeros_like(count))):
            found = lists.at(seeds.rows, degrees, position)
            there = found >= 0
            out[there, at] = (seeds.cutoffs[there] - lists.times[found[there]]) / MICROS_PER_DAY
        return out

    def _values(
        self, table: str, listed: ListFeatures, contents: NDArray[np.int32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return measured rows and, for each of ``contents``, its place among them: all rows, or those needed."""
        whole = self.view.num_nodes(table)
        if id(listed) in self._matrices or whole <= _SMALL or 4 * len(contents) >= whole:
            if id(listed) not in self._matrices:
                self._matrices[id(listed)] = self._measured_whole(table, listed.measures)
            return self._matrices[id(listed)], contents
        distinct, position = np.unique(contents, return_inverse=True)
        return measure_rows(self.view, table, listed.measures, distinct), position.astype(np.int32)

    def _measured_whole(self, table: str, measures: tuple[Measure, ...]) -> NDArray[np.float32]:
        """Return all rows of a table, measured; of several lists that measure alike, the same array."""
        key = (table, measures)
        if key not in self._whole:
            self._whole[key] = measure_rows(self.view, table, measures, None)
        return self._whole[key]

    def _listed(self, path: tuple[EdgeType, ...]) -> Adjacency:
        if path not in self._lists:
            self._lists[path] = row_lists(self.view, path)
        return self._lists[path]


def _calendar(times: Micros) -> NDArray[np.float32]:
    """Return where in the year and in the week the moments lie."""
    days = times / MICROS_PER_DAY
    angles = np.stack([days / _YEAR, days / 7.0], axis=1) % 1.0 * (2 * np.pi)
    return np.stack(
        [np.sin(angles[:, 0]), np.cos(angles[:, 0]), np.sin(angles[:, 1]), np.cos(angles[:, 1])], axis=1
    ).astype(np.float32)


def _plain_columns(table: pa.Table, focus: Focus) -> NDArray[np.float64]:
    """Return the columns of a focus as numbers, ``[rows, columns]``."""
    return np.stack([column.numbers(table) for column in focus.columns], axis=1)


def _flat(block: NDArray[Any]) -> NDArray[Any]:
    return block.reshape(len(block), int(np.prod(block.shape[1:])))


def _parts(ends: NDArray[np.int64], most: int) -> Iterable[slice]:
    """Cut lists into runs of about ``most`` rows altogether; one empty run if there are none."""
    at, size = 0, len(ends)
    if size == 0:
        yield slice(0, 0)
    while at < size:
        base = ends[at - 1] if at else 0
        stop = max(int(np.searchsorted(ends, base + most, "right")), at + 1)
        yield slice(at, stop)
        at = stop


def _micros(days: float) -> np.int64:
    return np.int64(days * MICROS_PER_DAY)
