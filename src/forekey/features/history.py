"""What the past of an entity looks like in numbers: how much, how often, how recently, by table, column and window.

A graph network hears the means of recent neighbours; an analyst would also count and sum over windows of time, look at
the last few rows, at the season a year ago, and at how others around the entity have been doing (the shop of the last
order, the team of the last race). Those are computed here from the graph, for any row at any moment, by the same code
in training, in batches and online. Each number reads only rows seen by the moment, and adds them up list by list, so
that it is bit for bit what a database cut at that moment would give.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.features.kinds import FeatureKind
from forekey.features.lists import MAX_LISTED, RowLists, paths_of, row_lists
from forekey.features.measures import Measure, choose_measures, measure_rows
from forekey.features.statistics import ColumnFeature, days_of, fit_column
from forekey.graph import MICROS_PER_DAY, Micros, Snapshot
from forekey.schema import EdgeType, Stype
from forekey.task import PastLabels

HALF_LIVES = (2.0, 5.0, 12.0)
"""In how many rows the weight of a row halves, in means that look at the newest rows most."""
EXTREMES = 5
"""Among how many of the newest rows the least and the greatest value are looked for."""
_YEAR = 365.2425
_MAX_POSITIONS = 4_000_000


@dataclass(frozen=True, slots=True)
class Focus:
    """Whose past is looked at: the entity (no route), its parent along ``up``, or that of its newest row down ``down``.

    ``columns`` are read off the row itself; ``lists`` are the ways down to rows that are aggregated by ``measures``.
    """

    down: EdgeType | None
    up: EdgeType | None
    table: str
    columns: tuple[ColumnFeature, ...]
    lists: tuple[ListFeatures, ...]

    @property
    def name(self) -> str:
        """Return how feature names begin."""
        if self.up is None:
            return ""
        return f"{self.up.parent} of newest {self.down.child}: " if self.down is not None else f"{self.up.parent}: "

    @property
    def kinds(self) -> tuple[FeatureKind, FeatureKind]:
        """Return what kind its columns are, and its aggregates."""
        if self.up is None:
            return FeatureKind.OWN_COLUMN, FeatureKind.OWN_WINDOW
        if self.down is None:
            return FeatureKind.PARENT_COLUMN, FeatureKind.PARENT_WINDOW
        return FeatureKind.NEWEST_COLUMN, FeatureKind.NEWEST_WINDOW


@dataclass(frozen=True, slots=True)
class ListFeatures:
    """Aggregates over the rows that one path reaches: over windows in days, and means that fade by ``half_lives``.

    ``detailed`` tells sums, the newest value and the extremes too.
    """

    path: tuple[EdgeType, ...]
    measures: tuple[Measure, ...]
    windows: tuple[float, ...]
    half_lives: tuple[float, ...]
    detailed: bool

    @property
    def name(self) -> str:
        """Return the path as people read it."""
        return " of ".join(edge.child for edge in reversed(self.path))


@dataclass(frozen=True, slots=True)
class HistorySpec:
    """Which numbers to compute, chosen from rows up to the cut-off of training.

    ``seasons`` are tables whose rows are counted altogether; ``past_labels`` says whether earlier labels are looked at.
    """

    entity: str
    window_days: float
    foci: tuple[Focus, ...]
    seasons: tuple[str, ...]
    past_labels: bool


def fit_history(
    snapshot: Snapshot,
    entity: str,
    cutoff: int,
    window_days: float,
    hidden: Iterable[tuple[str, str]] = (),
    *,
    past_labels: bool = False,
) -> HistorySpec:
    """Choose the numbers that describe the past of an entity.

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
        measures = choose_measures(snapshot, path[-1].child, cutoff, left_out)
        return ListFeatures(path, measures, spans if timed else (), fading if timed else (), own)

    own = [listed(path, windows, HALF_LIVES if len(path) == 1 else (), True) for path in paths_of(schema, entity, 2)]
    foci = [Focus(None, None, entity, _columns(snapshot, entity, cutoff, left_out), tuple(own))]
    for down, up in _routes(snapshot, entity, cutoff):
        around = [listed(path, windows[2:], HALF_LIVES[1:], False) for path in paths_of(schema, up.parent, 1)]
        foci.append(Focus(down, up, up.parent, _columns(snapshot, up.parent, cutoff, left_out), tuple(around)))
    timed = {p.path[-1].child for p in own if schema.table(p.path[-1].child).time_column is not None}
    return HistorySpec(entity, window_days, tuple(foci), tuple(t for t in schema.names if t in timed), past_labels)


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


def _columns(snapshot: Snapshot, table: str, cutoff: int, hidden: set[tuple[str, str]]) -> tuple[ColumnFeature, ...]:
    shape = snapshot.schema.table(table)
    rows = snapshot.rows_at(table, cutoff)
    usable = {Stype.NUMERICAL, Stype.BOOLEAN, Stype.CATEGORICAL, Stype.TIMESTAMP}
    return tuple(
        fit_column(rows, column, shape)
        for column in shape.columns
        if column.stype in usable and (table, column.name) not in hidden
    )


class HistoryFeatures:
    """Computes the numbers of a :class:`HistorySpec` on one snapshot; ``past`` must be given where the spec asks."""

    def __init__(self, snapshot: Snapshot, spec: HistorySpec, past: PastLabels | None = None) -> None:
        self.snapshot = snapshot
        self.spec = spec
        self._past = past if spec.past_labels else None
        if spec.past_labels and past is None:
            raise ValueError("the spec asks for past labels, and none were given")
        self._lists: dict[tuple[EdgeType, ...], RowLists] = {}
        self._matrices: dict[tuple[str, tuple[Measure, ...]], NDArray[np.float32]] = {}

    def compute(
        self, rows: NDArray[np.int32], times: Micros, seen_until: Micros | None = None
    ) -> tuple[NDArray[np.float32], list[str]]:
        """Describe rows of the entity as of ``times [n]``, from what was seen by ``seen_until`` (default: ``times``).

        Returns ``[n, features] float32``, NaN where there is nothing to tell, and the names of the features.
        """
        cut = times if seen_until is None else np.minimum(times, seen_until)
        rows = np.ascontiguousarray(rows, np.int32)
        blocks = [_calendar(times), ((times - cut) / MICROS_PER_DAY).astype(np.float32)[:, None]]
        names = [*_CALENDAR, "days since anything was seen"]
        for block, block_names, _ in self._blocks(rows, times, cut):
            with np.errstate(over="ignore"):
                narrow = block.astype(np.float32).reshape(len(rows), len(block_names))
            # Adding zero makes one number of 0 and -0, which databases do not always tell apart.
            blocks.append(np.where(np.isinf(narrow), np.float32(np.nan), narrow) + np.float32(0.0))
            names += block_names
        return np.concatenate(blocks, axis=1), names

    @property
    def names(self) -> list[str]:
        """Return the names of the features."""
        return self.compute(np.empty(0, np.int32), np.empty(0, np.int64))[1]

    @property
    def kinds(self) -> tuple[FeatureKind, ...]:
        """Return what kind each feature is, in the order of :attr:`names`."""
        nobody, never = np.empty(0, np.int32), np.empty(0, np.int64)
        found = [FeatureKind.CALENDAR] * (len(_CALENDAR) + 1)
        return (*found, *(kind for _, names, kind in self._blocks(nobody, never, never) for _ in names))

    def _blocks(
        self, rows: NDArray[np.int32], times: Micros, cut: Micros
    ) -> Iterable[tuple[NDArray[Any], list[str], FeatureKind]]:
        if self._past is not None:
            yield *self._past.describe(rows, times, cut), FeatureKind.LAGGED_LABEL
        for table in self.spec.seasons:
            yield *self._season(table, times, cut), FeatureKind.POPULATION
        for focus in self.spec.foci:
            own = self._focused(focus, rows, cut)
            yield *self._read_off(focus, own, times, cut), focus.kinds[0]
            for listed in focus.lists:
                for block, names in self._aggregated(focus, listed, own, times, cut):
                    yield block, names, focus.kinds[1]

    def _focused(self, focus: Focus, rows: NDArray[np.int32], cut: Micros) -> NDArray[np.int32]:
        """Return the row that a focus looks at for each entity, -1 where there is none that was seen."""
        if focus.up is None:
            return rows
        if focus.down is not None:
            lists = self._listed((focus.down,))
            count = lists.counts(rows, cut)
            last = np.maximum(lists.indptr[rows] + count - 1, 0)
            rows = np.where(count > 0, lists.order[last] if len(lists.order) else -1, -1).astype(np.int32)
        parents = self.snapshot.parents(focus.up)
        found = np.where(rows >= 0, parents[np.maximum(rows, 0)] if len(parents) else -1, -1).astype(np.int32)
        return np.where(found < self.snapshot.visible(focus.table, cut), found, np.int32(-1))

    def _read_off(
        self, focus: Focus, rows: NDArray[np.int32], times: Micros, cut: Micros
    ) -> tuple[NDArray[Any], list[str]]:
        names = [f"{focus.name}{c.name}" for c in focus.columns]
        out = np.full((len(rows), len(names)), np.nan, np.float32)
        there = np.flatnonzero(rows >= 0)
        if len(there):
            contents, place = np.unique(
                self.snapshot.contents_at(focus.table, rows[there], cut[there]), return_inverse=True
            )
            table = self.snapshot.all_contents(focus.table).take(contents)
            for at, column in enumerate(focus.columns):
                values = _plain(table.column(column.name), column)
                if column.stype is Stype.TIMESTAMP:
                    days = days_of(table, column.name, None)
                    out[there, at] = times[there] / MICROS_PER_DAY - days[place]
                else:
                    with np.errstate(over="ignore"):  # what does not fit is infinite, and counts as missing
                        out[there, at] = values[place]
        return np.where(np.isfinite(out), out, np.nan), names

    def _season(self, table: str, times: Micros, cut: Micros) -> tuple[NDArray[Any], list[str]]:
        """Count all rows of a table in the last window, and in the window to come one and two years before."""
        known, width = self.snapshot.times(table), self.spec.window_days
        assert known is not None
        spans = [(-width, 0.0), (-_YEAR, width - _YEAR), (-2 * _YEAR, width - 2 * _YEAR)]
        columns = []
        for start, end in spans:
            low, high = times + _micros(start), times + _micros(end)
            count = np.searchsorted(known, high, "right") - np.searchsorted(known, low, "right")
            columns.append(np.where(high <= cut, count, np.nan))
        label = f"all {table}, {width:g} days"
        return np.stack(columns, axis=1), [f"{label}", f"{label}, a year ago", f"{label}, two years ago"]

    def _aggregated(
        self, focus: Focus, listed: ListFeatures, rows: NDArray[np.int32], times: Micros, cut: Micros
    ) -> Iterable[tuple[NDArray[Any], list[str]]]:
        lists = self._listed(listed.path)
        count = lists.counts(rows, cut)
        # Windows end where what is seen ends: of data that came late, the newest there are tell most.
        before = [np.minimum(lists.counts(rows, cut - _micros(w)), count) for w in listed.windows]
        within = [count - b for b in before]
        nobody = rows < 0
        prefix = f"{focus.name}{listed.name}: "
        counts = np.stack([*within, count], axis=1).astype(np.float64)
        counts[nobody] = np.nan
        yield counts, [f"{prefix}rows, {_days(w)}" for w in (*listed.windows, None)]
        if lists.seen is not None:
            yield self._recency(prefix, lists, rows, cut, count)
            span = (times - _micros(_YEAR), times + _micros(self.spec.window_days - _YEAR))
            year = [lists.counts(rows, np.minimum(cut, moment)) for moment in span]
            yield np.where(span[1] <= cut, year[1] - year[0], np.nan), [f"{prefix}rows, same season a year ago"]
        if listed.measures:
            takes = np.minimum(np.stack([*within, count], axis=1), MAX_LISTED)
            yield from self._measured(listed, lists, prefix, rows, cut, count, takes)

    def _measured(
        self,
        listed: ListFeatures,
        lists: RowLists,
        prefix: str,
        rows: NDArray[np.int32],
        cut: Micros,
        count: NDArray[np.int64],
        takes: NDArray[np.int64],
    ) -> Iterable[tuple[NDArray[Any], list[str]]]:
        from forekey.features.kernels import newest_rows, recent_form, sums_of_newest

        lengths = np.minimum(count, MAX_LISTED)
        starts = lists.indptr[np.maximum(rows, 0)] + count - 1
        decays = np.exp2(-1.0 / np.array(listed.half_lives, np.float64))
        sums, known, form = [], [], []
        for part in _parts(np.cumsum(lengths), _MAX_POSITIONS):
            newest, owner = newest_rows(starts[part], lengths[part], lists.order)
            contents = self.snapshot.contents_at(lists.table, newest, cut[part][owner])
            values, index = self._values(lists.table, listed.measures, contents)
            one, two = sums_of_newest(values, index, lengths[part], takes[part])
            sums.append(one)
            known.append(two)
            form.append(recent_form(values, index, lengths[part], decays, EXTREMES))
        total, count_known, recent = np.concatenate(sums), np.concatenate(known), np.concatenate(form)
        spans = [_days(w) for w in (*listed.windows, None)]
        with np.errstate(invalid="ignore", divide="ignore"):
            yield total / count_known, [f"{prefix}mean {m}, {s}" for m in listed.measures for s in spans]
        d = len(listed.half_lives)
        faded = [f"{prefix}{m}, newest {h:g} or so" for m in listed.measures for h in listed.half_lives]
        yield recent[:, :, :d], faded
        numbers = [at for at, m in enumerate(listed.measures) if m.stype is Stype.NUMERICAL]
        if listed.detailed and numbers:
            total[rows < 0] = np.nan
            names = [str(listed.measures[at]) for at in numbers]
            if listed.windows:
                yield total[:, numbers, :-1], [f"{prefix}sum {m}, {s}" for m in names for s in spans[:-1]]
            if listed.half_lives:
                kinds = ("newest", f"least of {EXTREMES}", f"greatest of {EXTREMES}")
                yield recent[:, numbers, d:], [f"{prefix}{kind} {m}" for m in names for kind in kinds]

    def _recency(
        self, prefix: str, lists: RowLists, rows: NDArray[np.int32], cut: Micros, count: NDArray[np.int64]
    ) -> tuple[NDArray[Any], list[str]]:
        """Return the days from the newest, the fifth newest and the oldest row seen to the last moment seen."""
        assert lists.seen is not None
        first = lists.indptr[np.maximum(rows, 0)]
        out = np.full((len(rows), 3), np.nan)
        for at, (place, there) in enumerate(
            [(first + count - 1, count > 0), (first + count - 5, count > 4), (first, count > 0)]
        ):
            then = lists.seen[lists.order[place[there]]]
            out[there, at] = (cut[there] - then) / MICROS_PER_DAY
        return out, [f"{prefix}days since the {which} row" for which in ("newest", "fifth newest", "oldest")]

    def _values(
        self, table: str, measures: tuple[Measure, ...], contents: NDArray[np.int32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return measured rows and, for each of ``contents``, its place among them: all rows, or those needed."""
        whole = self.snapshot.num_nodes(table)
        if (table, measures) in self._matrices or 4 * len(contents) >= whole:
            if (table, measures) not in self._matrices:
                self._matrices[table, measures] = measure_rows(self.snapshot, table, measures, None)
            return self._matrices[table, measures], contents
        distinct, place = np.unique(contents, return_inverse=True)
        return measure_rows(self.snapshot, table, measures, distinct), place.astype(np.int32)

    def _listed(self, path: tuple[EdgeType, ...]) -> RowLists:
        if path not in self._lists:
            self._lists[path] = row_lists(self.snapshot, path)
        return self._lists[path]


_CALENDAR = ("sine of the year", "cosine of the year", "sine of the week", "cosine of the week")


def _calendar(times: Micros) -> NDArray[np.float32]:
    """Return where in the year and in the week the moments lie."""
    days = times / MICROS_PER_DAY
    angles = np.stack([days / _YEAR, days / 7.0], axis=1) % 1.0 * (2 * np.pi)
    return np.stack(
        [np.sin(angles[:, 0]), np.cos(angles[:, 0]), np.sin(angles[:, 1]), np.cos(angles[:, 1])], axis=1
    ).astype(np.float32)


def _plain(values: Any, column: ColumnFeature) -> NDArray[np.float64]:
    """Return a column as numbers: a category by its rank in frequency, -1 for one without a code, NaN if missing."""
    if column.stype is Stype.NUMERICAL:
        return values.to_numpy().astype(np.float64)  # type: ignore[no-any-return]
    if column.stype is Stype.BOOLEAN:
        return pc.cast(values, "float64").to_numpy()  # type: ignore[no-any-return]
    if column.stype is Stype.TIMESTAMP:
        return np.zeros(len(values))
    import pyarrow as pa

    found = pc.cast(pc.index_in(values, value_set=pa.array(column.vocabulary, pa.string())), "float64")
    ranks = pc.if_else(pc.is_null(values), float("nan"), pc.fill_null(found, -1.0))
    return np.asarray(ranks, np.float64)


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


def _days(window: float | None) -> str:
    return "all time" if window is None else f"{window:g} days"
