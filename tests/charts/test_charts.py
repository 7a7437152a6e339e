"""Charts show every value where it belongs, whatever the values are, and no name breaks them."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.charts import (
    Axes,
    Bar,
    Heap,
    Line,
    Mark,
    bar_chart,
    column_chart,
    line_chart,
    number_ticks,
    sparkline,
    time_ticks,
)

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<b onclick='x'>\"&\x00\x1b\ud800"
NUMBERS = st.floats(-1e12, 1e12, allow_nan=False)
ANY = st.floats(allow_nan=False, allow_infinity=False)


def parsed(drawn: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawn)


def numbers(element: ElementTree.Element) -> list[float]:
    """Return every coordinate of a drawing."""
    found = []
    for one in element.iter():
        found += [
            float(one.attrib[n])
            for n in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height")
            if n in one.attrib
        ]
    return found


@given(st.lists(st.tuples(NUMBERS, st.none() | NUMBERS), max_size=30))
def test_every_point_lies_within_the_drawing(points: list[tuple[float, float | None]]) -> None:
    x, y = [p[0] for p in points], [p[1] for p in points]
    drawn = parsed(line_chart(Axes("t", "x", "y"), [Line("a", x, y)]))
    for dot in drawn.iter(f"{SVG}circle"):
        assert 0 <= float(dot.attrib["cx"]) <= 560
        assert 0 <= float(dot.attrib["cy"]) <= 250
    assert all(math.isfinite(n) for n in numbers(drawn))


def test_a_gap_is_a_gap_and_a_band_ends_with_it() -> None:
    line = Line("a", [0, 1, 2, 3], [1.0, None, 2.0, 3.0], [0.5, None, 1.5, 2.5], [1.5, None, 2.5, 3.5])
    drawn = parsed(line_chart(Axes("t"), [line]))
    (path,) = drawn.iter(f"{SVG}path")
    assert path.attrib["d"].count("M") == 2
    assert len(list(drawn.iter(f"{SVG}polygon"))) == 1
    assert sum("whisker" in e.attrib.get("class", "") for e in drawn.iter(f"{SVG}line")) == 1


def test_higher_is_drawn_higher_and_later_further_right() -> None:
    drawn = parsed(line_chart(Axes("t", is_time=True), [Line("a", [0.0, 86_400.0], [1.0, 2.0])]))
    first, second = drawn.iter(f"{SVG}circle")
    assert float(first.attrib["cx"]) < float(second.attrib["cx"])
    assert float(first.attrib["cy"]) > float(second.attrib["cy"])


def test_bars_point_by_their_sign_and_are_as_long_as_they_are_large() -> None:
    drawn = parsed(bar_chart([Bar("up", 2.0), Bar("down", -1.0)], "t"))
    up, down = drawn.iter(f"{SVG}rect")
    assert (up.attrib["class"], down.attrib["class"]) == ("bar up", "bar down")
    assert float(up.attrib["width"]) == pytest.approx(2 * float(down.attrib["width"]), abs=0.02)
    assert float(down.attrib["x"]) + float(down.attrib["width"]) == pytest.approx(float(up.attrib["x"]), abs=0.02)


@pytest.mark.parametrize(
    "drawn",
    [
        line_chart(Axes(HOSTILE, HOSTILE, HOSTILE, moments=[Mark(0.0, HOSTILE)], levels=[Mark(0.0, HOSTILE)]), [Line(HOSTILE, [0.0, 1.0], [1.0, 2.0], tips=[HOSTILE, HOSTILE]), Line("b", [], [])]),
        bar_chart([Bar(HOSTILE, 1.0, HOSTILE, HOSTILE)], HOSTILE),
        column_chart([HOSTILE, "b"], [Heap(HOSTILE, [0.5, 0.5])], HOSTILE),
        sparkline(Line(HOSTILE, [0.0], [1.0]), HOSTILE, 0.0),
        line_chart(Axes(""), []), bar_chart([], ""), column_chart([], [], ""), column_chart(["a"], [Heap("x", [0.0])], ""),
        line_chart(Axes("", is_time=True), [Line("a", [-6.2e10], [float("nan")])]),
        line_chart(Axes("", is_time=True), [Line("a", [-6.2e10], [1.0]), Line("b", [1e300], [1.7e308])]),
        line_chart(Axes(""), [Line("a", [0.0, 1.0], [5e-324, 0.0], [float("nan")] * 2, [float("inf")] * 2)]),
        line_chart(Axes("", is_time=True), [Line("a", [2.53e11], [1.0])]),
        bar_chart([Bar("a", 0.0)], ""), sparkline(Line("a", [], []), ""),
    ],
)  # fmt: skip
def test_no_name_and_no_emptiness_breaks_a_drawing(drawn: str) -> None:
    root = parsed(drawn)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    assert not any(e.tag.endswith(("}b", "}script")) for e in root.iter())
    assert not any(name.startswith("on") or name == "style" for e in root.iter() for name in e.attrib)
    assert all(math.isfinite(n) for n in numbers(root))


@given(ANY | NUMBERS, ANY | NUMBERS)
def test_ticks_are_round_ascending_and_tell_each_other_apart(a: float, b: float) -> None:
    low, high = sorted((a, b))
    ticks = number_ticks(low, high)
    values, names = [v for v, _ in ticks], [n for _, n in ticks]
    assert values == sorted(set(values))
    if high - low > 1e-6 * max(abs(low), abs(high), 1e-300):
        assert 1 <= len(ticks) <= 7
        assert all(low - 1e-6 * (high - low) <= v <= high + 1e-6 * (high - low) for v in values)
        if max(abs(low), abs(high)) < 1e6 and high - low > 1e-5:
            assert len(set(names)) == len(names)


@given(st.floats(-2e9, 2e11), st.floats(1.0, 5e10))
def test_moments_of_an_axis_are_within_it_and_few(start: float, span: float) -> None:
    ticks = time_ticks(start, start + span)
    assert 1 <= len(ticks) <= 7
    assert all(start <= v <= start + span for v, _ in ticks)
    assert [v for v, _ in ticks] == sorted({v for v, _ in ticks})


def test_time_is_cut_at_hours_days_and_firsts_of_months() -> None:
    day = 86_400.0
    assert [n for _, n in time_ticks(0.0, 5 * 3_600.0)] == ["01 Jan 00:00", *(f"0{i}:00" for i in range(1, 6))]
    assert [n for _, n in time_ticks(0.0, 4 * day)] == ["01 Jan", "02 Jan", "03 Jan", "04 Jan", "05 Jan"]
    assert [n for _, n in time_ticks(0.0, 120 * day)] == ["Jan 1970", "Feb 1970", "Mar 1970", "Apr 1970", "May 1970"]
    assert [n for _, n in time_ticks(0.0, 365.25 * 4 * day)] == ["1970", "1971", "1972", "1973", "1974"]
