"""Labels held against predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.graph import Micros, Snapshot
from forekey.inference import AnyPredictor, Predictions
from forekey.task import Examples, Metrics, Task, TaskType, compute_metrics, multi_hot


@dataclass(frozen=True, slots=True)
class Resolved:
    """Examples whose entity is in the snapshot: ``rows [n] int32``, ``times [n] int64``, labels, and their keys.

    ``seen_until [n] int64`` is up to when each may see the graph, where that is before its time; ``history`` are their
    pasts in numbers, once computed.
    """

    rows: NDArray[np.int32]
    times: Micros
    target: NDArray[Any]
    examples: Examples
    unknown: int
    seen_until: Micros | None = None
    history: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, keep: NDArray[Any]) -> Resolved:
        """Return some of the examples."""
        given = self.examples
        weight = given.weight[keep] if given.weight is not None else None
        kept = Examples(given.keys.take(pa.array(keep)), given.times[keep], given.target[keep], weight)
        seen = self.seen_until[keep] if self.seen_until is not None else None
        history = self.history[keep] if self.history is not None else None
        return Resolved(self.rows[keep], self.times[keep], self.target[keep], kept, self.unknown, seen, history)


def joined(one: Resolved, two: Resolved) -> Resolved:
    """Return the examples of both."""

    def both(name: str, missing: Any = None) -> Any:
        parts = [getattr(r, name) for r in (one, two)]
        if all(p is None for p in parts) or (missing is None and any(p is None for p in parts)):
            return None
        return np.concatenate([missing(r) if p is None else p for p, r in zip(parts, (one, two), strict=True)])

    weights = [r.examples.weight for r in (one, two)]
    weight = None
    if any(w is not None for w in weights):
        weight = np.concatenate([np.ones(len(r)) if w is None else w for w, r in zip(weights, (one, two), strict=True)])
    keys = pa.chunked_array([*one.examples.keys.chunks, *two.examples.keys.chunks], one.examples.keys.type)
    times, target = both("times"), both("target")
    return Resolved(
        both("rows"), times, target, Examples(keys, times, target, weight), one.unknown + two.unknown,
        both("seen_until", lambda r: r.times), both("history"),
    )  # fmt: skip


def resolve_examples(snapshot: Snapshot, task: Task, examples: Examples) -> Resolved:
    """Find each example's row; those whose entity does not exist, or not yet at the anchor, are counted apart."""
    rows = snapshot.lookup_keys(task.entity.name, examples.keys)
    known = (rows >= 0) & (rows < snapshot.visible(task.entity.name, examples.times))
    weight = examples.weight[known] if examples.weight is not None else None
    target = examples.target[known]
    if task.items is not None:
        target = item_rows(snapshot, task.items.name, target)
    kept = Examples(examples.keys.filter(pa.array(known)), examples.times[known], target, weight)
    return Resolved(rows[known], kept.times, kept.target, kept, int((~known).sum()))


def item_rows(snapshot: Snapshot, table: str, labels: NDArray[Any]) -> NDArray[Any]:
    """Return lists of keys as tuples of rows, ``[n] object``; a key without a row is a number below -1 of its own."""
    out = np.empty(len(labels), object)
    lengths = np.array([len(keys) for keys in labels], np.int64)
    flat = [key for keys in labels for key in keys]
    rows = np.zeros(0, np.int64)
    if flat:
        rows = snapshot.lookup_keys(table, pa.chunked_array([pa.array(flat)])).astype(np.int64)
        _, named = np.unique([str(key) for key in flat], return_inverse=True)
        rows = np.where(rows < 0, -2 - named, rows)
    ends = np.cumsum(lengths)
    parts = [rows[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)]
    out[:] = [tuple(dict.fromkeys(part)) for part in parts]
    return out


def evaluate_examples(
    predictor: AnyPredictor, task: Task, resolved: Resolved, train_std: float | None = None
) -> Metrics:
    """Predict each example at its own time and score the predictions."""
    predicted, _ = predictor.predict(resolved.rows, resolved.times, resolved.seen_until, resolved.history, embed=False)
    return score(predictor, task, resolved, predicted, train_std)


def predicted_for(predictor: AnyPredictor, resolved: Resolved) -> Predictions:
    """Predict each example at its own time; of a ranking, the items alone."""
    predicted, _ = predictor.predict(resolved.rows, resolved.times, resolved.seen_until, resolved.history, embed=False)
    ranking = predictor.transform.task_type is TaskType.LINK_PREDICTION
    return predicted[:, : predicted.shape[1] // 2] if ranking else predicted


def score(
    predictor: AnyPredictor, task: Task, resolved: Resolved, predicted: Predictions, train_std: float | None = None
) -> Metrics:
    """Score predictions of some examples."""
    classes = predictor.transform.classes
    if task.task_type is TaskType.LINK_PREDICTION:
        predicted = predicted[:, : predicted.shape[1] // 2]
    return compute_metrics(task.task_type, resolved.target, predicted, classes=classes, train_std=train_std)


def as_numbers(task_type: TaskType, target: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.float64]:
    """Return labels as numbers: classes by their position, -1 for one that training did not see; sets as 0 and 1."""
    if task_type is TaskType.MULTILABEL_CLASSIFICATION:
        return multi_hot(target, classes)
    if task_type is not TaskType.MULTICLASS_CLASSIFICATION:
        return target.astype(np.float64)
    place = {name: i for i, name in enumerate(classes)}
    return np.array([place.get(t, -1) for t in target], np.float64)
