"""What the monitors see, and what that calls for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from forekey.files import write_whole
from forekey.pipeline.graphs import current_graph
from forekey.pipeline.parts import SILENT, Listener, find_task
from forekey.workspace import Workspace

if TYPE_CHECKING:
    from forekey.monitoring import MonitorReport
    from forekey.retraining import Decision


def monitor(workspace: Workspace, *, listener: Listener = SILENT) -> MonitorReport:
    """Look once: drift, graph statistics, freshness, latency, and the quality of predictions whose time has come."""
    from forekey.monitoring import observe

    current, models = current_graph(workspace, listener), workspace.registry
    tasks = {t: find_task(workspace, current.schema, t) for t in models.tasks() if t in workspace.config.tasks}
    with workspace.source() as source:
        report = observe(workspace, current, tasks, source)
    write_whole(workspace.place("reports") / "monitor.json", json.dumps(report.to_dict(), indent=1))
    return report


def advise(workspace: Workspace, report: MonitorReport) -> dict[str, Decision]:
    """Say, per task, whether what the monitors saw calls for retraining by the settings of forekey.yaml."""
    from forekey.retraining import should_retrain
    from forekey.task import TaskType

    found = {}
    for name in report.drift:
        task_type = TaskType(workspace.registry.champion(name).manifest.task_type)
        found[name] = should_retrain(name, task_type, report, workspace.config.retrain)
    return found
