"""Labels that are made by a query, in SQL, at anchor times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlglot import exp

from forekey.errors import SplitError, TaskError
from forekey.graph import MICROS_PER_DAY, Dense, Snapshot, dense_period, from_micros, to_micros
from forekey.query import BoundQuery, aggregations, dropped_sql, label_sql, population_sql, shift
from forekey.source import Source
from forekey.task.label_maker import LabelMaker
from forekey.task.labels import SPLITS, Examples, LabelTable, micros_of, place_of, sift
from forekey.task.splits import AnchorPlan, plan_anchors, split_by_time

_APART_DAYS = 60
"""How far apart the beginnings of two tables must lie to be worth a word."""


@dataclass(frozen=True)
class QueryLabels(LabelMaker):
    """Labels by a bound query; ``max_anchors`` and ``step_days`` limit the anchor times and set their distance."""

    query: BoundQuery
    max_anchors: int | None = None
    step_days: float | None = None

    @property
    def bound(self) -> BoundQuery:
        """Return the query."""
        return self.query

    @property
    def target_tables(self) -> tuple[str, ...]:
        """The tables that a target over time aggregates."""
        targets = aggregations(self.query.query.target)
        return tuple(dict.fromkeys(self.query.aggregations[a].table.name for a in targets))

    def horizon_end(self, anchor: datetime) -> datetime | None:
        """Return the last moment (inclusive) that an example at this anchor covers."""
        return self.query.complete_at(anchor)

    def plan(self, snapshot: Snapshot) -> AnchorPlan | None:
        """Return the anchors of a query over time; None for static targets."""
        if self.query.is_static:
            return None
        oldest, newest = self._known_period(snapshot)
        try:
            return plan_anchors(self.query, oldest, newest, self.max_anchors, self.step_days)
        except SplitError as error:
            raise SplitError(" ".join([str(error), *self.period_notes(snapshot)])) from error

    def known_until(self, snapshot: Snapshot) -> datetime:
        """Return up to when labels are known: the newest time among the tables that the target looks at.

        Another table may reach further, such as a promotion that starts next month; that an order has not
        happened by then is not known yet.
        """
        if self.query.is_static:
            return snapshot.as_of
        return self._known_period(snapshot)[1]

    def known_since(self, snapshot: Snapshot) -> datetime | None:
        """Return when the entities and every table that the query aggregates had begun; None if there is no row.

        Before, nothing was recorded, which is not the same as that nothing happened, or there was nobody.
        """
        begun = [dense.first for dense in self._begun(snapshot).values()]
        return from_micros(max(begun)) if begun else None

    def period_notes(self, snapshot: Snapshot) -> list[str]:
        """Say which rows lie so far from all others that anchors leave them aside, and which table begins last."""
        if self.query.is_static:
            return []
        tables, since = self._begun(snapshot), self.known_since(snapshot)
        if since is None:
            return []
        until = self.known_until(snapshot)
        notes = []
        for name, dense in tables.items():
            ends = [f"anchors begin at {since:%Y-%m-%d}"] * bool(dense.before)
            as_of = (
                "" if not dense.after or dense.after[-1] < to_micros(snapshot.as_of) else ", but predicted as of then"
            )
            ends += [f"labels are known until {until:%Y-%m-%d}{as_of}"] * bool(dense.after)
            notes += [f"{name}: {said}; {end}." for said, end in zip(dense.strays(), ends, strict=True)]
        first, last = (f(tables, key=lambda n: tables[n].first) for f in (min, max))
        if tables[last].first - tables[first].first > _APART_DAYS * MICROS_PER_DAY:
            earlier = from_micros(tables[first].first)
            notes.append(
                f"Anchors begin at {since:%Y-%m-%d}, where {last} begins; {first}, which the query reads too, goes "
                f"back to {earlier:%Y-%m-%d}."
            )
        return notes

    def statement(self, snapshot: Snapshot) -> exp.Expression | None:
        """Return the SQL that makes the labels."""
        plan = self.plan(snapshot)
        return label_sql(self.query, plan.kept if plan else [snapshot.as_of], unclean=unclean_tables(snapshot))

    def make(self, source: Source, snapshot: Snapshot) -> LabelTable:
        """Make the labels. Nothing later than the snapshot's as-of time enters them."""
        plan = self.plan(snapshot)
        anchors = plan.kept if plan else (snapshot.as_of,)
        unclean = unclean_tables(snapshot)
        raw = source.query(label_sql(self.query, anchors, unclean=unclean)).read_all()
        counts = source.query(dropped_sql(self.query, anchors, unclean=unclean)).read_all().to_pylist()[0]
        dropped = {
            "left out by WHERE or ASSUMING": int(counts["filtered"] or 0),
            "label undefined": int(counts["undefined"] or 0),
            "not there yet at the anchor": int(counts["unborn"] or 0),
        }
        table = raw.rename_columns(["entity", "time", "target"])
        reasons = {"label undefined": self.kind.missing(table.column("target"))}
        table, lost = sift(table, reasons | self._not_in(snapshot, table))
        dropped = {reason: dropped.get(reason, 0) + lost.get(reason, 0) for reason in dropped | lost}
        splits = self._splits(table, plan)
        if plan is not None and plan.dropped:
            close = source.query(dropped_sql(self.query, plan.dropped, unclean=unclean)).read_all().to_pylist()[0]
            dropped["anchor too close to the next split"] = int(close["pairs"])
        return self._finished(table, splits, dropped)

    def at(self, source: Source, snapshot: Snapshot, anchors: Sequence[datetime], *, filtered: bool = True) -> Examples:
        """Make the labels at given anchors, whatever split they would belong to."""
        statement = label_sql(self.query, anchors, filtered=filtered, unclean=unclean_tables(snapshot))
        raw = source.query(statement).read_all()
        found = raw.rename_columns(["entity", "time", "target"]).sort_by(
            [("time", "ascending"), ("entity", "ascending")]
        )
        found, _ = sift(found, {"label undefined": self.kind.missing(found.column("target"))})
        return self._examples(found)

    def previous(
        self, source: Source, snapshot: Snapshot, examples: Examples, known_until: int
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the labels one window earlier (see :meth:`LabelMaker.previous`)."""
        window = self.query.target_window
        if window is None:
            return np.full(len(examples), -1), examples.target[:0]
        anchors = [from_micros(t) for t in np.unique(examples.times)]
        earlier = {shift(a, -window.end, window.unit): a for a in anchors}
        past = self.at(source, snapshot, sorted(earlier), filtered=False)
        source.release()
        moved = np.array([to_micros(earlier[from_micros(t)]) for t in past.times], np.int64)
        return place_of(examples, past.keys, moved), past.target

    def population(self, source: Source, snapshot: Snapshot, anchor: datetime) -> pa.ChunkedArray | None:
        """Return the keys of the entities that the task is about at a time; None if that is everyone."""
        if self.query.query.where is None and self.query.query.ids is None:
            return None
        statement = population_sql(self.query, anchor, unclean=unclean_tables(snapshot))
        return source.query(statement).read_all().column("entity")

    def _begun(self, snapshot: Snapshot) -> dict[str, Dense]:
        """Return where the tables that the query aggregates, and that of the entities, are dense."""
        found = self._dense(snapshot)
        times = snapshot.times(self.entity.name)
        dense = dense_period(times) if found and times is not None else None
        if dense is not None and self.entity.name not in found:
            found[self.entity.name] = replace(dense, after=())  # entities to come end nothing
        return found

    def _dense(self, snapshot: Snapshot) -> dict[str, Dense]:
        """Return where each table that the query aggregates, in filters too, is dense; of tables with times."""
        every = list(self.query.aggregations.values())
        for aggregation in every:
            every += aggregation.nested.values()
        found = {}
        for name in dict.fromkeys(a.table.name for a in every):
            times = snapshot.times(name)
            dense = dense_period(times) if times is not None else None
            if dense is not None:
                found[name] = dense
        return found

    def _known_period(self, snapshot: Snapshot) -> tuple[datetime, datetime]:
        """Return when all tables that the query aggregates had begun, and the newest time of those of its target.

        What counts is where rows are dense: see :func:`forekey.graph.dense_period`.
        """
        query, tables = self.query.query, self._dense(snapshot)
        targets, assumed = set(aggregations(query.target)), set(aggregations(query.assuming))
        newest: dict[bool, list[int]] = {True: [], False: []}
        for aggregation, bound in self.query.aggregations.items():
            if bound.table.name in tables and (aggregation in targets or aggregation in assumed):
                newest[aggregation in targets].append(tables[bound.table.name].last)
        since = self.known_since(snapshot)
        if not newest[True] or since is None:
            names = ", ".join(sorted({a.column.table for a in targets}))
            raise TaskError(
                f"Task '{self.name}' has no labels: {names} has no rows with a time in the snapshot. "
                "Load data and run `forekey snapshot`."
            )
        # What ASSUMING looks at must be known as well as what the target does.
        return since, from_micros(min(max(times) for times in newest.values() if times))

    def _splits(self, table: pa.Table, plan: AnchorPlan | None) -> NDArray[np.str_]:
        times = micros_of(table.column("time"))
        if plan is None:
            distinct = len(np.unique(times))
            if distinct >= 3:
                return split_by_time(times, lambda t: t)
            return _split_by_hash(table.column("entity"))
        names = {to_micros(a): split for split in SPLITS for a in getattr(plan, split)}
        distinct_times, place = np.unique(times, return_inverse=True)
        return np.array([names[int(t)] for t in distinct_times], dtype="<U5")[place]


def unclean_tables(snapshot: Snapshot) -> frozenset[str]:
    """Return the tables of which the graph left out rows for their keys: labels must leave out the same."""
    reasons = {"no key", "duplicate key"}
    return frozenset(n for n, t in snapshot.manifest.tables.items() if reasons & set(t.quarantined))


def _split_by_hash(keys: pa.ChunkedArray) -> NDArray[np.str_]:
    from hashlib import blake2b

    digits = np.array([blake2b(str(k).encode(), digest_size=1).digest()[0] % 10 for k in keys.to_pylist()], np.int64)
    return np.where(digits == 0, "test", np.where(digits == 1, "val", "train")).astype("<U5")
