"""The labels that entities had before: the same target, evaluated where its window was over by the time of prediction.

What an entity did in windows like the one to come is the best sign of what it will do. For a query the earlier
labels are made by the same SQL at earlier anchors; a ready-made table brings its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey import __version__
from forekey.files import whole
from forekey.graph import MICROS_PER_DAY, Adjacency, Micros, Seeds, Snapshot, from_micros, to_micros
from forekey.objectives import Objective
from forekey.query import shift
from forekey.task.labels import Examples
from forekey.task.query_labels import QueryLabels
from forekey.task.ready_made_labels import ReadyMadeLabels

if TYPE_CHECKING:
    from forekey.source import Source
    from forekey.task.task import Task

WINDOWS = 12
"""How many windows to look back over."""
LAGS = 3
MAX_CLASSES = 24
_KEPT = 4
_ARRAYS = ("indptr", "known_at", "values", "moments", "grids")


@dataclass(frozen=True)
class LaggedLabels:
    """Labels by row of the entity table, each with the moment from which it was known.

    Moments a whole number of windows apart share a ``grid`` of earlier anchors, and see no other: ``moments``
    (ascending) are those that labels were gathered for, ``grids`` says which grid each looks at; a time between them
    looks at that of the newest one before; without moments there is one grid for all. The labels of row ``r`` in grid
    ``g`` of a table of ``rows`` rows are those from ``indptr[i]`` to ``indptr[i + 1]``, ``i = g * rows + r``, ascending
    by ``known_at``; ``values [labels, width] float32`` is one number, or 0 and 1 per class of ``classes``.
    """

    rows: int
    indptr: NDArray[np.int64]
    known_at: Micros
    values: NDArray[np.float32]
    classes: tuple[str, ...]
    moments: Micros
    grids: NDArray[np.int64]

    def describe(self, seeds: Seeds) -> NDArray[np.float32]:
        """Return what was known of the labels of some rows by their cutoffs, ``[n, features]``.

        For each class (or the one number) the newest :data:`LAGS` labels, newest first; their means over the last
        twelve; by how much the newest is above that mean. Then how many labels are known, the days since one was
        known, and the days since one was not zero. NaN where there is none.
        """
        width, n = self.values.shape[1], len(seeds)
        lists = self._lists(seeds.rows, seeds.times)
        count = self._adjacency.counts(lists, seeds.cutoffs)
        last = self.indptr[lists] + count - 1
        taken = np.stack([np.where(k < count, last - k, -1) for k in range(WINDOWS)], axis=1)
        there = taken >= 0
        found = np.full((n, WINDOWS, width), np.nan, np.float32)
        found[there] = self.values[taken[there]]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.nansum(found, axis=1) / np.isfinite(found).sum(axis=1)
            trend = found[:, 0] - mean
        age = np.full((n, 2), np.nan)
        known = count > 0
        age[known, 0] = (seeds.times[known] - self.known_at[last[known]]) / MICROS_PER_DAY
        active = there & (np.nan_to_num(found) != 0).any(axis=2)
        newest = np.argmax(active, axis=1)
        some = active.any(axis=1)
        at = taken[np.arange(n), newest]
        age[some, 1] = (seeds.times[some] - self.known_at[at[some]]) / MICROS_PER_DAY
        return np.concatenate(
            [found[:, :LAGS].reshape(n, LAGS * width), mean, trend, np.minimum(count, WINDOWS)[:, None], age], axis=1
        ).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write the labels to a file that :meth:`load` reads; readers see all of it or nothing."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        with whole(path) as draft:
            np.savez(draft, rows=self.rows, classes=np.array(self.classes, dtype=np.str_), **arrays)

    @classmethod
    def load(cls, path: Path) -> LaggedLabels:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in _ARRAYS}
            return cls(rows=int(data["rows"]), classes=tuple(data["classes"].tolist()), **arrays)

    def _lists(self, rows: NDArray[np.int32], times: Micros) -> NDArray[np.int64]:
        """Return which list of labels each row looks at."""
        own = np.maximum(rows, 0).astype(np.int64)
        if len(self.moments) == 0 or len(times) == 0:
            return own
        place = np.searchsorted(self.moments, times, side="right") - 1
        if (place < 0).any():
            raise ValueError("past labels were gathered for later times only")
        return self.grids[place] * self.rows + own

    @cached_property
    def _adjacency(self) -> Adjacency:
        """Return the labels as lists in the order of time."""
        every = np.arange(len(self.known_at), dtype=np.int32)
        return Adjacency("labels", (self.indptr, every), self.known_at, len(every))


def lagged_labels(
    task: Task, source: Source, snapshot: Snapshot, moments: Iterable[int], objective: Objective
) -> LaggedLabels | None:
    """Gather the labels that were known at each of ``moments`` (microseconds), looking back :data:`WINDOWS` windows.

    None where a task has no earlier labels: static targets, ready-made labels whose horizon nobody stated, rankings,
    and sets of too many classes.
    """
    if len(objective.classes) > MAX_CLASSES or task.kind.ranks_items:
        return None
    made: _Gathered | None = None
    if isinstance(task.labels, ReadyMadeLabels):
        made = _ready_made(task.labels, source)
    elif isinstance(task.labels, QueryLabels) and not task.labels.query.is_static:
        made = _made_at(task.labels, source, snapshot, sorted(set(moments)))
    source.release()
    if made is None:
        return None
    values = np.zeros((0, len(objective.classes) or 1), np.float32)
    if len(made.examples) and (lagged := objective.lagged(made.examples.target)) is not None:
        values = lagged
    size = snapshot.num_nodes(task.entity.name)
    rows = snapshot.lookup_keys(task.entity.name, made.examples.keys).astype(np.int64) if len(values) else made.grid
    there = rows >= 0
    lists = (made.grid * size + rows)[there]
    order = np.lexsort((made.known_at[there], lists))
    counts = np.bincount(lists, minlength=size * (int(made.grids.max(initial=0)) + 1))
    return LaggedLabels(
        size,
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        made.known_at[there][order],
        values[there][order],
        objective.classes,
        made.moments,
        made.grids,
    )


def stored_lagged_labels(
    task: Task,
    open_source: Callable[[], AbstractContextManager[Source]],
    snapshot: Snapshot,
    moments: Iterable[int],
    objective: Objective,
    folder: Path,
) -> LaggedLabels | None:
    """Return :func:`lagged_labels`, from a file in ``folder`` where they were gathered for this snapshot before.

    The file is named after everything that the labels depend on, so the service finds what embedding gathered.
    """
    asked = sorted(set(moments))
    facts = json.dumps(
        [task.config.model_dump(mode="json"), objective.classes, asked, snapshot.id, __version__], default=str
    )
    name = hashlib.blake2b(facts.encode(), digest_size=12).hexdigest()
    path = folder / f"{task.name}-{name}.npz"
    if path.is_file():
        try:
            return LaggedLabels.load(path)
        except (OSError, ValueError, KeyError, BadZipFile):
            path.unlink(missing_ok=True)  # cut short or damaged: gathered again
    with open_source() as source:
        found = lagged_labels(task, source, snapshot, asked, objective)
    if found is not None:
        found.save(path)
        for old in sorted(folder.glob(f"{task.name}-*.npz"), key=_age)[_KEPT:]:
            old.unlink(missing_ok=True)
    return found


def _age(path: Path) -> float:
    return -path.stat().st_mtime if path.exists() else 0.0


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Labels with the moment from which each was known and the grid it is part of; ``moments``, ``grids`` as above."""

    examples: Examples
    known_at: Micros
    grid: NDArray[np.int64]
    moments: Micros
    grids: NDArray[np.int64]


def _made_at(labels: QueryLabels, source: Source, snapshot: Snapshot, moments: list[int]) -> _Gathered:
    found = _Grids([], {})
    for moment in moments:
        found.add(moment, _anchors_before(labels, snapshot, moment))
    wanted = sorted(set().union(*found.anchors))
    none = Examples(pa.chunked_array([[]], pa.string()), np.empty(0, np.int64), np.empty(0))
    examples = labels.at(source, snapshot, wanted, filtered=False) if wanted else none
    source.release()
    places, known_at, grids = [], [], []
    for grid, anchors in enumerate(found.anchors):
        ends = {to_micros(a): to_micros(labels.query.horizon_end(a)) for a in anchors}
        own = np.flatnonzero(np.isin(examples.times, list(ends)))
        distinct, place = np.unique(examples.times[own], return_inverse=True)
        places.append(own)
        known_at.append(np.array([ends[int(t)] for t in distinct], np.int64)[place])
        grids.append(np.full(len(own), grid))
    every = _joined(places)
    kept = Examples(examples.keys.take(pa.array(every)), examples.times[every], examples.target[every])
    of_moments = np.array([found.grid_of[m] for m in moments], np.int64)
    return _Gathered(kept, _joined(known_at), _joined(grids), np.array(moments, np.int64), of_moments)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _anchors_before(labels: QueryLabels, snapshot: Snapshot, moment: int) -> list[datetime]:
    """Return the anchors of the newest windows that end at or before a moment, newest first."""
    window, oldest = labels.query.target_window, labels.known_since(snapshot)
    assert window is not None
    newest = shift(from_micros(moment), -window.end, window.unit)
    steps = (labels.query.previous_anchor(newest, k) for k in range(WINDOWS))
    return list(takewhile(lambda anchor: oldest is not None and anchor > oldest, steps))


@dataclass
class _Grids:
    """Sets of anchors that are whole windows apart, and which of them each moment looks at."""

    anchors: list[set[datetime]]
    grid_of: dict[int, int]

    def add(self, moment: int, anchors: list[datetime]) -> None:
        """Give a moment the grid that its anchors are part of, or a new one."""
        own = set(anchors)
        for number, known in enumerate(self.anchors):
            if own and (own & known or not known):
                known |= own
                self.grid_of[moment] = number
                return
        self.anchors.append(own)
        self.grid_of[moment] = len(self.anchors) - 1


def _ready_made(labels: ReadyMadeLabels, source: Source) -> _Gathered | None:
    start = datetime(2000, 1, 1)
    end = labels.horizon_end(start)
    if end is None:
        return None
    examples = labels.every(source)
    count, known_at = len(examples), examples.times + (to_micros(end) - to_micros(start))
    return _Gathered(examples, known_at, np.zeros(count, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))
