"""What the monitors see, and what that calls for."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from forekey.errors import ForekeyError
from forekey.files import write_whole
from forekey.graph import MICROS_PER_DAY, to_micros
from forekey.pipeline.graphs import current_graph
from forekey.pipeline.parts import SILENT, Listener, find_task
from forekey.workspace import Workspace

if TYPE_CHECKING:
    from forekey.monitoring import MonitorReport
    from forekey.retraining import Decision
    from forekey.task import Task

_log = logging.getLogger("forekey.monitor")
_MARGIN_DAYS = 60.0
_LEVELS = {"warning": logging.WARNING, "critical": logging.CRITICAL}


def monitor(workspace: Workspace, *, listener: Listener = SILENT) -> MonitorReport:
    """Look once: quality, drift, graph, freshness and latency; send what is new to the log and the webhook."""
    from forekey.monitoring import observe

    current, models = current_graph(workspace, listener), workspace.registry
    tasks: dict[str, Task] = {}
    broken: dict[str, str] = {}
    for name in (t for t in models.tasks() if t in workspace.config.tasks):
        try:
            tasks[name] = find_task(workspace, current.schema, name)
        except ForekeyError as error:
            broken[name] = str(error)
    for name, task in tasks.items():
        workspace.predictions.compact(name)
        # Nothing goes before its labels had their time.
        days = max(workspace.config.monitor.keep_days, 2.0 * task.window_days + _MARGIN_DAYS)
        workspace.predictions.prune(name, to_micros(current.as_of) - int(days * MICROS_PER_DAY))
    listener.step("looking at quality, drift and graph")
    with workspace.source() as source:
        report = observe(workspace, current, tasks, source, broken)
    write_whole(workspace.place("reports") / "monitor.json", json.dumps(report.to_dict(), indent=1))
    _send(workspace, report, listener)
    return report


def _send(workspace: Workspace, report: MonitorReport, listener: Listener) -> None:
    """Send the alerts that nobody was sent yet; what a webhook did not take is sent at the next look."""
    from forekey.monitoring import MonitorHistory
    from forekey.monitoring.notify import send

    history, config = MonitorHistory(workspace.place("monitor")), workspace.config.monitor
    new = history.unsent(report.alerts)
    for alert in new:
        _log.log(_LEVELS[alert.state], "%s: %s: %s", alert.monitor, alert.subject, alert.what)
    if new and config.webhook is not None:
        why = send(config.webhook, config.signing_key, workspace.root.resolve().name, report, new)
        if why is not None:
            listener.note(f"The webhook under monitor: did not take {len(new)} alerts, which are sent again: {why}.")
            return
    history.mark_sent(report.alerts)


def advise(workspace: Workspace, report: MonitorReport) -> dict[str, Decision]:
    """Say, per task, whether what the monitors saw calls for retraining."""
    from forekey.retraining import should_retrain
    from forekey.task import TaskType

    found = {}
    for name in workspace.registry.tasks():
        champion = workspace.registry.champion_or_none(name)
        if champion is not None and name in workspace.config.tasks:
            task_type = TaskType(champion.manifest.task_type)
            found[name] = should_retrain(name, task_type, report, workspace.config.retrain, champion.version)
    return found
