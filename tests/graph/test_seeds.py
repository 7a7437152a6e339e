"""Seeds are always whole: every row has a time and a cutoff, and no cutoff is after its time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forekey.graph import Seeds

MOMENTS = st.integers(-(2**40), 2**60)


@given(st.lists(st.tuples(st.integers(0, 99), MOMENTS, MOMENTS), max_size=20))
def test_no_seed_sees_past_its_own_time(asked: list[tuple[int, int, int]]) -> None:
    rows, times, cutoffs = np.array(asked, np.int64).reshape(-1, 3).T
    seeds = Seeds.at("customers", rows, times, cutoffs)
    assert (seeds.cutoffs <= seeds.times).all()
    assert seeds.cutoffs.tolist() == [min(t, c) for _, t, c in asked]
    later = seeds.seen_by(np.full(len(seeds), 2**61))
    assert later.cutoffs.tolist() == later.times.tolist()


def test_one_time_counts_for_all_rows() -> None:
    seeds = Seeds.at("customers", np.arange(3), 5, 4)
    assert seeds.rows.dtype == np.int32
    assert seeds.times.tolist() == [5, 5, 5]
    assert seeds.cutoffs.tolist() == [4, 4, 4]
    assert Seeds.at("customers", np.arange(2), 5).cutoffs.tolist() == [5, 5]


@given(st.integers(0, 9), st.integers(1, 4))
def test_batches_put_together_are_the_whole(count: int, size: int) -> None:
    seeds = Seeds.at("customers", np.arange(count), np.arange(count) * 10, np.arange(count))
    parts = list(seeds.batches(size))
    assert np.concatenate([part.rows for _, part in parts]).tolist() == seeds.rows.tolist()
    assert np.concatenate([np.arange(count)[place] for place, _ in parts]).tolist() == list(range(count))
    assert len(parts) == max(-(-count // size), 1)


def test_moments_are_pairs_of_time_and_cutoff() -> None:
    seeds = Seeds.at("customers", np.arange(4), np.array([7, 7, 8, 7]), np.array([7, 6, 6, 7]))
    distinct, which = seeds.moments()
    assert distinct.tolist() == [[7, 6], [7, 7], [8, 6]]
    assert which.tolist() == [1, 0, 2, 1]
    assert seeds.moved("orders", np.arange(4)).moments()[1].tolist() == which.tolist()
