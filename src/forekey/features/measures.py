"""What window features aggregate over lists of rows: amounts, flags, whether a category is a given one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from forekey.features.columns import SCALAR_TYPES, Measure
from forekey.graph import GraphView, Snapshot, take_rows

MAX_MEASURES = 32


def choose_measures(
    snapshot: Snapshot, table: str, cutoff: int, hidden: Iterable[tuple[str, str]]
) -> tuple[Measure, ...]:
    """Choose what to measure of a table's rows, from those up to ``cutoff``."""
    left_out = set(hidden)
    shape = snapshot.schema.table(table)
    rows = snapshot.rows_at(table, cutoff)
    found = [
        measure
        for column in shape.columns
        if column.stype in SCALAR_TYPES and (table, column.name) not in left_out
        for measure in SCALAR_TYPES[column.stype].measures(rows.column(column.name), column, shape)
    ]
    return tuple(found[:MAX_MEASURES])


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
    with np.errstate(over="ignore"):
        for at, measure in enumerate(measures):
            out[:, at] = SCALAR_TYPES[measure.stype].measured(rows, measure, time_column)
    out[~np.isfinite(out)] = np.nan
    return out
