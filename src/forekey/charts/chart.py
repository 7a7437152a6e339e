"""Lines over numbers or time, with bands, levels and marks; and the same without axes, as a sparkline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard
from xml.etree.ElementTree import Element

from forekey.charts.svg import Svg, drawing, node
from forekey.charts.ticks import number_ticks, short, time_ticks

_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 14.0, 30.0, 42.0
_LETTER = 6.2
_HALF_DAY, _MOST = 43_200.0, 1e300
_FEW = 60
"""Points of one line that are drawn as dots too."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line through ``(x, y)``; a gap where ``y`` is None. ``low`` and ``high`` are its band, ``tips`` its hovers.

    ``look`` is a class of the page: ``a`` to ``f`` are colours; ``is_cloud`` draws dots without a line.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    tips: Sequence[str] = ()
    look: str = "a"
    is_dashed: bool = False
    is_cloud: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on an axis with its name: a moment, or a level."""

    at: float
    name: str


@dataclass(frozen=True, slots=True)
class Axes:
    """What is drawn: ``title`` (which a screen reader says), what the axes mean, and marks.

    ``x`` is in seconds since 1970 where ``is_time``; ``names`` stand at whole numbers of x instead of these.
    """

    title: str
    x: str = ""
    y: str = ""
    is_time: bool = False
    names: Sequence[str] = ()
    moments: Sequence[Mark] = ()
    levels: Sequence[Mark] = ()
    width: float = 560.0
    height: float = 250.0


class _Frame:
    """Where a value lies in the drawing."""

    def __init__(self, axes: Axes, lines: Sequence[Line], box: tuple[float, float, float, float]) -> None:
        xs = [x for line in lines for x, y in zip(line.x, line.y, strict=True) if is_there(y)]
        ys = [v for line in lines for values in (line.y, line.low, line.high) for v in values if is_there(v)]
        self.x = _range(xs, 0.0, _HALF_DAY if axes.is_time else None)
        self.y = _range([*ys, *(m.at for m in axes.levels)], 0.06)
        self.left, self.top, self.right, self.bottom = box

    def across(self, x: float) -> float:
        return self.left + (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - self.left)

    def down(self, y: float) -> float:
        return self.bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.bottom - self.top)

    def __call__(self, x: float, y: float) -> Point:
        return self.across(x), self.down(y)


def line_chart(axes: Axes, lines: Sequence[Line]) -> Svg:
    """Draw lines with their bands over a grid; a legend names them where there are several."""
    at = _Frame(axes, lines, (_LEFT, _TOP, axes.width - _RIGHT, axes.height - _BOTTOM))
    parts = [*_grid(axes, at), *_marks(axes, at)]
    parts += [part for line in lines for part in _band(line, at)]
    parts += [part for line in lines for part in _drawn(line, at)]
    parts += _legend([line for line in lines if line.name], axes) if len(lines) > 1 else []
    return drawing(axes.width, axes.height, axes.title, parts)


def sparkline(line: Line, title: str, level: float | None = None, width: float = 180.0, height: float = 40.0) -> Svg:
    """Draw one line with its band and a level, without axes."""
    axes = Axes(title, levels=[Mark(level, "")] if level is not None else [])
    at = _Frame(axes, [line], (3.0, 3.0, width - 3.0, height - 3.0))
    parts = [
        node("line", x1=at.left, x2=at.right, y1=at.down(m.at), y2=at.down(m.at), class_="level") for m in axes.levels
    ]
    return drawing(width, height, title, [*parts, *_band(line, at), *_drawn(line, at)], "spark")


def is_there(value: float | None) -> TypeGuard[float]:
    """Whether a value can be drawn: it is known, finite, and not so large that its axis would have no end."""
    return value is not None and abs(value) < _MOST


def _range(values: Sequence[float], margin: float, alone: float | None = None) -> Point:
    """Return from where to where an axis goes; ``alone`` is how far on both sides of a single value."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        half = alone or abs(low) * 0.05 or 0.5
        return low - half, high + half
    more = (high - low) * margin
    return (low if low == 0.0 else low - more), high + more


def _grid(axes: Axes, at: _Frame) -> Iterator[Element]:
    for value, name in number_ticks(*at.y):
        y = at.down(value)
        yield node("line", x1=at.left, x2=at.right, y1=y, y2=y, class_="grid")
        yield node("text", x=at.left - 6, y=y + 4, class_="end", text=name)
    for value, name in _across(axes, at):
        yield node("text", x=at.across(value), y=at.bottom + 16, class_="middle", text=name)
    if axes.x:
        yield node("text", x=(at.left + at.right) / 2, y=axes.height - 6, class_="middle soft", text=axes.x)
    if axes.y:
        yield node("text", x=4, y=14, class_="soft", text=axes.y)


def _across(axes: Axes, at: _Frame) -> list[tuple[float, str]]:
    if not axes.names:
        ticks: Callable[[float, float], list[tuple[float, str]]] = time_ticks if axes.is_time else number_ticks
        return ticks(*at.x)
    last = len(axes.names) - 1
    places = sorted({round(i * last / 4) for i in range(5)})
    return [(float(i), axes.names[i]) for i in places if at.x[0] <= i <= at.x[1]]


def _marks(axes: Axes, at: _Frame) -> Iterator[Element]:
    for i, level in enumerate(axes.levels):
        y = at.down(level.at)
        yield node("line", x1=at.left, x2=at.right, y1=y, y2=y, class_="level", tip=f"{level.name}: {short(level.at)}")
        if i % 2 == 0:  # levels may lie close to each other
            yield node("text", x=at.right, y=y - 4, class_="end soft", text=level.name)
        else:
            yield node("text", x=at.left + 4, y=y - 4, class_="soft", text=level.name)
    for moment in axes.moments:
        if at.x[0] <= moment.at <= at.x[1]:
            x = at.across(moment.at)
            yield node("line", x1=x, x2=x, y1=at.top, y2=at.bottom, class_="moment", tip=moment.name)
            is_left = x < (at.left + at.right) / 2
            side, away = ("soft", 3) if is_left else ("soft end", -3)
            yield node("text", x=x + away, y=at.top + 10, class_=side, text=moment.name)


def _band(line: Line, at: _Frame) -> Iterator[Element]:
    """Draw the band in pieces, where both its ends are known."""
    if not line.low or not line.high:
        return
    for piece in _pieces([(x, lo, hi) for x, lo, hi in zip(line.x, line.low, line.high, strict=True)]):
        upper = [at(x, hi) for x, _, hi in piece]
        lower = [at(x, lo) for x, lo, _ in reversed(piece)]
        if len(piece) == 1:
            (x, top), (_, bottom) = upper[0], lower[0]
            yield node("line", x1=x, x2=x, y1=top, y2=bottom, class_=f"whisker s-{line.look}")
        else:
            yield node(
                "polygon", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in upper + lower), class_=f"band f-{line.look}"
            )


def _pieces(rows: list[tuple[float, float | None, float | None]]) -> Iterator[list[tuple[float, float, float]]]:
    piece: list[tuple[float, float, float]] = []
    for x, low, high in rows:
        if not is_there(low) or not is_there(high):
            if piece:
                yield piece
            piece = []
        else:
            piece.append((x, low, high))
    if piece:
        yield piece


def _drawn(line: Line, at: _Frame) -> Iterator[Element]:
    steps, pen_is_down, known = [], False, 0
    for x, y in zip(line.x, line.y, strict=True):
        if is_there(y):
            px, py = at(x, y)
            steps.append(f"{'L' if pen_is_down else 'M'}{px:.1f},{py:.1f}")
            known += 1
        pen_is_down = is_there(y)
    dashed = " dashed" if line.is_dashed else ""
    if not line.is_cloud:
        yield node("path", d=" ".join(steps), class_=f"line s-{line.look}{dashed}")
    if line.is_cloud or known <= _FEW:
        radius = 2.6 if known <= 200 else 1.6
        for i, (x, y) in enumerate(zip(line.x, line.y, strict=True)):
            if is_there(y):
                px, py = at(x, y)
                tip = line.tips[i] if line.tips else ""
                yield node("circle", cx=px, cy=py, r=radius, class_=f"dot f-{line.look}", tip=tip)


def _legend(lines: Sequence[Line], axes: Axes) -> Iterator[Element]:
    """Name the lines at the top, from the right so that the meaning of the axis keeps its place."""
    widths = [len(line.name) * _LETTER + 26 for line in lines]
    x = max(axes.width - _RIGHT - sum(widths), len(axes.y) * _LETTER + 14)
    for line, width in zip(lines, widths, strict=True):
        dashed = " dashed" if line.is_dashed else ""
        yield node("line", x1=x, x2=x + 14, y1=10, y2=10, class_=f"line s-{line.look}{dashed}")
        yield node("text", x=x + 18, y=14, text=line.name)
        x += width
