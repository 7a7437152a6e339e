"""Splits go forward in time, and no label of one reaches into the next."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.errors import SplitError
from forekey.graph import to_micros
from forekey.query import bind, parse
from forekey.task import plan_anchors, split_by_time
from tests.support.databases import SHOP_SCHEMA

START = datetime(2020, 1, 1)


def bound(start: int, end: int, unit: str = "days"):  # type: ignore[no-untyped-def]
    text = f"PREDICT COUNT(orders.*, {start}, {end}, {unit}) FOR EACH customers.customer_id"
    return bind(parse(text), SHOP_SCHEMA)


@given(
    st.integers(0, 20), st.integers(1, 60), st.integers(30, 3000), st.sampled_from(["days", "weeks", "months", "hours"])
)
def test_no_label_reaches_past_the_first_anchor_of_the_next_split(start: int, width: int, days: int, unit: str) -> None:
    query, as_of = bound(start, start + width, unit), START + timedelta(days=days)
    try:
        plan = plan_anchors(query, START, as_of, 400)
    except SplitError:
        return
    assert max(query.horizon_end(a) for a in plan.train) <= plan.val[0]
    assert max(query.horizon_end(a) for a in plan.val) <= plan.test[0]
    assert max(query.horizon_end(a) for a in plan.test) <= as_of
    assert list(plan.kept) == sorted(set(plan.kept))
    assert plan.kept[0] > START


def test_anchors_step_back_from_the_newest_complete_window() -> None:
    plan = plan_anchors(bound(0, 28), START, START + timedelta(days=28 * 10))
    assert plan.test == (START + timedelta(days=28 * 9),)
    assert plan.val == (START + timedelta(days=28 * 8),)
    assert plan.train[0] == START + timedelta(days=28)
    assert len(plan.kept) == 9


def test_windows_that_start_later_leave_a_gap_between_splits() -> None:
    plan = plan_anchors(bound(7, 14), START, START + timedelta(days=200))
    assert plan.dropped
    assert plan.train[-1] + timedelta(days=14) <= plan.val[0]


def test_month_ends_do_not_drift() -> None:
    plan = plan_anchors(bound(0, 1, "months"), START, datetime(2021, 5, 31))
    # January to April: February ends early, and March does not inherit that.
    assert [a.day for a in plan.kept[-4:]] == [30, 28, 30, 30]


@pytest.mark.parametrize("days", [0, 10, 59])
def test_too_little_history_is_refused_with_what_there_is(days: int) -> None:
    with pytest.raises(SplitError, match="at least 3 windows of 28 days"):
        plan_anchors(bound(0, 28), START, START + timedelta(days=days))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60), st.integers(0, 40))
def test_ready_made_labels_are_split_without_overlap(days: list[int], horizon: int) -> None:
    times = np.array([to_micros(START + timedelta(days=d)) for d in days])
    length = horizon * 86_400_000_000
    try:
        names = split_by_time(times, lambda t: t + length)
    except SplitError:
        assert len(set(days)) < 3
        return
    test = times[names == "test"]
    val = times[names == "val"]
    train = times[names == "train"]
    assert len(test)
    if len(val):
        assert val.max() + length <= test.min() or horizon == 0
    if len(train) and len(val):
        assert train.max() + length <= val.min() or horizon == 0
