"""Labels held against predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.graph import GraphView, Micros, Seeds
from forekey.inference import AnyPredictor
from forekey.objectives import Bootstrap, Metrics, Predictions
from forekey.task import Examples, Task


@dataclass(frozen=True, slots=True)
class Resolved:
    """Examples whose entity is in the snapshot: their seeds, labels ``target [n]``, and their keys.

    ``window_features [n, features]`` are their window features, once computed.
    """

    seeds: Seeds
    target: NDArray[Any]
    examples: Examples
    unknown: int
    window_features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def rows(self) -> NDArray[np.int32]:
        """Return the row of each in the entity table."""
        return self.seeds.rows

    @property
    def times(self) -> Micros:
        """Return the anchor of each."""
        return self.seeds.times

    def seen_by(self, cutoffs: Micros) -> Resolved:
        """Return the same examples, each seeing the graph up to a cutoff; their window features are to be computed."""
        return replace(self, seeds=self.seeds.seen_by(cutoffs), window_features=None)

    def only(self, keep: NDArray[Any]) -> Resolved:
        """Return some of the examples, by position or mask."""
        keep = np.flatnonzero(keep) if keep.dtype == bool else keep
        given = self.examples
        weight = given.weight[keep] if given.weight is not None else None
        kept = Examples(given.keys.take(pa.array(keep)), given.times[keep], given.target[keep], weight)
        window_features = self.window_features[keep] if self.window_features is not None else None
        return Resolved(self.seeds.take(keep), self.target[keep], kept, self.unknown, window_features)


def some_of(examples: Resolved, most: int) -> Resolved:
    """Return at most so many of the examples, drawn at random, in their order; the same for equal sizes."""
    if len(examples) <= most:
        return examples
    return examples.only(np.sort(np.random.default_rng(0).permutation(len(examples))[:most]))


def joined(one: Resolved, two: Resolved) -> Resolved:
    """Return the examples of both."""
    weights = [r.examples.weight for r in (one, two)]
    weight = None
    if any(w is not None for w in weights):
        weight = np.concatenate([np.ones(len(r)) if w is None else w for w, r in zip(weights, (one, two), strict=True)])
    keys = pa.chunked_array([*one.examples.keys.chunks, *two.examples.keys.chunks], one.examples.keys.type)
    seeds, target = Seeds.joined(one.seeds, two.seeds), np.concatenate([one.target, two.target])
    examples, window_features = Examples(keys, seeds.times, target, weight), None
    if one.window_features is not None and two.window_features is not None:
        window_features = np.concatenate([one.window_features, two.window_features])
    return Resolved(seeds, target, examples, one.unknown + two.unknown, window_features)


def resolve_examples(view: GraphView, task: Task, examples: Examples) -> Resolved:
    """Find each example's row; those whose entity does not exist, or not yet at the anchor, are counted apart."""
    rows = view.lookup_keys(task.entity.name, examples.keys)
    known = (rows >= 0) & (rows < view.presence(task.entity.name).bounds(examples.times))
    weight = examples.weight[known] if examples.weight is not None else None
    target = examples.target[known]
    if task.items is not None:
        target = item_rows(view, task.items.name, target)
    kept = Examples(examples.keys.filter(pa.array(known)), examples.times[known], target, weight)
    seeds = Seeds.at(task.entity.name, rows[known], kept.times)
    return Resolved(seeds, kept.target, kept, int((~known).sum()))


def item_rows(view: GraphView, table: str, labels: NDArray[Any]) -> NDArray[Any]:
    """Return lists of keys as tuples of rows, ``[n] object``; a key without a row is a number below -1 of its own."""
    out = np.empty(len(labels), object)
    lengths = np.array([len(keys) for keys in labels], np.int64)
    flat = [key for keys in labels for key in keys]
    rows = np.zeros(0, np.int64)
    if flat:
        rows = view.lookup_keys(table, pa.chunked_array([pa.array(flat)])).astype(np.int64)
        _, named = np.unique([str(key) for key in flat], return_inverse=True)
        rows = np.where(rows < 0, -2 - named, rows)
    ends = np.cumsum(lengths)
    parts = [rows[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)]
    out[:] = [tuple(dict.fromkeys(part)) for part in parts]
    return out


def evaluate_examples(predictor: AnyPredictor, resolved: Resolved) -> Metrics:
    """Predict each example at its own time and score the predictions."""
    return predictor.objective.metrics(resolved.target, predicted_for(predictor, resolved).values)


def predicted_for(predictor: AnyPredictor, resolved: Resolved) -> Predictions:
    """Predict each example at its own time."""
    return predictor.predict(resolved.seeds, resolved.window_features, embed=False)[0]


def interval_of_difference(resolved: Resolved, one: AnyPredictor, two: AnyPredictor) -> tuple[float, float] | None:
    """Return between which bounds the default metric of ``one`` less that of ``two`` lies, on the same examples."""
    scores = [
        Bootstrap(p.objective, resolved.rows, resolved.target).scores(predicted_for(p, resolved).values)
        for p in (one, two)
    ]
    if min(map(len, scores)) == 0:
        return None
    draws = Bootstrap(one.objective, resolved.rows, resolved.target)
    return draws.interval(scores[0] - scores[1])
