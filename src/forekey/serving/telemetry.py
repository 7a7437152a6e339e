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
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forekey.graph import to_micros
from forekey.store import BUCKETS, RequestCounts

if TYPE_CHECKING:
    from forekey.serving.state import ServingState


class Telemetry:
    """Counts requests in a registry of its own, so that several applications may live in one process."""

    def __init__(self, folder: Path) -> None:
        self._counts = RequestCounts(folder)
        self._registry = CollectorRegistry()
        self._registry.register(_Requests(self._counts))
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
                route = getattr(scope.get("route"), "path", "other")
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
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    def write(self) -> None:
        """Write what was counted, for other processes and the monitors."""
        self._counts.write()


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
            bounds, total, buckets = [*map(str, BUCKETS), "+Inf"], 0, []
            for bound, number in zip(bounds, counts.buckets, strict=True):
                total += number
                buckets.append((bound, total))
            seconds.add_metric([route], buckets, counts.seconds)
        yield requests
        yield seconds
