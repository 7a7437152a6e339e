"""When to train a challenger, and when it becomes the champion."""

from __future__ import annotations

from dataclasses import dataclass

from forekey.monitoring import MonitorReport
from forekey.notebooks import as_table
from forekey.objectives import Metrics, objective_of
from forekey.project import RetrainConfig
from forekey.task import TaskType


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a task should be trained again, and every reason for it."""

    retrain: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the challenger takes over, and why."""

    promote: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenger held against the champion on the same rows: the newest window."""

    task: str
    champion: str
    challenger: str
    champion_metrics: Metrics
    challenger_metrics: Metrics
    examples: int
    verdict: Verdict
    embedding_version: str
    interval: tuple[float, float] | None = None
    """Between which bounds the challenger's metric less the champion's lies, in 95 of 100 resamplings of entities."""

    def __repr__(self) -> str:
        outcome = f"promoted {self.challenger}" if self.verdict.promote else f"kept {self.champion}"
        return f"Challenge({self.task}: {outcome}; {self.verdict.reason})"

    def _repr_html_(self) -> str:
        names = list(self.champion_metrics)
        both = {
            f"champion {self.champion}": self.champion_metrics,
            f"challenger {self.challenger}": self.challenger_metrics,
        }
        rows = ([who, *(metrics.get(name) for name in names)] for who, metrics in both.items())
        return as_table([f"newest window, {self.examples:,} examples", *names], rows, repr(self))


_CALLS_FOR_IT = frozenset({"quality", "estimated quality"})
"""Monitors whose alerts call for retraining. A column that moved may be a fault, which a new model must not learn."""


def should_retrain(
    task: str, task_type: TaskType, report: MonitorReport, config: RetrainConfig, champion: str | None = None
) -> Decision:
    """Decide from one look of the monitors: by their alerts, and by the limits that forekey.yaml sets.

    Quality is that of the ``champion``, or of any version without one.
    """
    reasons = [a.what for a in report.alerts_of(task) if a.monitor in _CALLS_FOR_IT]
    worst = max(report.drift_of(task), key=lambda d: d.psi, default=None)
    if config.on_drift is not None and worst is not None and worst.psi > config.on_drift:
        reasons.append(f"{worst.name} drifted by {worst.psi:.3g}, more than {config.on_drift:g}")
    own = [q for q in report.quality if q.task == task and q.is_final and champion in (None, q.version)]
    newest = own[-1] if own else None
    if config.on_quality_drop is not None and newest is not None:
        expected, seen = newest.expected, newest.realized
        if expected is not None and seen is not None:
            # Errors are compared as shares of what was expected, scores as differences.
            higher = objective_of(task_type).higher_is_better
            drop = expected - seen if higher else (seen - expected) / expected if expected else 0.0
            if drop > config.on_quality_drop:
                reasons.append(f"{newest.metric} is {seen:.4g} where {expected:.4g} was expected")
    return Decision(bool(reasons), tuple(reasons))


def judge(
    task_type: TaskType,
    champion: Metrics,
    challenger: Metrics,
    min_gain: float,
    between: tuple[float, float] | None = None,
) -> Verdict:
    """Promote the challenger if it beats the champion on the default metric by more than ``min_gain``.

    ``min_gain`` is a difference where higher is better, and a share of the champion's error where lower is. ``between``
    is the 95 % interval of the challenger's metric less the champion's, which the reason states.
    """
    kind = objective_of(task_type)
    metric, higher = kind.metric, kind.higher_is_better
    ours, theirs = challenger.get(metric), champion.get(metric)
    if ours is None:
        return Verdict(False, f"the challenger's {metric} is undefined on the newest window")
    if theirs is None:
        return Verdict(True, f"the champion's {metric} is undefined on the newest window")
    gain = ours - theirs if higher else (theirs - ours) / theirs if theirs else 0.0
    compared = f"{metric} {ours:.4g} against {theirs:.4g} on the newest window"
    if between is not None:
        compared += f", a difference between {between[0]:+.3g} and {between[1]:+.3g} (95 %)"
        if between[0] <= 0.0 <= between[1]:
            compared += ", so this window cannot tell which is better"
    if gain > min_gain:
        return Verdict(True, f"the challenger scored better: {compared}")
    needed = f" (a gain above {min_gain:g} is needed)" if min_gain else ""
    return Verdict(False, f"the champion stays: {compared}{needed}")
