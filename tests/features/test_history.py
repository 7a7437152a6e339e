"""Pasts in numbers equal a plain loop over the rows, and read nothing that was not seen."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.features import FeatureKind, FeatureSpec, WindowFeatures, WindowSpec, fit_features, fit_windows
from forekey.graph import Seeds, Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.source import infer_schema
from forekey.testing import shop_tables
from tests.support.databases import START, Tables, shops, source_of, with_copies_of_foreign_keys

CUTOFF = to_micros(START + timedelta(days=20))


def told(snapshot: Snapshot, anchor: datetime, window: float = 7.0, seen: int | None = None) -> list[dict[str, float]]:
    """Return the pasts of all customers by feature name."""
    spec = fit_windows(snapshot, "customers", CUTOFF, window)
    rows = np.arange(snapshot.num_nodes("customers"), dtype=np.int32)
    times = np.full(len(rows), to_micros(anchor))
    features = WindowFeatures(snapshot, spec)
    found, names = features.compute(Seeds.at("customers", rows, times, seen)), [f.name for f in features.features]
    assert len(set(names)) == len(names)
    return [dict(zip(names, row.tolist(), strict=True)) for row in found]


@given(shops(), st.integers(0, 22))
def test_counts_means_and_recency_equal_a_plain_loop(tables: Tables, day: int) -> None:
    anchor = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        copied, schema = with_copies_of_foreign_keys(tables)
        snapshot = build_snapshot(source_of(copied), schema, SnapshotStore(Path(folder)))
        orders = snapshot.rows("orders").to_pylist()
        for key, row in zip(snapshot.keys("customers").to_pylist(), told(snapshot, anchor), strict=True):
            past = [o for o in orders if o["copy of customer_id"] == key and o["placed_at"] <= anchor]
            week = [o for o in past if o["placed_at"] > anchor - timedelta(days=7)]
            assert row["orders: rows, 7 days"] == len(week)
            assert row["orders: rows, all time"] == len(past)
            assert_same(row["orders: mean amount, 7 days"], mean(week))
            assert_same(row["orders: mean amount, all time"], mean(past))
            ages = [(anchor - o["placed_at"]).days for o in past]
            assert_same(row["orders: days since the newest row"], min(ages, default=np.nan))
            assert_same(row["orders: days since the oldest row"], max(ages, default=np.nan))


@given(shops(), st.integers(0, 22))
def test_rows_two_foreign_keys_away_count_from_when_all_between_was_there(tables: Tables, day: int) -> None:
    anchor = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        copied, schema = with_copies_of_foreign_keys(tables)
        snapshot = build_snapshot(source_of(copied), schema, SnapshotStore(Path(folder)))
        keys = snapshot.keys("orders").to_pylist()
        orders = dict(zip(keys, snapshot.rows("orders").to_pylist(), strict=True))
        lines = [
            (orders[line["copy of order_id"]]["copy of customer_id"], line)
            for line in snapshot.rows("lines").to_pylist()
            if line["copy of order_id"] in orders
            and max(line["added_at"], orders[line["copy of order_id"]]["placed_at"]) <= anchor
        ]
        for key, row in zip(snapshot.keys("customers").to_pylist(), told(snapshot, anchor), strict=True):
            own = [line for customer, line in lines if customer == key]
            assert row["lines of orders: rows, all time"] == len(own)
            quantity = [line["quantity"] for line in own]
            assert_same(row["lines of orders: mean quantity, all time"], np.mean(quantity) if quantity else np.nan)


def mean(orders: list[dict[str, Any]]) -> float:
    with np.errstate(over="ignore"):
        amounts = np.array([np.nan if o["amount"] is None else o["amount"] for o in orders], np.float32)
    known = amounts[np.isfinite(amounts)]
    return float(np.mean(known.astype(np.float64))) if len(known) else float("nan")


def assert_same(found: float, expected: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    source = source_of(shop_tables(40, 200))
    return build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path_factory.mktemp("shop")))


def test_what_came_after_the_graph_was_seen_is_not_told(shop: Snapshot) -> None:
    early, late = datetime(2024, 3, 1), datetime(2024, 5, 1)
    aged = told(shop, late, 30.0, seen=to_micros(early))
    fresh, then = told(shop, late, 30.0), told(shop, early, 30.0)
    name = "orders: rows, all time"
    assert [r[name] for r in aged] == [r[name] for r in then]
    assert sum(r[name] for r in fresh) > sum(r[name] for r in aged)
    since = "orders: days since the newest row"
    known = [(a[since], t[since]) for a, t in zip(aged, then, strict=True) if np.isfinite(t[since])]
    assert known
    assert all(a == pytest.approx(t) for a, t in known)  # windows end where what is seen ends
    assert {r["days since anything was seen"] for r in aged} == {61.0}


def test_the_row_of_one_entity_does_not_depend_on_who_else_is_asked_about(shop: Snapshot) -> None:
    features = WindowFeatures(shop, fit_windows(shop, "customers", to_micros(datetime(2024, 5, 1)), 30.0))
    rows, times = np.arange(40, dtype=np.int32), np.full(40, to_micros(datetime(2024, 6, 1)))
    together = features.compute(Seeds.at("customers", rows, times))
    alone = np.concatenate(
        [features.compute(Seeds.at("customers", rows[i : i + 1], times[i : i + 1])) for i in range(40)]
    )
    assert together.tobytes() == alone.tobytes()
    assert features.compute(Seeds.at("customers", rows[:0], times[:0])).shape == (0, together.shape[1])


def test_features_that_are_left_out_are_not_computed_and_the_others_stay_as_they_are(shop: Snapshot) -> None:
    spec = fit_windows(shop, "customers", to_micros(datetime(2024, 5, 1)), 30.0)
    rows, times = np.arange(40, dtype=np.int32), np.full(40, to_micros(datetime(2024, 6, 1)))
    whole = WindowFeatures(shop, spec)
    every, columns = whole.features, whole.compute(Seeds.at("customers", rows, times))
    unused = {f for f in every if f.origin.column == "amount" or f.kind is FeatureKind.CALENDAR or f.origin.hop == 2}
    slim = WindowFeatures(shop, spec.without(unused, ()))
    assert slim.features == tuple(f for f in every if f not in unused)
    assert not any(m.column == "amount" for focus in slim.spec.foci for listed in focus.lists for m in listed.measures)
    kept = [i for i, f in enumerate(every) if f not in unused]
    assert (
        slim.compute(Seeds.at("customers", rows, times)).tobytes() == np.ascontiguousarray(columns[:, kept]).tobytes()
    )
    again = slim.spec.without({slim.features[0]}, ())
    assert WindowFeatures(shop, again).features == slim.features[1:]
    assert WindowSpec.from_dict(json.loads(json.dumps(again.to_dict()))) == again


def test_a_spec_is_read_back_as_it_was_written(shop: Snapshot) -> None:
    cutoff = to_micros(datetime(2024, 5, 1))
    windows = fit_windows(shop, "customers", cutoff, 30.0, lagged_labels=True)
    spec = FeatureSpec(fit_features(shop, cutoff).tables, windows)
    assert FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_hidden_columns_are_in_no_number(shop: Snapshot) -> None:
    spec = fit_windows(shop, "customers", to_micros(datetime(2024, 5, 1)), 30.0, [("orders", "amount")])
    names = [f.name for f in WindowFeatures(shop, spec).features]
    assert any("channel" in n for n in names)
    assert not any("amount" in n for n in names)
