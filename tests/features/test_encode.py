"""Rows become finite numbers and codes, whatever is in them; statistics come from the past only."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forekey.features import ColumnFeature, FeatureSpec, TableFeatures, encode_rows, fit_features
from forekey.features.statistics import SET_SLOTS, TEXT_SLOTS, robust_scale
from forekey.files import draft_of
from forekey.graph import Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.schema import Stype
from forekey.source import infer_schema
from tests.support.databases import START, source_of


def encode(stype: Stype, values: list[Any], kind: pa.DataType | None = None, **known: Any):  # type: ignore[no-untyped-def]
    features = TableFeatures("t", (ColumnFeature("x", stype, **known),))
    return features, encode_rows(pa.table({"x": pa.array(values, kind)}), features, None)


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=30), st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
@example([8.98846567431158e307], 0.0, 0.5)
@example([1e308], -1e308, 1e-300)
def test_numbers_are_always_finite(values: list[float | None], center: float, scale: float) -> None:
    _, encoded = encode(Stype.NUMERICAL, values, pa.float64(), center=center, scale=scale)
    assert np.isfinite(encoded.numbers).all()
    missing = [v is None or not np.isfinite(v) for v in values]
    assert encoded.numbers[:, 1].tolist() == [float(m) for m in missing]
    assert (encoded.numbers[np.array(missing, bool), 0] == 0).all()


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=20))
def test_every_category_has_a_code_missing_and_unknown_included(values: list[str | None]) -> None:
    features, encoded = encode(Stype.CATEGORICAL, values, pa.string(), vocabulary=("a", "b"))
    expected = [1 if v is None else {"a": 3, "b": 4}.get(v, 2) for v in values]
    assert encoded.codes[:, 0].tolist() == expected
    assert features.num_codes == 5


@given(st.lists(st.one_of(st.none(), st.text(max_size=100)), max_size=10))
def test_text_becomes_codes_within_range(values: list[str | None]) -> None:
    features, encoded = encode(Stype.TEXT, values, pa.string())
    assert encoded.codes.shape == (len(values), TEXT_SLOTS)
    assert ((encoded.codes >= 0) & (encoded.codes < features.num_codes)).all()


def test_text_is_case_blind_and_words_have_codes_of_their_own() -> None:
    _, encoded = encode(Stype.TEXT, ["Red Wine", "red wine", "red", "x" * 100_000])
    assert encoded.codes[0].tolist() == encoded.codes[1].tolist()
    assert encoded.codes[0, 0] == encoded.codes[2, 0]


def test_sets_fill_slots_and_what_does_not_fit_is_left_out() -> None:
    values = [["a", "b"], [], None, ["a"] * 50, [None, "z"]]
    _, encoded = encode(Stype.MULTICATEGORICAL, values, pa.list_(pa.string()), vocabulary=("a", "b"))
    assert encoded.codes[0].tolist() == [3, 4] + [0] * (SET_SLOTS - 2)
    assert not encoded.codes[1:3].any()
    assert encoded.codes[3].tolist() == [3] * SET_SLOTS
    assert encoded.codes[4, :2].tolist() == [1, 2]


def test_booleans_and_embeddings() -> None:
    _, flags = encode(Stype.BOOLEAN, [True, False, None], vocabulary=("false", "true"))
    assert flags.codes[:, 0].tolist() == [4, 3, 1]
    vectors = [[1.0, 2.0], None, [1.0], [float("nan"), 3.0]]
    _, encoded = encode(Stype.EMBEDDING, vectors, pa.list_(pa.float32()), width=2)
    assert encoded.numbers.tolist() == [[1, 2], [0, 0], [0, 0], [0, 3]]


def test_times_tell_the_hour_the_weekday_and_the_season() -> None:
    noon, midnight = datetime(2024, 6, 1, 12), datetime(2024, 6, 1)
    _, encoded = encode(Stype.TIMESTAMP, [noon, midnight, None], pa.timestamp("us"), center=0.0, scale=1.0)
    assert np.isfinite(encoded.numbers).all()
    assert encoded.numbers[0, 5] == pytest.approx(-1.0, abs=1e-5)
    assert encoded.numbers[1, 5] == pytest.approx(1.0, abs=1e-5)
    assert encoded.numbers[2].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


def test_a_rows_own_date_is_not_a_feature(tmp_path: object) -> None:
    """It would be new at every prediction; how long ago a row happened is told by the model's clock."""
    features = TableFeatures("t", (ColumnFeature("at", Stype.TIMESTAMP, 0.0, 1.0),))
    rows = pa.table({"at": pa.array([START, START + timedelta(days=700)], pa.timestamp("us"))})
    assert encode_rows(rows, features, "at").numbers[:, 0].tolist() == [0.0, 0.0]
    assert encode_rows(rows, features, None).numbers[1, 0] > encode_rows(rows, features, None).numbers[0, 0]


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


def notes(tmp_path: Path) -> Snapshot:
    """A hundred notes, and one that is missing."""
    rows = pa.table({"id": range(101), "note": [*(f"note {i} says {i * 7} things" for i in range(100)), None]})
    source = source_of({"notes": rows})
    return build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path / "snapshots"))


def test_texts_are_taken_apart_once_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from forekey.features import FeatureStore, TextCache, encode

    snapshot, cache = notes(tmp_path), tmp_path / "cache"
    spec = fit_features(snapshot, to_micros(snapshot.as_of))
    assert [c.stype for c in spec.table("notes").columns] == [Stype.TEXT]
    plain = FeatureStore(snapshot, spec).table("notes")
    counted: list[int] = []
    real = encode.text_codes
    monkeypatch.setattr(encode, "text_codes", lambda v, s, f: (counted.append(len(v)), real(v, s, f))[1])
    for _ in range(3):
        cached = FeatureStore(snapshot, spec, cache=cache).table("notes")
        assert (cached.codes == plain.codes).all()
        assert (cached.numbers == plain.numbers).all()
    assert counted == [101]
    (file,) = cache.glob("*.npy")
    file.write_bytes(b"cut short")
    assert (FeatureStore(snapshot, spec, cache=cache).table("notes").codes == plain.codes).all()
    on_its_way = draft_of(cache / "some.npy")
    on_its_way.write_bytes(b"")
    TextCache(cache).sweep(tmp_path / "nothing here")
    on_its_way.unlink()  # still there: another process may be about to move it
    assert not list(cache.glob("*.npy"))


def test_texts_of_one_meaning_are_near_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wordllama")
    from forekey.features import WIDTH, FeatureStore, embedder

    texts = ["cheap red shoes", "inexpensive crimson boots", "quarterly financial report", None, "", "cheap red shoes"]
    vectors = embedder.embed_texts(pa.chunked_array([pa.array(texts)]))
    assert vectors.shape == (6, WIDTH)
    assert np.isfinite(vectors).all()
    alike = vectors @ vectors.T
    assert alike[0, 1] > alike[0, 2] + 0.2
    assert not vectors[3:5].any()
    assert (vectors[0] == vectors[5]).all()
    snapshot = notes(tmp_path)
    spec = fit_features(snapshot, to_micros(snapshot.as_of), text_width=WIDTH)
    assert FeatureSpec.from_dict(spec.to_dict()) == spec
    plain, kept, again = (
        FeatureStore(snapshot, spec, cache=cache).table("notes") for cache in (None, tmp_path / "c", tmp_path / "c")
    )
    assert plain.numbers.shape == (101, WIDTH)
    assert plain.codes.shape[1] == 0
    assert (kept.numbers == plain.numbers).all()
    assert (again.numbers == plain.numbers).all()


def test_without_the_embedder_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from forekey.errors import TaskError
    from forekey.features import embedder

    embedder._weights.cache_clear()
    monkeypatch.setattr(embedder.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(TaskError, match=r"pip install 'forekey\[text\]'"):
        embedder.embed_texts(pa.chunked_array([pa.array(["a word"])]))


def test_numbers_of_a_past_are_read_as_finite_whatever_their_size() -> None:
    from forekey.features import HistoryScale

    most = float(np.finfo(np.float32).max)
    scale = HistoryScale(("a", "b", "c"), (0.0, -most, 0.0), (1e-3, 1e-3, 1.0))
    read = scale.apply(np.array([[most, most, np.nan]], np.float32))
    assert np.isfinite(read).all()
    assert read[0, 3:].tolist() == [0.0, 0.0, 1.0]
