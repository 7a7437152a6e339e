"""The metrics of each task type; the first is the default, by which models are selected and compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.query import TaskType
from forekey.task.labels import multi_hot

Metrics = dict[str, float | None]
"""Name to value; None where the metric is undefined, such as AUROC with one class only."""

_DEFAULTS = {
    TaskType.BINARY_CLASSIFICATION: ("auroc", True),
    TaskType.MULTICLASS_CLASSIFICATION: ("accuracy", True),
    TaskType.MULTILABEL_CLASSIFICATION: ("macro_auprc", True),
    TaskType.REGRESSION: ("mae", False),
    TaskType.FORECASTING: ("mae", False),
    TaskType.LINK_PREDICTION: ("map", True),
}


def default_metric(task_type: TaskType) -> tuple[str, bool]:
    """Return the metric that a task type is judged by, and whether higher is better."""
    return _DEFAULTS[task_type]


def better(task_type: TaskType, a: float | None, b: float | None) -> bool:
    """Whether score ``a`` beats ``b``; anything beats None."""
    if a is None or b is None:
        return a is not None
    return a > b if default_metric(task_type)[1] else a < b


def compute_metrics(
    task_type: TaskType,
    target: NDArray[Any],
    predicted: NDArray[np.float64],
    *,
    classes: tuple[str, ...] = (),
    train_std: float | None = None,
) -> Metrics:
    """Score predictions against labels: probabilities, numbers, one of either per class or timeframe.

    A ranking is ``[n, k]``, each row's items from the best on; its labels are tuples of items.
    """
    if len(target) == 0:
        return {default_metric(task_type)[0]: None}
    if task_type is TaskType.BINARY_CLASSIFICATION:
        found = _binary(target, predicted)
    elif task_type is TaskType.REGRESSION:
        found = _regression(target, predicted, train_std)
    elif task_type is TaskType.FORECASTING:
        found = _forecast(target, predicted)
    elif task_type is TaskType.MULTILABEL_CLASSIFICATION:
        found = _multilabel(multi_hot(target, classes), predicted)
    elif task_type is TaskType.LINK_PREDICTION:
        found = _ranking(target, predicted)
    else:
        found = _multiclass(target, predicted, classes)
    return {name: None if value is None or not math.isfinite(value) else float(value) for name, value in found.items()}


def _binary(target: NDArray[Any], predicted: NDArray[np.float64]) -> dict[str, float | None]:
    from sklearn import metrics

    both = 0 < target.sum() < len(target)
    decided = predicted >= 0.5
    return {
        "auroc": metrics.roc_auc_score(target, predicted) if both else None,
        "auprc": metrics.average_precision_score(target, predicted) if target.any() else None,
        "accuracy": float((decided == target).mean()),
        "f1": metrics.f1_score(target, decided, zero_division=0.0),
        "log_loss": metrics.log_loss(target, predicted, labels=[0, 1]),
        "ece": expected_calibration_error(target, predicted),
    }


def _regression(
    target: NDArray[Any], predicted: NDArray[np.float64], train_std: float | None
) -> dict[str, float | None]:
    error = predicted - target
    spread = float(((target - target.mean()) ** 2).sum())
    mae = float(np.abs(error).mean())
    return {
        "mae": mae,
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": 1.0 - float((error**2).sum()) / spread if spread > 0 else None,
        "nmae": mae / train_std if train_std else None,
    }


def _forecast(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float | None]:
    """Score ``[n, frames]``: over all frames (sMAPE: Makridakis 1993; WAPE: error over total), and each by itself."""
    error = np.abs(predicted - target)
    size = np.abs(target) + np.abs(predicted)
    share = np.divide(2 * error, size, out=np.zeros_like(error), where=size > 0)
    total = float(np.abs(target).sum())
    return {
        "mae": float(error.mean()),
        "smape": float(share.mean()),
        "wape": float(error.sum()) / total if total > 0 else None,
        **{f"mae_{i + 1}": float(m) for i, m in enumerate(error.mean(axis=0))},
    }


def _multilabel(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float | None]:
    """Average over the classes that some labels have and others have not."""
    from sklearn import metrics

    told = [i for i in range(target.shape[1]) if 0 < target[:, i].sum() < len(target)]
    auprc = [metrics.average_precision_score(target[:, i], predicted[:, i]) for i in told]
    auroc = [metrics.roc_auc_score(target[:, i], predicted[:, i]) for i in told]
    return {
        "macro_auprc": float(np.mean(auprc)) if told else None,
        "macro_auroc": float(np.mean(auroc)) if told else None,
        "micro_f1": metrics.f1_score(target, predicted >= 0.5, average="micro", zero_division=0.0),
    }


def _ranking(target: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float | None]:
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


def _multiclass(
    target: NDArray[Any], predicted: NDArray[np.float64], classes: tuple[str, ...]
) -> dict[str, float | None]:
    from sklearn import metrics

    decided = np.array(classes, dtype=object)[predicted.argmax(axis=1)]
    place = {name: i for i, name in enumerate(classes)}
    own = np.array([predicted[i, place[t]] if t in place else 0.0 for i, t in enumerate(target)])
    return {
        "accuracy": float((decided == target).mean()),
        "macro_f1": metrics.f1_score(list(target), list(decided), average="macro", zero_division=0.0),
        "log_loss": float(-np.log(np.clip(own, 1e-15, 1.0)).mean()),
    }


def expected_calibration_error(target: NDArray[Any], predicted: NDArray[np.float64], bins: int = 15) -> float:
    """Return the mean gap between confidence and frequency over equal-width bins (Guo et al. 2017)."""
    place = np.minimum((predicted * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, predicted - target, minlength=bins))
    return float(gap.sum() / count.sum())
