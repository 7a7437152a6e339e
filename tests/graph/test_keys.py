"""Keys: one number for every spelling of the same key, the same in bulk and one by one."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from forekey import pipeline
from forekey.graph import SnapshotStore, build_snapshot
from forekey.graph.key_index import KeyForm, KeyIndex, key_number, key_numbers
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from forekey.workspace import Workspace
from tests.support.databases import source_of
from tests.support.examples import examples
from tests.support.servers import run_all

NUMBERISH = st.text("0123456789.eE+- ", max_size=24)
UUIDISH = st.uuids().flatmap(lambda u: st.sampled_from([str(u), u.hex, str(u).upper(), f"{{{u}}}", f" {u} ", u.urn]))
INTEGERS = st.integers(-(2**63), 2**63 - 1).map(str)


@settings(max_examples=examples(300))
@given(st.lists(st.one_of(st.text(max_size=80), NUMBERISH, UUIDISH, INTEGERS), min_size=1), st.sampled_from(KeyForm))
def test_in_bulk_and_one_by_one_a_key_has_the_same_number(keys: list[str], form: KeyForm) -> None:
    assert key_numbers(pa.array(keys), form).tolist() == [key_number(k, form) for k in keys]


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Zs", "Cc")), max_size=200))
def test_text_is_numbered_by_xxh64(key: str) -> None:
    if len(key) not in (32, 36, 38):
        expected = np.uint64(xxhash.xxh64_intdigest(key.encode())).astype(np.int64)
        assert key_numbers(pa.array([key]), KeyForm.TEXT)[0] == expected


@pytest.mark.parametrize("form", KeyForm)
def test_spellings_of_one_uuid_are_one_key(form: KeyForm) -> None:
    own = uuid.UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")
    spellings = [str(own), own.hex, str(own).upper(), f"{{{own}}}", f"  {own}"]
    assert len(set(key_numbers(pa.array(spellings), form).tolist())) == 1


def test_spellings_of_one_whole_number_are_one_key_where_numbers_are_compared() -> None:
    spellings = pa.array(["7", " 7", "007", "+7", "7.0", "7e0", "70e-1"])
    assert set(key_numbers(spellings, KeyForm.INTEGER).tolist()) == {7}
    assert len(set(key_numbers(spellings, KeyForm.NUMBER).tolist())) == 1
    assert len(set(key_numbers(spellings, KeyForm.TEXT).tolist())) == 6


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True), st.lists(st.integers(1, 50)))
def test_an_index_that_grew_finds_what_one_built_at_once_finds(numbers: list[int], cuts: list[int]) -> None:
    every, grown, at = np.array(numbers, np.int64), KeyIndex(), 0
    for size in [*cuts, len(numbers)]:
        part = every[at : at + size]
        grown = grown.extend(KeyIndex.build(part, at))
        at += len(part)
    assert grown.find(every).tolist() == list(range(len(every)))
    assert grown.numbers(len(every)).tolist() == numbers
    absent = np.setdiff1d(np.array([0, 1, -1, 2**62], np.int64), every)
    assert (grown.find(absent) == -1).all()


def test_many_look_ups_at_once_find_the_same_as_few() -> None:
    random = np.random.default_rng(0)
    for numbers in (np.arange(10_000) * 3, random.integers(-(2**63), 2**63 - 1, 10_000), np.array([5])):
        index = KeyIndex.build(np.unique(numbers))
        wanted = np.concatenate([numbers, random.integers(-(2**63), 2**63 - 1, 10_000)])
        few = np.concatenate([index.find(part) for part in np.array_split(wanted, 50)])
        assert index.find(wanted).tolist() == few.tolist()


@pytest.mark.parametrize(
    ("parents", "children", "expected"),
    [
        (pa.array([1, 2, 3]), pa.array(["1", "02", "3.0", "x", None]), [0, 1, 2, -1, -1]),
        (pa.array(["1", "02", "3"]), pa.array([1, 2, 3, 4, None]), [1, 0, 2, -1, -1]),
        (pa.array(["1", "2"]), pa.array([1.0, 2.0, 2.5, float("nan"), None]), [0, 1, -1, -1, -1]),
        (pa.array(["ab  ", "cd"]), pa.array(["ab", " cd", "AB"]), [0, 1, -1]),
        (
            pa.array(["6F9619FF-8B86-D011-B42D-00CF4FC964FF"]),
            pa.array(["6f9619ff8b86d011b42d00cf4fc964ff", "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}", "6f96"]),
            [0, 0, -1],
        ),
        (pa.array([2**53 + 1, 2**53]), pa.array([str(2**53 + 1), str(2**53)]), [1, 0]),
    ],
    ids=["text to integers", "integers to text", "floats to text", "padding", "uuids", "beyond floats"],
)
def test_foreign_keys_of_another_type_find_their_parents(
    parents: Any, children: Any, expected: list[int], tmp_path: Path
) -> None:
    source = source_of({"p": pa.table({"id": parents}), "c": pa.table({"n": range(len(children)), "p_id": children})})
    found = {t.name: {c.name: c.dtype for c in t.columns} for t in source.tables()}
    schema = Schema(
        (
            TableSchema("p", (ColumnSchema("id", found["p"]["id"], Stype.ID),), "id"),
            TableSchema(
                "c",
                (ColumnSchema("n", DType.INTEGER, Stype.ID), ColumnSchema("p_id", found["c"]["p_id"], Stype.ID)),
                "n",
                foreign_keys=(ForeignKey("p_id", "p"),),
            ),
        )
    )
    snapshot = build_snapshot(source, schema, SnapshotStore(tmp_path))
    edge = snapshot.manifest.edges["c.p_id->p"]
    assert snapshot.parents(schema.edge_types[0]).tolist() == expected
    assert edge.edges + edge.null_keys + edge.orphans == len(children)
    assert edge.null_keys == children.null_count


@pytest.mark.parametrize("server", ["duckdb", "postgres"])
def test_parts_of_keys_meet_across_types_and_spellings(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    statements = (
        "CREATE TABLE seats (hall INTEGER, seat VARCHAR(9), PRIMARY KEY (hall, seat))",
        "INSERT INTO seats VALUES (1, 'a'), (2, 'b'), (3, '7')",
        "CREATE TABLE tickets (hall DOUBLE PRECISION, seat VARCHAR(9), sold TIMESTAMP)",
        "INSERT INTO tickets VALUES (1, ' a', '2024-01-01'), (2, 'b ', '2024-02-01'), (3.0, '7.0', '2024-03-01'), "
        "(2.5, 'b', '2024-04-01'), (NULL, 'b', '2024-05-01')",
    )
    url = str(tmp_path / "hall.duckdb") if server == "duckdb" else request.getfixturevalue("postgres").database()
    run_all(url, statements)
    (tmp_path / "forekey.yaml").write_text(
        f"source: {url if server == 'postgres' else 'duckdb:///' + url}\n"
        "tables:\n"
        "  seats: {primary_key: [hall, seat]}\n"
        "  tickets: {time_column: sold, foreign_keys: {'hall, seat': seats}}\n"
    )
    project = Workspace.open(tmp_path)
    snapshot = pipeline.snapshot(project)
    entry = snapshot.manifest.edges["tickets.hall, seat->seats"]
    assert (entry.edges, entry.null_keys, entry.orphans) == (3, 1, 1)
    task = pipeline.labels(project, "PREDICT COUNT(tickets.*, 0, 30, days) FOR EACH seats.`hall, seat`")
    assert {r["entity"]: r["target"] for r in task.table.to_pylist() if r["target"]} == {"2,b": 1, "3,7": 1}
