"""Updates: what changed, however it changed, is seen, named and counted; what did not is not read again."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey import pipeline
from forekey.errors import SnapshotError
from forekey.graph import ReadSettings, Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.schema import ColumnSchema, DType, ForeignKey, OnOrphan, Schema, Stype, TableSchema
from tests.support.databases import SHOP_SCHEMA, START, Tables, source_of
from tests.support.random_rows import NUMBERS, RandomRows

DAY = timedelta(days=1)


def shop(
    customers: dict[int, str] | None = None, orders: list[tuple[int, int, float]] | None = None, lines: int = 0
) -> Tables:
    """Customers with a region, orders as (id, customer, day)."""
    customers = {1: "north", 2: "south"} if customers is None else customers
    orders = [(10, 1, 0), (11, 2, 1), (12, 9, 2)] if orders is None else orders
    return {
        "customers": pa.table(
            {"customer_id": list(customers), "region": list(customers.values()), "age": [30.0] * len(customers)}
        ),
        "orders": pa.table(
            {
                "order_id": pa.array([o for o, _, _ in orders], pa.int64()),
                "customer_id": pa.array([c for _, c, _ in orders], pa.int64()),
                "placed_at": pa.array([START + d * DAY for _, _, d in orders], pa.timestamp("us")),
                "amount": pa.array([float(o) for o, _, _ in orders], pa.float64()),
                "kind": pa.array(["a"] * len(orders), pa.string()),
            }
        ),
        "lines": pa.table(
            {
                "order_id": pa.array([10] * lines, pa.int64()),
                "added_at": pa.array([START] * lines, pa.timestamp("us")),
                "quantity": pa.array(range(lines), pa.int64()),
            }
        ),
    }


class Project:
    """One store that snapshots follow one another in, and a scratch build to hold the last against."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = SnapshotStore(folder / "updated")

    def build(self, tables: Tables, schema: Schema = SHOP_SCHEMA, **options: Any) -> Snapshot:
        return build_snapshot(source_of(tables), schema, self.store, **options)

    def scratch(self, tables: Tables, schema: Schema = SHOP_SCHEMA) -> Snapshot:
        return build_snapshot(source_of(tables), schema, SnapshotStore(self.folder / "scratch"), full=True)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


ORDERS = "orders.customer_id->customers"


def test_an_orphan_becomes_an_edge_when_its_parent_arrives(project: Project) -> None:
    before = project.build(shop())
    assert before.manifest.edges[ORDERS].orphans == 1
    after = project.build(shop({1: "north", 2: "south", 9: "east"}))
    assert after.manifest.read["orders"] == "new rows"
    assert after.manifest.edges[ORDERS].orphans == 0
    assert after.id == project.scratch(shop({1: "north", 2: "south", 9: "east"})).id


def test_edges_of_a_parent_that_is_gone_are_orphans(project: Project) -> None:
    project.build(shop())
    after = project.build(shop({2: "south"}))
    assert after.manifest.read["orders"] == "new rows"
    assert after.manifest.edges[ORDERS].orphans == 2
    assert after.id == project.scratch(shop({2: "south"})).id
    again = project.build(shop())
    assert again.id == project.scratch(shop()).id


def test_rows_within_the_look_back_are_read_again(project: Project) -> None:
    settings = {"orders": ReadSettings(lookback_days=1.5)}
    project.build(shop(), settings=settings)
    late = shop(orders=[(10, 1, 0), (11, 2, 1), (13, 2, 1.5), (12, 1, 2)])
    after = project.build(late, settings=settings)
    assert after.manifest.read["orders"] == "new rows"
    assert after.id == project.scratch(late).id


def test_rows_older_than_the_look_back_make_the_table_be_read_whole(project: Project) -> None:
    project.build(shop())
    late = shop(orders=[(10, 1, 0), (13, 2, 0.5), (11, 2, 1), (12, 1, 2)])
    after = project.build(late, settings={"orders": ReadSettings(lookback_days=1)})
    assert after.manifest.read["orders"] == "full"
    assert after.id == project.scratch(late).id


@pytest.mark.parametrize(
    "orders",
    [
        pytest.param([(13, 2, 0.5), (11, 2, 1), (12, 9, 2)], id="one gone, one late"),
        pytest.param([(14, 1, 0), (11, 2, 1), (12, 9, 2)], id="another key"),
        pytest.param([(10, 1, 0.5), (11, 2, 1), (12, 9, 2)], id="another time"),
        pytest.param([(11, 1, 0), (10, 2, 1), (12, 9, 2)], id="keys swapped"),
    ],
)
def test_changes_that_leave_the_count_as_it_was_are_seen(
    project: Project, orders: list[tuple[int, int, float]]
) -> None:
    project.build(shop())
    after = project.build(shop(orders=[*orders, (20, 1, 5)]))
    assert after.manifest.read["orders"] == "full"
    assert after.id == project.scratch(shop(orders=[*orders, (20, 1, 5)])).id


def test_foreign_keys_are_seen_to_change_in_a_table_without_a_key(project: Project) -> None:
    project.build(shop(lines=3))
    other = shop(lines=3)
    other["lines"] = other["lines"].set_column(0, "order_id", pa.array([10, 11, 10], pa.int64()))
    after = project.build(other)
    assert after.manifest.read["lines"] == "full"
    assert after.id == project.scratch(other).id


def test_another_look_back_reads_the_table_whole_once(project: Project) -> None:
    project.build(shop())
    settings = {"orders": ReadSettings(lookback_days=1.5)}
    assert project.build(shop(), settings=settings).manifest.read["orders"] == "full"
    assert project.build(shop(), settings=settings).manifest.read["orders"] == "new rows"


def test_full_sees_values_that_changed_in_place(project: Project) -> None:
    project.build(shop())
    changed = shop(orders=[(10, 2, 0), (11, 2, 1), (12, 9, 2)])
    assert project.build(changed).manifest.read["orders"] == "new rows"
    assert project.build(changed, full=True).id == project.scratch(changed).id


def test_former_contents_of_a_row_without_time_stay_what_the_past_sees(project: Project) -> None:
    first = project.build(shop())
    grown = shop({1: "east", 2: "south"}, [(10, 1, 0), (11, 2, 1), (12, 9, 2), (14, 1, 5)])
    second = project.build(grown)
    seen = to_micros(second.as_of)
    assert second.rows_at("customers", seen).column("region").to_pylist() == ["east", "south"]
    assert second.rows_at("customers", seen - 1).column("region").to_pylist() == ["north", "south"]
    last = shop({0: "new", 1: "west", 2: "south"}, [(10, 1, 0), (14, 1, 5), (15, 1, 9)])
    third = project.build(last)
    told = [third.rows_at("customers", m).column("region").to_pylist() for m in (to_micros(first.as_of), seen, 2**62)]
    assert told == [["new", "north", "south"], ["new", "east", "south"], ["new", "west", "south"]]
    assert project.build(last, full=True).id == third.id


def test_contents_that_came_and_went_at_one_moment_were_never_seen(project: Project) -> None:
    project.build(shop())
    project.build(shop({1: "east", 2: "south"}))
    last = project.build(shop({1: "west", 2: "south"}))
    moment = to_micros(last.as_of)
    assert last.rows_at("customers", moment - 1).column("region").to_pylist() == ["north", "south"]
    assert last.rows_at("customers", moment).column("region").to_pylist() == ["west", "south"]


def test_contents_at_follows_a_plain_reading(project: Project) -> None:
    """Every row at every moment has the contents of the newest snapshot at or before it (the first, before all)."""
    random = np.random.default_rng(3)
    history = []
    for day in range(12):
        customers = {k: str(random.choice(["n", "e", "s", "w"])) for k in range(8)}
        history.append((START + (day + 5) * DAY, customers))
        last = project.build(shop(customers, [(0, 0, 0), (100 + day, 1, day + 5)]))
    rows = random.integers(0, 8, 500).astype(np.int32)
    days = random.uniform(0, 20, 500)
    moments = np.array([to_micros(START + float(d) * DAY) for d in days], np.int64)
    contents = last.contents_at("customers", rows, moments)
    told = last.all_contents("customers").column("region").take(pa.array(contents)).to_pylist()
    for row, moment, region in zip(rows, moments, told, strict=True):
        past = [c for m, c in history if to_micros(m) <= moment]
        assert region == (past[-1] if past else history[0][1])[int(row)]


def with_column(schema: Schema, table: str, column: ColumnSchema) -> Schema:
    return Schema(tuple(replace(t, columns=(*t.columns, column)) if t.name == table else t for t in schema.tables))


def test_a_new_column_is_named_and_only_its_table_read_whole(project: Project) -> None:
    project.build(shop())
    tables = shop()
    tables["customers"] = tables["customers"].append_column("vip", pa.array([True, False]))
    schema = with_column(SHOP_SCHEMA, "customers", ColumnSchema("vip", DType.BOOLEAN, Stype.BOOLEAN))
    after = project.build(tables, schema)
    assert after.manifest.changes == ["customers: column 'vip' added"]
    assert after.manifest.read == {"customers": "full", "orders": "new rows", "lines": "full"}
    scratch = project.scratch(tables, schema)
    assert after.rows("customers").equals(scratch.rows("customers"))
    before = after.rows_at("customers", after.manifest.as_of - 1)
    assert before.column("vip").to_pylist() == [None, None]
    assert scratch.rows_at("customers", after.manifest.as_of - 1).column("vip").to_pylist() == [True, False]
    back = project.build(shop())
    assert back.manifest.changes == ["customers: column 'vip' dropped"]
    assert back.rows("customers").equals(project.scratch(shop()).rows("customers"))


def test_former_contents_stay_when_the_key_changes_its_type(project: Project) -> None:
    project.build(shop())
    moved = shop()
    moved["customers"] = moved["customers"].set_column(1, "region", pa.array(["x", "y"]))
    seen = project.build(moved)
    assert seen.versions("customers") is not None
    texts = dict(moved)
    keys = moved["customers"].column("customer_id")
    texts["customers"] = moved["customers"].set_column(0, "customer_id", keys.cast(pa.string()))
    columns = tuple(
        replace(c, dtype=DType.TEXT) if c.name == "customer_id" else c for c in SHOP_SCHEMA.table("customers").columns
    )
    customers = replace(SHOP_SCHEMA.table("customers"), columns=columns)
    schema = Schema(tuple(customers if t.name == "customers" else t for t in SHOP_SCHEMA.tables))
    after = project.build(texts, schema)
    past = after.rows_at("customers", seen.manifest.as_of - 1).column("region").to_pylist()
    assert past == shop()["customers"].column("region").to_pylist()
    assert after.rows("customers").column("region").to_pylist() == ["x", "y"]


def test_a_full_build_ends_where_the_data_end(project: Project) -> None:
    late = shop()
    extra = late["orders"].slice(0, 1).set_column(0, "order_id", pa.array([777]))
    place = extra.column_names.index("placed_at")
    extra = extra.set_column(place, "placed_at", pa.array([START + timedelta(days=400)], pa.timestamp("us")))
    project.build({**late, "orders": pa.concat_tables([late["orders"], extra])})
    assert project.build(shop()).as_of > project.scratch(shop()).as_of
    assert project.build(shop(), full=True).as_of == project.scratch(shop()).as_of


def test_what_the_source_got_and_nobody_named_is_told(project: Project) -> None:
    project.build(shop())
    more = {**shop(), "extras": pa.table({"id": [1]})}
    more["customers"] = more["customers"].append_column("vip", pa.array([True, False]))
    assert project.build(more).manifest.changes == [
        "customers: column 'vip' added in the source; forekey.yaml does not name it",
        "table 'extras' added in the source; forekey.yaml does not name it",
    ]


def test_what_nobody_named_is_told_when_it_first_appears_and_not_again(project: Project) -> None:
    with_extras = {**shop(), "extras": pa.table({"id": [1]})}
    project.build(with_extras)
    more = dict(with_extras)
    more["customers"] = more["customers"].append_column("vip", pa.array([True, False]))
    told = "customers: column 'vip' added in the source; forekey.yaml does not name it"
    assert project.build(more).manifest.changes == [told]
    assert project.build(more).manifest.changes == []
    more["extras"] = pa.table({"id": [1], "colour": ["red"]})
    assert project.build(more).manifest.changes == [], "a table that is not named may grow as it likes"
    more["orders"] = more["orders"].slice(1)
    assert project.build(more, full=True).manifest.changes == []
    more["orders"] = more["orders"].append_column("colour", pa.array(["red"] * len(more["orders"])))
    assert [c for c in project.build(more).manifest.changes if "vip" in c] == []


def test_columns_that_a_new_table_had_from_the_start_are_not_told_once_it_is_named(project: Project) -> None:
    named = Schema(tuple(t for t in SHOP_SCHEMA.tables if t.name != "lines"))
    without = {name: rows for name, rows in shop().items() if name != "lines"}
    project.build(without, named)
    tables = shop(lines=3)
    tables["lines"] = tables["lines"].append_column("unnamed", pa.array(["x"] * len(tables["lines"])))
    assert project.build(tables, named).manifest.changes == [
        "table 'lines' added in the source; forekey.yaml does not name it"
    ]
    assert project.build(tables).manifest.changes == ["table 'lines' added"]
    assert project.build(tables).manifest.changes == []


def test_a_changed_key_makes_all_who_refer_to_it_be_read_whole(project: Project) -> None:
    tables = shop()
    tables["customers"] = tables["customers"].append_column("number", pa.array([9, 1]))
    project.build(tables)
    customers = replace(
        SHOP_SCHEMA.table("customers"),
        columns=(*SHOP_SCHEMA.table("customers").columns, ColumnSchema("number", DType.INTEGER, Stype.ID)),
        primary_key="number",
    )
    schema = Schema((customers, *SHOP_SCHEMA.tables[1:]))
    after = project.build(tables, schema)
    assert "customers: primary_key was customer_id, is number" in after.manifest.changes
    assert after.manifest.read["orders"] == "full"
    assert after.id == project.scratch(tables, schema).id


def test_a_table_that_comes_or_goes_is_named(project: Project) -> None:
    project.build(shop(lines=3))
    fewer = Schema(SHOP_SCHEMA.tables[:2])
    assert project.build(shop(lines=3), fewer).manifest.changes == ["table 'lines' dropped"]
    after = project.build(shop(lines=3))
    assert after.manifest.changes == ["table 'lines' added"]
    assert after.id == project.scratch(shop(lines=3)).id


def test_blocks_that_did_not_change_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from forekey.graph import block_store, build, table_writer

    for module in (build, table_writer):
        monkeypatch.setattr(module, "ROW_BLOCK", 64)
    monkeypatch.setattr(block_store, "ARRAY_BLOCK", 4096)  # a page of int8 at least
    project = Project(tmp_path)
    orders = [(i, 1 + i % 2, i / 100) for i in range(10_000)]
    first = project.build(shop(orders=orders[:9000], lines=70))
    second = project.build(shop(orders=orders, lines=70))
    assert second.manifest.tables["orders"].rows[:140] == first.manifest.tables["orders"].rows[:140]
    assert len(second.blocks("orders")) == 157
    assert second.id == project.scratch(shop(orders=orders, lines=70)).id
    assert second.rows("orders").column("order_id").to_pylist() == [o for o, _, _ in orders]
    assert second.times("orders").tolist() == [to_micros(START + d * DAY) for _, _, d in orders]  # type: ignore[union-attr]
    assert second.lookup("orders", [0, 9999, 10_000]).tolist() == [0, 9999, -1]


def with_policy(policy: OnOrphan) -> Schema:
    orders = SHOP_SCHEMA.table("orders")
    keys = tuple(replace(fk, on_orphan=policy) for fk in orders.foreign_keys)
    return Schema((SHOP_SCHEMA.tables[0], replace(orders, foreign_keys=keys), SHOP_SCHEMA.tables[2]))


def test_a_foreign_key_may_make_placeholders_for_parents_that_are_not_there(project: Project) -> None:
    schema = with_policy(OnOrphan.CREATE)
    built = project.build(shop(), schema)
    assert built.keys("customers").to_pylist() == [1, 2, 9]
    assert built.rows("customers").column("region").to_pylist() == ["north", "south", None]
    assert built.manifest.edges[ORDERS].orphans == 0
    entry = built.manifest.tables["customers"]
    assert entry.nodes == entry.read - entry.left_out + entry.placeholders
    grown = shop({1: "north", 2: "south", 9: "east"}, [(10, 1, 0), (11, 2, 1), (12, 9, 2), (13, 7, 3)])
    after = project.build(grown, schema)
    assert after.manifest.read["orders"] == "new rows"
    assert after.keys("customers").to_pylist() == [1, 2, 7, 9]
    scratch = project.scratch(grown, schema)
    assert after.manifest.edges[ORDERS].edges == 4
    assert after.rows("customers").equals(scratch.rows("customers"))
    assert after.parents(after.edge_types[0]).tolist() == scratch.parents(scratch.edge_types[0]).tolist()


def test_placeholders_of_text_keys_appear_with_the_first_row_that_names_them(tmp_path: Path) -> None:
    users = pa.table({"name": ["ada"], "joined_at": pa.array([START], pa.timestamp("us"))})
    days = [START + d * DAY for d in (5, 3, 4)]
    visits = pa.table({"at": pa.array(days, pa.timestamp("us")), "who": ["bob", "bob ", "ada"]})
    schema = Schema(
        (
            TableSchema(
                "users",
                (
                    ColumnSchema("name", DType.TEXT, Stype.ID),
                    ColumnSchema("joined_at", DType.TIMESTAMP, Stype.TIMESTAMP),
                ),
                "name",
                "joined_at",
            ),
            TableSchema(
                "visits",
                (ColumnSchema("at", DType.TIMESTAMP, Stype.TIMESTAMP), ColumnSchema("who", DType.TEXT, Stype.ID)),
                None,
                "at",
                (ForeignKey("who", "users", OnOrphan.CREATE),),
            ),
        )
    )
    built = build_snapshot(source_of({"users": users, "visits": visits}), schema, SnapshotStore(tmp_path))
    assert built.keys("users").to_pylist() == ["ada", "bob "]
    assert built.times("users").tolist() == [to_micros(START), to_micros(START + 3 * DAY)]  # type: ignore[union-attr]
    assert built.parents(schema.edge_types[0]).tolist() == [1, 0, 1]


def test_a_foreign_key_may_refuse_orphans_and_the_last_snapshot_stays(project: Project) -> None:
    fine = shop({1: "north", 2: "south", 9: "east"})
    before = project.build(fine, with_policy(OnOrphan.FAIL))
    with pytest.raises(SnapshotError, match=r"orders.customer_id: 1 keys are found in no row of 'customers'"):
        project.build(shop(), with_policy(OnOrphan.FAIL))
    assert project.store.current().id == before.id


def changing(rows: list[tuple[int, int, float, float | None, float | None]]) -> Tables:
    """Orders as (id, customer, day placed, day changed, day deleted)."""
    tables = shop(orders=[(o, c, d) for o, c, d, _, _ in rows])
    for name, at in (("changed_at", 3), ("gone_at", 4)):
        moments = [None if r[at] is None else START + float(str(r[at])) * DAY for r in rows]
        tables["orders"] = tables["orders"].append_column(name, pa.array(moments, pa.timestamp("us")))
    return tables


SETTINGS = {"orders": ReadSettings(updated_at="changed_at", deleted_at="gone_at")}


def test_rows_that_changed_or_were_deleted_are_read_and_no_others(project: Project) -> None:
    first = changing([(i, 1 + i % 2, i, i, None) for i in range(10)])
    project.build(first, settings=SETTINGS)
    rows: list[tuple[int, int, float, float | None, float | None]] = [
        (i, 1 + i % 2, i, i, None) for i in range(10) if i not in (4, 6)
    ]
    later = changing([*rows, (4, 2, 4.5, 11, None), (6, 1, 6, 6, 11), (20, 2, 12, 12, None)])
    after = project.build(later, settings=SETTINGS)
    assert after.manifest.read["orders"] == "new and changed rows"
    assert after.rows("orders").column("order_id").to_pylist() == [0, 1, 2, 3, 4, 5, 7, 8, 9, 20]
    assert after.manifest.tables["orders"].quarantined == {"deleted": 1}
    scratch = build_snapshot(
        source_of(later), SHOP_SCHEMA, SnapshotStore(project.folder / "scratch"), settings=SETTINGS, full=True
    )
    assert after.id == scratch.id
    assert after.manifest.tables["orders"].read == scratch.manifest.tables["orders"].read == 11
    assert project.build(later, settings=SETTINGS).id == scratch.id


def test_when_the_first_of_two_rows_with_one_key_is_deleted_the_second_takes_its_place(project: Project) -> None:
    rows: list[tuple[int, int, float, float | None, float | None]] = [(i, 1, i, i, None) for i in range(6)]
    project.build(changing([*rows, (2, 2, 4, 4, None)]), settings=SETTINGS)
    later = changing([*rows[:2], (2, 1, 2, 2, 6), *rows[3:], (2, 2, 4, 4, None), (7, 1, 7, 7, None)])
    after = project.build(later, settings=SETTINGS)
    scratch = build_snapshot(
        source_of(later), SHOP_SCHEMA, SnapshotStore(project.folder / "scratch"), settings=SETTINGS
    )
    assert after.id == scratch.id
    assert after.rows("orders").column("order_id").to_pylist() == [0, 1, 3, 2, 4, 5, 7]


@given(NUMBERS)
def test_whatever_is_marked_as_changed_or_deleted_the_update_equals_a_build_from_scratch(number: int) -> None:
    r = RandomRows(number)
    start = [(o, r.integer(0, 4), r.integer(0, 20)) for o in r.different(31, 31)]
    steps = [
        (r.integer(0, 30), r.one("change", "delete", "add", none=0.0), r.integer(0, 30)) for _ in range(r.size(20))
    ]
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        rows: dict[int, tuple[int, int, float, float | None, float | None]] = {
            o: (o, c, d, d, None) for o, c, d in start
        }
        rows[99] = (99, 1, 21, 21, None)
        project.build(changing(list(rows.values())), settings=SETTINGS)
        for order, what, day in steps:
            if what == "add" or order not in rows:
                rows[order + 100] = (order + 100, day % 4, 22 + day, 22 + day, None)
            elif what == "delete":
                rows[order] = (*rows[order][:4], 22.0 + day)
            else:
                rows[order] = (order, day % 4, min(day, 21), 22.0 + day, rows[order][4])
        rows[98] = (98, 2, 60, 60, None)
        tables = changing(list(rows.values()))
        updated = project.build(tables, settings=SETTINGS)
        scratch = build_snapshot(
            source_of(tables), SHOP_SCHEMA, SnapshotStore(project.folder / "scratch"), settings=SETTINGS
        )
        assert updated.id == scratch.id
        told = [s.manifest.tables["orders"] for s in (updated, scratch)]
        assert told[0].quarantined == told[1].quarantined
        assert told[0].read == told[1].read


@given(st.lists(st.one_of(st.none(), st.integers(0, 40))), st.lists(st.one_of(st.none(), st.integers(0, 80))))
def test_a_growing_key_is_a_watermark_for_a_table_without_times(
    first: list[int | None], more: list[int | None]
) -> None:
    settings = {"customers": ReadSettings(watermark="customer_id")}

    def tables(keys: list[int | None]) -> Tables:
        made = shop()
        ages = [float(k or 0) for k in keys]
        columns = {"customer_id": pa.array(keys, pa.int64()), "region": pa.array(["x"] * len(keys)), "age": ages}
        return {**made, "customers": pa.table(columns)}

    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        project.build(tables(first), settings=settings)
        updated = project.build(tables(first + more), settings=settings)
        scratch = project.scratch(tables(first + more))
        assert updated.id == scratch.id
        told = [s.manifest.tables["customers"] for s in (updated, scratch)]
        assert told[0].quarantined == told[1].quarantined
        assert told[0].read == told[1].read


def test_only_keys_above_the_watermark_are_read(project: Project) -> None:
    settings = {"customers": ReadSettings(watermark="customer_id")}
    project.build(shop(), settings=settings)
    after = project.build(shop({1: "north", 2: "south", 9: "east"}), settings=settings)
    assert after.manifest.read["customers"] == "new rows"
    assert after.manifest.edges[ORDERS].orphans == 0
    assert project.build(shop({1: "north", 9: "east"}), settings=settings).manifest.read["customers"] == "full"


def test_two_processes_build_one_after_the_other_and_readers_go_on(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from tests.graph.test_updates import shop
from tests.support.databases import SHOP_SCHEMA, source_of
from forekey.graph import SnapshotStore, build_snapshot
own = int(sys.argv[2])
for n in range(5):
    orders = [(i, i % 3, i + own / 10) for i in range(50 * (n + 1))]
    built = build_snapshot(source_of(shop(orders=orders)), SHOP_SCHEMA, SnapshotStore(Path(sys.argv[1])))
    built.verify()
    SnapshotStore(Path(sys.argv[1])).prune(1)
"""
    root = Path(__file__).parents[2]
    builders = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(i)], cwd=root, stderr=subprocess.PIPE)
        for i in range(2)
    ]
    store, seen = SnapshotStore(tmp_path), 0
    while any(b.poll() is None for b in builders):
        current = store.current_or_none()
        if current is not None:
            assert len(current.rows("orders")) == current.num_nodes("orders") > 0
            seen += 1
    said = [b.communicate()[1] for b in builders]
    assert [b.returncode for b in builders] == [0, 0], said
    assert seen > 0
    store.current().verify()


def test_rows_that_change_for_the_first_time_are_read(project: Project) -> None:
    project.build(changing([(i, 1, i, None, None) for i in range(6)]), settings=SETTINGS)
    later = changing([(1, 2, 1, 7, None), *((i, 1, i, None, None) for i in (0, 2, 3, 4, 5)), (8, 1, 8, None, None)])
    after = project.build(later, settings=SETTINGS)
    assert after.manifest.read["orders"] == "new and changed rows"
    assert after.parents(after.edge_types[0]).tolist() == [0, 1, 0, 0, 0, 0, 0]


def test_a_deleted_row_without_a_key_takes_no_other_with_it(project: Project) -> None:
    def tables(gone: float | None) -> Tables:
        made = changing([(i, 1, i, i, None) for i in range(4)] + [(9, 1, 1, 1, gone), (5, 1, 5, 5, None)])
        orders = made["orders"]
        keys = pa.array([None if k == 9 else k for k in orders.column("order_id").to_pylist()], pa.int64())
        return {**made, "orders": orders.set_column(0, "order_id", keys)}

    project.build(tables(None), settings=SETTINGS)
    after = project.build(
        {**tables(4.5), "lines": shop(lines=1)["lines"]},
        settings=SETTINGS,
    )
    assert after.rows("orders").column("order_id").to_pylist() == [0, 1, 2, 3, 5]


def test_former_contents_outlive_the_newest_row(project: Project) -> None:
    orders = [(10, 1, 0), (11, 2, 1), (12, 1, 2)]
    project.build(shop(orders=orders))
    project.build(shop({1: "east", 2: "south"}, [*orders, (13, 1, 5)]))
    after = project.build(shop({1: "east", 2: "south"}, orders))
    assert after.as_of == START + 5 * DAY
    past = after.rows_at("customers", to_micros(START + 2 * DAY))
    assert past.column("region").to_pylist() == ["north", "south"]
    earlier = project.build(shop({1: "east", 2: "south"}, orders), as_of=START + DAY)
    assert earlier.rows_at("customers", to_micros(START)).column("region").to_pylist() == ["north", "south"]


@pytest.mark.parametrize("stype", [Stype.NUMERICAL, Stype.TIMESTAMP, Stype.BOOLEAN, Stype.MULTICATEGORICAL])
def test_a_column_may_change_its_meaning(project: Project, stype: Stype) -> None:
    project.build(shop())
    project.build(shop({1: "east", 2: "south"}, [(10, 1, 0), (11, 2, 1), (12, 9, 2), (14, 1, 5)]))
    customers = SHOP_SCHEMA.table("customers")
    columns = tuple(replace(c, stype=stype) if c.name == "region" else c for c in customers.columns)
    schema = Schema((replace(customers, columns=columns), *SHOP_SCHEMA.tables[1:]))
    after = project.build(shop({1: "east", 2: "south"}, [(10, 1, 0), (14, 1, 5)]), schema)
    assert f"customers: column 'region' was categorical, is {stype}" in after.manifest.changes
    versions = after.versions("customers")
    assert versions is not None
    assert versions.rows.column("region").null_count == len(versions)


def test_counts_that_changed_make_another_snapshot(project: Project) -> None:
    tables = shop()
    moments = pa.array([START, START + DAY, None], pa.timestamp("us"))
    undated = {**tables, "orders": tables["orders"].set_column(2, "placed_at", moments)}
    first = project.build(undated)
    fewer = {**undated, "orders": undated["orders"].slice(0, 2)}
    assert project.build(fewer).id != first.id
    assert project.store.open(first.id).manifest.tables["orders"].quarantined == {"no time": 1}


def test_a_snapshot_of_the_future_does_not_hold_the_next_ones_there(project: Project) -> None:
    project.build(shop(), as_of=datetime(2999, 1, 1))
    assert project.build(shop()).as_of.year < 2999


def changed_at(orders: list[tuple[int, int, float]], changed: dict[int, float]) -> Tables:
    """The shop's orders with the day on which each last changed; an order's own day if not told otherwise."""
    tables = shop(orders=orders)
    moments = [START + changed.get(o, d) * DAY for o, _, d in orders]
    tables["orders"] = tables["orders"].append_column("changed_at", pa.array(moments, pa.timestamp("us")))
    return tables


def test_a_repeated_key_does_not_make_every_update_read_the_table_whole(project: Project) -> None:
    settings = {"orders": ReadSettings(updated_at="changed_at")}
    orders = [(10, 1, 0), (10, 2, 0.5), (11, 2, 1), (12, 9, 2)]
    project.build(changed_at(orders, {}), settings=settings)
    orders = [*orders, (13, 1, 3)]
    after = project.build(changed_at(orders, {11: 3}), settings=settings)
    assert after.manifest.read["orders"] == "new and changed rows"
    assert after.manifest.tables["orders"].quarantined == {"duplicate key": 1}
    assert after.id == project.scratch(changed_at(orders, {11: 3})).id


def test_a_row_that_changed_under_a_repeated_key_makes_the_table_be_read_whole(project: Project) -> None:
    settings = {"orders": ReadSettings(updated_at="changed_at")}
    orders = [(10, 1, 0), (10, 2, 0.5), (11, 2, 1), (12, 9, 2)]
    project.build(changed_at(orders, {}), settings=settings)
    for now in ([(10, 2, 0), *orders[1:], (13, 1, 3)], [*orders, (13, 1, 3), (11, 1, 3.5), (14, 1, 4)]):
        after = project.build(changed_at(now, {10: 3.5}), settings=settings)
        assert after.id == project.scratch(changed_at(now, {10: 3.5})).id
    later = [*orders, (15, 1, 5)]
    after = project.build(changed_at(later, {10: 3.5, 11: 5}), settings=settings)
    assert after.manifest.read["orders"] == "full"
    assert after.id == project.scratch(changed_at(later, {10: 3.5, 11: 5})).id


@pytest.mark.parametrize("part", ["rows", "times", "parents", "numbers_0", "rows_0", "indices"])
def test_an_update_does_not_carry_damage_on(project: Project, part: str) -> None:
    first = project.build(shop())
    owner = ORDERS if part in {"parents", "indices"} else "orders"
    entry = (first.manifest.edges if owner == ORDERS else first.manifest.tables)[owner]
    digest = entry.rows[0].rows.digest if part == "rows" else entry.arrays[part].blocks[0].digest
    file = project.store.pool.folder / digest
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    file.write_bytes(contents)
    more = shop(orders=[(10, 1, 0), (11, 2, 1), (12, 9, 2), (13, 2, 3)])
    with pytest.raises(SnapshotError, match=r"damaged: .*Run `forekey snapshot --full`"):
        project.build(more)
    assert project.store.current_id() == first.id
    assert project.build(more, full=True).id == project.scratch(more).id


def test_a_column_that_is_stored_wider_is_named(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute("CREATE TABLE items AS SELECT i::INT AS item_id, i::SMALLINT AS price FROM range(9) t(i)")
    made = pipeline.init(str(tmp_path / "a.duckdb"), tmp_path)
    pipeline.snapshot(made.workspace)
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute("ALTER TABLE items ALTER price TYPE BIGINT")
    built = pipeline.snapshot(made.workspace)
    assert built.manifest.changes == ["items: column 'price' was stored as SMALLINT, is stored as BIGINT"]
    assert built.manifest.schema_hash == made.workspace.snapshots.manifests()[0].schema_hash
