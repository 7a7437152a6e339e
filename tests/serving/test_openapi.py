"""The OpenAPI document is true: a fuzzer finds nothing that it does not describe, a generated client works."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from forekey.serving import create_app, listen
from forekey.workspace import Workspace

BIN = Path(sys.executable).parent
ROUTES = {
    "/predict/{task}/{entity_id}", "/predict/{task}", "/explain/{task}/{entity_id}", "/embeddings/{task}/{entity_id}",
    "/similar/{task}/{entity_id}", "/tasks", "/tasks/{task}", "/models", "/healthz", "/readyz", "/metrics", "/status",
    "/monitor", "/graph",
}  # fmt: skip


@pytest.fixture(scope="module")
def app(trained_project: Workspace) -> Iterator[Any]:
    with trained_project.store() as store:
        yield create_app(trained_project, store)


@pytest.fixture(scope="module")
def document(app: Any) -> dict[str, Any]:
    return TestClient(app).get("/openapi.json").json()


def test_every_route_has_typed_answers_an_example_and_its_problems(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == ROUTES
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"]
            for status, response in operation["responses"].items():
                media = response["content"]
                if int(status) >= 400 and path != "/readyz":
                    assert media == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            (content,) = operation["responses"]["200"]["content"].values()
            assert content["schema"] != {}
    shown = (
        "TaskPrediction",
        "Predictions",
        "Explanation",
        "Embedding",
        "Similar",
        "Health",
        "Ready",
        "Problem",
        "PredictRequest",
    )
    assert all("example" in document["components"]["schemas"][name] for name in shown)
    ids = document["components"]["schemas"]["PredictRequest"]["properties"]["entity_ids"]
    assert ids["maxItems"] == 10_000


def test_the_document_says_whether_a_key_is_needed(trained_project: Workspace) -> None:
    with trained_project.store() as store:
        client = TestClient(create_app(trained_project, store, ("secret",)), headers={"Authorization": "Bearer secret"})
        found = client.get("/openapi.json").json()
    assert found["security"] == [{"key": []}]
    assert "401" in found["paths"]["/tasks"]["get"]["responses"]
    assert "401" not in found["paths"]["/healthz"]["get"]["responses"]


@pytest.fixture
def address(app: Any) -> Iterator[str]:
    """A running service's address: what a fuzzer sends over a socket is more than a test client lets through."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_a_fuzzer_finds_nothing(address: str) -> None:
    command = [str(BIN / "schemathesis"), "run", f"{address}/openapi.json", "--wait-for-schema=60", "--max-examples=15"]
    done = subprocess.run([*command, "--seed=1", "--no-color"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "14 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("entity_id", ["7", "x/y", "ü", "%00", " ", "1e3", "-1", "9" * 40])
def test_any_id_is_answered_or_unknown(app: Any, entity_id: str) -> None:
    client = TestClient(app)
    for route in ("predict", "explain", "embeddings", "similar"):
        assert client.get(f"/{route}/churn/{entity_id}").status_code in {200, 404}
    assert client.post("/predict/churn", json={"entity_ids": [entity_id]}).status_code == 200


def test_a_method_that_a_route_lacks_is_told_which_it_has(app: Any) -> None:
    client = TestClient(app)
    assert client.delete("/predict/churn").headers["allow"] == "POST"
    assert client.post("/predict/churn/7").headers["allow"] == "GET"
    refused = client.put("/tasks")
    assert (refused.status_code, refused.headers["content-type"]) == (405, "application/problem+json")


def test_a_generated_client_works(
    app: Any, document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    command = [str(BIN / "openapi-python-client"), "generate", "--path", str(path)]
    done = subprocess.run(
        [*command, "--meta", "none", "--output-path", str(tmp_path / "generated")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout, done.stdout
    monkeypatch.syspath_prepend(str(tmp_path))
    generated, models = importlib.import_module("generated"), importlib.import_module("generated.models")
    client = generated.Client(base_url="http://testserver")
    client.set_httpx_client(TestClient(app))
    predict = importlib.import_module("generated.api.default.predict_one_predict_task_entity_id_get")
    one = predict.sync("churn", "7", client=client)
    assert isinstance(one, models.TaskPrediction)
    assert (one.task, one.entity_id) == ("churn", 7)
    unknown = predict.sync("churn", "999999", client=client)
    assert isinstance(unknown, models.Problem)
    assert unknown.status == 404
    several = importlib.import_module("generated.api.default.predict_many_predict_task_post")
    found = several.sync("spend", client=client, body=models.PredictRequest(entity_ids=[1, 2, 99999]))
    assert [p.entity_id for p in found.predictions] == [1, 2]
    assert found.unknown == [99999]
