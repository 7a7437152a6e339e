"""Rows that are as they always were raise no warning; rows that are not do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.graph import MICROS_PER_DAY
from forekey.monitoring import population_stability
from forekey.monitoring.periods import Periods, periods_of
from forekey.monitoring.shift import Shift, discover, distribution_shift, share_shift

WEEKS, ROWS = 60, 300
Counts = np.ndarray


def weeks(last_year: tuple[int, ...] = ()) -> Periods:
    reference = np.arange(WEEKS) < WEEKS - 1
    return Periods(7, np.arange(WEEKS + 1) * 7 * MICROS_PER_DAY, np.arange(WEEKS + 1) * ROWS, reference, last_year)


def is_warned_of(shift: Shift) -> bool:
    return shift.significant and shift.size >= shift.allowed


SHARES = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).map(lambda v: np.array(v) / max(sum(v), 1e-9))


@given(SHARES, SHARES)
def test_the_stability_index_is_zero_for_equals_symmetric_and_never_negative(a: Counts, b: Counts) -> None:
    assert population_stability(a, a) == 0.0
    assert population_stability(a, b) == pytest.approx(population_stability(b, a))
    assert population_stability(a, b) >= 0.0


@pytest.mark.parametrize("concentration", [0.0, 200.0])
def test_of_many_columns_without_drift_hardly_one_is_warned_of_in_a_year(concentration: float) -> None:
    """Sixty columns, weekly looks; the benchmark looks at 500 daily. Weeks may differ by chance (concentration)."""
    random = np.random.default_rng(0)
    warnings = 0
    shares = random.dirichlet(np.full(8, 2.0), size=60)
    weekly = [
        random.dirichlet(s * concentration, size=WEEKS + 52) if concentration else np.tile(s, (WEEKS + 52, 1))
        for s in shares
    ]
    counts = np.array([[random.multinomial(ROWS, w) for w in column] for column in weekly])
    for look in range(52):
        seen = counts[:, look : look + WEEKS]
        found = discover([distribution_shift(c, weeks((7, 8, 9)), 0.1) for c in seen])
        warnings += sum(map(is_warned_of, found))
    assert warnings <= 2


@pytest.mark.parametrize("restless", [0.1, 0.3])
def test_weeks_that_move_a_whole_column_are_usual_where_they_always_do(restless: float) -> None:
    """Amounts of which every week has its own level: all bins move together, as real columns do."""
    random = np.random.default_rng(0)
    edges = np.quantile(random.normal(size=20_000), np.linspace(0, 1, 11)[1:-1])
    warnings = 0
    for _ in range(40):
        levels = restless * random.normal(size=WEEKS + 52)
        counts = np.array(
            [np.bincount(np.searchsorted(edges, v + random.normal(size=ROWS)), minlength=10) for v in levels]
        )
        for look in range(52):
            found = distribution_shift(counts[look : look + WEEKS], weeks((7, 8, 9)), 0.1)
            # As one of a look of forty columns: Benjamini and Hochberg demand this of a single one.
            warnings += found.p_value < 0.001 / 40 and found.size >= found.allowed
    assert warnings <= 2


def test_a_shift_is_found_among_many_columns() -> None:
    random = np.random.default_rng(1)
    shares = random.dirichlet(np.full(8, 2.0), size=50)
    counts = np.array([random.multinomial(ROWS, s, size=WEEKS) for s in shares])
    counts[17, -1] = random.multinomial(ROWS, np.roll(shares[17], 3))
    found = discover([distribution_shift(c, weeks(), 0.1) for c in counts])
    assert [i for i, s in enumerate(found) if is_warned_of(s)] == [17]


def test_the_same_season_a_year_ago_is_no_drift() -> None:
    random = np.random.default_rng(2)
    plain, festive = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    counts = random.multinomial(ROWS, plain, size=WEEKS)
    counts[7:10] = random.multinomial(ROWS, festive, size=3)
    counts[-1] = random.multinomial(ROWS, festive)
    (alone,) = discover([distribution_shift(counts, weeks(), 0.1)])
    (seasonal,) = discover([distribution_shift(counts, weeks((7, 8, 9)), 0.1)])
    assert is_warned_of(alone)
    assert not is_warned_of(seasonal)


def test_what_the_newest_rows_of_training_were_like_already_is_no_drift() -> None:
    """Slow change: the newest period that training saw is near, however far the oldest is."""
    random = np.random.default_rng(3)
    counts = np.array([random.multinomial(ROWS, [0.8 - 0.01 * w, 0.2 + 0.01 * w]) for w in range(WEEKS)])
    (found,) = discover([distribution_shift(counts, weeks(), 0.1)])
    assert not is_warned_of(found)


def test_a_share_that_never_was_is_found_by_few_rows() -> None:
    hits, of = np.zeros(WEEKS, np.int64), np.full(WEEKS, ROWS)
    hits[-1] = 12
    (found,) = discover([share_shift(hits, of, weeks(), 0.02)])
    assert is_warned_of(found)
    assert found.size == pytest.approx(12 / ROWS)


def test_empty_bins_and_empty_periods_say_nothing() -> None:
    counts = np.zeros((WEEKS, 4), np.int64)
    assert distribution_shift(counts, weeks(), 0.1).p_value == 1.0
    counts[:, 0] = ROWS
    found = distribution_shift(counts, weeks(), 0.1)
    assert (found.size, found.p_value) == (0.0, 1.0)


@given(st.integers(0, 2_000), st.integers(30, 900), st.integers(0, 800), st.integers(0, 5))
def test_periods_are_equal_end_now_and_do_not_overlap(rows: int, days: int, trained: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    now = days * MICROS_PER_DAY
    times = np.sort(random.integers(0, now + 10 * MICROS_PER_DAY, rows))
    found = periods_of(times, now, trained * MICROS_PER_DAY)
    if isinstance(found, str):
        assert found
        return
    assert found.edges[-1] == now
    assert set(np.diff(found.edges).tolist()) == {found.days * MICROS_PER_DAY}
    assert not found.reference[-1]
    assert all(found.reference[i] for i in found.last_year)
    for i in range(len(found)):
        inside = times[found.bounds[i] : found.bounds[i + 1]]
        assert ((inside > found.edges[i]) & (inside <= found.edges[i + 1])).all()
    sampled, period = found.sample()
    assert (np.diff(sampled) > 0).all()
    assert np.bincount(period, minlength=len(found)).tolist() == np.minimum(found.sizes, 4_000).tolist()


def test_periods_that_training_did_not_see_are_no_reference() -> None:
    now = 500 * MICROS_PER_DAY
    times = np.arange(0, now, MICROS_PER_DAY // 60)
    found = periods_of(times, now, 450 * MICROS_PER_DAY)
    assert not isinstance(found, str)
    ends = found.edges[1:][found.reference]
    assert ends.max() <= 450 * MICROS_PER_DAY
    assert found.days == 7
    assert len(found.last_year) == 3
