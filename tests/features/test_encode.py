"""Rows become finite numbers and codes, whatever is in them; statistics come from the past only."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from time import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forekey.features import (
    Encoded,
    EncodedTables,
    FeatureSpec,
    TableEncoder,
    fit_features,
    robust_scale,
    sweep_encoded,
)
from forekey.features.columns import (
    BooleanEncoder,
    CategoricalEncoder,
    ColumnEncoder,
    EmbeddingEncoder,
    MulticategoricalEncoder,
    NumericalEncoder,
    TextEncoder,
    TimestampEncoder,
)
from forekey.features.columns.multicategorical import MAX_MEMBERS
from forekey.features.columns.text import MAX_WORDS
from forekey.files import draft_of
from forekey.graph import Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.source import infer_schema
from tests.support.databases import START, source_of


def encode(encoder: ColumnEncoder, values: list[Any], kind: pa.DataType | None = None) -> Encoded:
    return encoder.encode(pa.table({"x": pa.array(values, kind)}))


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=30), st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
@example([8.98846567431158e307], 0.0, 0.5)
@example([1e308], -1e308, 1e-300)
def test_numbers_are_always_finite(values: list[float | None], center: float, scale: float) -> None:
    encoded = encode(NumericalEncoder("x", center, scale), values, pa.float64())
    assert np.isfinite(encoded.values).all()
    missing = [v is None or not np.isfinite(v) for v in values]
    assert encoded.values[:, 1].tolist() == [float(m) for m in missing]
    assert (encoded.values[np.array(missing, bool), 0] == 0).all()


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=20))
def test_every_category_has_a_token_missing_and_unknown_included(values: list[str | None]) -> None:
    encoder = CategoricalEncoder("x", ("a", "b"))
    encoded = encode(encoder, values, pa.string())
    expected = [1 if v is None else {"a": 3, "b": 4}.get(v, 2) for v in values]
    assert encoded.token_ids[:, 0].tolist() == expected
    assert encoder.vocabulary_size == 4


@given(st.lists(st.one_of(st.none(), st.text(max_size=100)), max_size=10))
def test_text_becomes_tokens_of_its_vocabulary(values: list[str | None]) -> None:
    encoder = TextEncoder("x")
    encoded = encode(encoder, values, pa.string())
    assert encoded.token_ids.shape == (len(values), MAX_WORDS)
    assert ((encoded.token_ids >= 0) & (encoded.token_ids <= encoder.vocabulary_size)).all()


def test_text_is_case_blind_and_words_have_tokens_of_their_own() -> None:
    encoded = encode(TextEncoder("x"), ["Red Wine", "red wine", "red", "x" * 100_000])
    assert encoded.token_ids[0].tolist() == encoded.token_ids[1].tolist()
    assert encoded.token_ids[0, 0] == encoded.token_ids[2, 0]


def test_sets_are_padded_and_what_does_not_fit_is_left_out() -> None:
    values = [["a", "b"], [], None, ["a"] * 50, [None, "z"]]
    encoded = encode(MulticategoricalEncoder("x", ("a", "b")), values, pa.list_(pa.string()))
    assert encoded.token_ids[0].tolist() == [3, 4] + [0] * (MAX_MEMBERS - 2)
    assert not encoded.token_ids[1:3].any()
    assert encoded.token_ids[3].tolist() == [3] * MAX_MEMBERS
    assert encoded.token_ids[4, :2].tolist() == [1, 2]


def test_booleans_and_embeddings() -> None:
    flags = encode(BooleanEncoder("x"), [True, False, None])
    assert flags.token_ids[:, 0].tolist() == [4, 3, 1]
    vectors = [[1.0, 2.0], None, [1.0], [float("nan"), 3.0]]
    encoded = encode(EmbeddingEncoder("x", 2), vectors, pa.list_(pa.float32()))
    assert encoded.values.tolist() == [[1, 2], [0, 0], [0, 0], [0, 3]]


def test_times_are_encoded_by_hour_weekday_and_season() -> None:
    noon, midnight = datetime(2024, 6, 1, 12), datetime(2024, 6, 1)
    encoded = encode(TimestampEncoder("x"), [noon, midnight, None], pa.timestamp("us"))
    assert np.isfinite(encoded.values).all()
    assert encoded.values[0, 5] == pytest.approx(-1.0, abs=1e-5)
    assert encoded.values[1, 5] == pytest.approx(1.0, abs=1e-5)
    assert encoded.values[2].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


def test_a_rows_own_date_is_not_a_feature() -> None:
    """It would be new at every prediction; how long ago a row happened is known by its age."""
    days = [START, START + timedelta(days=700)]
    own, other = (encode(TimestampEncoder("x", is_row_time=flag), days, pa.timestamp("us")).values for flag in (1, 0))
    assert own[:, 0].tolist() == [0.0, 0.0]
    assert other[1, 0] > other[0, 0]


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf"), -float("inf")], [5.0], [0.0] * 9 + [1e300]])
def test_scales_are_usable_whatever_the_values(values: list[float]) -> None:
    center, scale = robust_scale(np.array(values, np.float64))
    assert np.isfinite(center)
    assert scale > 0


def test_statistics_come_from_rows_up_to_the_cutoff_only(tmp_path) -> None:  # type: ignore[no-untyped-def]
    days = [START + timedelta(days=i) for i in range(20)]
    rows = pa.table(
        {
            "event_id": list(range(20)),
            "at": pa.array(days, pa.timestamp("us")),
            "x": [1.0, 2.0, 3.0, 4.0] * 2 + [1e6] * 12,
            "kind": ["old", "older"] * 4 + ["new"] * 12,
        }
    )
    source = source_of({"events": rows})
    snapshot = build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path))
    spec = fit_features(snapshot, to_micros(days[7]))
    columns = {c.name: c for c in spec.table("events").columns}
    assert columns["x"].center == 2.5
    assert columns["kind"].vocabulary == ("old", "older")
    assert FeatureSpec.from_dict(spec.to_dict()) == spec
    assert fit_features(snapshot, to_micros(days[19])) != spec


def test_hidden_columns_are_not_features(tmp_path) -> None:  # type: ignore[no-untyped-def]
    source = source_of({"users": pa.table({"user_id": [1, 2], "x": [1.0, 2.0], "y": [3.0, 4.0]})})
    snapshot = build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path))
    spec = fit_features(snapshot, 0, [("users", "y")])
    assert [c.name for c in spec.table("users").columns] == ["x"]


def many_notes(folder: Path, count: int = 101) -> Snapshot:
    """Notes with a number each, and one that is missing."""
    texts = [*(f"note {i} of {i * 7} things" for i in range(count - 1)), None]
    source = source_of({"notes": pa.table({"id": range(count), "note": texts, "x": [float(i) for i in range(count)]})})
    return build_snapshot(source, infer_schema(source).schema, SnapshotStore(folder / "snapshots"))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], int]]:
    """Return what is encoded from now on: which columns, of how many rows."""
    found: list[tuple[tuple[str, ...], int]] = []
    real = TableEncoder.encode

    def encode(self: TableEncoder, rows: pa.Table) -> Encoded:
        found.append((tuple(c.name for c in self.columns), len(rows)))
        return real(self, rows)

    monkeypatch.setattr(TableEncoder, "encode", encode)
    return found


def same(one: Encoded, two: Encoded) -> bool:
    return one.values.tobytes() == two.values.tobytes() and one.token_ids.tobytes() == two.token_ids.tobytes()


def test_a_large_block_is_encoded_once_for_all_models_and_processes(
    tmp_path: Path, counted: list[tuple[tuple[str, ...], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forekey.features.encoded_tables._SMALL", 50)
    snapshot, cache = many_notes(tmp_path), tmp_path / "cache"
    spec, rows = fit_features(snapshot, to_micros(snapshot.as_of)), np.arange(101, dtype=np.int32)
    plain = spec.table("notes").encode(snapshot.rows("notes"))
    counted.clear()
    for _ in range(3):
        assert same(EncodedTables(snapshot, spec.tables, cache).take("notes", rows), plain)
    assert counted == [(("x",), 101), (("note",), 101)]
    counted.clear()
    hidden = fit_features(snapshot, to_micros(snapshot.as_of), [("notes", "x")])
    found = EncodedTables(snapshot, hidden.tables, cache).take("notes", rows)
    assert found.values.shape == (101, 0)
    assert found.token_ids.tobytes() == plain.token_ids.tobytes()
    assert counted == []  # texts are encoded alike by all models
    for damage in (lambda b: b"cut short", lambda b: b[:-4], lambda b: b.replace(b"False", b"Fals(", 1), wider):
        for file in cache.glob("*.npy"):
            file.write_bytes(damage(file.read_bytes()))
        assert same(EncodedTables(snapshot, spec.tables, cache).take("notes", rows), plain)


def wider(array: bytes) -> bytes:
    """Return an array file that holds one more column."""
    read = np.load(BytesIO(array))
    out = BytesIO()
    np.save(out, np.concatenate([read, np.zeros((len(read), 1), read.dtype)], axis=1))
    return out.getvalue()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forekey.features.encoded_tables._SMALL", 50)
    snapshot, rows = many_notes(tmp_path), np.arange(101, dtype=np.int32)
    spec = fit_features(snapshot, to_micros(snapshot.as_of))
    (tmp_path / "cache").write_text("a file, not a folder")
    tables = EncodedTables(snapshot, spec.tables, tmp_path / "cache")
    tables.prepare(["notes"])
    assert same(tables.take("notes", rows), spec.table("notes").encode(snapshot.rows("notes")))


def test_few_rows_are_encoded_without_their_table(
    tmp_path: Path, counted: list[tuple[tuple[str, ...], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forekey.features.encoded_tables._SMALL", 50)
    snapshot = many_notes(tmp_path)
    spec = fit_features(snapshot, to_micros(snapshot.as_of))
    tables, plain = EncodedTables(snapshot, spec.tables), spec.table("notes").encode(snapshot.rows("notes"))
    counted.clear()
    for row in (100, 3, 3):
        assert same(tables.take("notes", np.array([row], np.int32)), plain.take(np.array([row])))
    assert {count for _, count in counted} == {1}
    many = np.arange(0, 101, 2, dtype=np.int32)
    assert same(tables.take("notes", many), plain.take(many))
    assert counted[-1] == (("note",), 101)


def test_rows_of_several_blocks_come_in_the_order_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forekey.graph.table_writer.ROW_BLOCK", 10)
    monkeypatch.setattr("forekey.features.encoded_tables._SMALL", 7)
    snapshot = many_notes(tmp_path)
    assert len(snapshot.parts("notes")) == 11
    spec, rows = fit_features(snapshot, to_micros(snapshot.as_of)), np.random.default_rng(0).permutation(101)
    plain = spec.table("notes").encode(snapshot.rows("notes"))
    tables = EncodedTables(snapshot, spec.tables, tmp_path / "cache")
    for some in (rows[:3], rows, rows[:0], np.repeat(rows, 2)):
        assert same(tables.take("notes", some.astype(np.int32)), plain.take(some))


def test_encoded_blocks_are_swept_with_the_blocks_they_are_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forekey.features.encoded_tables._SMALL", 50)
    snapshot, cache, blocks = many_notes(tmp_path), tmp_path / "cache", tmp_path / "snapshots" / "files"
    spec = fit_features(snapshot, to_micros(snapshot.as_of))
    EncodedTables(snapshot, spec.tables, cache).prepare(["notes"])
    on_its_way = draft_of(cache / "some.npy")
    on_its_way.write_bytes(b"")
    sweep_encoded(cache, blocks)
    kept = [f for f in cache.glob("*.npy") if f != on_its_way]
    assert len(kept) == 4
    os.utime(kept[0], (0, 0))
    sweep_encoded(cache, blocks)
    assert not kept[0].exists()  # no process opened it for a week
    sweep_encoded(cache, tmp_path / "nothing here")
    on_its_way.unlink()  # still there: another process may be about to move it
    assert not list(cache.glob("*.npy"))


def test_the_cache_keeps_what_was_opened_last_up_to_a_size(tmp_path: Path) -> None:
    """Every training may learn other statistics and so writes other files: they must not fill the disk."""
    cache, blocks = tmp_path / "cache", tmp_path / "blocks"
    for folder in (cache, blocks):
        folder.mkdir()
    (blocks / "b").write_bytes(bytes(100))
    for age in range(6):
        file = cache / f"b-{age}.values.npy"
        file.write_bytes(bytes(100))
        os.utime(file, (time() - 60 * age,) * 2)
    sweep_encoded(cache, blocks)
    assert sorted(file.name[2] for file in cache.iterdir()) == ["0", "1", "2", "3"]


def test_texts_of_one_meaning_are_near_each_other(tmp_path: Path) -> None:
    pytest.importorskip("wordllama")
    from forekey.features import WIDTH, embedder

    texts = ["cheap red shoes", "inexpensive crimson boots", "quarterly financial report", None, "", "cheap red shoes"]
    vectors = embedder.embed_texts(pa.chunked_array([pa.array(texts)]))
    assert vectors.shape == (6, WIDTH)
    assert np.isfinite(vectors).all()
    alike = vectors @ vectors.T
    assert alike[0, 1] > alike[0, 2] + 0.2
    assert not vectors[3:5].any()
    assert (vectors[0] == vectors[5]).all()
    snapshot = many_notes(tmp_path)
    spec = fit_features(snapshot, to_micros(snapshot.as_of), text_width=WIDTH)
    assert FeatureSpec.from_dict(spec.to_dict()) == spec
    every = np.arange(101, dtype=np.int32)
    found = EncodedTables(snapshot, spec.tables).take("notes", every)
    assert found.values.shape == (101, WIDTH + 2)
    assert found.token_ids.shape[1] == 0


def test_without_the_embedder_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from forekey.errors import TaskError
    from forekey.features import embedder

    embedder._weights.cache_clear()
    monkeypatch.setattr(embedder.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(TaskError, match=r"pip install 'forekey\[text\]'"):
        embedder.embed_texts(pa.chunked_array([pa.array(["a word"])]))
