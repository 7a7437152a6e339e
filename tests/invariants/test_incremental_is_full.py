"""Invariant 3: a snapshot reached by updates equals one built from scratch."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.graph import Snapshot, SnapshotStore, build_snapshot
from forekey.source import infer_schema, open_source
from tests.support.databases import SHOP_SCHEMA, START, Tables, cut, shops, source_of


def graph_of(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a snapshot says of the graph, but for former contents of rows, which only an update can know."""
    tables = snapshot.manifest.tables
    return {
        **{n: (tables[n].rows, tables[n].quarantined, tables[n].read, tables[n].columns) for n in tables},
        **{str(e): [a.tolist() for a in (snapshot.parents(e), *snapshot.children(e))] for e in snapshot.edge_types},
        **{f"orphans {e}": [a.tolist() for a in snapshot.orphans(e)] for e in snapshot.edge_types},
        **{f"edges {n}": e.figures() for n, e in snapshot.manifest.edges.items()},
    }


@given(shops(), st.lists(st.integers(0, 20), min_size=1, max_size=3).map(sorted))
def test_loading_a_database_in_stages_ends_with_the_same_snapshot(tables: Tables, days: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SnapshotStore(Path(folder) / "stages")
        for day in days:
            build_snapshot(source_of(cut(tables, SHOP_SCHEMA, START + timedelta(days=day))), SHOP_SCHEMA, store)
        updated = build_snapshot(source_of(tables), SHOP_SCHEMA, store)
        scratch = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder) / "scratch"), full=True)
        assert updated.id == scratch.id
        assert graph_of(updated) == graph_of(scratch)


def values_from_keys(tables: Tables) -> Tables:
    """Give rows of equal time and key equal values."""
    orders, lines = tables["orders"], tables["lines"]
    keys = orders.column("order_id")
    orders = orders.set_column(1, "customer_id", pc.and_kleene(pc.greater(keys, 5), True).cast(pa.int64()))
    orders = orders.set_column(3, "amount", keys.cast(pa.float64())).set_column(4, "kind", keys.cast(pa.string()))
    return {**tables, "orders": orders, "lines": lines.set_column(2, "quantity", lines.column("order_id"))}


@given(shops(), shops())
def test_whatever_changed_in_between_an_update_sees_it_or_reads_all(before: Tables, after: Tables) -> None:
    """Rows deleted, keys reused, rows of the past added: counts and checksums tell.

    Only values that change in a row which keeps its key and time go unseen; so here they follow from the keys.
    """
    before, after = values_from_keys(before), values_from_keys(after)
    with tempfile.TemporaryDirectory() as folder:
        store = SnapshotStore(Path(folder) / "one")
        build_snapshot(source_of(before), SHOP_SCHEMA, store)
        updated = build_snapshot(source_of(after), SHOP_SCHEMA, store)
        scratch = build_snapshot(source_of(after), SHOP_SCHEMA, SnapshotStore(Path(folder) / "two"))
        assert graph_of(updated) == graph_of(scratch)


def test_a_late_row_is_noticed_and_its_table_read_whole(tmp_path: Path) -> None:
    orders = pa.table(
        {
            "order_id": [1, 2],
            "customer_id": [1, 1],
            "placed_at": pa.array([START, START + timedelta(days=5)], pa.timestamp("us")),
            "amount": [1.0, 2.0],
            "kind": ["a", "b"],
        }
    )
    customers = pa.table({"customer_id": [1], "region": ["north"], "age": [30.0]})
    lines = pa.table({"order_id": [1], "added_at": pa.array([START], pa.timestamp("us")), "quantity": [1]})
    tables = {"customers": customers, "orders": orders, "lines": lines}
    store = SnapshotStore(tmp_path / "a")
    build_snapshot(source_of(tables), SHOP_SCHEMA, store)
    late = pa.table(
        {
            "order_id": [3],
            "customer_id": [1],
            "placed_at": pa.array([START + timedelta(days=2)], pa.timestamp("us")),
            "amount": [9.0],
            "kind": ["c"],
        }
    )
    tables["orders"] = pa.concat_tables([orders, late])
    updated = build_snapshot(source_of(tables), SHOP_SCHEMA, store)
    assert updated.manifest.read["orders"] == "full"
    assert updated.manifest.read["lines"] == "new rows"
    assert updated.rows("orders").column("order_id").to_pylist() == [1, 3, 2]
    assert updated.id == build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(tmp_path / "b")).id


@pytest.mark.parametrize("stages", [["1960-01-01", "1990-01-01", "2010-01-01"], ["2023-01-01"]])
def test_on_the_formula_1_database(relbench_f1: Path, tmp_path: Path, stages: list[str]) -> None:
    from datetime import datetime

    source = open_source(f"relbench:///{relbench_f1}", tmp_path)
    schema = infer_schema(source).schema
    store = SnapshotStore(tmp_path / "stages")
    for stage in stages:
        build_snapshot(source, schema, store, as_of=datetime.fromisoformat(stage))
    updated = build_snapshot(source, schema, store)
    assert updated.manifest.read["results"] == "new rows"
    assert updated.id == build_snapshot(source, schema, SnapshotStore(tmp_path / "scratch")).id
