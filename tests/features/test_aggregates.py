"""Windowed aggregates equal a plain loop over the rows."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forekey.features import AggregatePlan, windowed_aggregates
from forekey.graph import SnapshotStore, build_snapshot, to_micros
from tests.support.databases import START, Tables, shops, source_of, with_copies_of_foreign_keys


@given(shops(), st.integers(0, 22))
def test_counts_and_recency_equal_a_plain_loop(tables: Tables, day: int) -> None:
    anchor = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        told, schema = with_copies_of_foreign_keys(tables)
        snapshot = build_snapshot(source_of(told), schema, SnapshotStore(Path(folder)))
        rows = np.arange(snapshot.num_nodes("customers"), dtype=np.int32)
        with np.errstate(all="ignore"):
            found, names = windowed_aggregates(
                snapshot, "customers", rows, np.full(len(rows), to_micros(anchor)), AggregatePlan((7.0, None))
            )
        orders = snapshot.rows("orders").to_pylist()
        for i, key in enumerate(snapshot.keys("customers").to_pylist()):
            past = [o for o in orders if o["copy of customer_id"] == key and o["placed_at"] <= anchor]
            week = [o for o in past if o["placed_at"] > anchor - timedelta(days=7)]
            row = dict(zip(names, found[i].tolist(), strict=True))
            assert row["orders.customer_id->customers: rows in 7 days"] == len(week)
            assert row["orders.customer_id->customers: rows in all time"] == len(past)
            age = row.get("orders.customer_id->customers: days since newest row", float("nan"))
            if past:
                assert age == (anchor - max(o["placed_at"] for o in past)).days
            else:
                assert np.isnan(age)
