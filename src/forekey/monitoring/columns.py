"""Drift of the columns that models read: how values are distributed, what is missing, what was never seen before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import MICROS_PER_DAY, Micros, Snapshot
from forekey.monitoring.onset import onset
from forekey.monitoring.periods import FEWEST, Periods
from forekey.monitoring.shift import NO_SHIFT, Shift, distribution_shift, share_shift
from forekey.schema import ColumnSchema, Stype

_BINS = 10
_TOP = 20
_NAMED = 3
LEAST_INDEX = 0.1
"""The smallest population stability index that is a shift."""
LEAST_SHARE = 0.02
"""The smallest difference of shares that is one."""

Codes = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class ColumnDrift:
    """How one column moved: its shape among the values that are there, its NULLs, and values never seen before.

    ``weight`` is how much the column counts for the model, as a share of the strongest; None if that is not known.
    ``what`` describes each of the three in words, ``since`` says from when on each shows in the rows (ISO 8601, UTC).
    ``days`` is how long the compared periods are; None for a table without a time.
    """

    table: str
    column: str
    shape: Shift
    nulls: Shift
    unseen: Shift
    null_rate: float
    unseen_rate: float
    reference_rows: int
    new_rows: int
    what: dict[str, str]
    since: dict[str, str | None]
    days: int | None
    weight: float | None = None

    @property
    def name(self) -> str:
        """Return table and column."""
        return f"{self.table}.{self.column}"

    @property
    def shifts(self) -> tuple[Shift, Shift, Shift]:
        """Return the three in the order of shape, NULLs, unseen."""
        return self.shape, self.nulls, self.unseen


def timed_columns(snapshot: Snapshot, table: str, columns: list[str], periods: Periods) -> Iterator[ColumnDrift]:
    """Compare the current period of a table that has times with its reference, column by column."""
    known = snapshot.schema.table(table)
    rows, period = periods.sample()
    times = snapshot.times(table)
    wanted = [known.column(c) for c in columns]
    read = [*columns, known.time_column] if any(c.stype is Stype.TIMESTAMP for c in wanted) else columns
    contents = snapshot.rows(table).select(dict.fromkeys(c for c in read if c)).take(pa.array(rows))
    for column in wanted:
        values = measured(contents, column, known.time_column)
        yield _drift(table, column, values, (period, periods), times[rows] if times is not None else None)


def untimed_columns(before: pa.Table, now: pa.Table, table: str, columns: list[ColumnSchema]) -> Iterator[ColumnDrift]:
    """Compare a table without a time with what it was when the model was trained."""
    both = pa.concat_tables([before.select([c.name for c in columns]), now.select([c.name for c in columns])])
    period = np.repeat([0, 1], [len(before), len(now)])
    two = Periods(0, np.zeros(3, np.int64), np.array([0, len(before), len(both)]), np.array([True, False]), ())
    for column in columns:
        yield _drift(table, column, measured(both, column, None), (period, two), None)


@dataclass(frozen=True)
class Measured:
    """Values of a column: numbers (NaN where NULL), or codes of texts (-1 where NULL) with their texts.

    ``unit`` is that of the numbers, where they are not the column's own.
    """

    numbers: Values | None
    codes: Codes
    texts: tuple[str, ...] = ()
    unit: str = ""

    @property
    def is_null(self) -> NDArray[np.bool_]:
        """Return where nothing is."""
        return np.isnan(self.numbers) if self.numbers is not None else self.codes < 0


def measured(contents: pa.Table, column: ColumnSchema, time: str | None) -> Measured:
    """Return what is compared of a column: numbers, categories, days from a row's time, or lengths of texts."""
    values = contents.column(column.name)
    if column.stype in {Stype.CATEGORICAL, Stype.BOOLEAN}:
        encoded = values.cast(pa.string()).combine_chunks().dictionary_encode()
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return Measured(None, codes, tuple(encoded.dictionary.to_pylist()))
    return Measured(*_as_numbers(contents, column, time))


def _as_numbers(
    contents: pa.Table, column: ColumnSchema, time: str | None
) -> tuple[Values, Codes, tuple[str, ...], str]:
    values, none = contents.column(column.name), np.zeros(0, np.int64)
    valid = np.asarray(pc.is_valid(values))
    if column.stype is Stype.NUMERICAL:
        numbers = values.to_numpy().astype(np.float64)
        return np.where(np.isfinite(numbers), numbers, np.nan), none, (), ""
    if column.stype is Stype.TIMESTAMP:
        days = pc.fill_null(values.cast(pa.int64()), 0).to_numpy() / MICROS_PER_DAY
        if time is not None:
            days = days - contents.column(time).cast(pa.int64()).to_numpy() / MICROS_PER_DAY
        return np.where(valid, days, np.nan), none, (), "days"
    if column.stype is Stype.TEXT:
        lengths = pc.fill_null(pc.utf8_length(values.cast(pa.large_string())), 0).to_numpy()
        return np.where(valid, lengths.astype(np.float64), np.nan), none, (), "characters"
    return np.where(valid, 0.0, np.nan), none, (), ""  # of lists and vectors, only what is missing counts


def _drift(
    table: str, column: ColumnSchema, found: Measured, cut: tuple[Codes, Periods], times: Micros | None
) -> ColumnDrift:
    period, periods = cut
    earlier = periods.reference[period]
    is_null = found.is_null
    bins, unseen, words = _binned(found, earlier & ~is_null)
    there = ~is_null & ~unseen if found.numbers is None else ~is_null
    counts = _count(period[there], bins[there], len(periods))
    rows, valid = (np.bincount(period[keep], minlength=len(periods)) for keep in (slice(None), ~is_null))
    nulls, strange = (np.bincount(period[which], minlength=len(periods)) for which in (is_null, unseen))
    null_rate, unseen_rate = (float(h[-1] / max(o[-1], 1)) for h, o in ((nulls, rows), (strange, valid)))
    now = period == len(periods) - 1
    shape = distribution_shift(counts, periods, LEAST_INDEX) if counts[-1].sum() >= FEWEST else NO_SHIFT
    shown = {
        "shape": np.where(there, bins + 1, 0),
        "nulls": is_null.astype(np.int64),
        "unseen": unseen.astype(np.int64),
    }
    return ColumnDrift(
        table, column.name, shape, share_shift(nulls, rows, periods, LEAST_SHARE),
        share_shift(strange, valid, periods, LEAST_SHARE), null_rate, unseen_rate,
        int(periods.sizes[periods.reference].sum()), int(periods.sizes[-1]),
        {
            "shape": _moved(found, there & earlier, there & now, words),
            "nulls": _shares("NULLs", nulls, rows, periods),
            "unseen": _unseen(found, unseen & now, strange, valid, periods),
        },
        {name: onset(codes, period, periods, times) for name, codes in shown.items()}, periods.days or None,
    )  # fmt: skip


def _binned(found: Measured, known: NDArray[np.bool_]) -> tuple[Codes, NDArray[np.bool_], tuple[str, ...]]:
    """Return the bin of each value, whether it is one never seen in the reference, and names of the bins if any.

    Numbers have bins by tenths of the reference; those that lie further from it than it is wide were never seen.
    """
    if found.numbers is not None:
        values = found.numbers[known]
        low, high = _fence(values)
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(values) else np.empty(0)
        # A value that is most of the column, such as 0, has a bin of its own.
        bins = np.searchsorted(edges, found.numbers, "left") + np.searchsorted(edges, found.numbers, "right")
        return bins.astype(np.int64), (found.numbers < low) | (found.numbers > high), ()
    seen = np.bincount(found.codes[known], minlength=len(found.texts))
    order = np.argsort(-seen, kind="stable")[:_TOP]
    order = order[seen[order] > 0]
    place = np.full(len(found.texts) + 1, len(order))  # the last is that of NULL
    place[order] = np.arange(len(order))
    strange = np.append(seen == 0, False)[found.codes]
    return place[found.codes], strange, tuple(found.texts[i] for i in order)


def _fence(values: Values) -> tuple[float, float]:
    """Return between which numbers a value is still near those of the reference, its few extremes aside."""
    if len(values) == 0:
        return -np.inf, np.inf
    low, high = (float(v) for v in np.quantile(values, [0.001, 0.999]))
    return low - (high - low), high + (high - low)


def _count(period: Codes, bins: Codes, periods: int) -> Codes:
    """Return how many values of each period lie in each bin, ``[periods, bins]``; empty bins are left out."""
    _, bins = np.unique(bins, return_inverse=True)
    width = max(int(bins.max(initial=0)) + 1, 2)
    return np.bincount(period * width + bins, minlength=periods * width).reshape(periods, width)


def _moved(found: Measured, before: NDArray[np.bool_], now: NDArray[np.bool_], words: tuple[str, ...]) -> str:
    """Say how values moved: medians of numbers, or the category whose share changed most."""
    if not before.any() or not now.any():
        return ""
    if found.numbers is not None:
        was, is_ = float(np.median(found.numbers[before])), float(np.median(found.numbers[now]))
        unit = f" {found.unit}" if found.unit else ""
        times = is_ / was if was else 0.0
        scale = f", {times:.3g} times as much" if times > 1.2 or 0 < times < 0.8 else ""
        spread = [np.subtract(*np.quantile(found.numbers[w], [0.9, 0.1])) for w in (before, now)]
        if not scale and spread[0] > 0:
            scale = f"; the middle 80 % span {spread[1]:.4g}, they spanned {spread[0]:.4g}"
        return f"median {was:.4g} → {is_:.4g}{unit}{scale}"
    shares = [np.bincount(found.codes[w], minlength=len(found.texts)) / w.sum() for w in (before, now)]
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    return f"{_short(found.texts[most])} {shares[0][most]:.1%} → {shares[1][most]:.1%}"


def _shares(name: str, hits: Codes, of: Codes, periods: Periods) -> str:
    was = hits[periods.reference].sum() / max(of[periods.reference].sum(), 1)
    return f"{name} {was:.2%} → {hits[-1] / max(of[-1], 1):.2%}"


def _unseen(found: Measured, which: NDArray[np.bool_], hits: Codes, of: Codes, periods: Periods) -> str:
    """Name the new categories, the most frequent first; of numbers, their median."""
    if not which.any():
        return ""
    if found.numbers is not None:
        share = hits[-1] / max(of[-1], 1)
        return f"{share:.1%} of the values lie far outside the range of before, half of them beyond " + (
            f"{np.median(found.numbers[which]):.4g}"
        )
    codes, times = np.unique(found.codes[which], return_counts=True)
    names = [_short(found.texts[i]) for i in codes[np.argsort(-times, kind="stable")][:_NAMED].tolist()]
    more = f" and {len(codes) - _NAMED} more" if len(codes) > _NAMED else ""
    return f"{', '.join(names)}{more}: {hits[-1] / max(of[-1], 1):.1%} of the values, never seen before"


def _short(text: Any) -> str:
    shown = str(text).replace("\n", " ")
    return f"'{shown[:39]}…'" if len(shown) > 40 else f"'{shown}'"
