"""Invariant 5: every row read, quarantined or orphaned is counted, and the counts add up."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from forekey.graph import SnapshotStore, build_snapshot
from forekey.schema import DType, Schema, Stype
from tests.support.databases import SHOP_SCHEMA, START, Tables, cut, shops, source_of


@given(shops())
def test_rows_and_keys_add_up(tables: Tables) -> None:
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        for name, entry in snapshot.manifest.tables.items():
            assert entry.read == len(tables[name])
            assert entry.read == entry.nodes + entry.left_out
            assert snapshot.rows(name).num_rows == entry.nodes
        for edge in snapshot.edge_types:
            entry = snapshot.manifest.edges[str(edge)]
            assert snapshot.num_nodes(edge.child) == entry.edges + entry.null_keys + entry.orphans
            assert len(snapshot.children(edge)[1]) == entry.edges == int((snapshot.parents(edge) >= 0).sum())


@given(shops())
def test_each_reason_counts_what_it_names(tables: Tables) -> None:
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
    orders = tables["orders"].to_pylist()
    dated = [o for o in orders if o["placed_at"] is not None]
    keyed = [o for o in dated if o["order_id"] is not None]
    found = snapshot.manifest.tables["orders"].quarantined
    assert found.get("no time", 0) == len(orders) - len(dated)
    assert found.get("no key", 0) == len(dated) - len(keyed)
    assert found.get("duplicate key", 0) == len(keyed) - len({o["order_id"] for o in keyed})


MESSY = st.sampled_from(["1", " 2.5 ", "x", "", "nan", "1,5", None, "inf", "1e400"])
WORDS = st.sampled_from(["a|b", "a", "", None, "[a, b]", "a; b"])


def as_text(tables: Tables, amounts: list[str | None], words: list[str | None]) -> Tables:
    """Give orders amounts and kinds as text, dealt out by their keys."""
    orders = tables["orders"]
    keys = [0 if k is None else k for k in orders.column("order_id").to_pylist()]
    for place, name, values in ((3, "amount", amounts), (4, "kind", words)):
        column = [values[k % len(values)] for k in keys]
        orders = orders.set_column(place, name, pa.array(column, pa.string()))
    return {**tables, "orders": orders}


@given(shops(), st.lists(MESSY, min_size=3), st.lists(WORDS, min_size=3), st.integers(0, 20))
def test_what_does_not_read_as_its_type_is_counted_in_updates_too(
    tables: Tables, amounts: list[str | None], words: list[str | None], day: int
) -> None:
    orders = SHOP_SCHEMA.table("orders")
    stypes = {"amount": Stype.NUMERICAL, "kind": Stype.MULTICATEGORICAL}
    columns = tuple(
        replace(c, dtype=DType.TEXT, stype=stypes[c.name]) if c.name in stypes else c for c in orders.columns
    )
    schema = Schema(tuple(replace(t, columns=columns) if t.name == "orders" else t for t in SHOP_SCHEMA.tables))
    texts = as_text(tables, amounts, words)
    with tempfile.TemporaryDirectory() as folder:
        store = SnapshotStore(Path(folder) / "stages")
        build_snapshot(source_of(cut(texts, schema, START + timedelta(days=day))), schema, store)
        updated = build_snapshot(source_of(texts), schema, store)
        scratch = build_snapshot(source_of(texts), schema, SnapshotStore(Path(folder) / "scratch"))
        assert updated.id == scratch.id
        kept = dict(zip(updated.keys("orders").to_pylist(), updated.rows("orders").to_pylist(), strict=True))
        unread = updated.unreadable("orders")
        assert updated.manifest.tables["orders"].unreadable == {c: len(rows) for c, rows in unread.items()}
        bad = {updated.keys("orders")[int(r)].as_py() for r in unread.get("amount", ())}
        for key, row in kept.items():
            text = amounts[key % len(amounts)]
            assert (row["amount"] is None) == (text is None or key in bad)
            assert (key in bad) == (text in {"x", "", "1,5"})  # 1e400 reads as infinity, here and in SQL
            assert (row["kind"] is None) == (words[key % len(words)] is None)
