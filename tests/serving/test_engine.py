"""The model in use answers while the next one is made ready; nobody waits for a swap, and nothing is lost by one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from forekey import pipeline
from forekey.errors import ModelError, SourceUnavailable
from forekey.serving import create_app
from forekey.serving import engine as serving
from forekey.serving.engine import Engine
from forekey.workspace import Workspace


@pytest.fixture
def engine(own_project: Workspace) -> Iterator[Engine]:
    found = Engine(own_project)
    yield found
    found.close()


def another_champion(project: Workspace) -> str:
    report = pipeline.train(project, "churn", preset="instant", seed=7)
    project.registry.promote("churn", report.model_version, "for the test")
    return report.model_version


def test_the_model_in_use_answers_until_the_next_one_is_ready(
    own_project: Workspace, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = engine.bound("churn")
    version = another_champion(own_project)
    go_on, load = threading.Event(), serving.load_predictor

    def slow(*given: object) -> object:
        assert go_on.wait(30)
        return load(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(serving, "load_predictor", slow)
    assert engine.bound("churn") is first
    assert engine.bound("churn") is first
    go_on.set()
    engine.settle()
    assert engine.bound("churn").key.model_version == version


def test_a_champion_that_answered_before_takes_over_at_once(
    own_project: Workspace, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = engine.bound("churn")
    another_champion(own_project)
    engine.bound("churn")
    engine.settle()
    own_project.registry.rollback("churn")
    monkeypatch.setattr(serving, "load_predictor", lambda *_: pytest.fail("loaded again"))
    assert engine.bound("churn") is first


def test_a_newer_snapshot_is_taken_once_models_are_bound_to_it(own_project: Workspace, engine: Engine) -> None:
    first = engine.bound("spend")
    rebuilt = pipeline.snapshot(own_project, full=True, as_of=first.snapshot.as_of.replace(hour=0))
    assert rebuilt.id != first.snapshot.id
    assert engine.bound("spend").snapshot.id == first.snapshot.id
    engine.settle()
    assert engine.bound("spend").snapshot.id == rebuilt.id


def test_where_the_next_model_cannot_be_loaded_the_one_in_use_goes_on(
    own_project: Workspace, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    first = engine.bound("churn")
    version = own_project.registry.get("churn", another_champion(own_project))
    (version.folder / "features.json").write_text("{}")
    for _ in range(3):
        assert engine.bound("churn") is first
        engine.settle()
    assert caplog.text.count("is not what was written") == 1, "tried again only after a while"
    engine.close()
    assert engine.bound("churn") is first


def test_a_task_without_a_model_says_so(own_project: Workspace, engine: Engine) -> None:
    (own_project.place("models") / "churn" / "champion.json").unlink()
    with pytest.raises(ModelError, match="Task 'churn' has no model yet"):
        engine.bound("churn")


def test_a_database_that_does_not_answer_is_asked_again_later_and_holds_up_no_prediction(
    own_project: Workspace, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def down(self: Workspace) -> object:
        asked.append(1)
        raise SourceUnavailable("the database is down")

    with monkeypatch.context() as patched:
        patched.setattr(Workspace, "source", down)
        assert engine.bound("churn").eligible is None
        assert engine.bound("churn").eligible is None
        assert len(asked) == 1
    monkeypatch.setattr(serving, "_TRY_AGAIN_SECONDS", -1.0)
    engine.bound("churn")
    engine.settle()
    found = engine.bound("churn").eligible
    assert found is not None
    assert 0 < found.sum() < len(found)


def test_a_service_is_ready_once_its_models_are_loaded(own_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, load = threading.Event(), serving.load_predictor

    def slow(*given: object) -> object:
        assert go_on.wait(30)
        return load(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(serving, "load_predictor", slow)
    with TestClient(app := create_app(own_project.root)) as client:
        engine: Engine = app.state.serving.engine
        engine.warm()
        assert client.get("/readyz").status_code == 503
        assert client.get("/predict/churn/7?mode=stored").status_code == 200
        go_on.set()
        engine.settle()
        assert client.get("/readyz").status_code == 200
        assert set(engine._bound) == set(own_project.config.tasks)


def test_several_processes_serve_one_project(trained_project: Workspace) -> None:
    asked = "/predict/churn/7?mode=online"
    script = (
        "import sys; from fastapi.testclient import TestClient; from forekey.serving import create_app\n"
        f"with TestClient(create_app(sys.argv[1])) as client: print(client.get('{asked}').text)"
    )
    command = [sys.executable, "-c", script, str(trained_project.root)]
    with TestClient(create_app(trained_project.root)) as client:
        here = client.get(asked)
        there = subprocess.run(command, capture_output=True, text=True, check=True)
        assert here.status_code == 200
        assert there.stdout.strip() == here.text
