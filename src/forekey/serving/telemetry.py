"""How the service does: requests and latencies per route, for Prometheus and for ``forekey monitor``.

Each process counts for itself, and leaves its counts in a file now and then; whoever asks any of them gets the sum.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forekey.graph import to_micros
from forekey.status import last_report, project_status
from forekey.store import BUCKETS, RequestCounts, RouteCounts

if TYPE_CHECKING:
    from forekey.serving.state import ServingState


class Telemetry:
    """Counts requests in a registry of its own, so that several applications may live in one process."""

    def __init__(self, folder: Path) -> None:
        self._counts = RequestCounts(folder)
        self._registry = CollectorRegistry()
        self._registry.register(_Requests(self._counts))
        self.count_answer = self._counts.add_answer
        self._freshness = Gauge(
            "forekey_snapshot_age_seconds", "Age of the newest row that the graph has seen.", registry=self._registry
        )
        self._staleness = Gauge(
            "forekey_embedding_age_seconds", "Age of the stored embeddings.", ["task"], registry=self._registry
        )

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Wrap an application so that each request is timed under its route's pattern."""

        async def timed(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 500
            started = time.perf_counter()

            async def note(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, note)
            finally:
                route = getattr(scope.get("route"), "path", "") or "other"
                self._counts.add(route, status, time.perf_counter() - started)

        return timed

    def render(self, state: ServingState) -> Response:
        """Return all figures in the Prometheus text format, requests of all processes added up."""
        now = to_micros(state.workspace.clock())
        snapshot = state.snapshot_or_none()
        if snapshot is not None:
            self._freshness.set((now - to_micros(snapshot.as_of)) / 1e6)
        for task in state.workspace.config.tasks:
            version = state.embeddings.current(task)
            if version is not None:
                self._staleness.labels(task).set((now - to_micros(datetime.fromisoformat(version.created_at))) / 1e6)
        state_of = _State(state)
        return Response(
            generate_latest(self._registry) + generate_latest(_once(state_of)), media_type=CONTENT_TYPE_LATEST
        )

    def write(self) -> None:
        """Write what was counted, for other processes and the monitors."""
        self._counts.write()


def _once(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


class _State(Collector):
    """What the monitors last saw, and the log of predictions, as Prometheus has it."""

    def __init__(self, state: ServingState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Return alerts by state, the quality of each task by kind, when the monitors looked, and lines of the log."""
        workspace, report = self._state.workspace, last_report(self._state.workspace)
        alerts = GaugeMetricFamily("forekey_alerts", "Alerts of the last look of the monitors.", labels=["state"])
        quality = GaugeMetricFamily("forekey_quality", "The metric of a task.", labels=["task", "metric", "kind"])
        for kind in ("warning", "critical") if report is not None else ():
            alerts.add_metric([kind], sum(a.state == kind for a in report.alerts) if report is not None else 0)
        for task in project_status(workspace, self._state.store).tasks:
            for kind, value in (
                ("promised", task.promised),
                ("realized", task.realized),
                ("estimated", task.estimated),
            ):
                if value is not None and task.metric is not None:
                    quality.add_metric([task.task, task.metric, kind], value)
        yield alerts
        yield quality
        if report is not None:
            looked = to_micros(datetime.fromisoformat(report.at)) / 1e6
            age = to_micros(workspace.clock()) / 1e6 - looked
            yield GaugeMetricFamily("forekey_monitor_age_seconds", "Time since the monitors looked.", max(age, 0.0))
        # Its own counts as they are now: a full disk takes no file that says so.
        own = self._state.recorder
        counts = workspace.predictions.counts(but=own.process).plus(own.counts)
        lines = CounterMetricFamily("forekey_predictions_logged", "Predictions served.", labels=["outcome"])
        lines.add_metric(["written"], counts.written)
        lines.add_metric(["lost"], counts.lost)
        yield lines


class _Requests(Collector):
    """What all processes have counted, as Prometheus has it."""

    def __init__(self, counts: RequestCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Return a counter by route and status, and a histogram of seconds by route."""
        requests = CounterMetricFamily("forekey_requests", "Requests answered.", labels=["route", "status"])
        seconds = HistogramMetricFamily("forekey_request_seconds", "Time to answer.", labels=["route"])
        for route, counts in sorted(self._counts.all().items()):
            for status, number in sorted(counts.statuses.items()):
                requests.add_metric([route, status], number)
            seconds.add_metric([route], _buckets(counts), counts.seconds)
        yield requests
        yield seconds
        stages = HistogramMetricFamily("forekey_stage_seconds", "Time of a stage.", labels=["mode", "stage"])
        for name, counts in sorted(self._counts.all_stages().items()):
            mode, _, stage = name.partition("/")
            stages.add_metric([mode, stage], _buckets(counts), counts.seconds)
        yield stages


def _buckets(counts: RouteCounts) -> list[tuple[str, float]]:
    """Return how many took at most each bound."""
    bounds, total, buckets = [*map(str, BUCKETS), "+Inf"], 0, []
    for bound, number in zip(bounds, counts.buckets, strict=True):
        total += number
        buckets.append((bound, float(total)))
    return buckets
