"""Label tables: who, when, what, and in which split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import Micros
from forekey.notebooks import as_table
from forekey.query import TaskType

SPLITS = ("train", "val", "test")
_LARGEST_LABEL = 1e37


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of one split: entity keys, anchor times in microseconds, labels."""

    keys: pa.ChunkedArray
    times: Micros
    target: NDArray[Any]
    weight: NDArray[np.float64] | None = None
    """How much each example counts in training; None for all alike."""

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Columns ``entity``, ``time`` (timestamp, microseconds, UTC), ``target``, ``split``, maybe ``weight``.

    Rows are in the order of time and entity.

    ``dropped`` counts pairs of entity and time that gave no example, by reason.
    """

    table: pa.Table
    task_type: TaskType
    dropped: dict[str, int]

    def __repr__(self) -> str:
        counts = pc.value_counts(self.table.column("split")).to_pylist()
        parts = ", ".join(f"{c['counts']:,} {c['values']}" for c in counts)
        return f"LabelTable({self.task_type}, {parts or 'no examples'}, {sum(self.dropped.values()):,} dropped)"

    def _repr_html_(self) -> str:
        names = self.table.column_names
        return as_table(names, ([row[n] for n in names] for row in self.table.slice(0, 10).to_pylist()), repr(self))

    def split(self, name: str) -> Examples:
        """Return the examples of one split."""
        part = self.table.filter(pc.equal(self.table.column("split"), name))
        weight = part.column("weight").to_numpy() if "weight" in part.column_names else None
        target = target_array(part, self.task_type)
        return Examples(part.column("entity"), micros_of(part.column("time")), target, weight)

    def account(self, what: str = "labels") -> str:
        """Say how many labels (or pairs of entity and anchor time) there were, and what became of them."""
        lost = sum(self.dropped.values())
        why = ", ".join(f"{n:,} {reason}" for reason, n in self.dropped.items() if n)
        reasons = f": {why}" if why else ""
        return f"{len(self.table) + lost:,} {what} = {len(self.table):,} examples + {lost:,} dropped{reasons}."

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return rows, anchors and the spread of the label per split."""
        return {name: _describe(self.split(name), self.task_type) for name in SPLITS}


def sift(table: pa.Table, reasons: Mapping[str, NDArray[np.bool_]]) -> tuple[pa.Table, dict[str, int]]:
    """Leave out the rows that any reason (``[n] bool``) holds for; count each under the first that does."""
    left = np.ones(len(table), bool)
    counts = {}
    for reason, holds in reasons.items():
        counts[reason] = int((left & holds).sum())
        left &= ~holds
    return table.filter(pa.array(left)), {reason: n for reason, n in counts.items() if n}


def without_label(target: pa.ChunkedArray, task_type: TaskType) -> NDArray[np.bool_]:
    """Whether a label is missing, ``[n] bool``: NULL, NaN or infinite, and in a ranking an empty list.

    Models compute in single precision: what is beyond that is infinite to them.
    """
    missing = pc.is_null(target)
    if pa.types.is_floating(target.type):
        missing = pa.chunked_array([pa.array(_beyond(target))])
    elif task_type is TaskType.FORECASTING:
        frames = pc.list_parent_indices(target).to_numpy()
        odd = _beyond(pc.list_flatten(target).cast(pa.float64()))
        return missing.to_numpy() | (np.bincount(frames, odd, len(target)) > 0)  # type: ignore[no-any-return]
    elif task_type is TaskType.LINK_PREDICTION:
        missing = pc.or_(missing, pc.equal(pc.fill_null(pc.list_value_length(target), 0), 0))
    return missing.to_numpy()  # type: ignore[no-any-return]


def _beyond(numbers: pa.ChunkedArray) -> NDArray[np.bool_]:
    values = numbers.to_numpy(zero_copy_only=False) if isinstance(numbers, pa.Array) else numbers.to_numpy()
    return ~(np.abs(values) <= _LARGEST_LABEL)  # type: ignore[no-any-return]


def micros_of(times: pa.ChunkedArray) -> Micros:
    """Return a column of times as microseconds since 1970, ``[n] int64``."""
    return utc_micros(times).cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]


def utc_micros(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return dates or timestamps, with a zone or without, as timestamps in UTC without one; finer parts are cut off."""
    kind = pa.timestamp("us", tz=getattr(times.type, "tz", None))
    # Arrow keeps zoned moments as UTC inside; dropping the zone by way of integers keeps them so.
    return times.cast(kind, safe=False).cast(pa.int64()).cast(pa.timestamp("us"))


def target_array(table: pa.Table, task_type: TaskType) -> NDArray[Any]:
    """Return the labels.

    ``[n] float64`` for numbers and yes (1) or no (0), ``[n, frames] float64`` for forecasts, ``[n] object`` of text for
    classes, of sorted tuples of texts for sets of classes.
    """
    column = table.column("target")
    if task_type is TaskType.FORECASTING:
        return _matrix(column)
    if task_type is TaskType.MULTILABEL_CLASSIFICATION:
        sets = np.empty(len(column), object)
        sets[:] = [tuple(sorted(str(v) for v in label)) for label in column.to_pylist()]
        return sets
    if task_type in {TaskType.BINARY_CLASSIFICATION, TaskType.REGRESSION}:
        return column.cast(pa.float64()).to_numpy()  # type: ignore[no-any-return]
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return np.array(column.cast(pa.string()).to_pylist(), dtype=object)
    return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float64]:
    flat = pc.list_flatten(column).cast(pa.float64())
    values: NDArray[np.float64] = flat.to_numpy().reshape(len(column), -1)
    return values


def multi_hot(target: NDArray[Any], classes: Sequence[str]) -> NDArray[np.float64]:
    """Return sets of classes as ``[n, len(classes)] float64`` of 0 and 1; classes that are not listed are left out."""
    place = {name: i for i, name in enumerate(classes)}
    hot = np.zeros((len(target), len(classes)))
    for row, names in enumerate(target):
        hot[row, [place[name] for name in names if name in place]] = 1.0
    return hot


def _describe(examples: Examples, task_type: TaskType) -> dict[str, Any]:
    out: dict[str, Any] = {"rows": len(examples), "anchors": len(np.unique(examples.times))}
    if len(examples) == 0:
        return out
    if task_type is TaskType.BINARY_CLASSIFICATION:
        out["positives"] = int(examples.target.sum())
        out["mean"] = float(examples.target.mean())
    elif task_type in {TaskType.REGRESSION, TaskType.FORECASTING}:
        out["mean"] = float(examples.target.mean())
        out["quantiles"] = [float(q) for q in np.quantile(examples.target, [0.1, 0.5, 0.9])]
    if task_type is TaskType.FORECASTING:
        out["frames"] = [float(m) for m in examples.target.mean(axis=0)]
    elif task_type in {TaskType.MULTILABEL_CLASSIFICATION, TaskType.LINK_PREDICTION}:
        counts = Counter(str(name) for names in examples.target for name in names)
        out |= {"classes": len(counts), "mean": counts.total() / len(examples), "top": counts.most_common(5)}
    elif task_type is TaskType.MULTICLASS_CLASSIFICATION:
        counts = Counter(examples.target.tolist())
        out |= {"classes": len(counts), "top": counts.most_common(5)}
    return out
