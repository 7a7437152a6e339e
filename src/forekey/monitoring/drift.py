"""How far the newest rows have moved from those a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import MICROS_PER_DAY, Snapshot
from forekey.schema import ColumnSchema, Stype, TableSchema

_BINS = 10
_TOP = 20
_MIN_ROWS = 50
_MIN_REFERENCE = 500
_FLOOR = 1e-4


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """How far one column moved since training, as a population stability index.

    ``reference_rows`` and ``new_rows`` are how many rows stand behind it. Below 0.1 is commonly read as stable,
    above 0.25 as shifted (Siddiqi, "Credit Risk Scorecards", 2006).
    """

    table: str
    column: str
    psi: float
    reference_rows: int
    new_rows: int


def column_drift(
    snapshot: Snapshot, trained_until: int, trained_on: Snapshot | None = None, reference_days: float | None = None
) -> tuple[list[ColumnDrift], list[str]]:
    """Compare new rows with those of training, column by column; return the drift, and what was not measured and why.

    New rows of a table with times are those with ``trained_until < time <= as_of``; they are compared with the rows of
    the last ``reference_days`` before (None: with all), so that slow change over decades does not count as drift. A
    table without times is compared with what it was in the snapshot ``trained_on``. Largest drift first.
    """
    begin = None if reference_days is None else trained_until - int(reference_days * MICROS_PER_DAY)
    found, unmeasured = [], []
    for table in snapshot.schema.tables:
        sides = _sides(snapshot, table, begin, trained_until, trained_on)
        if isinstance(sides, str):
            unmeasured += [f"{table.name}: {sides}"] if sides else []
            continue
        old, new = sides
        for column in table.columns:
            if column.name in table.keys | {table.time_column} or column.name not in old.column_names:
                continue
            psi = population_stability(*_shares(old, new, column, table.time_column))
            found.append(ColumnDrift(table.name, column.name, round(psi, 4), len(old), len(new)))
    return sorted(found, key=lambda d: (-d.psi, d.table, d.column)), unmeasured


def _sides(
    snapshot: Snapshot, table: TableSchema, begin: int | None, trained_until: int, trained_on: Snapshot | None
) -> tuple[pa.Table, pa.Table] | str:
    """Return the rows of training and the new ones; or why there is nothing to compare, empty if nothing changed."""
    rows = snapshot.rows(table.name)
    if table.time_column is not None:
        bound = int(snapshot.visible(table.name, np.array([trained_until]))[0])
        first = 0 if begin is None else int(snapshot.visible(table.name, np.array([begin]))[0])
        # A table with few rows lately is compared with its newest rows, however old.
        first = max(min(first, bound - _MIN_REFERENCE), 0)
        sides = rows.slice(first, bound - first), rows.slice(bound)
        if len(sides[1]) == 0:
            return ""
    elif trained_on is None or table.name not in trained_on.schema.names:
        return "it has no time, and the snapshot that the model was trained on is gone"
    elif trained_on.blocks(table.name) == snapshot.blocks(table.name):
        return ""
    else:
        sides = trained_on.rows(table.name), rows
    few = min(map(len, sides))
    return sides if few >= _MIN_ROWS else f"{few:,} rows on one side, and {_MIN_ROWS} are needed"


def population_stability(reference: NDArray[np.float64], current: NDArray[np.float64]) -> float:
    """Return the population stability index of two distributions given as shares of the same bins."""
    expected, actual = np.maximum(reference, _FLOOR), np.maximum(current, _FLOOR)
    return float(((actual - expected) * np.log(actual / expected)).sum())


def prediction_drift(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Return the population stability index of two sets of predicted numbers."""
    edges = np.unique(np.quantile(before, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return population_stability(_histogram(before, edges), _histogram(now, edges))


def _shares(
    old: pa.Table, new: pa.Table, column: ColumnSchema, time: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of the bins on both sides; missing values have a bin of their own.

    Moments are counted in days from their row's own time. Of lists, texts and vectors, only what is missing counts.
    """
    if column.stype in {Stype.CATEGORICAL, Stype.BOOLEAN}:
        return _categories(old.column(column.name).cast(pa.string()), new.column(column.name).cast(pa.string()))
    if column.stype in {Stype.NUMERICAL, Stype.TIMESTAMP}:
        one, two = (_as_numbers(side, column, time) for side in (old, new))
        finite = one[np.isfinite(one)]
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(finite) else np.empty(0)
        return _histogram(one, edges), _histogram(two, edges)
    lost = [_missing(side.column(column.name)) for side in (old, new)]
    return np.array([lost[0], 1 - lost[0]]), np.array([lost[1], 1 - lost[1]])


def _as_numbers(rows: pa.Table, column: ColumnSchema, time: str | None) -> NDArray[np.float64]:
    values = rows.column(column.name)
    if column.stype is Stype.NUMERICAL:
        numbers: NDArray[np.float64] = values.to_numpy()
        return numbers
    days = pc.fill_null(values.cast(pa.int64()), 0).to_numpy() / MICROS_PER_DAY
    if time is not None:
        days = days - rows.column(time).cast(pa.int64()).to_numpy() / MICROS_PER_DAY
    return np.where(values.is_valid().to_numpy(), days, np.nan)


def _missing(values: pa.ChunkedArray) -> float:
    """Return the share of values that are missing."""
    return float(values.null_count) / max(len(values), 1)


def _histogram(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.isfinite(values)
    place = np.where(finite, np.searchsorted(edges, values, side="right"), len(edges) + 1)
    return np.bincount(place, minlength=len(edges) + 2) / max(len(values), 1)


def _categories(old: pa.ChunkedArray, new: pa.ChunkedArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of the most frequent old values, of all others, and of NULL."""
    counts: Any = pc.value_counts(old.drop_null())
    order = np.argsort(-counts.field("counts").to_numpy(), kind="stable")[:_TOP]
    known = counts.field("values").take(pa.array(order))

    def shares(part: pa.ChunkedArray) -> NDArray[np.float64]:
        codes = pc.fill_null(pc.index_in(part, value_set=known), len(known)).to_numpy().astype(np.int64)
        codes[part.is_null().to_numpy()] = len(known) + 1
        return np.bincount(codes, minlength=len(known) + 2) / max(len(part), 1)

    return shares(old), shares(new)
