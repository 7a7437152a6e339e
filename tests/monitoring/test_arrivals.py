"""Days that were loaded twice, or not at all; weekends, seasons, growth and holidays are not such days."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from forekey.graph import MICROS_PER_DAY
from forekey.monitoring.arrivals import Arrivals, arrivals, silence
from forekey.monitoring.data_findings import of_arrivals, of_silence
from forekey.monitoring.finding import State
from forekey.monitoring.series import judge
from forekey.monitoring.traffic import of_source

DAYS = 800


def counts(growth: float = 0.0, season: float = 0.0, level: float = 60.0) -> np.ndarray:
    day = np.arange(DAYS)
    pace = level * (1 + growth) ** (day / 364) * (1 + season * np.cos(2 * np.pi * day / 364))
    return np.random.default_rng(0).poisson(pace * np.where(day % 7 >= 5, 0.3, 1.0))


def rows(of_day: np.ndarray) -> np.ndarray:
    """Return times of as many rows a day as are asked for."""
    day = np.repeat(np.arange(len(of_day)), of_day)
    within = np.random.default_rng(1).integers(1, MICROS_PER_DAY, len(day))
    return np.sort(day * MICROS_PER_DAY + within)


def judged(of_day: np.ndarray) -> tuple[Arrivals, State]:
    found = arrivals("orders", rows(of_day), len(of_day) * MICROS_PER_DAY)
    assert found is not None
    return found, of_arrivals(found, ()).state()


@pytest.mark.parametrize(("growth", "season"), [(0.0, 0.0), (1.0, 0.0), (0.0, 0.5), (2.0, 0.3)])
def test_weekends_seasons_and_growth_are_usual(growth: float, season: float) -> None:
    whole = counts(growth, season)
    for days in range(DAYS - 56, DAYS):
        assert judged(whole[:days])[1] is State.OK


def test_a_day_that_was_loaded_twice_is_named() -> None:
    whole = counts(level=150.0)
    whole[-5] *= 2
    found, state = judged(whole)
    assert state is State.WARNING
    assert found.begins.startswith(str(np.datetime64("1970-01-01") + (DAYS - 5)))
    assert found.ratio == pytest.approx(2.0, rel=0.3)


def test_a_day_without_rows_is_worse_while_it_is_the_newest() -> None:
    whole = counts(level=300.0)
    whole[-1] = 0
    assert judged(whole)[1] is State.CRITICAL
    later = counts(level=300.0)
    later[-5] = 0
    assert judged(later)[1] is State.WARNING


def test_a_holiday_of_every_year_is_usual() -> None:
    whole = counts()
    whole[[-2, -2 - 364]] = 0
    assert judged(whole)[1] is State.OK


def test_of_few_rows_weeks_are_counted_and_of_very_few_nothing_is_said() -> None:
    found, _ = judged(counts(level=4.0))
    assert found.days == 7
    assert arrivals("orders", rows(counts(level=0.1)), DAYS * MICROS_PER_DAY) is None
    assert arrivals("orders", np.zeros(0, np.int64), 0) is None


def test_a_table_that_stops_is_named_and_one_that_rests_at_night_is_not() -> None:
    whole = rows(counts())
    now = DAYS * MICROS_PER_DAY
    quiet = silence("orders", whole, now)
    assert quiet is not None
    assert of_silence(quiet, ()).state() is State.OK
    stopped = silence("orders", whole, now + 5 * MICROS_PER_DAY)
    assert stopped is not None
    assert stopped.days == pytest.approx(5.0, abs=0.2)
    assert of_silence(stopped, ("churn",)).state() is State.CRITICAL
    assert silence("orders", whole[:5], now) is None


def test_where_all_loads_stand_the_clock_says_so() -> None:
    start = datetime(2024, 5, 1)
    daily = [
        ((start + timedelta(days=d)).isoformat(), (start + timedelta(days=d, hours=-6)).isoformat()) for d in range(9)
    ]
    looks = [(at, as_of, State.OK) for at, as_of in daily]
    newest = start + timedelta(days=9, hours=-6)
    (fresh,) = of_source(looks, start + timedelta(days=9), newest, ())
    assert fresh.state() is State.OK
    (standing,) = of_source(looks, start + timedelta(days=12), newest, ("churn",))
    assert standing.state() is State.WARNING
    assert standing.since == newest.isoformat()
    assert list(of_source(looks[:4], start, start, ())) == []
    old = [(at, datetime(2015, 1, 1).isoformat(), State.OK) for at, _ in daily]
    (historical,) = of_source(old, start + timedelta(days=20), datetime(2015, 1, 1), ())
    assert historical.state() is State.OK


@pytest.mark.parametrize("every_hours", [1, 24])
def test_while_loads_stand_their_age_does_not_become_usual(every_hours: int) -> None:
    start = datetime(2024, 5, 1)
    looks = [
        ((start + timedelta(days=d)).isoformat(), (start + timedelta(days=d, hours=-6)).isoformat(), State.OK)
        for d in range(20)
    ]
    newest = start + timedelta(days=19, hours=-6)
    for hours in range(every_hours, 40 * 24, every_hours):
        at = start + timedelta(days=19, hours=hours)
        (found,) = of_source(looks, at, newest, ())
        looks.append((at.isoformat(), newest.isoformat(), found.state()))
    assert looks[-1][2] is State.CRITICAL


def test_a_table_that_was_filled_once_has_not_stopped() -> None:
    days = np.repeat(np.arange(3), 40) * MICROS_PER_DAY + np.arange(120)
    assert silence("countries", days, 300 * MICROS_PER_DAY) is None
    month = np.sort(np.random.default_rng(0).integers(0, 30 * MICROS_PER_DAY, 2_000))
    assert silence("migrated", month, 200 * MICROS_PER_DAY) is None


def test_a_series_is_judged_by_its_line_and_by_its_season() -> None:
    random = np.random.default_rng(0)
    line = 10 + 0.1 * np.arange(60) + 0.2 * random.normal(size=60)
    steady = judge(line)
    assert steady is not None
    assert abs(steady.deviations) < 4
    jump = judge(np.append(line[:-1], 25.0))
    assert jump is not None
    assert jump.deviations > 6
    assert jump.is_extreme
    yearly = line.copy()
    yearly[[-1, -53]] += 9.0
    again = judge(yearly, (len(yearly) - 53,))
    assert again is not None
    assert abs(again.deviations) < 6
    assert judge(line[:4]) is None
    assert judge(np.append(np.full(20, np.nan), 1.0)) is None
