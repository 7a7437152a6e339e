"""A few rows that lie far from all others are stray; whatever may be a beginning, a season or a small table is not."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.graph import Micros, dense_period, from_micros, to_micros

START = datetime(2020, 1, 1)


def micros(*parts: list[datetime]) -> Micros:
    return np.sort(np.array([to_micros(t) for part in parts for t in part], np.int64))


def every(hours: float, count: int, start: datetime = START) -> list[datetime]:
    return [start + timedelta(hours=hours * i) for i in range(count)]


DENSE = every(6, 800)
END = DENSE[-1]


@pytest.mark.parametrize("day", [datetime(1970, 1, 1), datetime(1900, 1, 1), datetime(2018, 1, 1)])
def test_a_row_long_before_all_others_is_stray(day: datetime) -> None:
    found = dense_period(micros(DENSE, [day]))
    assert found is not None
    assert (from_micros(found.first), from_micros(found.last)) == (START, END)
    assert found.strays() == [f"1 row lies at {day:%Y-%m-%d}, {(START - day).days:,} days before the next"]


def test_several_rows_at_both_ends_are_stray() -> None:
    early, late = [datetime(1900, 1, 1)] * 4 + [datetime(1970, 1, 1)], [datetime(2022, 1, 1), datetime(2199, 1, 1)]
    found = dense_period(micros(DENSE, early, late))
    assert found is not None
    assert (len(found.before), len(found.after)) == (5, 2)
    assert (from_micros(found.first), from_micros(found.last)) == (START, END)
    assert found.strays()[0].startswith("5 rows lie at 1900-01-01 to 1970-01-01, 18,262 days before the next")


def test_placeholders_are_stray_however_many_there_are_up_to_a_fifth() -> None:
    early = [datetime(1900, 1, 1)] * 90 + [datetime(1970, 1, 1)] * 60
    found = dense_period(micros(DENSE, early))
    assert found is not None
    assert (len(found.before), from_micros(found.first), from_micros(found.last)) == (150, START, END)
    half = dense_period(micros(DENSE, [datetime(1970, 1, 1)] * 800))
    assert half is not None
    assert half.before == ()


@pytest.mark.parametrize("years", [1, 3, 10])
def test_a_year_that_is_one_too_high_is_stray(years: int) -> None:
    dense = every(12, 730 * years)
    found = dense_period(micros(dense, [dense[-1] + timedelta(days=365)]))
    assert found is not None
    assert from_micros(found.last) == dense[-1]


LEGITIMATE = {
    "nothing odd": DENSE,
    "a first year with few rows": [*every(30 * 24, 12), *every(2, 8000, datetime(2020, 12, 28))],
    "ten rows, one of them far off": [*every(24, 9), datetime(1970, 1, 1)],
    "seasons": [t for year in range(1950, 2020) for t in every(14 * 24, 20, datetime(year, 3, 15))],
    "the first race of a new season": [
        *(t for year in range(2015, 2020) for t in every(7 * 24, 20, datetime(year, 3, 15))), datetime(2020, 3, 15),
    ],
    "elections": [t for year in range(1950, 2020, 5) for t in every(1, 100, datetime(year, 9, 1))],
    "a month without data": [*every(1, 5000), *every(1, 5000, START + timedelta(hours=5000, days=30))],
    "half the rows in a year of their own": [*every(12, 400), *every(12, 400, datetime(2024, 1, 1))],
    "all at once": [START] * 100,
    "all at once but one": [*([START] * 100), datetime(1970, 1, 1)],
    "growing from day to day": [START + timedelta(days=float(np.sqrt(i)) * 5) for i in range(5000)],
}  # fmt: skip


@pytest.mark.parametrize("kind", LEGITIMATE)
def test_what_may_be_as_it_should_be_is_not_stray(kind: str) -> None:
    times = micros(LEGITIMATE[kind])
    found = dense_period(times)
    assert found is not None
    assert (found.first, found.last, found.strays()) == (times[0], times[-1], [])


@given(st.lists(st.integers(-(10**15), 4 * 10**15), max_size=300))
def test_at_most_a_hundredth_of_the_rows_or_a_few_repeated_moments_are_stray_at_either_end(drawn: list[int]) -> None:
    times = np.sort(np.array(drawn, np.int64))
    found = dense_period(times)
    if found is None:
        assert len(times) == 0
        return
    few = max(1, len(times) // 100)
    for stray in (found.before, found.after):
        assert len(stray) <= few or (len(set(stray)) <= 3 and len(stray) <= len(times) // 5)
    kept = times[len(found.before) : len(times) - len(found.after)]
    assert (found.first, found.last) == (kept[0], kept[-1])
