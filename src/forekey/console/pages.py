"""What the pages show: overview, a task, the monitors, the graph and its tables."""

from __future__ import annotations

from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request

from forekey.console import drawings
from forekey.console.site import Shown, Site
from forekey.graph import from_micros, to_micros
from forekey.monitoring import State, histograms
from forekey.schema import did_you_mean
from forekey.status import (
    episodes,
    graph_status,
    last_report,
    project_status,
    schema_drawing,
    series_of,
    task_detail,
    timings,
)

_MANY = 12
_DRIFT_SHOWN = 15


def overview(site: Site, _: Request) -> Shown:
    """Is all well? Alerts first, then a card a task, source and snapshot, and what to do next."""
    found = project_status(site.workspace, site.state.store)
    sparks = {t.task: drawings.quality_spark(t) for t in found.tasks}
    return Shown("overview.html", {"found": found, "sparks": sparks})


def sign_in(site: Site, request: Request) -> Shown:
    """Ask for a key."""
    if request.state.visit.is_signed_in:
        return Shown(go_to=site.place(request, "/"))
    return Shown("signin.html", {"next": request.query_params.get("next", ""), "said": ""})


def task(site: Site, request: Request) -> Shown:
    """Show one task: quality over time, calibration, predictions, drift, versions and why they changed."""
    found = task_detail(site.workspace, request.path_params["task"], site.state.store)
    status = found.status
    moved = [d for d in found.drift if d.state is not State.OK or (d.weight or 0.0) > 0.0]
    values = {
        "found": found, "task": status,
        "quality": drawings.quality_chart(found.quality, status, found.versions),
        "calibration": drawings.calibration_chart(found.calibration, found.calibration_expected),
        "distribution": drawings.distribution_chart(found.distribution) if found.distribution is not None else None,
        "drift": drawings.drift_chart(moved[:_DRIFT_SHOWN]), "drift_lines": found.drift,
    }  # fmt: skip
    return Shown("task.html", values)


def monitor(site: Site, _: Request) -> Shown:
    """Show alerts with their history, what moved, statistics of the graph, and latencies by route and stage."""
    report = last_report(site.workspace)
    routes, stages = timings(site.workspace)
    series = series_of(site.workspace, most=_MANY)
    moved = [s for s in series if s.state is not State.OK] or list(series)
    values = {
        "report": report, "episodes": episodes(site.workspace),
        "moved": [(s, drawings.series_chart(s)) for s in moved], "all_ok": all(s.state is State.OK for s in moved),
        "routes": routes, "stages": stages,
    }  # fmt: skip
    return Shown("monitor.html", values)


def graph(site: Site, request: Request) -> Shown:
    """Show the schema as a drawing, and every table and foreign key with its statistics."""
    snapshot = site.state.snapshot_or_none()
    if snapshot is None:
        return Shown("graph.html", {"found": None, "drawing": None, "snapshots": [], "series": []})
    found = graph_status(snapshot, last_report(site.workspace))
    edges = [name for e in found.edges for name in (e.edge_type, f"{e.child}.{e.column}")]
    names = {*(t.table for t in found.tables), *edges}
    series = series_of(site.workspace, lambda _, subject: subject in names, _MANY)
    manifests, place = site.workspace.snapshots.manifests(), site.place(request, "/graph/table")
    values = {
        "found": found,
        "drawing": schema_drawing(snapshot.schema, found, lambda t: f"{place}?name={site.in_path(t)}"),
        "snapshots": [(m, from_micros(m.as_of)) for m in reversed(sorted(manifests, key=lambda m: m.created_at))],
        "series": [(s, drawings.series_chart(s)) for s in series],
    }  # fmt: skip
    return Shown("graph.html", values)


def table(site: Site, request: Request) -> Shown:
    """Show one table: its columns now beside what training saw."""
    snapshot, name = site.state.snapshot(), request.query_params.get("name", "")
    if name not in snapshot.schema.names:
        raise HTTPException(404, f"There is no table '{name}'{did_you_mean(name, snapshot.schema.names)}.")
    found = next(t for t in graph_status(snapshot, last_report(site.workspace)).tables if t.table == name)
    trained = [t.trained_as_of for t in project_status(site.workspace, site.state.store).tasks if t.trained_as_of]
    until = max((to_micros(datetime.fromisoformat(at)) for at in trained), default=None)
    drawn, said = histograms(snapshot, name, until)
    begin = f"{name}."
    series = series_of(site.workspace, lambda _, subject: subject == name or subject.startswith(begin), _MANY)
    report = last_report(site.workspace)
    alerts = [a for a in report.alerts if a.subject == name or a.subject.startswith(begin)] if report else []
    values = {
        "table": found, "alerts": alerts, "said": said,
        "charts": {h.column: drawings.histogram_chart(h, name) for h in drawn},
        "series": [(s, drawings.series_chart(s)) for s in series],
    }  # fmt: skip
    return Shown("table.html", values)
