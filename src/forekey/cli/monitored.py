"""What ``forekey monitor`` prints: what is not as it should be first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from forekey.cli.render import Shown, grid, number

if TYPE_CHECKING:
    from forekey.monitoring import Alert, MonitorReport, Quality
    from forekey.retraining import Decision

STYLES = {"ok": "green", "warning": "yellow", "critical": "bold red"}
WORDS = {"ok": "All is well", "warning": "Something moved", "critical": "Something is wrong"}
_SHOWN, _SHOWN_DRIFT, _SHOWN_QUALITY = 12, 10, 12


def monitored(found: MonitorReport, advice: Mapping[str, Decision], *, whole: bool = False) -> Shown:
    """Show alerts, quality and advice on retraining; with ``whole`` everything that was measured."""
    parts: list[RenderableType] = [_state(found)]
    shown = found.alerts if whole else found.alerts[:_SHOWN]
    parts += [_alert(a) for a in shown]
    if len(shown) < len(found.alerts):
        parts.append(Text(f"… and {len(found.alerts) - len(shown)} more; see `forekey monitor -v`."))
    quality = found.quality if whole else found.quality[-_SHOWN_QUALITY:]
    parts.append(_quality(quality) if quality else Text("Quality: nothing was predicted yet."))
    if whole:
        parts += [_drift(found), _nodes(found), _edges(found), *([_latency(found)] if found.latency else [])]
    parts += [Text(f"Drift of {table} was not measured: {why}.") for table, why in found.not_measured.items()]
    parts.append(_log(found))
    parts += [Text(f"Retrain {t}: {'; '.join(d.reasons)}.") for t, d in advice.items() if d.retrain]
    data = {**found.to_dict(), "retrain": {task: asdict(decision) for task, decision in advice.items()}}
    return Shown(data, Group(*parts))


def _state(found: MonitorReport) -> Text:
    checked = sum(found.checked.values())
    said = Text(f"{WORDS[found.state]}: ", style=STYLES[found.state])
    return said.append(f"{len(found.alerts)} alerts of {checked:,} measurements, as of {found.as_of}.", style="default")


def _alert(alert: Alert) -> Text:
    line = Text(f"\n{alert.state:9}", style=STYLES[alert.state])
    line.append(f"{alert.monitor}: {alert.subject}", style="bold")
    line.append(f"\n  {alert.what}", style="default")
    since = f"since {alert.since[:10]}; " if alert.since else ""
    touches = f"touches {', '.join(alert.tasks)}" if alert.tasks else "touches no task"
    line.append(f"\n  {since}{touches}. {alert.todo}", style="dim")
    return line


def _quality(shown: tuple[Quality, ...]) -> Table:
    figures = ("n", "realized", "estimated", "promised")
    table = grid("quality", "predicted as of", "model", "metric", *figures, right=figures)
    for q in shown:
        realized = _interval(q.realized, q.low, q.high) if q.is_final else "window open"
        guess = _interval(q.estimated, q.estimated_low, q.estimated_high)
        table.add_row(q.task, q.anchor, q.version, q.metric, f"{q.n:,}", realized, guess, number(q.expected))
    return table


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return number(value)
    return f"{number(value)} ({number(low)} to {number(high)})"


def _drift(found: MonitorReport) -> Table:
    figures = ("PSI", "allowed", "weight", "NULL", "new rows")
    table = grid("drift since training", *figures, "", right=figures)
    for d in found.drift[:_SHOWN_DRIFT]:
        weight = "–" if d.weight is None else f"{d.weight:.0%}"
        table.add_row(
            d.name, f"{d.psi:.3f}", f"{d.allowed:.3f}", weight, f"{d.null_rate:.1%}", f"{d.new_rows:,}",
            Text(str(d.state), style=STYLES[d.state]),
        )  # fmt: skip
    return table


def _nodes(found: MonitorReport) -> Table:
    table = grid("graph", "nodes", "growth", "newest row", "age (days)", right=("nodes", "growth", "age (days)"))
    for t in found.tables:
        growth = "–" if t.growth is None else f"{t.growth:+,}"
        age = "–" if t.age_days is None else f"{t.age_days:.1f}"
        table.add_row(t.table, f"{t.nodes:,}", growth, t.newest or "–", age)
    return table


def _edges(found: MonitorReport) -> Table:
    figures = ("count", "mean degree", "max", "isolated", "orphan rate")
    table = grid("edges", *figures, right=figures)
    for e in found.edges:
        rate = f"{e.orphan_rate:.2%}"
        table.add_row(e.edge_type, f"{e.edges:,}", f"{e.mean_degree:.2f}", f"{e.max_degree:,}", f"{e.isolated:,}", rate)
    return table


def _latency(found: MonitorReport) -> Table:
    figures = ("requests", "errors", "p50 ms", "p95 ms", "p99 ms")
    table = grid("latency", *figures, right=figures)
    for route, took in found.latency.items():
        times = (f"{took[k]:.2f}" for k in ("p50_ms", "p95_ms", "p99_ms"))
        table.add_row(route, f"{took['requests']:,}", f"{took['errors']:,}", *times)
    return table


def _log(found: MonitorReport) -> Text:
    log = found.log
    never = "".join(f"; {n:,} never, since {why}" for why, n in log.unscorable.items() if n)
    lost = f" ({log.lost:,} lost)" if log.lost else ""
    served = f"{log.written:,} predictions served were logged{lost}. "
    return Text(f"{served if log.written or log.lost else ''}{log.waiting:,} predictions wait for their labels{never}.")
