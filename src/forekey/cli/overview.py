"""What ``forekey status`` prints: one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from forekey.cli.monitored import STYLES
from forekey.cli.render import Shown, grid, number

if TYPE_CHECKING:
    from forekey.status import ProjectStatus, TaskStatus

_SHOWN = 5


def overview(found: ProjectStatus) -> Shown:
    """Show whether all is well, source and snapshot, a line a task, and what to do next."""
    parts: list[RenderableType] = [_state(found), _where(found)]
    parts += [_tasks(found)] if found.tasks else []
    for alert in found.alerts[:_SHOWN]:
        line = Text(f"{alert.state}: ", style=STYLES[alert.state])
        parts.append(line.append(f"{alert.monitor} of {alert.subject}: {alert.what}", style="default"))
    if len(found.alerts) > _SHOWN:
        parts.append(Text(f"… and {len(found.alerts) - _SHOWN} more; see `forekey monitor`.", style="dim"))
    parts += [Text.assemble("Next: ", (step.command, "bold"), f"  {step.why}") for step in found.next[:_SHOWN]]
    return Shown(found.to_dict(), Group(*parts))


def _state(found: ProjectStatus) -> Text:
    if found.monitored_at is None:  # nothing is known to be well: no colour says so
        return Text(f"{found.project}: {found.headline}", style="bold" if found.state == "ok" else STYLES[found.state])
    said = Text(f"{found.project}: {found.headline}", style=STYLES[found.state])
    return said.append(f", when monitored at {found.monitored_at[:16].replace('T', ' ')}", style="default")


def _where(found: ProjectStatus) -> Text:
    if found.snapshot is None:
        return Text(f"Source {found.source}; no snapshot.")
    s = found.snapshot
    store = "" if found.store == "ok" else f" The store does not answer: {found.store}"
    return Text(
        f"Source {found.source}. Snapshot {s.id[:8]}, data as of {s.as_of[:16].replace('T', ' ')}, built "
        f"{ago(s.build_age_seconds)} ago: {s.nodes:,} nodes, {s.edges:,} edges.{store}"
    )


def _tasks(found: ProjectStatus) -> RenderableType:
    figures = ("promised", "realized", "estimated")
    table = grid("task", "", "champion", "metric", *figures, "stored as of", right=figures)
    for task in found.tasks:
        table.add_row(
            task.task, Text(str(task.state), style=STYLES[task.state]), task.champion or "not trained",
            task.metric or "–", *map(number, (task.promised, task.realized, task.estimated)), _stored(task),
        )  # fmt: skip
    return table


def _stored(task: TaskStatus) -> str:
    if task.stored_as_of is None:
        return "nothing"
    behind = f" ({task.behind_days:.0f} days behind)" if task.behind_days and task.behind_days >= 1 else ""
    return task.stored_as_of[:16].replace("T", " ") + behind


def ago(seconds: float) -> str:
    """Say how long that is, in the largest unit that fits."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
