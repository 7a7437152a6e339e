"""Pages of every kind of task."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from markupsafe import escape
from starlette.testclient import TestClient

from forekey.console import create_app, words
from forekey.testing import SHOP_TASKS
from forekey.workspace import Workspace

KINDS = {"churn": "binary_classification"}
"""Of these, pages write a prediction otherwise than as it is."""


@pytest.fixture(scope="module")
def client(trained_project: Workspace) -> Iterator[TestClient]:
    with trained_project.store() as store, TestClient(create_app(trained_project, store)) as client:
        yield client


@pytest.mark.parametrize("task", SHOP_TASKS)
def test_every_page_of_a_task_is_there(client: TestClient, task: str) -> None:
    home = f"/console/task/{task}"
    for place in (home, f"{home}/entities", f"{home}/entities?q=1&order=lowest", f"{home}/entity?key=7",
                  f"{home}/explain?key=7", f"{home}/explain?key=7&part=1", f"{home}/similar?key=7"):  # fmt: skip
        answer = client.get(place)
        assert answer.status_code == 200, place
        assert ">nan<" not in answer.text
        assert ">None<" not in answer.text


@pytest.mark.parametrize("task", SHOP_TASKS)
def test_an_entity_shows_what_the_interface_answers(client: TestClient, task: str) -> None:
    answer = client.get(f"/predict/{task}/7", params={"mode": "stored"}).json()
    page = client.get(f"/console/task/{task}/entity?key=7").text
    shown = str(escape(words.prediction(answer["prediction"], KINDS.get(task))))
    assert shown not in {"–", "NULL"}
    assert f">{shown}<" in page
    for share in (answer.get("probabilities") or {}).values():
        assert words.percent(share) in page.replace("&lt;", "<")


@pytest.mark.parametrize(
    ("task", "is_ordered"), [("churn", True), ("spend", True), ("next_channel", False), ("baskets", False)]
)
def test_only_what_has_an_order_is_ranked(client: TestClient, task: str, is_ordered: bool) -> None:
    page = client.get(f"/console/task/{task}/entities").text
    assert ("highest first" in page) == is_ordered
    assert ("by prediction" in page) == is_ordered
