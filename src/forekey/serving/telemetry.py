"""How the service does: requests and latencies per route, for Prometheus and for ``forekey monitor``."""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forekey.files import write_whole
from forekey.graph import to_micros

if TYPE_CHECKING:
    from forekey.serving.state import ServingState

_KEPT = 10_000
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Telemetry:
    """Counts requests in a registry of its own, so that several applications may live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("forekey_requests", "Requests answered.", ["route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "forekey_request_seconds", "Time to answer.", ["route"], buckets=_BUCKETS, registry=self._registry
        )
        self._freshness = Gauge(
            "forekey_snapshot_age_seconds", "Age of the newest row that the graph has seen.", registry=self._registry
        )
        self._staleness = Gauge(
            "forekey_embedding_age_seconds", "Age of the stored embeddings.", ["task"], registry=self._registry
        )
        self._recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT))

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
                self._observe(scope, status, time.perf_counter() - started)

        return timed

    def render(self, state: ServingState) -> Response:
        """Return all figures in the Prometheus text format."""
        now = to_micros(state.workspace.clock())
        snapshot = state.snapshot_or_none()
        if snapshot is not None:
            self._freshness.set((now - to_micros(snapshot.as_of)) / 1e6)
        for task in state.workspace.config.tasks:
            version = state.embeddings.current(task)
            if version is not None:
                from datetime import datetime

                self._staleness.labels(task).set((now - to_micros(datetime.fromisoformat(version.created_at))) / 1e6)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    def write(self, path: Path) -> None:
        """Write requests and latency quantiles (milliseconds) per route, if there were any."""
        if self._recent:
            write_whole(path, json.dumps({route: _quantiles(list(s)) for route, s in self._recent.items()}))

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._recent[route].append(seconds)


def _quantiles(seconds: list[float]) -> dict[str, Any]:
    p50, p95, p99 = np.percentile(np.array(seconds) * 1e3, [50, 95, 99])
    return {"requests": len(seconds), "p50_ms": round(p50, 3), "p95_ms": round(p95, 3), "p99_ms": round(p99, 3)}
