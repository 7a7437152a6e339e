"""A graph holds what the database holds: every row a node, every key that finds its parent an edge, in order of time."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from forekey.errors import SchemaError
from forekey.graph import Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from forekey.source import infer_schema
from forekey.source.duck import DuckDBSource
from tests.support.databases import SHOP_SCHEMA, START, Tables, shops, source_of, with_copies_of_foreign_keys


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "snapshots")


def build(store: SnapshotStore, tables: dict[str, dict[str, list[Any]] | pa.Table]) -> Snapshot:
    """Build with an inferred schema."""
    source = source_of({n: t if isinstance(t, pa.Table) else pa.table(t) for n, t in tables.items()})
    return build_snapshot(source, infer_schema(source).schema, store)


@given(shops())
def test_edges_are_what_a_join_says(tables: Tables) -> None:
    with tempfile.TemporaryDirectory() as folder:
        told, schema = with_copies_of_foreign_keys(tables)
        snapshot = build_snapshot(source_of(told), schema, SnapshotStore(Path(folder)))
        for edge in snapshot.edge_types:
            keys = {k: i for i, k in enumerate(snapshot.keys(edge.parent).to_pylist())}
            wanted = [keys.get(k, -1) for k in snapshot.rows(edge.child).column(f"copy of {edge.column}").to_pylist()]
            assert snapshot.parents(edge).tolist() == wanted
            indptr, indices = snapshot.children(edge)
            for parent in range(snapshot.num_nodes(edge.parent)):
                mine = indices[indptr[parent] : indptr[parent + 1]].tolist()
                assert mine == [c for c, p in enumerate(wanted) if p == parent]


@given(shops())
def test_rows_are_numbered_in_the_order_of_time_and_visible_counts_them(tables: Tables) -> None:
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        times = snapshot.times("orders")
        assert times is not None
        assert (np.diff(times) >= 0).all()
        for day in range(-1, 22, 3):
            moment = to_micros(START + timedelta(days=day))
            assert snapshot.visible("orders", np.array([moment]))[0] == int((times <= moment).sum())
        assert snapshot.times("customers") is None
        assert snapshot.visible("customers", np.array([0]))[0] == snapshot.num_nodes("customers")


def test_the_order_in_which_the_source_gives_rows_does_not_matter(store: SnapshotStore, tmp_path: Path) -> None:
    rows = {"id": [3, 1, 2], "at": [START, START, START], "x": [1.0, None, 3.0]}
    turned = {k: v[::-1] for k, v in rows.items()}
    assert build(store, {"events": rows}).id == build(SnapshotStore(tmp_path / "other"), {"events": turned}).id


def test_keys_are_found_and_unknown_ones_are_not(store: SnapshotStore) -> None:
    names = ["a", "Ü", "o'b", "", "x" * 10_000]
    snapshot = build(store, {"users": {"user_id": [7, -3, 2**62]}, "things": {"thing_id": names}})
    assert snapshot.lookup("users", [-3, 7, 2**62, 8, "7", "x", None, 7.5]).tolist() == [0, 1, 2, -1, 1, -1, -1, -1]
    found = snapshot.lookup("things", [*names, "b", 5])
    assert [snapshot.keys("things")[int(i)].as_py() for i in found[:5]] == names
    assert found[5:].tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("rows", "nodes"),
    [
        ({"id": pa.array([], pa.int64()), "at": pa.array([], pa.timestamp("us"))}, 0),
        ({"id": [1], "at": [START]}, 1),
        ({"id": pa.array([None, None], pa.int64()), "at": [START, START]}, 2),
    ],
)
def test_empty_one_row_and_all_null_tables_build(store: SnapshotStore, rows: dict[str, Any], nodes: int) -> None:
    assert build(store, {"events": rows}).num_nodes("events") == nodes


def test_a_self_reference_and_a_cycle_are_edges_like_any_other(store: SnapshotStore) -> None:
    people = pa.table({"person_id": [1, 2, 3], "boss": [None, 1, 9], "team_id": [1, 1, 2]})
    teams = pa.table({"team_id": [1, 2], "lead": [2, 3]})
    column = lambda name: ColumnSchema(name, DType.INTEGER, Stype.ID)  # noqa: E731
    schema = Schema(
        (
            TableSchema(
                "people",
                (column("person_id"), column("boss"), column("team_id")),
                "person_id",
                foreign_keys=(ForeignKey("boss", "people"), ForeignKey("team_id", "teams")),
            ),
            TableSchema(
                "teams", (column("team_id"), column("lead")), "team_id", foreign_keys=(ForeignKey("lead", "people"),)
            ),
        )
    )
    snapshot = build_snapshot(source_of({"people": people, "teams": teams}), schema, store)
    counts = {n: (e.edges, e.null_keys, e.orphans) for n, e in snapshot.manifest.edges.items()}
    assert counts == {
        "people.boss->people": (1, 1, 1),
        "people.team_id->teams": (3, 0, 0),
        "teams.lead->people": (2, 0, 0),
    }


def test_names_with_blanks_quotes_capitals_and_reserved_words(store: SnapshotStore) -> None:
    connection = duckdb.connect()
    connection.execute('CREATE TABLE "select" ("Order" BIGINT PRIMARY KEY, "größe ""x""" DOUBLE)')
    connection.execute(
        'CREATE TABLE "my table" ("from" BIGINT REFERENCES "select"("Order"), "group at" TIMESTAMP, "Group" VARCHAR)'
    )
    connection.execute('INSERT INTO "select" VALUES (1, 2.5), (2, NULL)')
    connection.execute("INSERT INTO \"my table\" VALUES (1, '2024-01-01', 'a'), (NULL, '2024-01-02', 'b')")
    source = DuckDBSource("memory", connection)
    snapshot = build_snapshot(source, infer_schema(source).schema, store)
    entry = snapshot.manifest.edges["my table.from->select"]
    assert (entry.edges, entry.null_keys) == (1, 1)
    assert snapshot.rows("my table").column("Group").to_pylist() == ["a", "b"]


def test_timestamps_with_a_zone_become_utc_and_dates_become_midnight(store: SnapshotStore) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/New_York'")
    connection.execute("CREATE TABLE zoned (id BIGINT PRIMARY KEY, happened_at TIMESTAMPTZ)")
    connection.execute("INSERT INTO zoned VALUES (1, '2024-06-01 12:00:00+02')")
    connection.execute("CREATE TABLE dated (id BIGINT PRIMARY KEY, day DATE)")
    connection.execute("INSERT INTO dated VALUES (1, '2024-02-29')")
    source = DuckDBSource("memory", connection)
    snapshot = build_snapshot(source, infer_schema(source).schema, store)
    zoned, dated = snapshot.times("zoned"), snapshot.times("dated")
    assert zoned is not None
    assert dated is not None
    assert zoned.tolist() == [to_micros(datetime(2024, 6, 1, 10, tzinfo=UTC))]
    assert dated.tolist() == [to_micros(datetime(2024, 2, 29))]


def test_rows_of_the_future_wait_until_it_comes(store: SnapshotStore) -> None:
    snapshot = build(store, {"events": {"id": [1, 2], "at": [START, datetime(2999, 1, 1)]}})
    assert snapshot.num_nodes("events") == 1
    assert snapshot.as_of == START


def test_a_database_without_any_time_builds(store: SnapshotStore) -> None:
    snapshot = build(store, {"users": {"user_id": [1, 2]}, "pets": {"pet_id": [1], "user_id": [2]}})
    assert snapshot.as_of == datetime(1970, 1, 1)
    assert snapshot.num_edges(snapshot.edge_types[0]) == 1


def test_keys_of_mixed_type_meet_where_they_mean_the_same(store: SnapshotStore) -> None:
    orders = pa.table({"order_id": [1, 2, 3], "user_id": ["7", "8", "x"]})
    users = pa.table({"user_id": [7, 8]})
    schema = Schema(
        (
            TableSchema("users", (ColumnSchema("user_id", DType.INTEGER, Stype.ID),), "user_id"),
            TableSchema(
                "orders",
                (ColumnSchema("order_id", DType.INTEGER, Stype.ID), ColumnSchema("user_id", DType.TEXT, Stype.ID)),
                "order_id",
                foreign_keys=(ForeignKey("user_id", "users"),),
            ),
        )
    )
    snapshot = build_snapshot(source_of({"orders": orders, "users": users}), schema, store)
    assert snapshot.parents(snapshot.edge_types[0]).tolist() == [0, 1, -1]


def test_infinite_and_missing_numbers_are_kept_as_they_are(store: SnapshotStore) -> None:
    snapshot = build(store, {"events": {"id": [1, 2, 3, 4], "x": [float("inf"), float("nan"), None, 1e308]}})
    x = snapshot.rows("events").column("x")
    assert x.null_count == 1
    assert x[0].as_py() == float("inf")


def test_a_foreign_key_to_a_table_without_a_key_is_refused() -> None:
    with pytest.raises(SchemaError, match="no primary key"):
        Schema(
            (
                TableSchema("a", (ColumnSchema("x", DType.INTEGER, Stype.ID),)),
                TableSchema("b", (ColumnSchema("x", DType.INTEGER, Stype.ID),), foreign_keys=(ForeignKey("x", "a"),)),
            )
        )
