"""The values of a column now beside those that training saw, as shares to be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.charts import number_ticks
from forekey.graph import Snapshot
from forekey.monitoring.columns import Measured, measured
from forekey.monitoring.graph import newest_moment
from forekey.monitoring.periods import Periods, periods_of
from forekey.schema import Stype

_BINS, _TOP = 12, 8
_SAMPLED = 20_000
NULL, OTHER = "NULL", "other"


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of rows by value: ``now`` in the current period, ``before`` in the reference (empty where there is none).

    ``names`` are the categories, most frequent first, or ranges of numbers in ``unit``; the last is NULL.
    """

    column: str
    names: tuple[str, ...]
    now: tuple[float, ...]
    before: tuple[float, ...]
    unit: str = ""


def histograms(snapshot: Snapshot, table: str, trained_until: int | None) -> tuple[list[Histogram], str]:
    """Return how the columns of a table are distributed, and in words what is compared with what.

    The current period is compared with those up to ``trained_until`` (microseconds), as the monitors compare them;
    without it, or where rows have no time, all rows are shown alone.
    """
    known, times = snapshot.schema.table(table), snapshot.times(table)
    kept = {*snapshot.rows(table).column_names} - {known.time_column}  # a foreign key's column is an edge
    columns = [c for c in known.columns if c.stype is not Stype.ID and c.name in kept]
    if not columns or snapshot.num_nodes(table) == 0:
        return [], "there are no rows" if columns else "there are no columns but keys"
    found: Periods | str = "no task is trained"
    if times is not None and trained_until is not None:
        found = periods_of(times, min(int(times[-1]), newest_moment(snapshot)), trained_until)
    if isinstance(found, str):
        count = snapshot.num_nodes(table)
        rows = np.sort(np.random.default_rng(0).permutation(count)[:_SAMPLED]).astype(np.int64)
        period, said = np.ones(len(rows), np.int8), "all rows" if times is None else f"all rows, since {found}"
    else:
        rows, which = found.sample()
        period = np.where(which == len(found) - 1, 1, np.where(found.reference[which], 0, -1)).astype(np.int8)
        said = f"the last {found.days} days beside the rows that training saw"
    names = [c.name for c in columns]
    read = [*names, known.time_column] if known.time_column else names
    contents = snapshot.rows(table).select(read).take(pa.array(rows))
    return list(_each(contents, [measured(contents, c, known.time_column) for c in columns], names, period)), said


def _each(
    contents: pa.Table, values: list[Measured], names: list[str], period: NDArray[np.int8]
) -> Iterator[Histogram]:
    for name, value in zip(names, values, strict=True):
        bins, labels = _of_numbers(value) if value.numbers is not None else _of_codes(value)
        shares = []
        for which in (1, 0):
            mine = bins[period == which]
            counts = np.bincount(mine, minlength=len(labels)) if len(mine) else np.zeros(0)
            shares.append(tuple(np.round(counts / max(len(mine), 1), 5).tolist()))
        yield Histogram(name, tuple(labels), shares[0], shares[1], value.unit)


def _of_numbers(value: Measured) -> tuple[NDArray[np.int64], list[str]]:
    """Cut numbers into ranges of equal width; the outer ones hold what lies beyond."""
    assert value.numbers is not None
    there = value.numbers[~value.is_null]
    if len(there) == 0:
        return np.zeros(len(value.numbers), np.int64), [NULL]
    low, high = (float(v) for v in np.quantile(there, [0.01, 0.99]))
    ticks = [t for t, _ in number_ticks(low, high, _BINS)] if high > low else [low]
    said = dict(number_ticks(low, high, _BINS))
    edges = np.array(ticks)
    bins = np.where(value.is_null, len(edges) + 1, np.searchsorted(edges, value.numbers, "right"))
    first = said.get(ticks[0], "")
    return bins.astype(np.int64), [f"< {first}", *(f"from {said[t]}" for t in ticks), NULL]


def _of_codes(value: Measured) -> tuple[NDArray[np.int64], list[str]]:
    seen = np.bincount(value.codes[value.codes >= 0], minlength=len(value.texts))
    order = np.argsort(-seen, kind="stable")[:_TOP]
    place = np.full(len(value.texts) + 1, len(order))
    place[order] = np.arange(len(order))
    place[-1] = len(order) + 1  # where a code of -1 looks
    return place[value.codes].astype(np.int64), [*(value.texts[i] for i in order), OTHER, NULL]
