"""The status page: one plain HTML document, no scripts, nothing fetched from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from forekey.graph import SnapshotManifest
from forekey.secrets import without_password

if TYPE_CHECKING:
    from forekey.serving.state import ServingState


def render_page(state: ServingState) -> str:
    """Return tasks, versions, metrics, graph statistics, drift, quality and latency as HTML."""
    template = Template(resources.files("forekey.serving").joinpath("status_page.html").read_text(encoding="utf-8"))
    snapshot = state.snapshot_or_none()
    monitored = _monitored(state)
    facts = f"Snapshot {snapshot.id} as of {snapshot.as_of}" if snapshot else "No snapshot yet"
    return template.substitute(
        source=escape(without_password(state.workspace.config.source)),
        snapshot=escape(facts),
        tasks=_tasks(state),
        graph=_graph(snapshot.manifest) if snapshot else "",
        drift=_drift(monitored),
        quality=_quality(monitored),
        latency=_latency(monitored),
    )


def _tasks(state: ServingState) -> str:
    rows = []
    for name, config in state.workspace.config.tasks.items():
        champion, stored = state.registry.champion_or_none(name), state.embeddings.current(name)
        metrics = champion.manifest.metrics.get("test", {}) if champion else {}
        shown = ", ".join(f"{k} {v:.4g}" for k, v in metrics.items() if v is not None)
        rows.append(
            [
                name,
                getattr(config, "query", "ready-made labels"),
                champion.version if champion else "not trained",
                shown,
                f"{stored.entities:,} as of {stored.as_of}" if stored else "none",
            ]
        )
    return _table(["task", "question", "champion", "test metrics", "embeddings"], rows)


def _graph(manifest: SnapshotManifest) -> str:
    nodes = [[name, f"{t.nodes:,}", f"{t.left_out:,}"] for name, t in manifest.tables.items()]
    edges = [
        [name, f"{e.edges:,}", f"{e.orphans:,}", f"{e.degree['mean']:.3g}", f"{e.degree['max']:,}"]
        for name, e in manifest.edges.items()
    ]
    return _table(["node type", "nodes", "quarantined"], nodes) + _table(
        ["edge type", "edges", "orphans", "mean degree", "max degree"], edges
    )


def _drift(report: dict[str, Any]) -> str:
    rows = [[a["state"], f"{a['monitor']}: {a['subject']}", a["what"]] for a in report.get("alerts", [])]
    if report.get("at") and not rows:
        return f"<p>All was well at {escape(report['at'])}.</p>"
    return _table(["", "alert", "what"], rows) if rows else "<p>Run <code>forekey monitor</code>.</p>"


def _quality(report: dict[str, Any]) -> str:
    rows = [
        [
            q["task"],
            q["anchor"],
            q["version"],
            f"{q['n']:,}",
            q["metric"],
            *map(_number, (q["realized"], q["expected"])),
        ]
        for q in report.get("quality", [])
        if q["realized"] is not None
    ]
    head = ["task", "as of", "model", "n", "metric", "realized", "promised"]
    return _table(head, rows) if rows else "<p>No prediction's window has passed yet.</p>"


def _latency(report: dict[str, Any]) -> str:
    rows = [
        [route, f"{q['requests']:,}", f"{q['p50_ms']}", f"{q['p99_ms']}"]
        for route, q in report.get("latency", {}).items()
    ]
    return _table(["route", "requests", "p50 ms", "p99 ms"], rows) if rows else "<p>No requests measured yet.</p>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _monitored(state: ServingState) -> dict[str, Any]:
    path = state.workspace.place("reports") / "monitor.json"
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return report
