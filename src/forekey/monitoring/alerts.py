"""From findings to alerts: what is not as it should be, since when, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from forekey.errors import ProjectError
from forekey.monitoring.finding import Finding, State
from forekey.schema import did_you_mean

if TYPE_CHECKING:
    from forekey.monitoring.history import Measured
    from forekey.project import MonitorConfig


MONITORS = (
    "age of newest row", "column drift", "cut neighbourhoods", "degree", "embeddings", "errors", "estimated quality",
    "freshness", "idle entities", "latency", "log", "missing keys", "missing values", "new entities", "new values",
    "orphans", "predictions", "quality", "rows left out", "rows per day", "schema", "store", "stored predictions",
    "task",
)  # fmt: skip
"""The names of all monitors."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding that is a warning or worse. ``since`` is the moment from which the data show it (ISO 8601, UTC)."""

    monitor: str
    subject: str
    state: State
    value: float
    limit: float
    since: str | None
    tasks: tuple[str, ...]
    what: str
    todo: str
    is_new: bool = True
    """Whether the look before did not have it, or less badly."""


def configured(findings: Sequence[Finding], config: MonitorConfig) -> list[Finding]:
    """Return findings by the limits of forekey.yaml, without those to ignore."""
    unknown = next((name for name in config.limits if name not in MONITORS), None)
    if unknown is not None:
        raise ProjectError(
            f"forekey.yaml, monitor.limits: there is no monitor '{unknown}'{did_you_mean(unknown, MONITORS)}."
        )
    ignored = set(config.ignore)
    kept = [f for f in findings if not ignored & {f.monitor, f.subject, f"{f.monitor}: {f.subject}"}]
    return [_limited(f, config.limits[f.monitor]) if f.monitor in config.limits else f for f in kept]


def judged(
    findings: Sequence[Finding], before: Mapping[tuple[str, str], Measured]
) -> list[tuple[Finding, State, str | None]]:
    """Return the state of each finding, given the look before, and since when it is in it; ok has no since."""
    found = []
    for finding in findings:
        earlier = before.get((finding.monitor, finding.subject))
        state = finding.state(earlier.state if earlier is not None else State.OK)
        since = finding.since
        if earlier is not None and earlier.state is not State.OK and state is not State.OK:
            since = min((s for s in (earlier.since, finding.since) if s is not None), default=None)
        found.append((finding, state, since if state is not State.OK else None))
    return found


def alerts_of(
    found: Sequence[tuple[Finding, State, str | None]], before: Mapping[tuple[str, str], Measured]
) -> tuple[Alert, ...]:
    """Return the alerts among judged findings, the worst and then the furthest beyond their limits first."""
    alerts = []
    for f, state, since in found:
        if state is not State.OK:
            earlier = before.get((f.monitor, f.subject))
            is_new = earlier is None or earlier.state.rank < state.rank
            alerts.append(Alert(f.monitor, f.subject, state, f.value, f.limit, since, f.tasks, f.what, f.todo, is_new))
    return tuple(sorted(alerts, key=lambda a: (-a.state.rank, -a.value / max(a.limit, 1e-9), a.monitor, a.subject)))


def _limited(finding: Finding, limit: float) -> Finding:
    critical = finding.critical
    if critical is not None and finding.limit > 0:
        critical = critical / finding.limit * limit
    return replace(finding, limit=limit, critical=critical)
