"""Builds that once broke, or said what was not so."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from forekey.errors import SchemaError, SnapshotError, SourceError
from forekey.graph import SnapshotStore, build_snapshot
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from forekey.source import infer_schema, open_source
from forekey.source.duck import DuckDBSource
from tests.support.databases import START, source_of


def test_an_infinite_moment_is_no_moment(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE events (id BIGINT PRIMARY KEY, happened_at TIMESTAMP)")
    connection.execute("INSERT INTO events VALUES (1, '2024-01-01'), (2, 'infinity'), (3, '-infinity'), (4, NULL)")
    source = DuckDBSource("memory", connection)
    schema = infer_schema(source).schema
    snapshot = build_snapshot(source, schema, SnapshotStore(tmp_path))
    assert snapshot.num_nodes("events") == 1
    assert snapshot.manifest.tables["events"].quarantined["no time"] >= 2
    assert build_snapshot(source, schema, SnapshotStore(tmp_path)).id == snapshot.id


def test_a_moment_declared_as_the_key_is_taken_as_time(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE days (day DATE PRIMARY KEY, sales DOUBLE)")
    connection.execute("INSERT INTO days VALUES ('2024-01-01', 1), ('2024-01-02', 2)")
    source = DuckDBSource("memory", connection)
    inference = infer_schema(source)
    assert inference.schema.table("days").primary_key is None
    assert inference.schema.table("days").time_column == "day"
    assert build_snapshot(source, inference.schema, SnapshotStore(tmp_path)).num_nodes("days") == 2
    with pytest.raises(SchemaError, match="cannot be a key and the time column at once"):
        TableSchema("days", (ColumnSchema("day", DType.TIMESTAMP, Stype.ID),), "day", "day")


def test_a_time_column_set_to_ignore_still_tells_the_time(tmp_path: Path) -> None:
    source = source_of(
        {"events": pa.table({"id": [2, 1], "at": pa.array([START, START + timedelta(days=1)], pa.timestamp("us"))})}
    )
    columns = (ColumnSchema("id", DType.INTEGER, Stype.ID), ColumnSchema("at", DType.TIMESTAMP, Stype.IGNORE))
    snapshot = build_snapshot(source, Schema((TableSchema("events", columns, "id", "at"),)), SnapshotStore(tmp_path))
    assert snapshot.keys("events").to_pylist() == [2, 1]


def test_integers_that_arrive_as_floats_still_refer(tmp_path: Path) -> None:
    users = pa.table({"user_id": [1, 2, 3]})
    visits = pa.table({"visit_id": [1, 2, 3, 4], "user_id": [1.0, None, 3.0, 2.5]})
    source = source_of({"users": users, "visits": visits.slice(0, 3)})
    schema = infer_schema(source).schema
    assert [str(e) for e in schema.edge_types] == ["visits.user_id->users"]
    snapshot = build_snapshot(source_of({"users": users, "visits": visits}), schema, SnapshotStore(tmp_path))
    assert snapshot.parents(schema.edge_types[0]).tolist() == [0, -1, 2, -1]


def test_keys_are_not_rounded_into_others(tmp_path: Path) -> None:
    users = pa.table({"user_id": [7, 8, 1000]})
    visits = pa.table({"visit_id": [1, 2, 3, 4, 5, 6], "user_id": ["7", "7.5", "8.0", " 7 ", "x", "1e3"]})
    columns = (ColumnSchema("visit_id", DType.INTEGER, Stype.ID), ColumnSchema("user_id", DType.TEXT, Stype.ID))
    schema = Schema(
        (
            TableSchema("users", (ColumnSchema("user_id", DType.INTEGER, Stype.ID),), "user_id"),
            TableSchema("visits", columns, "visit_id", foreign_keys=(ForeignKey("user_id", "users"),)),
        )
    )
    snapshot = build_snapshot(source_of({"users": users, "visits": visits}), schema, SnapshotStore(tmp_path))
    assert snapshot.parents(schema.edge_types[0]).tolist() == [0, -1, 1, 0, -1, 2]


def test_building_the_same_again_keeps_where_it_came_from(tmp_path: Path) -> None:
    users = pa.table({"user_id": [1, 2]})
    source = source_of({"users": users})
    schema, store = infer_schema(source).schema, SnapshotStore(tmp_path)
    first = build_snapshot(source, schema, store)
    more = source_of({"users": pa.table({"user_id": [1, 2, 3]})})
    second = build_snapshot(more, schema, store)
    again = build_snapshot(more, schema, store)
    assert again.id == second.id
    assert again.manifest.parent == second.manifest.parent == first.id


def test_an_array_of_nonsense_of_the_right_size_is_a_damaged_snapshot(tmp_path: Path) -> None:
    source = source_of({"users": pa.table({"user_id": [1, 2]})})
    build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path))
    for file in (tmp_path / "files").iterdir():
        contents = file.read_bytes()
        file.write_bytes(b"\0" * len(contents))
        with pytest.raises(SnapshotError, match="damaged"):
            SnapshotStore(tmp_path).current().verify()
        file.write_bytes(contents)
    SnapshotStore(tmp_path).current().verify()


def test_an_open_snapshot_stays_readable_when_its_files_are_pruned(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    source = source_of({"users": pa.table({"user_id": [1, 2]})})
    held = build_snapshot(source, infer_schema(source).schema, store)
    build_snapshot(source_of({"users": pa.table({"user_id": [5]})}), held.schema, store)
    assert store.prune(0, min_age_seconds=0) == 1
    assert held.lookup("users", [2, 5]).tolist() == [1, -1]
    assert held.keys("users").to_pylist() == [1, 2]


def test_which_of_two_rows_with_one_key_stays_does_not_depend_on_their_order(tmp_path: Path) -> None:
    rows = pa.table({"user_id": [1, 1, 2], "name": ["b", "a", "c"]})
    schema = infer_schema(source_of({"users": pa.table({"user_id": [1, 2], "name": ["b", "c"]})})).schema
    ids = {
        build_snapshot(source_of({"users": rows.take(pa.array(order))}), schema, SnapshotStore(tmp_path / str(i))).id
        for i, order in enumerate(([0, 1, 2], [2, 1, 0], [1, 0, 2]))
    }
    assert len(ids) == 1


def test_a_full_build_mends_files_that_were_damaged_at_their_length(tmp_path: Path) -> None:
    source = source_of({"users": pa.table({"user_id": [1, 2]})})
    first = build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path))
    for file in (tmp_path / "files").iterdir():
        file.write_bytes(b"\0" * file.stat().st_size)
    assert build_snapshot(source, first.schema, SnapshotStore(tmp_path), full=True).id == first.id
    SnapshotStore(tmp_path).current().verify()


def test_long_texts_are_sorted_partly_on_disk(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE notes AS SELECT i::BIGINT AS id, TIMESTAMP '2020-01-01' + INTERVAL (hash(i) % 1000000) SECOND AS "
        "written, repeat(md5(i::VARCHAR), 40) AS body FROM range(200000) t(i)"
    )
    source = DuckDBSource("memory", connection)
    columns = (
        ColumnSchema("id", DType.INTEGER, Stype.ID),
        ColumnSchema("written", DType.TIMESTAMP, Stype.TIMESTAMP),
        ColumnSchema("body", DType.TEXT, Stype.TEXT),
    )
    schema = Schema((TableSchema("notes", columns, "id", "written"),))
    assert build_snapshot(source, schema, SnapshotStore(tmp_path)).num_nodes("notes") == 200_000


def test_many_small_tables_do_not_use_up_file_descriptors(tmp_path: Path) -> None:
    tables = {f"t{i}": pa.table({"id": [1, 2], "x": [1.0, 2.0]}) for i in range(60)}
    source = source_of(tables)
    schema = infer_schema(source).schema
    before = len(list(Path("/proc/self/fd").iterdir()))
    held = build_snapshot(source, schema, SnapshotStore(tmp_path))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3
    assert held.lookup("t7", [2]).tolist() == [1]


def test_what_the_source_says_midway_is_what_the_build_says(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "t.duckdb")) as connection:
        connection.execute(
            "CREATE VIEW t AS SELECT i::INT AS id, CASE WHEN i < 60000 THEN '1' ELSE 'sixty' END::INT AS x "
            "FROM range(60001) r(i)"
        )
    source = open_source(str(tmp_path / "t.duckdb"), tmp_path)
    columns = (ColumnSchema("id", DType.INTEGER, Stype.ID), ColumnSchema("x", DType.INTEGER, Stype.NUMERICAL))
    with pytest.raises((SourceError, SnapshotError)) as caught:
        build_snapshot(source, Schema((TableSchema("t", columns, "id"),)), SnapshotStore(tmp_path / "s"))
    assert "\n" not in str(caught.value)


def test_parts_of_a_key_that_hold_commas_are_told_apart(tmp_path: Path) -> None:
    columns = (
        ColumnSchema("a", DType.TEXT, Stype.CATEGORICAL),
        ColumnSchema("b", DType.TEXT, Stype.CATEGORICAL),
        ColumnSchema.composite(["a", "b"]),
    )
    schema = Schema((TableSchema("t", columns, "a, b"),))
    source = source_of({"t": pa.table({"a": ["x,y", "x", "x\\"], "b": ["z", "y,z", ",z"]})})
    snapshot = build_snapshot(source, schema, SnapshotStore(tmp_path))
    assert snapshot.num_nodes("t") == 3
    assert sorted(snapshot.keys("t").to_pylist()) == ["x,y\\,z", "x\\,y,z", "x\\\\,\\,z"]


def test_lists_with_missing_elements_are_canonical(tmp_path: Path) -> None:
    rows = [[None, 3.0], [1.0, 2.0], None, [], [4.0, None]] * 20
    columns = (
        ColumnSchema("id", DType.INTEGER, Stype.ID),
        ColumnSchema("at", DType.TIMESTAMP, Stype.TIMESTAMP),
        ColumnSchema("e", DType.LIST, Stype.EMBEDDING),
    )
    schema = Schema((TableSchema("t", columns, "id", "at"),))

    def source(count: int) -> DuckDBSource:
        at = pa.array([START + timedelta(hours=i) for i in range(count)], pa.timestamp("us"))
        return source_of(
            {"t": pa.table({"id": range(count), "at": at, "e": pa.array(rows[:count], pa.list_(pa.float32()))})}
        )

    store = SnapshotStore(tmp_path / "a")
    for count in (10, 50, 63, 65, 100):
        updated = build_snapshot(source(count), schema, store)
        assert updated.rows("t").column("e").to_pylist() == rows[:count]
        assert updated.id == build_snapshot(source(count), schema, SnapshotStore(tmp_path / str(count))).id
