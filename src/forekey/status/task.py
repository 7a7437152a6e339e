"""All that is known of one task: its quality over time, its versions and why they changed, what it predicts now."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from forekey.charts import number_ticks
from forekey.errors import UnknownTask
from forekey.monitoring import Alert, DriftLine, MonitorHistory, Segment
from forekey.objectives import HeldOut
from forekey.registry import ModelVersion
from forekey.status.project import QualityPoint, TaskStatus, last_report, project_status
from forekey.store import KeyValueStore, LoggedPredictions
from forekey.workspace import Workspace

_POINTS, _BINS = 400, 20


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One model version: what it was made from, its test metric with its interval, and what it consists of."""

    version: str
    is_champion: bool
    trained_at: str
    trained_as_of: str
    score: float | None
    low: float | None
    high: float | None
    baseline: str | None
    baseline_score: float | None
    parameters: int
    trees: int
    seconds: float
    has_report: bool


@dataclass(frozen=True, slots=True)
class Promotion:
    """When a version became the champion, and why."""

    at: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was predicted and what happened, by tenths of the predictions."""

    predicted: tuple[float, ...]
    happened: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Shares of predictions between each two of ``edges``: of what is stored, and of what was held out in training."""

    edges: tuple[float, ...]
    now: tuple[float, ...]
    held_out: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TaskDetail:
    """One task in full; ``status`` is the line that the overview has."""

    status: TaskStatus
    quality: tuple[QualityPoint, ...]
    segments: tuple[Segment, ...]
    calibration: Calibration | None
    calibration_expected: Calibration | None
    distribution: Distribution | None
    drift: tuple[DriftLine, ...]
    alerts: tuple[Alert, ...]
    versions: tuple[VersionStatus, ...]
    promotions: tuple[Promotion, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON form of ``GET /tasks/{task}``."""
        return asdict(self)


def task_detail(workspace: Workspace, task: str, store: KeyValueStore | None = None) -> TaskDetail:
    """Read what is known of a task; :class:`UnknownTask` if forekey.yaml has none of that name."""
    if task not in workspace.config.tasks:
        known = ", ".join(workspace.config.tasks) or "none"
        raise UnknownTask(f"There is no task '{task}'. Tasks are: {known}.")
    status = next(t for t in project_status(workspace, store).tasks if t.task == task)
    registry, report = workspace.registry, last_report(workspace)
    champion = registry.champion_or_none(task)
    known_quality = MonitorHistory(workspace.place("monitor")).quality(task).values()
    quality = sorted(known_quality, key=lambda q: (q.anchor, q.version))[-_POINTS:]
    final = next((q for q in reversed(quality) if q.is_final and champion and q.version == champion.version), None)
    return TaskDetail(
        status, tuple(QualityPoint.of(q) for q in quality), final.segments if final is not None else (),
        _calibration(final.calibration) if final is not None else None,
        _calibration(_plots(champion).get("calibration")) if champion is not None else None,
        _distribution(workspace, status, champion), report.drift_of(task) if report is not None else (),
        report.alerts_of(task) if report is not None else (),
        tuple(_version(v, champion) for v in reversed(registry.versions(task))),
        tuple(Promotion(p["at"], p["version"], p["reason"]) for p in reversed(registry.history(task))),
    )  # fmt: skip


def _version(version: ModelVersion, champion: ModelVersion | None) -> VersionStatus:
    facts = version.manifest
    low, high = facts.intervals.get("model", [None, None])
    best = (facts.comparison or {}).get("baseline")
    return VersionStatus(
        version.version, champion is not None and champion.version == version.version, facts.created_at,
        facts.snapshot_as_of, facts.metrics.get("test", {}).get(facts.default_metric), low, high, best,
        facts.baselines.get(best or "", {}).get("test", {}).get(facts.default_metric), facts.parameters,
        sum(facts.trees), facts.seconds, (version.folder / "report.html").is_file(),
    )  # fmt: skip


def _plots(version: ModelVersion) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((version.folder / "plots.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _calibration(tenths: dict[str, list[float]] | None) -> Calibration | None:
    if not tenths or not tenths.get("promised"):
        return None
    return Calibration(tuple(tenths["promised"]), tuple(tenths["happened"]))


def _distribution(workspace: Workspace, status: TaskStatus, champion: ModelVersion | None) -> Distribution | None:
    """Compare what is stored with what the champion predicted in its test period; None for what is no number."""
    if champion is None or status.stored_as_of is None or status.stored_version is None:
        return None
    held_out = HeldOut.load(champion.folder)
    if held_out is None or held_out.predicted.ndim > 1:
        return None
    then = held_out.predicted[np.isfinite(held_out.predicted)]
    if len(then) == 0:
        return None
    low, high = (float(v) for v in np.quantile(then, [0.005, 0.995]))
    ticks = [t for t, _ in number_ticks(low, high, _BINS)]
    if high <= low or len(ticks) < 2:
        return None
    step = ticks[1] - ticks[0]
    low, bins = ticks[0] - step, len(ticks) + 1
    logged = LoggedPredictions(workspace.predictions, status.task)
    spread = logged.spread(status.stored_as_of, status.stored_model or "", low, low + bins * step, bins)
    if spread is None:
        return None
    before = np.histogram(np.clip(then, *spread.edges[[0, -1]]), spread.edges)[0]
    return Distribution(
        tuple(spread.edges.tolist()),
        tuple((spread.counts / max(spread.counts.sum(), 1)).round(5).tolist()),
        tuple((before / max(before.sum(), 1)).round(5).tolist()),
    )
