"""Snapshots on disk: named by contents, published whole, mapped on open, refused when damaged."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from forekey import pipeline
from forekey.errors import SnapshotError
from forekey.graph import SnapshotStore, build_snapshot, check_integrity
from tests.support.databases import SHOP_SCHEMA, START, source_of, table


def small(orders: int = 3):  # type: ignore[no-untyped-def]
    import pyarrow as pa

    return source_of(
        {
            "customers": pa.table({"customer_id": [1, 2], "region": ["a", None], "age": [1.0, 2.0]}),
            "orders": pa.table(
                {
                    "order_id": list(range(orders)),
                    "customer_id": [1] * orders,
                    "placed_at": pa.array([START] * orders, pa.timestamp("us")),
                    "amount": [1.0] * orders,
                    "kind": ["x"] * orders,
                }
            ),
            "lines": table({"order_id": pa.int64(), "added_at": pa.timestamp("us"), "quantity": pa.int64()}, []),
        }
    )


def test_equal_contents_have_one_id_and_share_their_files(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    first = build_snapshot(small(), SHOP_SCHEMA, store)
    files = sorted(p.name for p in (tmp_path / "files").iterdir())
    again = build_snapshot(small(), SHOP_SCHEMA, store, full=True)
    assert again.id == first.id
    assert sorted(p.name for p in (tmp_path / "files").iterdir()) == files
    assert build_snapshot(small(4), SHOP_SCHEMA, store).id != first.id


def test_arrays_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    snapshot = build_snapshot(small(), SHOP_SCHEMA, SnapshotStore(tmp_path))
    with pytest.raises(ValueError, match="read-only"):
        snapshot.parents(snapshot.edge_types[0])[0] = 5


def test_without_a_snapshot_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    assert store.current_or_none() is None
    with pytest.raises(SnapshotError, match="Run `forekey snapshot`"):
        store.current()


def test_a_file_cut_short_is_noticed_on_open(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    build_snapshot(small(), SHOP_SCHEMA, store)
    victim = max((tmp_path / "files").iterdir(), key=lambda p: p.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(SnapshotError, match="damaged"):
        store.current()


def test_a_flipped_byte_is_noticed_by_verify(tmp_path: Path) -> None:
    snapshot = build_snapshot(small(), SHOP_SCHEMA, SnapshotStore(tmp_path))
    victim = max((tmp_path / "files").iterdir(), key=lambda p: p.stat().st_size)
    contents = bytearray(victim.read_bytes())
    contents[len(contents) // 2] ^= 1
    victim.write_bytes(contents)
    with pytest.raises(SnapshotError, match="damaged"):
        snapshot.verify()


@pytest.mark.parametrize("change", [lambda m: "{", lambda m: "[]", lambda m: json.dumps({**m, "as_of": 5})])
def test_a_changed_manifest_is_refused(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    store = SnapshotStore(tmp_path)
    snapshot = build_snapshot(small(), SHOP_SCHEMA, store)
    (tmp_path / f"{snapshot.id}.json").write_text(change(snapshot.manifest.to_dict()))
    with pytest.raises(SnapshotError, match="damaged"):
        store.current()


def test_a_damaged_snapshot_is_built_again_from_the_source(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    first = build_snapshot(small(), SHOP_SCHEMA, store)
    for file in (tmp_path / "files").iterdir():
        file.write_bytes(b"")
    assert build_snapshot(small(), SHOP_SCHEMA, store).id == first.id
    store.current().verify()


def test_prune_keeps_the_current_snapshot_and_what_it_needs(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    build_snapshot(small(), SHOP_SCHEMA, store)
    kept = build_snapshot(small(5), SHOP_SCHEMA, store)
    assert len(store.ids()) == 2
    assert store.prune(0, min_age_seconds=0) == 1
    assert store.ids() == [kept.id]
    kept.verify()


def test_a_failed_build_leaves_the_last_snapshot(tmp_path: Path) -> None:
    from forekey.errors import SourceError

    store = SnapshotStore(tmp_path)
    first = build_snapshot(small(), SHOP_SCHEMA, store)
    broken = source_of({"customers": small().query(_all("customers")).read_all()})
    with pytest.raises(SourceError):
        build_snapshot(broken, SHOP_SCHEMA, store)
    assert store.current().id == first.id


def _all(name: str):  # type: ignore[no-untyped-def]
    from sqlglot import exp

    return exp.select("*").from_(name)


def test_integrity_lists_what_was_left_out(tmp_path: Path) -> None:
    import pyarrow as pa

    source = source_of(
        {
            "customers": pa.table({"customer_id": [1, 1, None], "region": ["a", "b", "c"], "age": [1.0, 2.0, 3.0]}),
            "orders": pa.table(
                {
                    "order_id": [1, 2],
                    "customer_id": [5, 6],
                    "placed_at": pa.array([START, None], pa.timestamp("us")),
                    "amount": pa.array([None, None], pa.float64()),
                    "kind": ["x", "y"],
                }
            ),
            "lines": table({"order_id": pa.int64(), "added_at": pa.timestamp("us"), "quantity": pa.int64()}, []),
        }
    )
    found = check_integrity(build_snapshot(source, SHOP_SCHEMA, SnapshotStore(tmp_path)))
    assert [f.where for f in found.errors] == ["orders.customer_id->customers"]
    said = {(f.where, f.what.split(":")[0]) for f in found.warnings}
    assert {("customers", "duplicate key"), ("customers", "no key"), ("orders", "no time")} <= said
    assert ("lines", "the table is empty") in said
    assert ("orders.amount", "all values are NULL, or none reads as its column type") in said
    assert all(f.how for f in (*found.errors, *found.warnings))


def test_who_waited_to_build_reads_what_is_there_then(tmp_path: Path) -> None:
    """Another process builds from newer rows meanwhile; what it published must not be followed by something older."""
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO t VALUES (1)")
    project = pipeline.init(str(tmp_path / "a.duckdb"), tmp_path).workspace
    with ThreadPoolExecutor(1) as other:
        with project.snapshots.building():
            waiting = other.submit(pipeline.snapshot, project)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
                connection.execute("INSERT INTO t VALUES (2)")
        assert waiting.result(timeout=60).num_nodes("t") == 2
