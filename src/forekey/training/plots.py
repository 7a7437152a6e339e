"""Plots as SVG inside a page: no scripts, nothing fetched, readable in print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 460, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 36, 36, 40
_COLORS = ("#1f5fbf", "#c2541b", "#5a8f29", "#8a4fbf", "#777777", "#b8860b", "#2a9d8f")
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Series:
    """One line or cloud of points; a gap where ``y`` is None."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """What is drawn: a title, what the axes mean, and, where given, names for places on the x axis."""

    title: str
    x: str
    y: str
    names: Sequence[str] = ()


def lines(axes: Axes, series: Sequence[Series]) -> str:
    """Draw lines."""
    return _drawn(axes, series, _path)


def points(axes: Axes, series: Sequence[Series]) -> str:
    """Draw clouds of points; a dashed series as a line."""
    return _drawn(axes, series, lambda s, at, color: _path(s, at, color) if s.dashed else _dots(s, at, color))


def bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    """Draw one horizontal bar a value, the first on top."""
    most = max((v for _, v in values), default=1.0) or 1.0
    row, width, left = 18, 640, 380
    parts = [f'<text x="0" y="14" class="title">{escape(title)}</text>']
    for i, (name, value) in enumerate(values):
        y = 26 + i * row
        short = name if len(name) <= 58 else f"{name[:57]}…"
        parts.append(f'<text x="{left - 8}" y="{y + 12}" class="end">{escape(short)}</text>')
        long = (width - left - 60) * value / most
        parts.append(f'<rect x="{left}" y="{y + 2}" width="{long:.1f}" height="12" fill="{_COLORS[0]}"/>')
        parts.append(f'<text x="{left + long + 6:.1f}" y="{y + 12}">{value:.3g}</text>')
    return _svg(width, 30 + len(values) * row, parts)


class _Scale:
    """Where a value lies on the page."""

    def __init__(self, series: Sequence[Series]) -> None:
        xs = [x for s in series for x, y in zip(s.x, s.y, strict=True) if y is not None]
        ys = [y for s in series for y in s.y if y is not None]
        self.x = _range(xs)
        self.y = _range(ys)

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _drawn(axes: Axes, series: Sequence[Series], draw: object) -> str:
    at = _Scale(series)
    parts = [f'<text x="{_LEFT}" y="14" class="title">{escape(axes.title)}</text>', *_grid(axes, at)]
    legend = 0.0
    for i, one in enumerate(series):
        color = "#999999" if one.dashed else _COLORS[i % len(_COLORS)]
        parts.append(draw(one, at, color))  # type: ignore[operator]
        if len(series) > 1 and one.name:
            style = f'style="fill:{color}"'
            parts.append(f'<text x="{_LEFT + legend:.0f}" y="{_TOP - 8}" {style}>{escape(one.name)}</text>')
            legend += 7.2 * len(one.name) + 12
    return _svg(_WIDTH, _HEIGHT, parts)


def _grid(axes: Axes, at: _Scale) -> list[str]:
    parts = []
    for i in range(_TICKS):
        share = i / (_TICKS - 1)
        x, y = at.x[0] + share * (at.x[1] - at.x[0]), at.y[0] + share * (at.y[1] - at.y[0])
        px, py = at(x, y)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{py:.1f}" y2="{py:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{py + 4:.1f}" class="end">{y:.3g}</text>')
        if not axes.names:
            parts.append(f'<text x="{px:.1f}" y="{_HEIGHT - _BOTTOM + 14}" class="middle">{x:.3g}</text>')
    for place in sorted({round(i * (len(axes.names) - 1) / (_TICKS - 1)) for i in range(_TICKS)} if axes.names else ()):
        px, _ = at(place, at.y[0])
        parts.append(
            f'<text x="{px:.1f}" y="{_HEIGHT - _BOTTOM + 14}" class="middle">{escape(axes.names[place])}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 8}" class="middle axis">{escape(axes.x)}</text>')
    up = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text transform="translate(12 {up:.0f}) rotate(-90)" class="middle axis">{escape(axes.y)}</text>')
    return parts


def _path(series: Series, at: _Scale, color: str) -> str:
    steps, pen_down, known = [], False, 0
    for x, y in zip(series.x, series.y, strict=True):
        if y is not None:
            px, py = at(x, y)
            steps.append(f"{'L' if pen_down else 'M'}{px:.1f},{py:.1f}")
            known += 1
        pen_down = y is not None
    dash = ' stroke-dasharray="5 4"' if series.dashed else ""
    line = f'<path d="{" ".join(steps)}" fill="none" stroke="{color}" stroke-width="1.8"{dash}/>'
    return line + (_dots(series, at, color) if known <= 40 and not series.dashed else "")


def _dots(series: Series, at: _Scale, color: str) -> str:
    radius = 2.5 if len(series.x) <= 200 else 1.6
    places = (at(x, y) for x, y in zip(series.x, series.y, strict=True) if y is not None)
    return "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{color}" fill-opacity="0.5"/>' for x, y in places
    )


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'
