"""What the monitors measured over time: alerts with their history, and the series behind each measurement."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from forekey.monitoring import Measured, MonitorHistory, State
from forekey.store import RouteCounts, read_requests, read_stages
from forekey.workspace import Workspace


@dataclass(frozen=True, slots=True)
class MeasuredSeries:
    """One monitor's measurements of one subject, oldest first; the last one's state and what it said."""

    monitor: str
    subject: str
    points: tuple[Measured, ...]

    @property
    def state(self) -> State:
        """Return the state of the last look."""
        return self.points[-1].state if self.points else State.OK

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Episode:
    """A time in which a subject was not as it should be: from which look to which, and how bad it was at worst.

    ``until`` is None while it lasts.
    """

    monitor: str
    subject: str
    state: State
    began: str
    until: str | None
    what: str


@dataclass(frozen=True, slots=True)
class Timing:
    """Requests or stages of one name: how many, and quantiles of the newest in milliseconds."""

    name: str
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def series_of(workspace: Workspace, monitors: tuple[str, ...] = (), most: int = 40) -> tuple[MeasuredSeries, ...]:
    """Return the series of measurements that are furthest beyond their limits first, of some monitors or of all."""
    history = MonitorHistory(workspace.place("monitor"))
    last = [(m, s, v) for (m, s), v in history.last().items() if not monitors or m in monitors]
    last.sort(key=lambda one: (-one[2].state.rank, -one[2].value / max(one[2].limit, 1e-9), one[:2]))
    return tuple(MeasuredSeries(m, s, tuple(history.of(m, s))) for m, s, _ in last[:most])


def episodes(workspace: Workspace, most: int = 100) -> tuple[Episode, ...]:
    """Return when something was not as it should be, the newest first."""
    found: list[Episode] = []
    history = MonitorHistory(workspace.place("monitor"))
    looks = {at: i for i, (at, _, _) in enumerate(history.looks(10_000))}
    last = max(looks.values(), default=0)
    for (monitor, subject), points in history.not_ok().items():
        began: Measured = points[0]
        worst, before = began, looks.get(began.at, 0)
        for point in points[1:]:
            place = looks.get(point.at, 0)
            if place != before + 1:
                found.append(Episode(monitor, subject, worst.state, began.at, _at(looks, before + 1), worst.what))
                began = worst = point
            worst = max(worst, point, key=lambda p: p.state.rank)
            before = place
        until = None if before == last else _at(looks, before + 1)
        found.append(Episode(monitor, subject, worst.state, began.at, until, worst.what))
    return tuple(sorted(found, key=lambda e: (e.until is not None, e.began), reverse=False)[:most])


def timings(workspace: Workspace) -> tuple[tuple[Timing, ...], tuple[Timing, ...]]:
    """Return how long requests took by route, and the stages of answers by ``mode/stage``."""
    place = workspace.place("serving")
    return _timings(read_requests(place)), _timings(read_stages(place))


def _timings(counts: dict[str, RouteCounts]) -> tuple[Timing, ...]:
    found = ((name, c.quantiles()) for name, c in sorted(counts.items()) if c.recent)
    return tuple(Timing(n, int(q["requests"]), q["p50_ms"], q["p95_ms"], q["p99_ms"]) for n, q in found)


def _at(looks: dict[str, int], place: int) -> str:
    return next((at for at, i in looks.items() if i == place), "")
