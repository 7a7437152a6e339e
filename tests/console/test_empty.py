"""Pages of a project that has nothing yet say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from forekey import pipeline
from forekey.console import create_app
from forekey.project import PQLTask
from forekey.testing import SHOP_TASKS, write_shop
from forekey.workspace import Workspace

PLACES = ("/", "/console/graph", "/console/monitor", "/console/ask")


@pytest.fixture
def bare(tmp_path: Path) -> Workspace:
    """A project without tasks or a snapshot."""
    path = write_shop(tmp_path / "shop.duckdb")
    return pipeline.init(str(path), tmp_path / "project").workspace


def test_without_a_snapshot_every_page_says_how_to_make_one(bare: Workspace) -> None:
    with TestClient(create_app(bare)) as client:
        for place in PLACES:
            answer = client.get(place)
            assert answer.status_code == 200
            assert "forekey snapshot" in answer.text or "forekey monitor" in answer.text
        assert "There is no task yet" in client.get("/").text
        assert client.get("/console/graph/table?name=orders").status_code == 400


def test_a_task_without_a_model_says_how_to_train_it(bare: Workspace) -> None:
    tasks = {name: PQLTask(query=pql) for name, pql in SHOP_TASKS.items()}
    other = pipeline.init(bare.config.source, bare.root.parent / "other", tasks=tasks).workspace
    pipeline.snapshot(other)
    with TestClient(create_app(other)) as client:
        assert "forekey train churn" in client.get("/").text
        assert "forekey train churn" in client.get("/console/task/churn").text
        assert "forekey embed churn" in client.get("/console/task/churn/entities").text
        assert client.get("/console/task/churn/entity?key=7").status_code == 200  # its rows are there all the same
        assert client.get("/console/task/churn/explain?key=7").status_code == 409
        assert "forekey monitor" in client.get("/console/monitor").text


def test_what_is_not_there_is_said_and_not_a_traceback(trained_project: Workspace) -> None:
    with TestClient(create_app(trained_project)) as client:
        for place in (
            "/console/task/nope", "/console/task/churn/entity?key=999999", "/console/graph/table?name=nope", "/console/answers/x",
            "/console/task/churn/entity", "/console/graph/table", "/console/static/../app.py", "/console/static/%2e%2e/app.py",
        ):  # fmt: skip
            answer = client.get(place)
            assert answer.status_code == 404, place
            assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "asked", ["from=-5", "from=99999999999999999999", "from=x", "order=x", "q=%00", "q=" + "%F0%9F%98%80" * 50]
)
def test_odd_questions_of_a_list_are_answered(trained_project: Workspace, asked: str) -> None:
    with TestClient(create_app(trained_project)) as client:
        assert client.get(f"/console/task/churn/entities?{asked}").status_code == 200
