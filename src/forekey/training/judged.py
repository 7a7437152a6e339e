"""Predictions of the model, its parts and the baselines, side by side on the same examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.graph import from_micros
from forekey.task import Metrics, Task, TaskType, better, compute_metrics, default_metric, hits, multi_hot
from forekey.training.evaluate import Resolved
from forekey.training.intervals import Bootstrap

MODEL, NETWORK, TREES = "model", "network alone", "trees alone"
_PARTS = (NETWORK, TREES)
_POINTS = 200


@dataclass
class Judged:
    """Scores and intervals by name and split; ``parts`` are the model's own, all others are baselines."""

    task: Task
    splits: dict[str, Resolved]
    classes: tuple[str, ...]
    train_std: float | None
    bootstraps: dict[str, Bootstrap]
    predicted: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    metrics: dict[str, dict[str, Metrics]] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, splits: dict[str, Resolved], classes: tuple[str, ...], train_std: float | None) -> Judged:
        """Begin with the examples to be judged on."""
        draws = {s: Bootstrap(task.task_type, splits[s].rows, splits[s].target, classes) for s in ("val", "test")}
        return cls(task, splits, classes, train_std, draws)

    def add(self, name: str, split: str, predicted: NDArray[Any]) -> None:
        """Score the predictions that one of them made for a split."""
        found = compute_metrics(
            self.task.task_type,
            self.splits[split].target,
            predicted,
            classes=self.classes,
            train_std=self.train_std,
        )
        self.metrics.setdefault(name, {})[split] = found
        self.predicted.setdefault(name, {})[split] = predicted

    def to_dict(self) -> dict[str, Any]:
        """Return what a manifest says of them: metrics, parts, baselines, intervals, and the closest comparison."""
        draws = {name: self._draws(name) for name in self.metrics}
        intervals = {name: self.bootstraps["test"].interval(scores) for name, scores in draws.items()}
        return {
            "metrics": self.metrics[MODEL],
            "parts": {name: self.metrics[name] for name in _PARTS if name in self.metrics},
            "baselines": {n: m for n, m in self.metrics.items() if n != MODEL and n not in _PARTS},
            "intervals": {name: list(pair) for name, pair in intervals.items() if pair is not None},
            "comparison": self._comparison(draws),
        }

    def plots(self) -> dict[str, Any]:
        """Return what the report draws: the score by anchor time, and by task type curves or points."""
        found: dict[str, Any] = {"by_time": self._by_time()}
        test, predicted = self.splits["test"], self.predicted[MODEL]["test"]
        if len(test) == 0:
            return found
        match self.task.task_type:
            case TaskType.BINARY_CLASSIFICATION:
                found |= _curves(test.target.astype(np.float64), predicted)
            case TaskType.MULTILABEL_CLASSIFICATION:
                found |= _curves(multi_hot(test.target, self.classes).ravel(), predicted.ravel())
            case TaskType.REGRESSION | TaskType.FORECASTING:
                actual, told = test.target.astype(np.float64).ravel(), predicted.ravel()
                chosen = np.random.default_rng(0).permutation(len(actual))[: 10 * _POINTS]
                found["points"] = {"actual": _short(actual[chosen]), "predicted": _short(told[chosen])}
            case TaskType.LINK_PREDICTION:
                found["at_k"] = _at_k(test.target, predicted)
            case _:
                found["confusion"] = self._confusion(test.target, predicted)
        return found

    def _draws(self, name: str) -> NDArray[np.float64]:
        return self.bootstraps["test"].scores(self.predicted[name]["test"])

    def _comparison(self, draws: dict[str, NDArray[np.float64]]) -> dict[str, Any] | None:
        """Compare the model with the best baseline on the same draws: by how much, and from where to where."""
        metric, kind = default_metric(self.task.task_type)[0], self.task.task_type
        best: str | None = None
        for name in self.metrics:
            score = self.metrics[name]["test"].get(metric)
            if name == MODEL or name in _PARTS or score is None:
                continue
            if best is None or better(kind, score, self.metrics[best]["test"].get(metric)):
                best = name
        mine = self.metrics[MODEL]["test"].get(metric)
        if best is None or mine is None:
            return None
        theirs = self.metrics[best]["test"][metric]
        assert theirs is not None
        interval = self.bootstraps["test"].interval(draws[MODEL] - draws[best])
        return {"baseline": best, "difference": mine - theirs, "interval": list(interval) if interval else None}

    def _by_time(self) -> dict[str, list[Any]]:
        """Return the default metric at each anchor time of validation and test, of the model and of each baseline."""
        metric = default_metric(self.task.task_type)[0]
        rows: dict[str, list[Any]] = {"time": [], "split": [], "examples": []}
        for split in ("val", "test"):
            for moment in np.unique(self.splits[split].times)[-60:]:
                chosen = self.splits[split].times == moment
                rows["time"].append(from_micros(int(moment)).isoformat())
                rows["split"].append(split)
                rows["examples"].append(int(chosen.sum()))
                target = self.splits[split].target[chosen]
                for name, predicted in self.predicted.items():
                    told = compute_metrics(self.task.task_type, target, predicted[split][chosen], classes=self.classes)
                    rows.setdefault(name, []).append(told.get(metric))
        return rows

    def _confusion(self, target: NDArray[Any], predicted: NDArray[np.float64]) -> dict[str, Any]:
        shown = self.classes[:12]
        told = np.array(self.classes, dtype=object)[predicted.argmax(axis=1)]
        counts = [[int(((target == a) & (told == b)).sum()) for b in shown] for a in shown]
        return {"classes": list(shown), "counts": counts}


def _curves(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, Any]:
    """Return the ROC curve, precision and recall, and how often it happened where that often was promised."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    found: dict[str, Any] = {"calibration": _calibration(target, predicted)}
    if 0 < target.sum() < len(target):
        wrong, right, _ = roc_curve(target, predicted)
        precision, recall, _ = precision_recall_curve(target, predicted)
        found["roc"] = {"x": _short(_thinned(wrong)), "y": _short(_thinned(right))}
        found["pr"] = {"x": _short(_thinned(recall)), "y": _short(_thinned(precision))}
    return found


def _at_k(target: NDArray[Any], predicted: NDArray[Any]) -> dict[str, list[float]]:
    """Return precision and recall of the first 1, 2, … items."""
    found = np.cumsum(hits(target, predicted), axis=1)
    wanted = np.maximum([len(t) for t in target], 1)[:, None]
    places = np.arange(1, predicted.shape[1] + 1)
    return {
        "k": [float(p) for p in places],
        "precision": _short((found / places).mean(axis=0)),
        "recall": _short((found / wanted).mean(axis=0)),
    }


def _calibration(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, list[float]]:
    parts = np.array_split(np.argsort(predicted, kind="stable"), min(10, len(predicted)))
    return {
        "promised": [float(predicted[p].mean()) for p in parts],
        "happened": [float(target[p].mean()) for p in parts],
        "examples": [len(p) for p in parts],
    }


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.unique(np.linspace(0, len(values) - 1, _POINTS).astype(np.int64))]


def _short(values: NDArray[np.float64]) -> list[float]:
    return [round(float(v), 5) for v in values]
