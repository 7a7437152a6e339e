"""Bars: one a name, to the left and right of zero; and columns side by side, to compare shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from forekey.charts.svg import Svg, drawing, node
from forekey.charts.ticks import number_ticks, short

_ROW, _LETTER, _LONGEST = 24.0, 7.2, 80


@dataclass(frozen=True, slots=True)
class Bar:
    """One value with its name; ``said`` is how the value is written, ``tip`` what a pointer shows."""

    name: str
    value: float
    said: str = ""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Heap:
    """The columns of one series, in the order of their names; ``look`` is a class of the page."""

    name: str
    values: Sequence[float]
    look: str = "a"


def bar_chart(bars: Sequence[Bar], title: str, width: float = 640.0, level: float | None = None) -> Svg:
    """Draw one horizontal bar a value, the first on top; those below zero point to the left, in another colour.

    ``level`` is marked across all bars.
    """
    labels = min(max((len(_short(b.name)) for b in bars), default=0) * _LETTER + 8, width * 0.6)
    ends = max((len(_said(b)) for b in bars), default=0) * _LETTER + 8
    low, high = min((b.value for b in bars), default=0.0), max((b.value for b in bars), default=0.0)
    low, high = min(low, 0.0), max(high, 0.0, level or 0.0)
    room = max(width - labels - 2 * ends, 40.0)
    scale = room / ((high - low) or 1.0)
    zero = labels + ends + (0.0 - low) * scale
    parts = [node("line", x1=zero, x2=zero, y1=0, y2=len(bars) * _ROW, class_="grid")]
    if level is not None:
        at = zero + level * scale
        parts.append(node("line", x1=at, x2=at, y1=0, y2=len(bars) * _ROW, class_="level"))
    for i, bar in enumerate(bars):
        parts += _bar(bar, i * _ROW, zero, labels, scale)
    return drawing(width, len(bars) * _ROW + 2, title, parts)


def column_chart(
    names: Sequence[str],
    heaps: Sequence[Heap],
    title: str,
    y: str = "share",
    width: float = 360.0,
    height: float = 180.0,
) -> Svg:
    """Draw columns side by side, a group a name."""
    left, right, top, bottom = 44.0, 6.0, 26.0, 24.0
    most = max((v for h in heaps for v in h.values), default=0.0) or 1.0
    group = (width - left - right) / max(len(names), 1)
    own = group * 0.82 / max(len(heaps), 1)
    floor = height - bottom
    parts = []
    for value, said in number_ticks(0.0, most, 4):
        at = floor - value / most * (floor - top)
        parts.append(node("line", x1=left, x2=width - right, y1=at, y2=at, class_="grid"))
        parts.append(node("text", x=left - 5, y=at + 4, class_="end", text=said))
    for j, heap in enumerate(heaps):
        for i, value in enumerate(heap.values):
            tall = value / most * (floor - top)
            x = left + i * group + group * 0.09 + j * own
            tip = f"{names[i]}, {heap.name}: {short(value)}"
            parts.append(
                node("rect", x=x, y=floor - tall, width=own, height=tall, class_=f"bar f-{heap.look}", tip=tip)
            )
    parts += _names(names, left, group, height)
    parts += _heads(heaps, y, width - right)
    return drawing(width, height, title, parts)


def _bar(bar: Bar, y: float, zero: float, labels: float, scale: float) -> list[Element]:
    long = abs(bar.value) * scale
    start = zero if bar.value >= 0 else zero - long
    is_up = bar.value >= 0
    tip = bar.tip or f"{bar.name}: {_said(bar)}"
    return [
        node("text", x=labels - 8, y=y + 16, class_="end", text=_short(bar.name), tip=tip),
        node("rect", x=start, y=y + 4, width=long, height=_ROW - 8, class_="bar up" if is_up else "bar down", tip=tip),
        node(
            "text",
            x=zero + long + 5 if is_up else zero - long - 5,
            y=y + 16,
            class_="figure" if is_up else "figure end",
            text=_said(bar),
        ),
    ]


def _names(names: Sequence[str], left: float, group: float, height: float) -> list[Element]:
    """Write as many names as have room."""
    longest = max((len(n) for n in names), default=1) * _LETTER + 4
    every = max(1, round(longest / max(group, 1.0) + 0.49))
    letters = max(int(group * every / _LETTER), 3)
    return [
        node(
            "text",
            x=left + (i + 0.5) * group,
            y=height - 8,
            class_="middle",
            text=_cut(names[i], letters),
            tip=names[i],
        )
        for i in range(0, len(names), every)
    ]


def _heads(heaps: Sequence[Heap], y: str, right: float) -> list[Element]:
    parts = [node("text", x=2, y=12, class_="soft", text=y)]
    x = right - sum(len(h.name) * _LETTER + 22 for h in heaps)
    for heap in heaps:
        parts.append(node("rect", x=x, y=4, width=10, height=10, class_=f"bar f-{heap.look}"))
        parts.append(node("text", x=x + 14, y=13, text=heap.name))
        x += len(heap.name) * _LETTER + 22
    return parts


def _said(bar: Bar) -> str:
    return bar.said or short(bar.value)


def _short(name: str) -> str:
    return _cut(name, _LONGEST)


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: max(letters - 1, 1)]}…"
