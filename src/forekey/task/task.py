"""A task of a project, ready to make its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlglot import exp

from forekey import duckdb_session
from forekey.errors import SchemaError, SplitError, TaskError
from forekey.graph import (
    MICROS_PER_DAY,
    Dense,
    Micros,
    Snapshot,
    Spelling,
    dense_period,
    from_micros,
    key_values,
    to_micros,
)
from forekey.objectives import Objective, finite, objective_of, read_times
from forekey.project import LabelTask, Project, TaskConfig
from forekey.query import (
    BoundQuery,
    TaskType,
    aggregations,
    bind,
    dropped_sql,
    label_sql,
    parse,
    population_sql,
    shift,
)
from forekey.schema import ColumnSchema, DType, Schema, TableSchema, key_parts
from forekey.source import Source
from forekey.task.labels import SPLITS, Examples, LabelTable, micros_of, sift, utc_micros
from forekey.task.splits import AnchorPlan, plan_anchors, split_by_time

_DEFAULT_WINDOW_DAYS = 30.0
_DEFAULT_TOP = 10
_APART_DAYS = 60
"""How far apart the beginnings of two tables must lie to be worth a word."""


@dataclass(frozen=True)
class Task:
    """One prediction task: a query bound to the schema, or a ready-made label table.

    ``hidden`` names ``(table, column)`` pairs that must not be features.
    """

    name: str
    task_type: TaskType
    reason: str
    entity: TableSchema
    config: TaskConfig
    bound: BoundQuery | None
    hidden: tuple[tuple[str, str], ...]
    project: Project
    items: TableSchema | None = None
    """For a ranking: the table whose rows are ranked."""

    def __repr__(self) -> str:
        return f"Task({self.name!r}, {self.task_type} of {self.entity.name})"

    @property
    def kind(self) -> type[Objective]:
        """Return what tasks of this kind have in common."""
        return objective_of(self.task_type)

    @property
    def top(self) -> int:
        """How many items a ranking asks for."""
        if isinstance(self.config, LabelTask):
            return self.config.top
        problem = self.bound.query.problem if self.bound is not None else None
        return (problem.number if problem is not None else None) or _DEFAULT_TOP

    def horizon_end(self, anchor: datetime) -> datetime | None:
        """Return the last moment (inclusive) that an example at this anchor covers; None if the task does not say."""
        if self.bound is not None:
            return self.bound.complete_at(anchor)
        days = self.config.horizon_days if isinstance(self.config, LabelTask) else None
        return anchor + timedelta(days=days) if days is not None else None

    @property
    def window_days(self) -> float:
        """The length of what a label covers, in days: the natural unit to look back in; a month if nothing says."""
        start = datetime(2001, 1, 1)
        end = self.bound.horizon_end(start) if self.bound is not None else self.horizon_end(start)
        days = (end - start) / timedelta(days=1) if end is not None else 0.0
        return days if days > 0 else _DEFAULT_WINDOW_DAYS

    def plan(self, snapshot: Snapshot) -> AnchorPlan | None:
        """Return the anchors of a temporal query; None for static targets and ready-made labels."""
        if self.bound is None or self.bound.is_static:
            return None
        settings = self.config
        limit, step = (None, None) if isinstance(settings, LabelTask) else (settings.max_anchors, settings.step_days)
        oldest, newest = self._known_period(snapshot)
        try:
            return plan_anchors(self.bound, oldest, newest, limit, step)
        except SplitError as error:
            raise SplitError(" ".join([str(error), *self.period_notes(snapshot)])) from error

    def known_until(self, snapshot: Snapshot) -> datetime:
        """Return up to when labels are known: the newest time among the tables that the target looks at.

        Another table may reach further, such as a promotion that starts next month; that an order has not
        happened by then is not known yet.
        """
        if self.bound is None or self.bound.is_static:
            return snapshot.as_of
        return self._known_period(snapshot)[1]

    def known_since(self, snapshot: Snapshot) -> datetime | None:
        """Return when the entities and every table that the query aggregates had begun; None if there is no row.

        Before, nothing was recorded, which is not the same as that nothing happened, or there was nobody.
        """
        begun = [dense.first for dense in self._begun(snapshot).values()]
        return from_micros(max(begun)) if begun else None

    @property
    def target_tables(self) -> tuple[str, ...]:
        """The tables that a target over time aggregates."""
        if self.bound is None:
            return ()
        targets = aggregations(self.bound.query.target)
        return tuple(dict.fromkeys(self.bound.aggregations[a].table.name for a in targets))

    def period_notes(self, snapshot: Snapshot) -> list[str]:
        """Say which rows lie so far from all others that anchors leave them aside, and which table begins last."""
        if self.bound is None or self.bound.is_static:
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
        every = list(self.bound.aggregations.values()) if self.bound is not None else []
        for aggregation in every:
            every += aggregation.nested.values()
        found = {}
        for name in dict.fromkeys(a.table.name for a in every):
            times = snapshot.times(name)
            dense = dense_period(times) if times is not None else None
            if dense is not None:
                found[name] = dense
        return found

    def ready_made(self, source: Source) -> LabelTable:
        """Return the labels of a task that brings them."""
        return self._read_labels(source)

    def label_statement(self, snapshot: Snapshot) -> exp.Expression | None:
        """Return the SQL that makes the labels; None for ready-made ones."""
        if self.bound is None:
            return None
        plan = self.plan(snapshot)
        return label_sql(self.bound, plan.kept if plan else [snapshot.as_of], unclean=unclean_tables(snapshot))

    def labels(self, source: Source, snapshot: Snapshot) -> LabelTable:
        """Make or read the labels. Nothing later than the snapshot's as-of time enters a label that is made."""
        if self.bound is None:
            return self._read_labels(source, snapshot)
        plan = self.plan(snapshot)
        anchors = plan.kept if plan else (snapshot.as_of,)
        unclean = unclean_tables(snapshot)
        raw = source.query(label_sql(self.bound, anchors, unclean=unclean)).read_all()
        counts = source.query(dropped_sql(self.bound, anchors, unclean=unclean)).read_all().to_pylist()[0]
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
            close = source.query(dropped_sql(self.bound, plan.dropped, unclean=unclean)).read_all().to_pylist()[0]
            dropped["anchor too close to the next split"] = int(close["pairs"])
        return _finish(table, splits, self.task_type, dropped)

    def _not_in(self, snapshot: Snapshot, table: pa.Table) -> dict[str, NDArray[np.bool_]]:
        """Say of each label, by reason, whether its entity is no row of the graph, or none yet at its time."""
        rows = snapshot.lookup_keys(self.entity.name, table.column("entity"))
        there = snapshot.visible(self.entity.name, micros_of(table.column("time")))
        return {"unknown entity": rows < 0, "not there yet at the anchor": rows >= there}

    def complete_labels_at(self, source: Source, snapshot: Snapshot, anchor: datetime) -> Examples:
        """Make the labels at one anchor; :class:`TaskError` if their window is not over yet."""
        end, known = self.horizon_end(anchor), self.known_until(snapshot)
        if self.bound is not None and end is not None and end > known:
            raise TaskError(
                f"The labels of '{self.name}' at {anchor} reach to {end}, but the data to {known} only. "
                "Choose an earlier time, or wait."
            )
        return self.labels_at(source, snapshot, [anchor])

    def labels_at(
        self, source: Source, snapshot: Snapshot, anchors: Sequence[datetime], *, filtered: bool = True
    ) -> Examples:
        """Make the labels at given anchors, whatever split they would belong to."""
        if self.bound is None:
            found = self._read_labels(source).table
            wanted = pa.array([to_micros(a) for a in anchors], pa.int64()).cast(pa.timestamp("us"))
            found = found.filter(pc.is_in(found.column("time"), value_set=wanted))
        else:
            statement = label_sql(self.bound, anchors, filtered=filtered, unclean=unclean_tables(snapshot))
            raw = source.query(statement).read_all()
            found = raw.rename_columns(["entity", "time", "target"]).sort_by(
                [("time", "ascending"), ("entity", "ascending")]
            )
            found, _ = sift(found, {"label undefined": self.kind.missing(found.column("target"))})
        return Examples(found.column("entity"), micros_of(found.column("time")), self.kind.read(found.column("target")))

    def population(self, source: Source, snapshot: Snapshot, anchor: datetime) -> pa.ChunkedArray | None:
        """Return the keys of the entities that the task is about at a time; None if that is everyone."""
        if self.bound is None or (self.bound.query.where is None and self.bound.query.ids is None):
            return None
        statement = population_sql(self.bound, anchor, unclean=unclean_tables(snapshot))
        return source.query(statement).read_all().column("entity")

    def check_ids(self, snapshot: Snapshot) -> None:
        """Refuse a query about entities that are not there."""
        ids = self.bound.query.ids if self.bound is not None else None
        rows = snapshot.lookup(self.entity.name, list(ids)) if ids is not None else np.zeros(0)
        for unknown in (i for i, row in zip(ids or (), rows, strict=True) if row < 0):
            raise TaskError(f"There is no row of '{self.entity.name}' with the key {unknown!r} in the snapshot.")

    def previous(
        self, source: Source, snapshot: Snapshot, examples: Examples, known_until: int
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return labels, and per example the place among them of the same target one window earlier, or -1.

        The earlier label's window ends at or before the example's anchor time, and at or before ``known_until``
        (microseconds): it was known.
        """
        if self.bound is None:
            return self._previous_ready_made(source, examples, known_until)
        window = self.bound.target_window
        if window is None:
            return np.full(len(examples), -1), examples.target[:0]
        anchors = [from_micros(t) for t in np.unique(examples.times)]
        earlier = {shift(a, -window.end, window.unit): a for a in anchors}
        past = self.labels_at(source, snapshot, sorted(earlier), filtered=False)
        source.release()
        moved = np.array([to_micros(earlier[from_micros(t)]) for t in past.times], np.int64)
        return _place_of(examples, past.keys, moved), past.target

    def _previous_ready_made(
        self, source: Source, examples: Examples, known_until: int
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        horizon = self.horizon_end(datetime(2000, 1, 1))
        if horizon is None:
            return np.full(len(examples), -1), examples.target[:0]
        length = to_micros(horizon) - to_micros(datetime(2000, 1, 1))
        table = self._read_labels(source).table
        source.release()
        keys, times, target = (
            table.column("entity"),
            micros_of(table.column("time")),
            self.kind.read(table.column("target")),
        )
        known = times + length <= known_until
        return _place_of_latest(examples, keys.filter(pa.array(known)), times[known] + length), target[known]

    def _known_period(self, snapshot: Snapshot) -> tuple[datetime, datetime]:
        """Return when all tables that the query aggregates had begun, and the newest time of those of its target.

        What counts is where rows are dense: see :func:`forekey.graph.dense_period`.
        """
        assert self.bound is not None
        query, tables = self.bound.query, self._dense(snapshot)
        targets, assumed = set(aggregations(query.target)), set(aggregations(query.assuming))
        newest: dict[bool, list[int]] = {True: [], False: []}
        for aggregation, bound in self.bound.aggregations.items():
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

    def _read_labels(self, source: Source, snapshot: Snapshot | None = None) -> LabelTable:
        """Read ready-made labels, each an example or counted; of unknown entities only if there is a snapshot."""
        config = self.config
        assert isinstance(config, LabelTask)
        files = config.labels if isinstance(config.labels, dict) else {"": config.labels}
        parts, splits = [], []
        for split, path in files.items():
            part = self._read_part(source, path, config)
            parts.append(part.drop_columns(["split"]) if "split" in part.column_names else part)
            named = config.split is not None and not split
            splits.append(
                pc.fill_null(part.column("split"), "").to_numpy(zero_copy_only=False)
                if named
                else np.full(len(part), split or "?")
            )
        table, names = pa.concat_tables(parts), np.concatenate(splits).astype(str)
        odd = sorted(set(np.unique(names).tolist()) - {*SPLITS, "?", ""})
        if odd:
            raise TaskError(
                f"The labels of task '{self.name}' name the split '{odd[0]}'. Splits are train, val and test; "
                "rename it, or leave the column out."
            )
        table = table.append_column("split", pa.array(names.tolist(), pa.string()))
        table, dropped = self._usable(table, snapshot)
        names = np.array(table.column("split").to_pylist(), dtype="<U5")
        why = "no split"
        if (names == "?").any():
            names, why = split_by_time(micros_of(table.column("time")), self._label_end), "too close to the next split"
        return _finish(table.drop_columns(["split"]), names, self.task_type, dropped, why)

    def _usable(self, table: pa.Table, snapshot: Snapshot | None) -> tuple[pa.Table, dict[str, int]]:
        """Leave out ready-made labels that lack something or whose entity is not in the graph; count them by reason."""
        missing = {f"no {name}": table.column(name).is_null().to_numpy() for name in ("entity", "time")}
        missing["no label"] = self.kind.missing(table.column("target"))
        table, lost = sift(table, missing)
        unknown: dict[str, int] = {}
        if snapshot is not None:
            table, unknown = sift(table, self._not_in(snapshot, table))
        return table, unknown | lost

    def _label_end(self, micros: int) -> int:
        end = self.horizon_end(from_micros(micros))
        return to_micros(end) if end is not None else micros

    def _read_part(self, source: Source, path: str, config: LabelTask) -> pa.Table:
        """Read a Parquet file, or the table of the source that has this name."""
        place = self.project.resolve(path)
        try:
            table = pq.read_table(place) if place.exists() else self._read_source(source, path)
        except (OSError, pa.ArrowInvalid) as error:
            raise TaskError(
                f"The labels of task '{self.name}' cannot be read: '{place}' is not a Parquet file."
            ) from error
        names = {"entity": config.entity.column, "time": config.time, "target": config.target}
        if config.split is not None and not isinstance(config.labels, dict):
            names["split"] = config.split
        if config.weight is not None:
            names["weight"] = config.weight
        table = _with_composite(table, names["entity"])
        missing = [c for c in names.values() if c not in table.column_names]
        if missing:
            raise TaskError(f"The labels of task '{self.name}' lack the column '{missing[0]}' in '{place}'.")
        try:
            return self._typed_labels(table, names)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise TaskError(f"The labels of task '{self.name}' in '{place}' cannot be used: {reason}.") from error

    def _read_source(self, source: Source, name: str) -> pa.Table:
        info = next((t for t in source.tables() if t.name == name), None)
        if info is None:
            raise TaskError(
                f"The labels of task '{self.name}' cannot be read: '{name}' is not a Parquet file, nor a table of the "
                "source. Check labels: in forekey.yaml."
            )
        columns = (source.column(name, c.name).as_(c.name, quoted=True) for c in info.columns)
        table = exp.Table(this=exp.to_identifier(name, quoted=True))
        return source.query(exp.select(*columns).from_(table)).read_all()

    def _typed_labels(self, table: pa.Table, names: dict[str, str]) -> pa.Table:
        """Return entity, time, target and split in the types of label tables; ``ValueError`` says what is off."""
        key = self.entity.column(self.entity.primary_key or "")
        entity = finite(table.column(names["entity"]))
        time = read_times(table.column(names["time"]), names["time"])
        if not pa.types.is_temporal(time.type):
            raise ValueError(f"'{names['time']}' is {time.type}, not a time")
        target = self.kind.typed(table.column(names["target"]), names["target"])
        out = {
            "entity": entity.cast(pa.int64())
            if key.dtype is DType.INTEGER
            else pa.chunked_array([Spelling.of(key).many(entity).cast(pa.string())]),
            "time": utc_micros(time),
            "target": target,
        }
        if "weight" in names:
            out["weight"] = table.column(names["weight"]).cast(pa.float64())
            if not pc.all(pc.greater_equal(pc.fill_null(out["weight"], -1), 0)).as_py():
                raise ValueError(f"'{names['weight']}' must hold weights of 0 or more")
        if "split" in names:
            out["split"] = table.column(names["split"]).cast(pa.string())
        return pa.table(out)


def define_task(name: str, project: Project, schema: Schema, config: TaskConfig | None = None) -> Task:
    """Resolve a task of forekey.yaml (or the given configuration) against the schema."""
    config = config or project.task(name)
    if isinstance(config, LabelTask):
        return _ready_made(name, project, schema, config)
    bound = bind(parse(config.query), schema)
    items = bound.ranked_items
    return Task(name, bound.task_type, bound.reason, bound.entity, config, bound, bound.target_columns, project, items)


def _with_composite(table: pa.Table, name: str) -> pa.Table:
    """Return label rows with the composite key that ``name`` states by its columns, if it states one."""
    parts = key_parts(name, table.column_names) or ()
    if len(parts) < 2:
        return table
    whole = pa.RecordBatch.from_arrays([table.column(p).combine_chunks() for p in parts], names=list(parts))
    return table.append_column(name, key_values(whole, ColumnSchema.composite(parts)))


def _ready_made(name: str, project: Project, schema: Schema, config: LabelTask) -> Task:
    table, _, column = config.entity.key.rpartition(".")
    try:
        entity = schema.table(table)
    except SchemaError as error:
        raise TaskError(f"Task '{name}' cannot be made: {error}") from error
    if entity.primary_key != column:
        raise TaskError(
            f"Task '{name}': entity key '{config.entity.key}' must be the primary key of its table"
            + (f", {table}.{entity.primary_key}." if entity.primary_key else f", but '{table}' has none.")
        )
    kind = TaskType(config.task_type)
    items = _items(name, schema, config) if objective_of(kind).ranks_items else None
    return Task(name, kind, "labels are ready-made", entity, config, None, (), project, items)


def _items(name: str, schema: Schema, config: LabelTask) -> TableSchema:
    table, _, column = (config.items or "").rpartition(".")
    if table not in schema.names or schema.table(table).primary_key != column:
        raise TaskError(
            f"Task '{name}' ranks rows of a table: items: must name its primary key, for example products.sku"
            f"{f', not {config.items}' if config.items else ''}."
        )
    return schema.table(table)


def unclean_tables(snapshot: Snapshot) -> frozenset[str]:
    """Return the tables of which the graph left out rows for their keys: labels must leave out the same."""
    reasons = {"no key", "duplicate key"}
    return frozenset(n for n, t in snapshot.manifest["tables"].items() if reasons & set(t["quarantined"]))


def _finish(
    table: pa.Table, splits: NDArray[np.str_], task_type: TaskType, dropped: dict[str, int], unsplit: str = "no split"
) -> LabelTable:
    """Sort the examples into a fixed order, leaving out those that belong to no split, for the reason ``unsplit``."""
    table = table.append_column("split", pa.array(splits.tolist(), pa.string()))
    table, lost = sift(table, {unsplit: ~np.isin(splits, SPLITS)})
    ordered = table.sort_by([("time", "ascending"), ("entity", "ascending")])
    return LabelTable(ordered, task_type, dropped | lost)


def _split_by_hash(keys: pa.ChunkedArray) -> NDArray[np.str_]:
    from hashlib import blake2b

    digits = np.array([blake2b(str(k).encode(), digest_size=1).digest()[0] % 10 for k in keys.to_pylist()], np.int64)
    return np.where(digits == 0, "test", np.where(digits == 1, "val", "train")).astype("<U5")


def _place_of(examples: Examples, keys: pa.ChunkedArray, times: Micros) -> NDArray[np.int64]:
    """Return where the pair of each example's entity and time stands among others; -1 where it does not."""
    return _matched(examples, keys, times, "LEFT JOIN", "=")


def _place_of_latest(examples: Examples, keys: pa.ChunkedArray, times: Micros) -> NDArray[np.int64]:
    """Return where the newest pair with each example's entity at or before its time stands; -1 where there is none."""
    return _matched(examples, keys, times, "ASOF LEFT JOIN", ">=")


def _matched(examples: Examples, keys: pa.ChunkedArray, times: Micros, join: str, comparison: str) -> NDArray[np.int64]:
    with duckdb_session.connect() as engine:
        engine.register(
            "wanted", pa.table({"entity": examples.keys, "time": examples.times, "n": range(len(examples))})
        )
        engine.register("known", pa.table({"entity": keys, "time": times, "place": np.arange(len(times))}))
        found = engine.sql(
            f"SELECT wanted.n, min(known.place) AS place FROM wanted {join} known "
            f"ON wanted.entity = known.entity AND wanted.time {comparison} known.time GROUP BY ALL ORDER BY wanted.n"
        ).to_arrow_table()
    place: NDArray[np.int64] = pc.fill_null(found.column("place"), -1).to_numpy()
    return place
