"""What the monitors see, and what that calls for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from forekey.files import write_whole
from forekey.pipeline.graphs import current_graph
from forekey.pipeline.parts import SILENT, Listener, find_task, prediction_log, registry, snapshots, source_of
from forekey.project import Project

if TYPE_CHECKING:
    from forekey.monitoring import MonitorReport
    from forekey.retraining import Decision


def monitor(project: Project, *, listener: Listener = SILENT) -> MonitorReport:
    """Look once: drift, graph statistics, freshness, latency, and the quality of predictions whose time has come."""
    from forekey.monitoring import observe

    current, models = current_graph(project, listener), registry(project)
    tasks = {t: find_task(project, current.schema, t) for t in models.tasks() if t in project.config.tasks}
    with source_of(project) as source:
        report = observe(
            current, snapshots(project), models, tasks, source, prediction_log(project), project.place("serving")
        )
    write_whole(project.place("reports") / "monitor.json", json.dumps(report.to_dict(), indent=1))
    return report


def advise(project: Project, report: MonitorReport) -> dict[str, Decision]:
    """Say, per task, whether what the monitors saw calls for retraining by the settings of forekey.yaml."""
    from forekey.retraining import should_retrain
    from forekey.task import TaskType

    found = {}
    for name in report.drift:
        task_type = TaskType(registry(project).champion(name).manifest["task_type"])
        found[name] = should_retrain(name, task_type, report, project.config.retrain)
    return found
