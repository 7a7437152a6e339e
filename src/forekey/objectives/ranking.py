"""A ranking of items: those that an entity will meet, from the likeliest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.objectives.multilabel import describe_lists
from forekey.objectives.objective import Metrics, Objective, Score, rounded, weighted_mean
from forekey.objectives.predictions import Ranking
from forekey.objectives.ready_made import list_of_texts
from forekey.query import TaskType


@dataclass(frozen=True, slots=True)
class RankingObjective(Objective):
    """Labels are tuples of items, ``[n] object``; what a model scores are pairs of an entity and an item."""

    task_type = TaskType.LINK_PREDICTION
    metric = "map"
    higher_is_better = True
    predicts = Ranking
    ranks_items = True

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> NDArray[Any]:
        """Return lists of keys."""
        return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]

    @classmethod
    def missing(cls, column: pa.ChunkedArray) -> NDArray[np.bool_]:
        """Whether a label is NULL or empty."""
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        return pc.equal(lengths, 0).to_numpy()  # type: ignore[no-any-return]

    @classmethod
    def typed(cls, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Return lists of texts."""
        return list_of_texts(column, name)

    @classmethod
    def describe(cls, target: NDArray[Any]) -> dict[str, Any]:
        """Return how many items there are, how many a label has on average, and the most frequent."""
        return describe_lists(target)

    @classmethod
    def amounts(cls, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return how many items each label has."""
        return np.array([len(v) for v in target], np.float64)

    @classmethod
    def fit(cls, target: NDArray[Any]) -> RankingObjective:
        """Return the objective, which has nothing to fit."""
        return cls()

    def _metrics(self, target: NDArray[Any], predicted: NDArray[Any]) -> Metrics:
        """Return MAP, precision, recall, NDCG and MRR of the first k; no list can find more than k of its items."""
        k = predicted.shape[1]
        right, wanted = hits(target, predicted), np.array([len(t) for t in target])
        place = np.arange(1, k + 1)
        gain = (right / np.log2(place + 1)).sum(axis=1)
        ideal = np.cumsum(1.0 / np.log2(place + 1))[np.clip(wanted, 1, k) - 1]
        first = np.where(right.any(axis=1), 1.0 / (right.argmax(axis=1) + 1), 0.0)
        return {
            "map": float(average_precision(target, predicted).mean()),
            "precision": float((right.sum(axis=1) / k).mean()),
            "recall": float((right.sum(axis=1) / np.maximum(wanted, 1)).mean()),
            "ndcg": float((gain / ideal).mean()),
            "mrr": float(first.mean()),
        }

    def score(self, target: NDArray[Any], predicted: NDArray[Any]) -> Score:
        """Return the mean average precision."""
        return weighted_mean(average_precision(target, predicted))

    def plots(self, target: NDArray[Any], predicted: NDArray[Any]) -> dict[str, Any]:
        """Return precision and recall of the first 1, 2, … items."""
        found = np.cumsum(hits(target, predicted), axis=1)
        wanted = np.maximum([len(t) for t in target], 1)[:, None]
        places = np.arange(1, predicted.shape[1] + 1)
        precision, recall = rounded((found / places).mean(axis=0)), rounded((found / wanted).mean(axis=0))
        return {"at_k": {"k": [float(p) for p in places], "precision": precision, "recall": recall}}


def hits(target: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which ranked items are among the label's, ``[n, k] bool``."""
    found = [np.isin(row, list(items)) for row, items in zip(predicted, target, strict=True)]
    return np.array(found, bool).reshape(predicted.shape)


def average_precision(target: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """Return the average precision at k of each ranking, over ``min(k, items of the label)`` as RelBench defines it."""
    right, wanted = hits(target, predicted), np.array([len(t) for t in target])
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    found: NDArray[np.float64] = (precision * right).sum(axis=1) / np.clip(wanted, 1, right.shape[1])
    return found
