"""Columns of the entity that nearly restate what a task asks for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import Finding, Snapshot, take_rows
from forekey.schema import ColumnSchema, Stype
from forekey.task.labels import Examples
from forekey.task.task import Task

_DECIDES = 0.98
_MIN_EXAMPLES = 50
_MOST_VALUES = 100


def leaking_target_columns(task: Task, snapshot: Snapshot, examples: Examples) -> list[Finding]:
    """List columns of the entity whose value at the anchor determines the label by itself.

    A number is judged by its rank correlation with the label (Spearman), a category by the share of the label's
    variance between its values. Where labels are classes, it is the share of mistakes that naming the most frequent
    class of each value saves against naming the most frequent of all (Goodman and Kruskal's lambda).
    """
    if not task.kind.has_single_label or len(examples) < _MIN_EXAMPLES:
        return []
    rows = snapshot.lookup_keys(task.entity.name, examples.keys)
    known = rows >= 0
    contents = snapshot.contents_at(task.entity.name, rows[known], examples.times[known])
    table = take_rows(snapshot.all_contents(task.entity.name), contents)
    labels = examples.target[known]
    classes = labels.dtype == object
    codes: NDArray[np.int64] = np.unique(labels.astype(str), return_inverse=True)[1] if classes else np.empty(0, int)
    target = (codes if classes else labels).astype(np.float64)
    if len(target) < _MIN_EXAMPLES or target.std() == 0:
        return []
    found = []
    for column in task.entity.columns:
        if column.name in table.column_names and (task.entity.name, column.name) not in task.hidden:
            values = table.column(column.name)
            association = _saved(values, codes) if classes else _associated(values, column, target)
            if association >= _DECIDES:
                found.append(
                    Finding(
                        f"{task.entity.name}.{column.name}",
                        f"leak risk: it nearly restates the target of '{task.name}' (association {association:.3f})",
                        "If it is written after the fact, set it to ignore in forekey.yaml.",
                    )
                )
    return found


def _saved(values: pa.ChunkedArray, classes: NDArray[np.int64]) -> float:
    if pa.types.is_list(values.type):
        return 0.0
    codes = values.cast(pa.string()).combine_chunks().dictionary_encode(null_encoding="encode")
    if not 2 <= len(codes.dictionary) <= _MOST_VALUES:
        return 0.0
    counts = np.zeros((len(codes.dictionary), int(classes.max()) + 1))
    np.add.at(counts, (codes.indices.to_numpy(), classes), 1)
    most = counts.sum(axis=0).max()
    return float((counts.max(axis=1).sum() - most) / (len(classes) - most))


def _associated(values: pa.ChunkedArray, column: ColumnSchema, target: NDArray[np.float64]) -> float:
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
