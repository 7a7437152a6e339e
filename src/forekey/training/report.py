"""What a training run found, for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from forekey.objectives import Metrics, objective_of
from forekey.registry import ModelVersion
from forekey.task import TaskType


@dataclass(frozen=True, slots=True)
class TrainReport:
    """Metrics of a version beside those of the baselines, on the same rows."""

    task: str
    task_type: TaskType
    model_version: str
    snapshot: str
    default_metric: str
    metrics: dict[str, Metrics]
    baselines: dict[str, dict[str, Metrics]]
    seconds: float
    warnings: tuple[str, ...] = ()
    """What makes the scores doubtful: a reader must see it before them."""
    notes: tuple[str, ...] = ()
    intervals: dict[str, list[float]] = field(default_factory=dict)
    """By name, from where to where the default metric on test lies in 95 of 100 resamplings of the entities."""
    comparison: dict[str, Any] | None = None
    """The best baseline, by how much the model differs from it, and the interval of that difference."""
    blend: str = ""
    """Which parts the model consists of, and how much each counts."""
    page: str | None = None
    """Where the report lies as HTML."""

    @classmethod
    def from_version(cls, version: ModelVersion) -> TrainReport:
        """Read the report of a registered version."""
        facts = version.manifest
        return cls(
            version.task,
            TaskType(facts.task_type),
            version.version,
            facts.snapshot,
            facts.default_metric,
            facts.metrics,
            facts.baselines,
            facts.seconds,
            tuple(facts.warnings),
            tuple(facts.notes),
            facts.intervals,
            facts.comparison,
            facts.blend,
            str(page) if (page := version.folder / "report.html").is_file() else None,
        )

    def __repr__(self) -> str:
        score = self.metrics.get("test", {}).get(self.default_metric)
        shown = f"{score:.4g}" if score is not None else "not known"
        return f"TrainReport({self.task} {self.model_version}, test {self.default_metric} {shown}: {self.verdict})"

    @property
    def best_baseline(self) -> str | None:
        """Return the baseline with the best test score, or None if there is none."""
        best: str | None = None
        for name in self.baselines:
            score = self._test(self.baselines[name])
            if best is None or objective_of(self.task_type).better(score, self._test(self.baselines[best])):
                best = name
        return best

    @property
    def verdict(self) -> str:
        """Say plainly whether the model beats every baseline on the test set."""
        best = self.best_baseline
        if best is None:
            return "There is no baseline to compare with."
        metric = self.default_metric
        mine, theirs = self._test(self.metrics), self._test(self.baselines[best])
        if mine is None or theirs is None:
            return "The test set is too small, or has one class only, to tell the model from the baselines."
        if not objective_of(self.task_type).better(mine, theirs):
            return f"By {metric}, the model does not beat {best} ({theirs:.4g} against {mine:.4g}): use with care."
        said = f"By {metric}, the model beats every baseline; the best is {best} ({theirs:.4g} against {mine:.4g})"
        between = (self.comparison or {}).get("interval")
        if between is not None and between[0] <= 0.0 <= between[1]:
            sure = f"the difference lies between {between[0]:.3g} and {between[1]:.3g}"
            return f"{said}, but the test set is too small to be sure: {sure}."
        return f"{said}."

    def to_dict(self) -> dict[str, Any]:
        """JSON form of ``forekey train --json``."""
        return {
            "task": self.task,
            "task_type": str(self.task_type),
            "model_version": self.model_version,
            "snapshot": self.snapshot,
            "metrics": self.metrics,
            "baselines": self.baselines,
            "intervals": self.intervals,
            "comparison": self.comparison,
            "blend": self.blend,
            "report": self.page,
            "seconds": self.seconds,
            "verdict": self.verdict,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def _test(self, metrics: dict[str, Metrics]) -> float | None:
        return metrics.get("test", {}).get(self.default_metric)
