"""Label tables: who, when, what, and in which split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import Micros
from forekey.query import TaskType

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of one split: entity keys, anchor times in microseconds, labels."""

    keys: pa.ChunkedArray
    times: Micros
    target: NDArray[Any]

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Columns ``entity``, ``time`` (timestamp, microseconds, UTC), ``target`` and ``split``, in a fixed order.

    ``dropped`` counts pairs of entity and time that gave no example, by reason.
    """

    table: pa.Table
    task_type: TaskType
    dropped: dict[str, int]

    def split(self, name: str) -> Examples:
        """Return the examples of one split."""
        part = self.table.filter(pc.equal(self.table.column("split"), name))
        return Examples(part.column("entity"), micros_of(part.column("time")), target_array(part, self.task_type))

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return rows, anchors and the spread of the label per split."""
        return {name: _describe(self.split(name), self.task_type) for name in SPLITS}


def micros_of(times: pa.ChunkedArray) -> Micros:
    """Return a column of times as microseconds since 1970, ``[n] int64``."""
    return utc_micros(times).cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]


def utc_micros(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return dates or timestamps, with a zone or without, as timestamps in UTC without one; finer parts are cut off."""
    kind = pa.timestamp("us", tz=getattr(times.type, "tz", None))
    # Arrow keeps zoned moments as UTC inside; dropping the zone by way of integers keeps them so.
    return times.cast(kind, safe=False).cast(pa.int64()).cast(pa.timestamp("us"))


def target_array(table: pa.Table, task_type: TaskType) -> NDArray[Any]:
    """Return the labels: float64, or text for classes, or lists."""
    column = table.column("target")
    if task_type in {TaskType.BINARY_CLASSIFICATION, TaskType.REGRESSION}:
        return column.cast(pa.float64()).to_numpy()  # type: ignore[no-any-return]
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return np.array(column.cast(pa.string()).to_pylist(), dtype=object)
    return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _describe(examples: Examples, task_type: TaskType) -> dict[str, Any]:
    out: dict[str, Any] = {"rows": len(examples), "anchors": len(np.unique(examples.times))}
    if len(examples) == 0:
        return out
    if task_type is TaskType.BINARY_CLASSIFICATION:
        out["positives"] = int(examples.target.sum())
    elif task_type is TaskType.REGRESSION:
        out["mean"] = float(examples.target.mean())
        out["quantiles"] = [float(q) for q in np.quantile(examples.target, [0.1, 0.5, 0.9])]
    elif task_type is TaskType.MULTICLASS_CLASSIFICATION:
        out["classes"] = len(set(examples.target))
    return out
