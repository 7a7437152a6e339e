"""The log of predictions: what is in it, however many files it came in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.graph import to_micros
from forekey.store import LogCounts, LoggedBatch, PredictionLog

MOMENT = "2024-05-01T10:00:00"


def served(entities: list[int], answers: int = 1) -> LoggedBatch:
    rows = {"entity": entities, "prediction": [e / 10 for e in entities], "mode": ["online"] * len(entities)}
    return LoggedBatch(MOMENT, "v1", pa.table({**rows, "answers": [answers] * len(entities)}))


@given(parts=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True), min_size=1, max_size=40))
def test_putting_files_together_changes_nothing_that_is_read(
    parts: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = PredictionLog(tmp_path_factory.mktemp("log"))
    for i, part in enumerate(parts):
        log.add_served("churn", served(part), f"{i:03}")
    before = log.at("churn", MOMENT, "v1").rows.sort_by("entity")
    log.compact("churn")
    after = log.at("churn", MOMENT, "v1").rows.sort_by("entity")
    assert after.select(["entity", "prediction"]).equals(before.select(["entity", "prediction"]))
    assert set(after.column("entity").to_pylist()) == {e for part in parts for e in part}
    if len(parts) > 16:
        assert sum(after.column("answers").to_pylist()) == sum(map(len, parts))
        assert log.count("churn", MOMENT, "v1") == len(after)


def test_what_embedding_predicted_counts_before_what_was_served(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add_served("churn", served([1, 2]), "a")
    log.append("churn", LoggedBatch(MOMENT, "v1", pa.table({"entity": [2, 3], "prediction": [7.0, 8.0]})))
    rows = log.at("churn", MOMENT, "v1").rows.sort_by("entity")
    assert rows.column("prediction").to_pylist() == [0.1, 7.0, 8.0]
    assert log.anchors("churn") == [(MOMENT, "v1")]


def test_what_is_old_goes_but_for_the_newest_of_it(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    for day in (1, 2, 3):
        batch = LoggedBatch(f"2024-05-0{day}T00:00:00", "v1", served([1]).rows)
        log.append("churn", batch, np.ones((5, 2), np.float32))
        log.add_served("churn", batch, "a")
    log.prune("churn", to_micros(datetime(2024, 5, 2, 12)))
    assert [as_of[:10] for as_of, _ in log.anchors("churn")] == ["2024-05-02", "2024-05-03"]
    assert log.embeddings("churn", "2024-05-01T00:00:00", "v1") is None
    assert log.embeddings("churn", "2024-05-02T00:00:00", "v1") is not None


def test_counts_of_processes_are_added_up_and_damaged_ones_passed_over(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.write_counts("1-a", LogCounts(5, 1))
    log.write_counts("2-b", LogCounts(7, 0))
    (tmp_path / "counts-3-c.json").write_text("{")
    assert log.counts() == LogCounts(12, 1)
