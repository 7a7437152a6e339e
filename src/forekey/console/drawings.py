"""Read models as charts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from forekey.charts import Axes, Bar, Heap, Line, Mark, Svg, bar_chart, column_chart, line_chart, sparkline
from forekey.console.words import moment, number
from forekey.monitoring import DriftLine, Histogram
from forekey.status import Calibration, Distribution, MeasuredSeries, QualityPoint, TaskStatus, VersionStatus

_SHOWN_VERSIONS, _WIDE = 2, 1040.0


def quality_spark(task: TaskStatus) -> Svg | None:
    """Draw realized quality, else estimated, with its band and what was promised as a level."""
    points = [q for q in task.quality if q.version == task.champion] or list(task.quality)
    line = _realized(points, "", "a") or _estimated(points, "", "b")
    if line is None:
        return None
    said = (
        f"{task.metric}{line.name} at {len(line.x)} times, last {number(line.y[-1])}; promised {number(task.promised)}"
    )
    return sparkline(line, said, task.promised)


def quality_chart(points: Sequence[QualityPoint], task: TaskStatus, trained: Sequence[VersionStatus]) -> Svg | None:
    """Draw realized and estimated quality over the times of predictions, a line a version, with their bands."""
    versions = list(dict.fromkeys(q.version for q in reversed(points)))[:_SHOWN_VERSIONS]
    lines: list[Line] = []
    for version, (solid, dashed) in zip(versions, (("a", "b"), ("c", "d")), strict=False):
        own = [q for q in points if q.version == version]
        lines += [one for one in (_realized(own, version, solid), _estimated(own, version, dashed)) if one is not None]
    if not lines:
        return None
    levels = [Mark(task.promised, f"{task.champion} promised")] if task.promised is not None else []
    if task.baseline_score is not None:
        levels.append(Mark(task.baseline_score, f"{(task.baseline or 'baseline').replace('_', ' ')} at training"))
    axes = Axes(
        f"{task.metric} of {task.task} over time", "predicted as of", task.metric or "", is_time=True, levels=levels,
        moments=[Mark(seconds(v.trained_as_of), f"{v.version} trained until here") for v in trained],
        width=_WIDE, height=300,
    )  # fmt: skip
    return line_chart(axes, lines)


def _realized(points: Sequence[QualityPoint], version: str, look: str) -> Line | None:
    own = [q for q in points if q.realized is not None]
    tips = [
        f"{q.version} as of {moment(q.anchor)}: {number(q.realized)} realized, {_between(q.low, q.high)}, "
        f"{q.n:,} labels"
        for q in own
    ]
    x, y = [seconds(q.anchor) for q in own], [q.realized for q in own]
    return Line(f"{version} realized", x, y, [q.low for q in own], [q.high for q in own], tips, look) if own else None


def _estimated(points: Sequence[QualityPoint], version: str, look: str) -> Line | None:
    own = [q for q in points if q.estimated is not None]
    tips = [
        f"{q.version} as of {moment(q.anchor)}: {number(q.estimated)} estimated, "
        f"{_between(q.estimated_low, q.estimated_high)}"
        for q in own
    ]
    x, y = [seconds(q.anchor) for q in own], [q.estimated for q in own]
    low, high = [q.estimated_low for q in own], [q.estimated_high for q in own]
    return Line(f"{version} estimated", x, y, low, high, tips, look, is_dashed=True) if own else None


def _between(low: float | None, high: float | None) -> str:
    return f"95 % from {number(low)} to {number(high)}"


def calibration_chart(realized: Calibration | None, expected: Calibration | None) -> Svg | None:
    """Draw what happened by what was predicted, beside the diagonal of perfect calibration."""
    lines = []
    for name, found, look in (("in training", expected, "b"), ("realized", realized, "a")):
        if found is not None:
            tips = [
                f"predicted {number(p)}: {number(h)} happened"
                for p, h in zip(found.predicted, found.happened, strict=True)
            ]
            lines.append(Line(name, found.predicted, found.happened, tips=tips, look=look))
    if not lines:
        return None
    most = max(v for line in lines for values in (line.x, line.y) for v in values if v is not None)
    ideal = Line("ideal", [0.0, most], [0.0, most], look="g", is_dashed=True)
    return line_chart(
        Axes("Calibration: what happened by what was predicted", "predicted", "happened", width=480, height=280),
        [ideal, *lines],
    )


def distribution_chart(found: Distribution) -> Svg:
    """Draw how predictions are distributed now and were in the test period."""
    names = [number(e, 3) for e in found.edges[:-1]]
    heaps = [Heap("in test period", found.held_out, "b"), Heap("now", found.now, "a")]
    return column_chart(names, heaps, "Predictions by their size, in the test period and now", "share", 480, 280)


def histogram_chart(found: Histogram, table: str) -> Svg:
    """Draw the values of a column now beside those of training."""
    heaps = [Heap("training", found.before, "b")] if found.before else []
    title = f"Values of {table}.{found.column}{' beside those of training' if found.before else ''}"
    return column_chart(
        found.names, [*heaps, Heap("now", found.now, "a")], title, f"share{', ' + found.unit if found.unit else ''}"
    )


def drift_chart(lines: Sequence[DriftLine]) -> Svg | None:
    """Draw the stability index of columns as a share of what is allowed."""
    if not lines:
        return None
    bars = [
        Bar(
            d.name,
            d.psi / max(d.allowed, 1e-9),
            f"{d.psi:.3f} of {d.allowed:.3f}",
            f"{d.name}: stability index {d.psi:.3f}, allowed {d.allowed:.3f}",
        )
        for d in lines
    ]
    return bar_chart(bars, "Population stability index by column, as a share of what is allowed", _WIDE, 1.0)


def series_chart(found: MeasuredSeries) -> Svg:
    """Draw one measurement over the runs of the monitors, with its limit."""
    x = [seconds(p.as_of) for p in found.points]
    if len(set(x)) < len(x):
        x = [seconds(p.at) for p in found.points]
    tips = [f"{moment(p.as_of)}: {number(p.value)}, limit {number(p.limit)}, {p.state}" for p in found.points]
    line = Line(
        "",
        x,
        [p.value for p in found.points],
        tips=tips,
        look={"ok": "a", "warning": "w", "critical": "x"}[found.state],
    )
    limit = Line("", x, [p.limit for p in found.points], look="g", is_dashed=True)
    return line_chart(Axes(f"{found.monitor} of {found.subject}", is_time=True, width=320, height=150), [limit, line])


def effects_chart(bars: Sequence[Bar], title: str) -> Svg:
    """Draw what raises and what lowers a prediction."""
    return bar_chart(bars, title, _WIDE)


def history_chart(points: Sequence[tuple[str, str, float]], title: str) -> Svg:
    """Draw what was predicted for one entity over time: as of when, by which version, what."""
    lines = [
        Line(
            v,
            [seconds(at) for at, of, _ in points if of == v],
            [p for _, of, p in points if of == v],
            tips=[f"{v} as of {moment(at)}: {number(p)}" for at, of, p in points if of == v],
            look="abcdef"[i % 6],
        )
        for i, v in enumerate(dict.fromkeys(of for _, of, _ in points))
    ]
    return line_chart(Axes(title, "predicted as of", "prediction", is_time=True, width=_WIDE, height=220), lines)


def seconds(at: str) -> float:
    """Return a moment (ISO 8601, UTC) in seconds since 1970."""
    return datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
