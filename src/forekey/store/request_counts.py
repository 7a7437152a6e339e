"""How many requests were answered and how long each took, counted by each process and added up when read."""

from __future__ import annotations

import json
import os
import time
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from forekey.files import is_draft, write_whole

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Upper bounds of the histogram, in seconds; a last bucket holds what took longer."""
_ROUTES, _STAGES, _TASKS = "routes", "stages", "tasks"
_RECENT = 10_000
_WRITTEN = 2_000
_KEPT_SECONDS = 86_400.0
"""For how long what a process has counted is added up after its last write."""


@dataclass
class RouteCounts:
    """Requests of one route: by status, by bucket of :data:`BUCKETS`, seconds in all, and those of the newest."""

    statuses: Counter[str] = field(default_factory=Counter)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add(self, status: int, seconds: float) -> None:
        """Count one request."""
        self.statuses[str(status)] += 1
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds
        self.recent.append(seconds)

    def plus(self, other: RouteCounts) -> RouteCounts:
        """Return the sum of both."""
        buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        recent = deque([*self.recent, *other.recent], maxlen=_RECENT)
        return RouteCounts(self.statuses + other.statuses, buckets, self.seconds + other.seconds, recent)

    def quantiles(self) -> dict[str, float]:
        """Return the number of requests, and the median, 95th and 99th percentile of the newest in milliseconds."""
        p50, p95, p99 = np.percentile(np.array(self.recent) * 1e3, [50, 95, 99])
        return {
            "requests": self.statuses.total(),
            "p50_ms": round(p50, 3),
            "p95_ms": round(p95, 3),
            "p99_ms": round(p99, 3),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        recent = [round(s, 6) for s in list(self.recent)[-_WRITTEN:]]
        return {"statuses": self.statuses, "buckets": self.buckets, "seconds": self.seconds, "recent": recent}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RouteCounts:
        """Read what :meth:`to_dict` wrote."""
        recent = deque[float](data["recent"], maxlen=_RECENT)
        return cls(Counter(data["statuses"]), list(data["buckets"]), float(data["seconds"]), recent)


class RequestCounts:
    """What one process has counted, by route; kept in a file of its own beside those of other processes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"requests-{os.getpid()}-{os.urandom(3).hex()}.json"
        self._own: dict[str, RouteCounts] = defaultdict(RouteCounts)
        self._stages: dict[str, RouteCounts] = defaultdict(RouteCounts)
        self._tasks: Counter[str] = Counter()

    def add(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._own[route].add(status, seconds)

    def add_answer(self, task: str, mode: str, took: Mapping[str, float]) -> None:
        """Count an answer for a task, and the seconds that each of its stages took, in one mode of predicting."""
        self._tasks[task] += 1
        for name, seconds in took.items():
            self._stages[f"{mode}/{name}"].add(200, seconds)

    def write(self) -> None:
        """Write what was counted so far, for :func:`read_requests`, if anything was."""
        if self._own:
            both = {_ROUTES: self._own, _STAGES: self._stages}
            data: dict[str, Any] = {k: {n: c.to_dict() for n, c in list(v.items())} for k, v in both.items()}
            data[_TASKS] = dict(self._tasks)
            write_whole(self._path, json.dumps(data))

    def all(self) -> dict[str, RouteCounts]:
        """Return what this process has counted by now, and others by their last write."""
        return _sum(read_requests(self._path.parent, but=self._path.name), dict(self._own))

    def all_stages(self) -> dict[str, RouteCounts]:
        """Return likewise the stages of answers, by ``mode/stage``."""
        return _sum(read_stages(self._path.parent, but=self._path.name), dict(self._stages))


def read_requests(folder: Path, but: str = "") -> dict[str, RouteCounts]:
    """Return what all processes have counted, by route; files that cannot be read, or of long ago, are passed over."""
    return _read(folder, _ROUTES, but)


def read_stages(folder: Path, but: str = "") -> dict[str, RouteCounts]:
    """Return likewise how long the stages of answers took, by ``mode/stage``."""
    return _read(folder, _STAGES, but)


def read_tasks(folder: Path) -> Counter[str]:
    """Return how many requests for predictions all processes have counted, by task."""
    total: Counter[str] = Counter()
    for data in _files(folder, ""):
        counted = data.get(_TASKS, {})
        total += Counter({t: n for t, n in counted.items() if isinstance(n, int)} if isinstance(counted, dict) else {})
    return total


def _read(folder: Path, kind: str, but: str) -> dict[str, RouteCounts]:
    found: dict[str, RouteCounts] = {}
    for data in _files(folder, but):
        try:
            found = _sum(found, {route: RouteCounts.from_dict(counts) for route, counts in data[kind].items()})
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _files(folder: Path, but: str) -> Iterator[dict[str, Any]]:
    """Yield what each process has written; what is old is deleted, what cannot be read passed over."""
    for path in sorted(folder.glob("requests-*.json")):
        if path.name == but or is_draft(path):
            continue
        try:
            if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                path.unlink(missing_ok=True)
                continue
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(data, dict):
            yield data


def _sum(one: Mapping[str, RouteCounts], two: Mapping[str, RouteCounts]) -> dict[str, RouteCounts]:
    nothing = RouteCounts()
    return {route: one.get(route, nothing).plus(two.get(route, nothing)) for route in {**one, **two}}
