"""A set of classes: the probability of each by itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.errors import TaskError
from forekey.objectives.binary import logistic, logits_of_shares, mean_log_loss
from forekey.objectives.curves import curves
from forekey.objectives.held_out import HeldOut
from forekey.objectives.multiclass import by_frequency
from forekey.objectives.objective import Metrics, PointwiseObjective, Raw, Score
from forekey.objectives.predictions import LabelSets
from forekey.objectives.ready_made import list_of_texts
from forekey.query import TaskType

_MAX_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class MultilabelObjective(PointwiseObjective):
    """Labels are sorted tuples of texts, ``[n] object``; a raw output is the logit of a class."""

    task_type = TaskType.MULTILABEL_CLASSIFICATION
    metric = "macro_auprc"
    higher_is_better = True
    loss = "logistic"
    calibrations = ("none", "temperature")
    predicts = LabelSets

    class_names: tuple[str, ...]

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> NDArray[Any]:
        """Return sorted tuples of texts."""
        sets = np.empty(len(column), object)
        sets[:] = [tuple(sorted(str(v) for v in label)) for label in column.to_pylist()]
        return sets

    @classmethod
    def typed(cls, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Return lists of texts."""
        return list_of_texts(column, name)

    @classmethod
    def describe(cls, target: NDArray[Any]) -> dict[str, Any]:
        """Return how many classes there are, how many a label has on average, and the most frequent."""
        return describe_lists(target)

    @classmethod
    def amounts(cls, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return how many classes each label has."""
        return np.array([len(v) for v in target], np.float64)

    @classmethod
    def fit(cls, target: NDArray[Any]) -> MultilabelObjective:
        """Return the objective with the classes of some labels, the most frequent first."""
        classes = by_frequency(Counter(name for label in target for name in label))
        if len(classes) > _MAX_CLASSES:
            raise TaskError(
                f"The training labels hold {len(classes):,} classes; CLASSIFY takes up to {_MAX_CLASSES:,}. "
                "Use RANK TOP k to rank that many."
            )
        return cls(classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes."""
        return self.class_names

    @property
    def outputs(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    def encode(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return 1 for each class of a label, else 0, ``[n, classes]``; classes that training never saw are ignored."""
        place = {name: i for i, name in enumerate(self.class_names)}
        hot = np.zeros((len(target), len(place)))
        for row, names in enumerate(target):
            hot[row, [place[name] for name in names if name in place]] = 1.0
        return hot

    def mean_loss(self, raw: Raw, encoded: NDArray[np.float64]) -> float:
        """Return the mean log loss."""
        return mean_log_loss(raw, encoded)

    def constant(self, encoded: NDArray[np.float64]) -> tuple[float, ...]:
        """Return the logits of the shares."""
        return logits_of_shares(encoded)

    def boosting(self) -> dict[str, Any]:
        """Return LightGBM's objective and metric, for one class."""
        return {"objective": "binary", "metric": "binary_logloss"}

    def link(self, raw: Raw) -> NDArray[np.float64]:
        """Return the probability of each class, ``[n, classes]``."""
        return logistic(raw)

    def predictions(self, raw: Raw) -> LabelSets:
        """Return the probability of each class."""
        return LabelSets(self.link(raw), self.class_names)

    def perfect(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return 1 for each class of a label, else 0, ``[n, classes]``."""
        return self.encode(target)

    def focus(self, raw: Raw) -> NDArray[np.float64]:
        """Return 1 for the likeliest class."""
        likeliest: NDArray[np.float64] = np.eye(raw.shape[1])[raw.argmax(axis=1)]
        return likeliest

    def _metrics(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> Metrics:
        """Average over the classes that some labels have and others have not."""
        from sklearn import metrics

        hot = self.encode(target)
        mixed = [i for i in range(hot.shape[1]) if 0 < hot[:, i].sum() < len(hot)]
        auprc = [metrics.average_precision_score(hot[:, i], predicted[:, i]) for i in mixed]
        auroc = [metrics.roc_auc_score(hot[:, i], predicted[:, i]) for i in mixed]
        return {
            "macro_auprc": float(np.mean(auprc)) if mixed else None,
            "macro_auroc": float(np.mean(auroc)) if mixed else None,
            "micro_f1": metrics.f1_score(hot, predicted >= 0.5, average="micro", zero_division=0.0),
        }

    def score(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> Score:
        """Return the mean average precision over the classes that some example has."""
        return macro_auprc(self.encode(target), predicted)

    def drawn_labels(self, predicted: NDArray[Any], past: HeldOut, random: np.random.Generator) -> NDArray[Any]:
        """Return sets of classes, each drawn by its probability as it may be calibrated by now."""
        hot = random.random(predicted.shape) < past.recalibrated(predicted, random)
        out = np.empty(len(hot), object)
        out[:] = [tuple(self.class_names[i] for i in np.flatnonzero(row)) for row in hot]
        return out

    def plots(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> dict[str, Any]:
        """Return the ROC curve, precision and recall, and calibration, of all classes together."""
        return curves(self.encode(target).ravel(), predicted.ravel())


def describe_lists(target: NDArray[Any]) -> dict[str, Any]:
    """Return how many different names lists hold, how many a list has on average, and the most frequent."""
    counts = Counter(str(name) for names in target for name in names)
    return {"classes": len(counts), "mean": counts.total() / len(target), "top": counts.most_common(5)}


def macro_auprc(hot: NDArray[np.float64], predicted: NDArray[np.float64]) -> Score:
    """Return a function from weights to the mean average precision over the classes that some example has."""
    orders = [np.argsort(-predicted[:, i], kind="stable") for i in range(hot.shape[1])]
    # Where the predictions of a class change: examples predicted alike are taken together.
    ends = [
        np.append(np.flatnonzero(np.diff(predicted[order, i])), len(order) - 1) if len(order) else order
        for i, order in enumerate(orders)
    ]

    def score(weight: NDArray[np.int64]) -> float:
        found = []
        for i, (order, end) in enumerate(zip(orders, ends, strict=True)):
            own = weight[order]
            hits = np.cumsum(hot[order, i] * own)[end]
            shown = np.cumsum(own)[end]
            if len(hits) and hits[-1] > 0:
                gained = np.diff(hits, prepend=0.0)
                found.append(float((gained * hits / np.maximum(shown, 1)).sum() / hits[-1]))
        return float(np.mean(found)) if found else float("nan")

    return score
