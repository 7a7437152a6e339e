"""Columns of the entity that nearly restate what a task asks for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import Finding, Snapshot
from forekey.query import TaskType
from forekey.schema import ColumnSchema, Stype
from forekey.task.labels import Examples
from forekey.task.task import Task

_TELLS_ALL = 0.98
_MIN_EXAMPLES = 50
_MOST_VALUES = 100


def restating_columns(task: Task, snapshot: Snapshot, examples: Examples) -> list[Finding]:
    """List columns of the entity whose value at the anchor tells the label by itself.

    A number is judged by its rank correlation with the label (Spearman), a category by the share of the label's
    variance between its values; both for 0/1 and numerical labels.
    """
    if task.task_type not in {TaskType.BINARY_CLASSIFICATION, TaskType.REGRESSION} or len(examples) < _MIN_EXAMPLES:
        return []
    rows = snapshot.lookup_keys(task.entity.name, examples.keys)
    known = rows >= 0
    contents = snapshot.contents_at(task.entity.name, rows[known], examples.times[known])
    table = snapshot.all_contents(task.entity.name).take(pa.array(contents))
    target = examples.target[known].astype(np.float64)
    if len(target) < _MIN_EXAMPLES or target.std() == 0:
        return []
    found = []
    for column in task.entity.columns:
        if column.name in table.column_names and (task.entity.name, column.name) not in task.hidden:
            told = _told(table.column(column.name), column, target)
            if told >= _TELLS_ALL:
                found.append(
                    Finding(
                        f"{task.entity.name}.{column.name}",
                        f"leak risk: it nearly restates the target of '{task.name}' (association {told:.3f})",
                        "If it is written after the fact, set it to ignore in forekey.yaml.",
                    )
                )
    return found


def _told(values: pa.ChunkedArray, column: ColumnSchema, target: NDArray[np.float64]) -> float:
    if column.stype is Stype.NUMERICAL:
        numbers = values.to_numpy()
        there = np.isfinite(numbers)
        if there.sum() < _MIN_EXAMPLES or there.mean() < 0.5:
            return 0.0
        return abs(_correlation(_ranks(numbers[there]), _ranks(target[there])))
    if column.stype in {Stype.CATEGORICAL, Stype.BOOLEAN}:
        codes = values.cast(pa.string()).combine_chunks().dictionary_encode(null_encoding="encode")
        if not 2 <= len(codes.dictionary) <= _MOST_VALUES:
            return 0.0
        numbers = codes.indices.to_numpy()
        counts = np.bincount(numbers)
        means = np.bincount(numbers, target) / np.maximum(counts, 1)
        return float(np.var(means[numbers]) / np.var(target))
    return 0.0


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks: NDArray[np.float64] = pc.rank(pa.array(values), tiebreaker="dense").to_numpy().astype(np.float64)
    return ranks


def _correlation(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    if one.std() == 0 or two.std() == 0:
        return 0.0
    return float(np.corrcoef(one, two)[0, 1])
