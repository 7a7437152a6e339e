"""How the service does: errors, latencies, and lines of the log of predictions that were lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from forekey.monitoring.finding import Finding, State
from forekey.store import LogCounts, RouteCounts, read_requests

_FEW = 20
_PROBES = {"/healthz", "/readyz", "/metrics"}
"""Routes of which a 503 is an answer."""
_ERRORS, _MANY_ERRORS = 0.01, 0.05
_SLOW_MS = 500.0
_LOOKS, _FEW_LOOKS = 30, 5
_LOST, _MOST_LOST = 0.01, 0.2


def latency(serving: Path) -> dict[str, dict[str, Any]]:
    """Return requests, errors and milliseconds by route, of all processes of the service together."""
    return {route: _summary(counts) for route, counts in sorted(read_requests(serving).items())}


def _summary(counts: RouteCounts) -> dict[str, Any]:
    errors = sum(n for status, n in counts.statuses.items() if status.startswith("5"))
    return {**counts.quantiles(), "errors": errors}


def of_latency(
    routes: Mapping[str, Mapping[str, Any]], before: Mapping[str, tuple[int, int]] = MappingProxyType({})
) -> Iterator[Finding]:
    """Return which routes fail, or are slow.

    ``before`` holds the requests and errors that the last run of the monitors knew of each: what failed long ago is no
    news. Counts that have fallen since are those of processes that ended.
    """
    for route, found in routes.items():
        requests, errors = (
            found[n] - b for n, b in zip(("requests", "errors"), before.get(route, (0, 0)), strict=True)
        )
        if requests < 0 or errors < 0:
            requests, errors = found["requests"], found["errors"]
        if requests < _FEW or route in _PROBES:
            continue
        share = errors / requests
        said = f"{errors:,} of {requests:,} requests since the monitors last ran failed with a status of 5xx"
        yield Finding(
            "errors", route, round(share, 4), _ERRORS, _MANY_ERRORS, True, said, None, "See the service's log."
        )
        said = f"p99 {found['p99_ms']:.0f} ms, p50 {found['p50_ms']:.1f} ms"
        todo = "See docs/how-to/why-is-it-slow.md."
        if route.startswith("/predict/{task}/"):
            yield Finding("latency", route, found["p99_ms"], _SLOW_MS, 10 * _SLOW_MS, True, said, None, todo)


def of_source(
    looks: Sequence[tuple[str, str, State]], now: datetime, as_of: datetime, tasks: tuple[str, ...]
) -> Iterator[Finding]:
    """Return whether the newest row of all is older, by the clock, than it was at earlier looks: all loads may stand.

    A database of long ago is as old at each look, which is usual.
    """
    # Only looks that saw newer rows than the one before: while loads stand, their age must not become usual.
    fresh = [b for a, b in pairwise(looks) if b[1] > a[1]] or list(looks)
    earlier = [_days(datetime.fromisoformat(at), datetime.fromisoformat(seen)) for at, seen, _ in fresh[-_LOOKS:]]
    if len(earlier) < _FEW_LOOKS:
        return
    usual, age = float(np.median(earlier)), _days(now, as_of)
    limit = max(3.0 * usual, usual + 2.0)
    said = f"the newest row of all is {age:.1f} days old; {usual:.1f} days were usual when the monitors looked"
    todo = "Look at what loads the database, and whether `forekey snapshot` runs."
    yield Finding(
        "freshness", "source", round(age, 3), round(limit, 3), 3 * limit, True, said, as_of.isoformat(), todo, tasks
    )


def _days(now: datetime, then: datetime) -> float:
    return max((now - then).total_seconds() / 86_400.0, 0.0)


def of_log(counts: LogCounts) -> Finding:
    """Return whether lines of the log of predictions were lost."""
    share = counts.lost / max(counts.lost + counts.written, 1)
    said = f"{counts.lost:,} of {counts.lost + counts.written:,} predictions served were not logged"
    todo = "Look at the disk of .forekey: is it full, or slow? Quality is measured on what was logged."
    return Finding("log", "predictions", round(share, 4), _LOST, _MOST_LOST, True, said, None, todo)
