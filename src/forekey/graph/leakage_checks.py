"""Columns that seem to have been written after their row came to be: what they say was not known at the time.

A model that learns from such a column learns from the future, and does worse in production than it did in training.
Each suspicion is measured on the snapshot; a person decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph.findings import Finding
from forekey.graph.snapshot import Snapshot
from forekey.schema import ColumnSchema, DType, EdgeType, Stype, TableSchema, key_parts
from forekey.source import (
    FEWEST_ROWS,
    MOST_LATER,
    MOST_PARTS,
    TOGETHER,
    YEARS,
    is_end_of_period,
    names_own_time,
    names_parts,
    names_plan,
    names_year,
)

_SOME = 0.5
_FEWEST = 0.02
_NEWEST = 0.02
_SHIFT = 0.25  # a population stability index above which a distribution counts as another
_MEND = "If it is filled in later, set it to ignore in forekey.yaml; if not, leave it."


def leakage_risks(snapshot: Snapshot) -> Iterator[Finding]:
    """List columns that look updated after the fact."""
    for table in snapshot.schema.tables:
        if snapshot.num_nodes(table.name) < FEWEST_ROWS:
            continue
        if table.time_column is None:
            yield from _seen_before_their_parent(snapshot, table)
        later = dict(_written_later(snapshot, table))
        for column in table.columns:
            where = f"{table.name}.{column.name}"
            if column.name in later:
                yield Finding(where, later[column.name], _MEND)
            elif column.stype is Stype.NUMERICAL:
                yield from (Finding(where, what, _MEND) for what in _counts_children(snapshot, table, column))
            elif table.time_column is not None and column.name != table.time_column:
                what = _settles_with_age(snapshot, table, column)
                if what is not None:
                    yield Finding(where, what, _MEND)


def _written_later(snapshot: Snapshot, table: TableSchema) -> Iterator[tuple[str, str]]:
    """Name columns that hold a moment, or a year, later than their row's time, and those filled where these are."""
    told = {c.name: what for c in table.columns if (what := _later_than_the_row(snapshot, table, c)) is not None}
    yield from told.items()
    contents, missing = snapshot.rows(table.name), {}
    for column in table.columns:
        if column.name in contents.column_names and column.name not in {table.time_column, table.primary_key}:
            missing[column.name] = contents.column(column.name).is_null().to_numpy()
    for name, nulls in missing.items():
        if name in told or not _FEWEST <= nulls.mean() <= 1 - _FEWEST:
            continue
        for other in (o for o in told if o in missing):
            if float((missing[other] == nulls).mean()) >= TOGETHER:
                yield name, f"leak risk: it is filled where {other} is, which is later than its row's own time"
                break


def _seen_before_their_parent(snapshot: Snapshot, table: TableSchema) -> Iterator[Finding]:
    """Name references from rows that are visible always to rows that are not."""
    for edge in snapshot.edge_types:
        if edge.child == table.name and snapshot.times(edge.parent) is not None and snapshot.num_edges(edge):
            share = snapshot.num_edges(edge) / snapshot.num_nodes(table.name)
            if share >= _SOME:
                what = (
                    f"leak risk: rows of {table.name} have no time and are seen before the {edge.parent} they refer to"
                )
                yield Finding(str(edge), what, _mend_untimed(snapshot, table, edge))


def _mend_untimed(snapshot: Snapshot, table: TableSchema, edge: EdgeType) -> str:
    """Say how rows without a time get one: that of their parent only if they seem to be parts of it."""
    own = key_parts(table.primary_key or "", [c.name for c in table.columns]) or ()
    degrees = np.diff(snapshot.children(edge)[0])
    few = snapshot.num_edges(edge) <= MOST_PARTS * max(int((degrees > 0).sum()), 1)
    dated = [c.name for c in table.columns if names_own_time(table.name, c.name)]
    if dated:
        return (
            f"Set time_column of '{table.name}' in forekey.yaml: {', '.join(dated)} may say when its rows came to be."
        )
    if few and (names_parts(table.name) or (len(own) > 1 and edge.column in own)):
        return f"Give '{table.name}' a time_column, or, as parts of {edge.parent}, time_from: {edge.column}."
    return (
        f"Give '{table.name}' a time_column (a year will do). time_from: {edge.column} dates its rows to when their "
        f"{edge.parent} came to be: set it only if they came together."
    )


def _counts_children(snapshot: Snapshot, table: TableSchema, column: ColumnSchema) -> Iterator[str]:
    """Compare a number with how many rows of each child table point at the row."""
    values = snapshot.rows(table.name).column(column.name).to_numpy()
    for edge in snapshot.edge_types:
        if edge.parent != table.name:
            continue
        degrees = np.diff(snapshot.children(edge)[0])
        busy = (degrees > 0) & np.isfinite(values)
        if busy.sum() >= FEWEST_ROWS and len(np.unique(degrees[busy])) > 2:
            share = float((values[busy] == degrees[busy]).mean())
            if share >= MOST_LATER:
                yield f"leak risk: in {share:.0%} of rows it is the number of {edge.child} there are today"


def _later_than_the_row(snapshot: Snapshot, table: TableSchema, column: ColumnSchema) -> str | None:
    """Compare a moment with that of its own row."""
    times = snapshot.times(table.name)
    if times is None or column.name == table.time_column or names_plan(column.name):
        return None
    is_year = (
        column.dtype in {DType.INTEGER, DType.FLOAT} and column.stype is Stype.NUMERICAL and names_year(column.name)
    )
    if column.stype is not Stype.TIMESTAMP and not is_year:
        return None
    values = snapshot.rows(table.name).column(column.name)
    there = values.is_valid().to_numpy()
    if there.sum() < FEWEST_ROWS:
        return None
    if is_year:
        # The end of a year, as the time of a row, is the first moment of the next.
        within = times - 1 if is_end_of_period(table.time_column or "") else times
        own = within.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
        years = pc.fill_null(values.cast(pa.float64()), 0).to_numpy()[there]
        if not ((years >= YEARS[0]) & (years <= YEARS[1]) & (years == np.floor(years))).all():
            return None
        share = float((years > own[there]).mean())
        return f"leak risk: it is a year after that of its row in {share:.0%} of rows" if share >= MOST_LATER else None
    later = pc.fill_null(values.cast(pa.int64()), 0).to_numpy()[there] > times[there]
    share = float(later.mean())
    return f"leak risk: it is later than its row's own time in {share:.0%} of rows" if share >= MOST_LATER else None


def _settles_with_age(snapshot: Snapshot, table: TableSchema, column: ColumnSchema) -> str | None:
    """Compare the newest rows with the others: a status that changes as rows age is another on the newest."""
    if column.stype not in {Stype.CATEGORICAL, Stype.BOOLEAN}:
        return None
    values = snapshot.rows(table.name).column(column.name).cast(pa.string())
    newest = int(len(values) * _NEWEST)
    if newest < FEWEST_ROWS:
        return None
    codes = values.combine_chunks().dictionary_encode(null_encoding="encode")
    count = len(codes.dictionary)
    if not 2 <= count <= 50:
        return None
    numbers = codes.indices.to_numpy()
    old, new = _shares(numbers[:-newest], count), _shares(numbers[-newest:], count)
    shift = float(((new - old) * np.log(new / old)).sum())
    before = _shares(numbers[-2 * newest : -newest], count)
    drift = float(((before - old) * np.log(before / old)).sum())
    if shift < _SHIFT or drift > shift / 2:
        return None
    return f"leak risk: it is another in the newest {_NEWEST:.0%} of rows (PSI {shift:.2f}), as if it settled with age"


def _shares(codes: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    return np.maximum(np.bincount(codes, minlength=count) / max(len(codes), 1), 1e-4)
