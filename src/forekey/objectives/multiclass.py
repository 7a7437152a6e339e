"""One class of several: the probability of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.objectives.held_out import HeldOut
from forekey.objectives.objective import Metrics, PointwiseObjective, Raw, Score, weighted_mean
from forekey.objectives.predictions import Classes
from forekey.query import TaskType

_SHOWN = 12
_APART = 0.5
"""The share of labels that would have to change for two sets of labels to have the same classes."""


@dataclass(frozen=True, slots=True)
class MulticlassObjective(PointwiseObjective):
    """Labels are texts, ``[n] object``; a raw output is the score of a class, of which the softmax is taken."""

    task_type = TaskType.MULTICLASS_CLASSIFICATION
    metric = "accuracy"
    higher_is_better = True
    loss = "softmax"
    calibrations = ("none", "temperature")
    predicts = Classes
    has_single_label = True

    class_names: tuple[str, ...]

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> NDArray[Any]:
        """Return texts."""
        return np.array(column.cast(pa.string()).to_pylist(), dtype=object)

    @classmethod
    def describe(cls, target: NDArray[Any]) -> dict[str, Any]:
        """Return how many classes there are, and the most frequent."""
        counts = Counter(target.tolist())
        return {"classes": len(counts), "top": counts.most_common(5)}

    @classmethod
    def difference(cls, one: NDArray[Any], two: NDArray[Any]) -> str | None:
        """Say how many labels are of other classes, if they are many."""
        counts = Counter(one.tolist()), Counter(two.tolist())
        apart = sum(abs(counts[0][c] / len(one) - counts[1][c] / len(two)) for c in {**counts[0], **counts[1]}) / 2
        return f"{apart:.0%} would have to be of another class" if apart > _APART else None

    @classmethod
    def fit(cls, target: NDArray[Any]) -> MulticlassObjective:
        """Return the objective with the classes of some labels, the most frequent first."""
        return cls(by_frequency(Counter(str(label) for label in target)))

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes."""
        return self.class_names

    @property
    def outputs(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    def encode(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return the position of each class, -1 for one that training never saw, ``[n]``."""
        place = {name: i for i, name in enumerate(self.class_names)}
        return np.array([place.get(t, -1) for t in target], np.float64)

    def is_known(self, encoded: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether training saw the class."""
        return encoded >= 0

    def mean_loss(self, raw: Raw, encoded: NDArray[np.float64]) -> float:
        """Return the mean log loss over the labels of known classes."""
        seen = self.is_known(encoded)
        if not seen.any():
            return 0.0
        logs = raw[seen] - np.logaddexp.reduce(raw[seen], axis=1)[:, None]
        return float(-np.mean(logs[np.arange(len(logs)), encoded[seen].astype(np.int64)]))

    def constant(self, encoded: NDArray[np.float64]) -> tuple[float, ...]:
        """Return the logarithms of the shares."""
        shares = np.bincount(encoded.astype(np.int64), minlength=self.outputs) / len(encoded)
        return tuple(np.log(np.clip(shares, 1e-6, 1.0)).tolist())

    def boosting(self) -> dict[str, Any]:
        """Return LightGBM's objective and metric."""
        return {"objective": "multiclass", "metric": "multi_logloss", "num_class": self.outputs}

    def comparable(self, raw: Raw) -> Raw:
        """Return scores as logarithms of shares, whatever was added to all of them."""
        shifted = raw - raw.max(axis=1, keepdims=True)
        logs: Raw = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return logs

    def link(self, raw: Raw) -> NDArray[np.float64]:
        """Return the probability of each class, ``[n, classes]``."""
        values = raw.astype(np.float64)
        shifted = np.exp(values - values.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
        return shares

    def predictions(self, raw: Raw) -> Classes:
        """Return the probability of each class."""
        return Classes(self.link(raw), self.class_names)

    def perfect(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return 1 for the class of each, else 0, ``[n, classes]``."""
        return np.asarray(target[:, None] == np.array(self.class_names, dtype=object), np.float64)

    def focus(self, raw: Raw) -> NDArray[np.float64]:
        """Return 1 for the likeliest class."""
        likeliest: NDArray[np.float64] = np.eye(raw.shape[1])[raw.argmax(axis=1)]
        return likeliest

    def _metrics(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> Metrics:
        from sklearn import metrics

        decided = self._decided(predicted)
        place = {name: i for i, name in enumerate(self.class_names)}
        own = np.array([predicted[i, place[t]] if t in place else 0.0 for i, t in enumerate(target)])
        return {
            "accuracy": float((decided == target).mean()),
            "macro_f1": metrics.f1_score(list(target), list(decided), average="macro", zero_division=0.0),
            "log_loss": float(-np.log(np.clip(own, 1e-15, 1.0)).mean()),
        }

    def score(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> Score:
        """Return the share that is predicted rightly."""
        return weighted_mean(self._decided(predicted) == target)

    def drawn_labels(self, predicted: NDArray[Any], past: HeldOut, random: np.random.Generator) -> NDArray[Any]:
        """Return classes, drawn by their probabilities as they may be calibrated by now."""
        shares = past.recalibrated(predicted, random)
        reached = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
        chosen = (reached < random.random((len(shares), 1))).sum(axis=1)
        names: NDArray[Any] = np.array(self.class_names, dtype=object)
        return np.asarray(names[np.minimum(chosen, shares.shape[1] - 1)])

    def plots(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> dict[str, Any]:
        """Return how often each of the first classes was predicted as which."""
        shown, decided = self.class_names[:_SHOWN], self._decided(predicted)
        counts = [[int(((target == a) & (decided == b)).sum()) for b in shown] for a in shown]
        return {"confusion": {"classes": list(shown), "counts": counts}}

    def _decided(self, predicted: NDArray[np.float64]) -> NDArray[Any]:
        decided: NDArray[Any] = np.array(self.class_names, dtype=object)[predicted.argmax(axis=1)]
        return decided


def by_frequency(counts: Counter[str]) -> tuple[str, ...]:
    """Return names, the most frequent first, equals by name."""
    return tuple(sorted(counts, key=lambda name: (-counts[name], name)))
