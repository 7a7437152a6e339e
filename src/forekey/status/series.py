"""What the monitors measured over time: alerts with their history, and the series behind each measurement."""

from __future__ import annotations

from collections.abc import Callable
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


def series_of(
    workspace: Workspace, keep: Callable[[str, str], bool] = lambda monitor, subject: True, most: int = 40
) -> tuple[MeasuredSeries, ...]:
    """Return the series of what moved, the worst first, then of what is nearest to its limit.

    ``keep`` is asked about each monitor and subject.
    """
    history = MonitorHistory(workspace.place("monitor"))
    last = [(name, v) for name, v in history.last().items() if keep(*name)]
    last.sort(key=lambda one: (-one[1].state.rank, -_share(one[1]), one[0]))
    found = history.of_many([name for name, _ in last[:most]])
    return tuple(MeasuredSeries(*name, tuple(points)) for name, points in found.items())


def _share(found: Measured) -> float:
    """Return what was measured as a share of its limit; 0 for what is beyond it and no more than chance."""
    share = found.value / max(found.limit, 1e-9)
    return share if found.state is not State.OK or share < 1.0 else 0.0


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
