"""How far the newest rows have moved from those a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import Snapshot
from forekey.schema import ColumnSchema, Stype

_BINS = 10
_TOP = 20
_MIN_ROWS = 50
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


def column_drift(snapshot: Snapshot, trained_until: int) -> list[ColumnDrift]:
    """Compare rows with ``trained_until < time <= as_of`` with those at or before it, column by column.

    Largest drift first. Tables without a time column, and those with under 50 rows on a side, say nothing.
    """
    found = []
    for table in snapshot.schema.tables:
        if table.time_column is None:
            continue
        bound = int(snapshot.visible(table.name, np.array([trained_until]))[0])
        rows = snapshot.rows(table.name)
        if bound < _MIN_ROWS or len(rows) - bound < _MIN_ROWS:
            continue
        for column in table.columns:
            shares = _shares(rows, column, bound)
            if shares is not None:
                psi = population_stability(*shares)
                found.append(ColumnDrift(table.name, column.name, round(psi, 4), bound, len(rows) - bound))
    return sorted(found, key=lambda d: (-d.psi, d.table, d.column))


def population_stability(reference: NDArray[np.float64], current: NDArray[np.float64]) -> float:
    """Return the population stability index of two distributions given as shares of the same bins."""
    expected, actual = np.maximum(reference, _FLOOR), np.maximum(current, _FLOOR)
    return float(((actual - expected) * np.log(actual / expected)).sum())


def prediction_drift(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Return the population stability index of two sets of predicted numbers."""
    edges = np.unique(np.quantile(before, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return population_stability(_histogram(before, edges), _histogram(now, edges))


def _shares(rows: pa.Table, column: ColumnSchema, bound: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the shares of the bins before and after the bound; missing values have a bin of their own."""
    if column.stype is Stype.NUMERICAL:
        numbers = rows.column(column.name).to_numpy()
        old, new = numbers[:bound], numbers[bound:]
        finite = old[np.isfinite(old)]
        if len(finite) == 0:
            return None
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, _BINS + 1)[1:-1]))
        return _histogram(old, edges), _histogram(new, edges)
    if column.stype in {Stype.CATEGORICAL, Stype.BOOLEAN}:
        return _categories(rows.column(column.name).cast(pa.string()), bound)
    return None


def _histogram(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.isfinite(values)
    place = np.where(finite, np.searchsorted(edges, values, side="right"), len(edges) + 1)
    return np.bincount(place, minlength=len(edges) + 2) / max(len(values), 1)


def _categories(values: pa.ChunkedArray, bound: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of the most frequent old values, of all others, and of NULL."""
    old = values.slice(0, bound)
    counts: Any = pc.value_counts(old.drop_null())
    order = np.argsort(-counts.field("counts").to_numpy(), kind="stable")[:_TOP]
    known = counts.field("values").take(pa.array(order))

    def shares(part: pa.ChunkedArray) -> NDArray[np.float64]:
        codes = pc.fill_null(pc.index_in(part, value_set=known), len(known)).to_numpy().astype(np.int64)
        codes[part.is_null().to_numpy()] = len(known) + 1
        return np.bincount(codes, minlength=len(known) + 2) / max(len(part), 1)

    return shares(old), shares(values.slice(bound))
