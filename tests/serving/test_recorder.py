"""Every answer is logged, off the request's way; a full disk loses lines, counts them, and fails no request."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from forekey import pipeline
from forekey.objectives import Classes, Numbers, Ranking
from forekey.serving import create_app
from forekey.serving.recorder import Answered, Recorder
from forekey.store import LogCounts, PredictionLog
from forekey.workspace import Workspace

MOMENT = "2024-05-01T10:00:00"


def answered(*entities: object, mode: str = "online", task: str = "churn") -> Answered:
    return Answered(task, "v1", MOMENT, mode, list(entities), Numbers(np.arange(len(entities), dtype=float)))


def test_answers_are_in_the_log_once_an_entity_with_how_often(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    recorder = Recorder(log)
    for answer in (answered(1, 2), answered(1), answered(1, mode="stored"), answered("a", "ß'\"<", task="other")):
        recorder.record(answer)
    recorder.write()
    rows = log.at("churn", MOMENT, "v1").rows
    assert set(rows.column("entity").to_pylist()) == {1, 2}
    assert log.count("churn", MOMENT, "v1") == 3
    assert log.at("other", MOMENT, "v1").rows.column("entity").to_pylist() == ["a", "ß'\"<"]
    assert log.counts() == LogCounts(6, 0)


@pytest.mark.parametrize(
    "predictions",
    [
        Classes(np.array([[0.2, 0.8]]), ("x", "y")),
        Ranking(np.array([[1, 0, -1]], np.int32), np.array([[0.5, 0.2, np.nan]]), ["p", "q"]),
    ],
)
def test_every_kind_of_prediction_is_logged(predictions: Classes | Ranking, tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    recorder = Recorder(log)
    recorder.record(Answered("t", "v1", MOMENT, "online", [1], predictions))
    recorder.write()
    found = type(predictions).from_columns(log.at("t", MOMENT, "v1").rows, predictions.names)
    assert found.reply(0) == predictions.reply(0)


def test_more_than_may_wait_is_lost_and_counted(tmp_path: Path) -> None:
    recorder = Recorder(PredictionLog(tmp_path), most=3)
    recorder.record(answered(1, 2))
    recorder.record(answered(3, 4))
    recorder.record(answered(5))
    assert recorder.counts == LogCounts(0, 2)
    recorder.write()
    assert recorder.counts == LogCounts(3, 2)


def test_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "churn").write_text("a file where a folder should be, as good as a disk that takes nothing")
    recorder = Recorder(PredictionLog(tmp_path))
    recorder.record(answered(1, 2))
    recorder.record(answered(1, task="other"))
    recorder.write()
    assert recorder.counts == LogCounts(1, 2)


def test_nothing_is_lost_between_threads(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    recorder = Recorder(log)
    threads = [
        threading.Thread(target=lambda k=k: [recorder.record(answered(100 * k + i)) for i in range(100)])
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        recorder.write()
    recorder.write()
    assert len(log.at("churn", MOMENT, "v1").rows) == 400
    assert recorder.counts == LogCounts(400, 0)


def test_what_the_service_answers_is_scored_later(own_project: Workspace) -> None:
    before = own_project.predictions.counts().written
    with TestClient(create_app(own_project)) as client:
        one = client.get("/predict/spend/1?mode=online").json()
        client.post("/predict/churn", json={"entity_ids": [1, 2, 100_000], "mode": "stored"})
        client.post("/predict/spend", json={"entity_ids": [], "mode": "stored"})
    log = own_project.predictions
    served = log.at("spend", one["as_of"], one["model_version"]).rows.to_pylist()
    assert {r["entity"] for r in served} >= {1}
    assert log.counts().written == before + 3
    assert pipeline.monitor(own_project).log.written == before + 3


def test_keys_of_several_types_lose_no_line(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    recorder = Recorder(log)
    recorder.record(answered(1, 2))
    recorder.record(answered("7.0"))
    recorder.write()
    assert recorder.counts == LogCounts(3, 0)
    assert set(log.at("churn", MOMENT, "v1").rows.column("entity").to_pylist()) == {"1", "2", "7.0"}


def test_a_disk_that_refuses_fails_no_request(own_project: Workspace) -> None:
    folder = own_project.place("predictions") / "spend"
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()
    folder.write_text("")
    with TestClient(create_app(own_project)) as client:
        assert client.get("/predict/spend/1").status_code == 200
    assert own_project.predictions.counts().lost == 1
