"""What was predicted is ranked, searched and counted as if all of it were looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.errors import StoreError
from forekey.store import LoggedBatch, LoggedPredictions, PredictionLog

AS_OF = "2020-01-01T00:00:00"
VALUES = st.floats(-10, 10) | st.sampled_from([0.0, 1.0, float("nan"), float("inf")])


def logged(
    folder: Path, keys: list[Any], predictions: Any, as_of: str = AS_OF, version: str = "v1"
) -> LoggedPredictions:
    log = PredictionLog(folder)
    log.append("churn", LoggedBatch(as_of, version, pa.table({"entity": keys, "prediction": predictions})))
    return LoggedPredictions(log, "churn")


def all_pages(found: LoggedPredictions, size: int, **how: Any) -> list[tuple[Any, Any]]:
    rows: list[tuple[Any, Any]] = []
    while True:
        page = found.page(AS_OF, "v1", offset=len(rows), size=size, **how)
        if not page.rows:
            assert page.total == len(rows)
            return rows
        rows += page.rows


@given(st.lists(VALUES, max_size=60), st.integers(1, 25), st.booleans())
def test_pages_together_are_all_lines_in_order(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], size: int, lowest: bool
) -> None:
    keys = [i * 37 % 101 for i in range(len(values))]
    found = logged(tmp_path_factory.mktemp("log"), keys, pa.array(values, pa.float64()))
    rows = all_pages(found, size, lowest=lowest)
    assert sorted(k for k, _ in rows) == sorted(keys)
    numbers = [v for _, v in rows if not np.isnan(v)]
    assert numbers == sorted(numbers, reverse=not lowest)


@given(
    st.lists(st.integers(-(10**6), 10**6) | st.integers(-(2**63), 2**63 - 1), unique=True, max_size=60),
    st.sampled_from(["7", "12", "-3", "0", "00", "9223372036854775", "x", "1234567890123456789"]),
)
def test_a_search_finds_the_keys_that_begin_so(
    tmp_path_factory: pytest.TempPathFactory, keys: list[int], begins: str
) -> None:
    found = logged(tmp_path_factory.mktemp("log"), pa.array(keys, pa.int64()), np.linspace(0, 1, len(keys)))
    rows = all_pages(found, 7, begins=begins)
    assert {k for k, _ in rows} == {k for k in keys if str(k).startswith(begins)}
    assert [v for _, v in rows] == sorted((v for _, v in rows), reverse=True)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=80), st.integers(1, 12))
def test_a_spread_counts_every_prediction_once(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], bins: int
) -> None:
    found = logged(tmp_path_factory.mktemp("log"), list(range(len(values))), values)
    spread = found.spread(AS_OF, "v1", -5.0, 5.0, bins)
    assert spread is not None
    right = [int(np.clip(np.digitize(v, spread.edges) - 1, 0, bins - 1)) for v in values]
    assert spread.counts.tolist() == np.bincount(right, minlength=bins).tolist()


def test_many_lines_are_counted_and_sliced_across_groups(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(400_000)
    found = logged(tmp_path, np.arange(400_000), values)
    spread = found.spread(AS_OF, "v1", 0.0, 1.0, 10)
    assert spread is not None
    assert spread.counts.tolist() == np.histogram(values, 10, (0.0, 1.0))[0].tolist()
    ranked = np.sort(values)[::-1]
    for offset in (0, 131_060, 262_144, 399_990):
        page = found.page(AS_OF, "v1", offset=offset, size=20)
        assert [v for _, v in page.rows] == ranked[offset : offset + 20].tolist()
        lowest = found.page(AS_OF, "v1", offset=offset, size=20, lowest=True)
        assert [v for _, v in lowest.rows] == ranked[::-1][offset : offset + 20].tolist()


def test_keys_that_are_text_are_searched_as_they_are_written(tmp_path: Path) -> None:
    keys = ["a%b", "a_b", "axb", "'; DROP TABLE x", "Ünï", "a" * 10_000]
    found = logged(tmp_path, keys, np.linspace(0, 1, len(keys)))
    for begins in ("a%", "a_", "'; DROP", "Ü", "a" * 5_000, "no"):
        assert {k for k, _ in all_pages(found, 2, begins=begins)} == {k for k in keys if k.startswith(begins)}


@pytest.mark.parametrize("predictions", [pa.array(["web", "store", None]), pa.array([[1.0, 2.0], [0.5], []])])
def test_what_is_no_number_keeps_its_order(tmp_path: Path, predictions: pa.Array) -> None:
    found = logged(tmp_path, [3, 1, 2], predictions)
    assert [k for k, _ in all_pages(found, 2)] == [3, 1, 2]
    assert [k for k, _ in all_pages(found, 2, lowest=True)] == [3, 1, 2]
    assert found.spread(AS_OF, "v1", 0.0, 1.0, 4) is None


def test_an_entity_has_its_history_whatever_its_key_is_spelled_as(tmp_path: Path) -> None:
    logged(tmp_path, [1, 2], [0.1, 0.2])
    logged(tmp_path, [1, 2], [0.3, 0.4], "2020-02-01T00:00:00", "v2")
    found = logged(tmp_path, ["1", "x"], [0.5, 0.6], "2020-03-01T00:00:00", "v2")
    for key in (1, "1"):
        assert found.of_entity(key) == [
            (AS_OF, "v1", 0.1), ("2020-02-01T00:00:00", "v2", 0.3), ("2020-03-01T00:00:00", "v2", 0.5),
        ]  # fmt: skip
    assert found.of_entity("nobody") == []


def test_before_anything_was_predicted_there_is_nothing(tmp_path: Path) -> None:
    found = LoggedPredictions(PredictionLog(tmp_path), "churn")
    assert found.page(AS_OF, "v1").rows == ()
    assert found.of_entity(1) == []
    assert found.spread(AS_OF, "v1", 0.0, 1.0, 3) is None


def test_what_was_only_served_has_each_entity_once(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    for name, keys, values in (("a", [1, 2], [0.9, 0.2]), ("b", [2, 3], [0.2, 0.5])):
        rows = pa.table({"entity": keys, "prediction": values, "mode": ["online"] * 2, "answers": [1, 1]})
        log.add_served("churn", LoggedBatch(AS_OF, "v1", rows), name)
    found = LoggedPredictions(log, "churn")
    assert all_pages(found, 2) == [(1, 0.9), (3, 0.5), (2, 0.2)]
    assert all_pages(found, 2, begins="3") == [(3, 0.5)]
    assert found.of_entity(2) == [(AS_OF, "v1", 0.2)]
    spread = found.spread(AS_OF, "v1", 0.0, 1.0, 2)
    assert spread is not None
    assert spread.counts.tolist() == [1, 2]


def test_predictions_of_any_size_are_counted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    rows = pa.table({"entity": [1, 2, 3], "prediction": [1e300, -1e300, float("nan")]})
    log.add_served("churn", LoggedBatch(AS_OF, "v1", rows), "a")
    spread = LoggedPredictions(log, "churn").spread(AS_OF, "v1", 0.0, 1.0, 4)
    assert spread is not None
    assert spread.counts.tolist() == [1, 0, 0, 1]


def test_a_damaged_log_says_how_to_write_it_anew(tmp_path: Path) -> None:
    found = logged(tmp_path, [1, 2], [0.1, 0.2])
    (path,) = (tmp_path / "churn").glob("*.parquet")
    path.write_bytes(b"PAR1 nothing PAR1")
    for ask in (
        lambda: found.page(AS_OF, "v1"),
        lambda: found.of_entity(1),
        lambda: found.spread(AS_OF, "v1", 0, 1, 2),
    ):
        with pytest.raises(StoreError, match="forekey embed churn"):
            ask()


def test_a_folder_s_name_is_no_column(tmp_path: Path) -> None:
    found = logged(tmp_path / "prediction=7" / "entity=8", [1, 2], [0.1, 0.2])
    assert found.of_entity(1) == [(AS_OF, "v1", 0.1)]
    assert found.page(AS_OF, "v1", begins="2").rows == ((2, 0.2),)


def test_keys_that_are_no_text_have_a_history(tmp_path: Path) -> None:
    found = logged(tmp_path, [True, False], [0.1, 0.2])
    assert found.of_entity(True) == [(AS_OF, "v1", 0.1)]
