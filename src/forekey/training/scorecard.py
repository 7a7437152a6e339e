"""Predictions of the model, its parts and the baselines, side by side on the same examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.graph import from_micros
from forekey.objectives import Bootstrap, HeldOut, Metrics, Objective, PointwiseObjective
from forekey.training.evaluate import Resolved

MODEL, NETWORK, TREES = "model", "network alone", "trees alone"
_PARTS = (NETWORK, TREES)


@dataclass
class Scorecard:
    """Scores and intervals by name and split; ``parts`` are the model's own, all others are baselines."""

    objective: Objective
    splits: dict[str, Resolved]
    bootstraps: dict[str, Bootstrap]
    predicted: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    metrics: dict[str, dict[str, Metrics]] = field(default_factory=dict)

    @classmethod
    def of(cls, objective: Objective, splits: dict[str, Resolved]) -> Scorecard:
        """Begin with the examples to be judged on."""
        draws = {s: Bootstrap(objective, splits[s].rows, splits[s].target) for s in ("val", "test")}
        return cls(objective, splits, draws)

    def add(self, name: str, split: str, predicted: NDArray[Any]) -> None:
        """Score the predictions that one of them made for a split."""
        found = self.objective.metrics(self.splits[split].target, predicted)
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
        """Return what the report draws: the score by anchor time, and the curves or points of the kind of task."""
        found: dict[str, Any] = {"by_time": self._by_time()}
        test = self.splits["test"]
        return found | self.objective.plots(test.target, self.predicted[MODEL]["test"]) if len(test) else found

    def held_out(self) -> HeldOut | None:
        """Return the model's predictions on test beside the labels, by which its later quality is estimated."""
        test, predicted = self.splits["test"], self.predicted[MODEL]["test"]
        if not isinstance(self.objective, PointwiseObjective) or len(test) == 0:
            return None
        return HeldOut.of(predicted, self.objective.perfect(test.target), test.times)

    def _draws(self, name: str) -> NDArray[np.float64]:
        return self.bootstraps["test"].scores(self.predicted[name]["test"])

    def _comparison(self, draws: dict[str, NDArray[np.float64]]) -> dict[str, Any] | None:
        """Compare the model with the best baseline on the same draws: by how much, and from where to where."""
        metric = self.objective.metric
        best: str | None = None
        for name in self.metrics:
            score = self.metrics[name]["test"].get(metric)
            if name == MODEL or name in _PARTS or score is None:
                continue
            if best is None or self.objective.better(score, self.metrics[best]["test"].get(metric)):
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
        metric = self.objective.metric
        rows: dict[str, list[Any]] = {"time": [], "split": [], "examples": []}
        for split in ("val", "test"):
            for moment in np.unique(self.splits[split].times)[-60:]:
                chosen = self.splits[split].times == moment
                rows["time"].append(from_micros(int(moment)).isoformat())
                rows["split"].append(split)
                rows["examples"].append(int(chosen.sum()))
                target = self.splits[split].target[chosen]
                for name, predicted in self.predicted.items():
                    scores = self.objective.metrics(target, predicted[split][chosen])
                    rows.setdefault(name, []).append(scores.get(metric))
        return rows
