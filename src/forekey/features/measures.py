"""Rows to plain numbers, for aggregates over lists of rows: amounts, flags, whether a category is a given one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.features.statistics import days_of
from forekey.graph import GraphView, Snapshot, take_rows
from forekey.schema import Stype

MAX_INDICATORS = 6
MAX_MEASURES = 32
_MIN_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Measure:
    """One number per row: a column, or whether it holds ``value``."""

    column: str
    stype: Stype
    value: str | None = None

    def __str__(self) -> str:
        return self.column if self.value is None else f"{self.column} = {self.value}"


def choose_measures(
    snapshot: Snapshot, table: str, cutoff: int, hidden: Iterable[tuple[str, str]]
) -> tuple[Measure, ...]:
    """Choose what to measure of a table's rows, from those up to ``cutoff``.

    Numbers, flags and time spans as they are; of a category, its most frequent values, each as yes or no.
    """
    left_out = set(hidden)
    found = []
    shape = snapshot.schema.table(table)
    rows = snapshot.rows_at(table, cutoff)
    for column in shape.columns:
        if (table, column.name) in left_out:
            continue
        match column.stype:
            case Stype.NUMERICAL | Stype.BOOLEAN:
                found.append(Measure(column.name, column.stype))
            case Stype.TIMESTAMP if shape.time_column not in {None, column.name}:
                found.append(Measure(column.name, column.stype))
            case Stype.CATEGORICAL:
                found += [Measure(column.name, column.stype, name) for name in _frequent(rows.column(column.name))]
            case _:
                pass
    return tuple(found[:MAX_MEASURES])


def _frequent(values: pa.ChunkedArray) -> list[str]:
    """Return the most frequent values, if they say something of most rows; none of a column with one value."""
    counted = pc.value_counts(values.drop_null())
    names, counts = counted.field("values").to_pylist(), counted.field("counts").to_numpy()
    if len(names) < 2:
        return []
    ranked = sorted(zip(-counts, names, strict=True))[:MAX_INDICATORS]
    return [str(name) for count, name in ranked if -count >= _MIN_SHARE * len(values)]


def measure_rows(
    view: GraphView, table: str, measures: tuple[Measure, ...], contents: NDArray[np.int32] | None
) -> NDArray[np.float32]:
    """Return ``[len(contents), measures] float32``, NaN where missing or infinite; ``contents`` None is every row.

    Contents are numbered as :meth:`forekey.graph.GraphView.contents_at` does.
    """
    rows = view.all_contents(table)
    if contents is not None:
        read = list(dict.fromkeys([m.column for m in measures]))
        time = view.schema.table(table).time_column
        read += [time] if time is not None and time not in read else []
        rows = take_rows(rows.select(read), contents)
    time_column = view.schema.table(table).time_column
    out = np.empty((len(rows), len(measures)), np.float32)
    for at, measure in enumerate(measures):
        out[:, at] = _measured(rows, measure, time_column)
    return out


def _measured(rows: pa.Table, measure: Measure, time_column: str | None) -> NDArray[np.float32]:
    column = rows.column(measure.column)
    values: NDArray[Any]
    match measure.stype:
        case Stype.NUMERICAL:
            values = column.to_numpy().astype(np.float64)
        case Stype.BOOLEAN:
            values = pc.cast(column, pa.float64()).to_numpy()
        case Stype.TIMESTAMP:
            values = days_of(rows, measure.column, time_column)
        case _:
            told = pc.cast(pc.equal(column, pa.scalar(measure.value, column.type)), pa.float64())
            values = told.to_numpy()
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return np.where(np.isfinite(narrow), narrow, np.float32(np.nan))
