"""Each process counts its requests; whoever reads gets the sum, and a broken file stops nobody."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.store import BUCKETS, RequestCounts, RouteCounts, read_requests

REQUESTS = st.lists(st.tuples(st.sampled_from(["/a", "/b"]), st.sampled_from([200, 404]), st.floats(0.0, 9.0)))


@given(REQUESTS, REQUESTS)
def test_two_processes_together_have_counted_what_one_would_have(tmp_path_factory, one, two) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("requests")
    first, second, alone = RequestCounts(folder), RequestCounts(folder), RequestCounts(folder / "alone")
    for counts, requests in ((first, one), (second, two), (alone, [*one, *two])):
        for route, status, seconds in requests:
            counts.add(route, status, seconds)
    second.write()
    together, expected = first.all(), alone.all()
    assert set(together) == set(expected)
    for route, counts in expected.items():
        assert together[route].statuses == counts.statuses
        assert together[route].buckets == counts.buckets
        assert together[route].seconds == pytest.approx(counts.seconds)
        assert sorted(together[route].recent) == pytest.approx(sorted(counts.recent), abs=1e-6)
    first.write()
    assert {route: c.statuses for route, c in read_requests(folder).items()} == {
        route: c.statuses for route, c in expected.items()
    }


def test_a_bucket_holds_what_took_at_most_its_bound() -> None:
    counts = RouteCounts()
    for seconds in (0.0, BUCKETS[0], BUCKETS[0] + 1e-9, 60.0):
        counts.add(200, seconds)
    assert (counts.buckets[0], counts.buckets[1], counts.buckets[-1]) == (2, 1, 1)


def test_a_file_that_is_damaged_or_of_long_ago_is_passed_over(tmp_path: Path) -> None:
    for name in ("good", "old"):
        counts = RequestCounts(tmp_path)
        counts.add("/a", 200, 0.01)
        counts.write()
        if name == "old":
            newest = max(tmp_path.glob("requests-*.json"), key=lambda p: p.stat().st_ctime_ns)
            os.utime(newest, (time.time() - 2 * 86_400,) * 2)
    (tmp_path / "requests-1-aaaaaa.json").write_text("{")
    (tmp_path / "requests-2-bbbbbb.json").write_text('{"/a": {"statuses": 3}}')
    assert read_requests(tmp_path)["/a"].statuses == {"200": 1}
    assert read_requests(tmp_path / "nothing") == {}
