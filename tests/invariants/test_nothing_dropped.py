"""Invariant 5: every row read, quarantined or orphaned is counted, and the counts add up."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given

from forekey.graph import SnapshotStore, build_snapshot
from tests.support.databases import SHOP_SCHEMA, Tables, shops, source_of


@given(shops())
def test_rows_and_keys_add_up(tables: Tables) -> None:
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        for name, entry in snapshot.manifest["tables"].items():
            assert entry["read"] == len(tables[name])
            assert entry["read"] == entry["nodes"] + sum(entry["quarantined"].values())
            assert snapshot.rows(name).num_rows == entry["nodes"]
        for edge in snapshot.edge_types:
            entry = snapshot.manifest["edges"][str(edge)]
            assert snapshot.num_nodes(edge.child) == entry["edges"] + entry["null_keys"] + entry["orphans"]
            assert len(snapshot.children(edge)[1]) == entry["edges"] == int((snapshot.parents(edge) >= 0).sum())


@given(shops())
def test_each_reason_counts_what_it_names(tables: Tables) -> None:
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
    orders = tables["orders"].to_pylist()
    dated = [o for o in orders if o["placed_at"] is not None]
    keyed = [o for o in dated if o["order_id"] is not None]
    found = snapshot.manifest["tables"]["orders"]["quarantined"]
    assert found.get("no time", 0) == len(orders) - len(dated)
    assert found.get("no key", 0) == len(dated) - len(keyed)
    assert found.get("duplicate key", 0) == len(keyed) - len({o["order_id"] for o in keyed})
