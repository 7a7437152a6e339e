"""The HTTP contract: stored and online predictions, embeddings, neighbours, problems, keys."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from forekey import pipeline
from forekey.errors import ServeError
from forekey.serving import create_app, listen, serve
from forekey.serving.state import ServingState
from forekey.testing import SHOP_TASKS
from forekey.workspace import Workspace


@pytest.fixture
def client(trained_project: Workspace) -> Iterator[TestClient]:
    with trained_project.store() as store, TestClient(create_app(trained_project, store)) as client:
        yield client


def test_a_stored_prediction(client: TestClient) -> None:
    answer = client.get("/predict/churn/7").json()
    assert answer["task"] == "churn"
    assert answer["entity_id"] == 7
    assert 0 <= answer["prediction"] <= 1
    assert (answer["model_version"], answer["mode"]) == ("v1", "stored")
    assert answer["as_of"].startswith("2024-12")
    assert answer["eligible"] in (True, False)


def test_an_online_prediction_agrees_with_the_stored_one(client: TestClient) -> None:
    stored = client.get("/predict/spend/7").json()
    online = client.get("/predict/spend/7?mode=online").json()
    assert online["mode"] == "online"
    assert online["prediction"] == pytest.approx(stored["prediction"], rel=1e-4, abs=1e-3)


def test_online_answers_say_who_is_eligible_as_stored_ones_do(client: TestClient) -> None:
    ids = list(range(1, 60))
    stored, online = (
        client.post("/predict/churn", json={"entity_ids": ids, "mode": mode}).json() for mode in ("stored", "online")
    )
    flags = {p["entity_id"]: p["eligible"] for p in stored["predictions"]}
    assert {p["entity_id"]: p["eligible"] for p in online["predictions"]} == flags
    assert set(flags.values()) == {True, False}
    assert stored["mixed_as_of"] is online["mixed_as_of"] is False


def test_a_response_says_where_its_times_differ(own_project: Workspace) -> None:
    """A customer that came since embedding is computed as of the newer snapshot; the others are looked up."""
    import duckdb

    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute("INSERT INTO customers VALUES (9001, 'north', 30)")
        connection.execute(
            "INSERT INTO orders SELECT * REPLACE (order_id + 900000 AS order_id, placed_at + INTERVAL 1 DAY AS placed_at) "
            "FROM orders ORDER BY placed_at DESC LIMIT 1"
        )
    pipeline.snapshot(own_project)
    with own_project.store() as store, TestClient(create_app(own_project, store)) as client:
        answer = client.post("/predict/churn", json={"entity_ids": [7, 9001]}).json()
    assert [p["mode"] for p in answer["predictions"]] == ["stored", "online"]
    assert answer["mixed_as_of"] is True


def test_many_at_once_and_unknown_ones_listed(client: TestClient) -> None:
    answer = client.post("/predict/churn", json={"entity_ids": [1, "2", 99999, "x"], "mode": "auto"}).json()
    assert [p["entity_id"] for p in answer["predictions"]] == [1, 2]
    assert answer["unknown"] == [99999, "x"]


def test_classes_come_with_their_probabilities(client: TestClient) -> None:
    answer = client.get("/predict/next_channel/3").json()
    assert answer["prediction"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert sum(answer["probabilities"].values()) == pytest.approx(1.0)


def test_sets_of_classes_and_forecasts_come_as_lists(client: TestClient) -> None:
    several = client.get("/predict/channels/3").json()
    likely = {name for name, p in several["probabilities"].items() if p >= 0.5}
    assert set(several["prediction"]) == likely
    for mode in ("stored", "online"):
        weeks = client.post("/predict/weeks", json={"entity_ids": [3], "mode": mode}).json()["predictions"][0]
        assert len(weeks["prediction"]) == 3
        assert "probabilities" not in weeks


def test_rankings_list_keys_of_items_and_their_scores(client: TestClient) -> None:
    stored, online = (client.get(f"/predict/baskets/3?mode={mode}").json() for mode in ("stored", "online"))
    assert stored["prediction"] == online["prediction"]
    assert all(item.startswith("sku-") for item in stored["prediction"])
    assert stored["scores"] == pytest.approx(online["scores"], rel=1e-4, abs=1e-3)
    assert (
        "classes" not in next(t for t in client.get("/tasks").json()["tasks"] if t["task"] == "baskets")["embeddings"]
    )


def test_explanations(client: TestClient) -> None:
    told = client.get("/explain/spend/7").json()
    assert told["prediction"] == pytest.approx(
        client.get("/predict/spend/7?mode=online").json()["prediction"], rel=1e-4
    )
    assert (told["task"], told["entity_id"], told["model_version"]) == ("spend", 7, "v1")
    assert told["tables"][0]["table"]
    assert all({"table", "column", "effect"} == set(part) for part in told["columns"])
    assert client.get("/explain/baskets/7").json()["items"][0]["item"].startswith("sku-")
    assert client.get("/explain/spend/99999").status_code == 404


def test_embeddings_and_neighbours(client: TestClient) -> None:
    vector = client.get("/embeddings/churn/7").json()
    assert len(vector["embedding"]) == 64
    near = client.get("/similar/churn/7?k=3").json()["similar"]
    assert len(near) == 3
    assert 7 not in [n["entity_id"] for n in near]
    scores = [n["similarity"] for n in near]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/predict/churn/99999", 404, "no entity '99999'"),
        ("/predict/churn/x/y?mode=online", 404, "no entity 'x/y'"),
        ("/predict/chrun/1", 404, "did you mean 'churn'"),
        ("/embeddings/churn/99999", 404, "No entity '99999'"),
        ("/predict/churn/1?mode=nonsense", 422, "mode"),
        ("/similar/churn/1?k=0", 422, "k"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_errors_are_problem_documents(client: TestClient, path: str, status: int, says: str) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert says in problem["detail"]


@pytest.mark.parametrize(
    "body", [{}, {"entity_ids": []}, {"entity_ids": [1], "extra": 2}, {"entity_ids": [1.5]}, {"entity_ids": [True]}]
)
def test_a_body_that_does_not_fit_is_a_problem(client: TestClient, body: dict[str, object]) -> None:
    assert client.post("/predict/churn", json=body).status_code == 422


def test_status_routes(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").status_code == 200
    tasks = {t["task"]: t for t in client.get("/tasks").json()["tasks"]}
    assert tasks["churn"]["champion"] == "v1"
    assert tasks["churn"]["embeddings"]["entities"] == 200
    assert {m["task"] for m in client.get("/models").json()["models"]} == set(SHOP_TASKS)


def counted(client: TestClient) -> float:
    """Return how many single predictions the metrics count, of all processes."""
    found = re.search(
        r'forekey_requests_total\{route="/predict/\{task\}/\{entity_id:path\}",status="200"\} (\S+)',
        client.get("/metrics").text,
    )
    return float(found[1]) if found is not None else 0.0


def test_metrics_count_requests_by_route(client: TestClient) -> None:
    before = counted(client)
    client.get("/predict/churn/1")
    client.get("/predict/churn/2")
    assert counted(client) == before + 2
    text = client.get("/metrics").text
    assert "forekey_request_seconds_bucket" in text
    assert "forekey_snapshot_age_seconds" in text
    assert 'forekey_embedding_age_seconds{task="churn"}' in text


def test_metrics_of_any_process_are_those_of_all(own_project: Workspace) -> None:
    with TestClient(create_app(own_project.root)) as one, TestClient(create_app(own_project.root)) as two:
        before = counted(two)
        with TestClient(create_app(own_project.root)) as gone:
            gone.get("/predict/churn/1")
        two.get("/predict/churn/2")
        assert counted(two) == before + 2
        one.get("/predict/churn/3")
    with TestClient(create_app(own_project.root)) as later:
        assert counted(later) == before + 3


def test_latencies_are_left_for_the_monitors(own_project: Workspace) -> None:
    route = "/predict/{task}/{entity_id:path}"
    before = pipeline.monitor(own_project).latency.get(route, {"requests": 0})["requests"]
    with own_project.store() as store, TestClient(create_app(own_project, store)) as client:
        client.get("/predict/churn/1")
    latency = pipeline.monitor(own_project).latency[route]
    assert latency["requests"] == before + 1
    assert 0 < latency["p50_ms"] <= latency["p99_ms"]


def test_a_new_version_is_served_without_a_restart(own_project: Workspace) -> None:
    with own_project.store() as store, TestClient(create_app(own_project, store)) as client:
        assert client.get("/predict/spend/1").json()["model_version"] == "v1"
        pipeline.train(own_project, "spend", preset="fast", seed=3)
        own_project.registry.promote("spend", "v2", "for the test")
        pipeline.embed(own_project, "spend")
        assert client.get("/predict/spend/1").json()["model_version"] == "v2"
        assert client.get("/predict/spend/1?mode=online").json()["model_version"] == "v2"


def test_an_online_answer_is_the_asked_entitys_whatever_is_published_meanwhile(
    own_project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new customer sorts before the others and shifts their rows; the loaded model still knows the old ones."""
    import duckdb

    with own_project.store() as store:
        state = ServingState(own_project, store)
        loaded = state.engine.bound("spend")
        before = state.predict("spend", [7, 8], "online")
        with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
            connection.execute("INSERT INTO customers VALUES (-5, 'north', 30)")
        pipeline.snapshot(own_project)
        monkeypatch.setattr(state.engine, "bound", lambda task: loaded)
        assert state.predict("spend", [7, 8], "online") == before


def test_a_service_that_cannot_listen_announces_nothing(trained_project: Workspace) -> None:
    announced: list[bool] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ServeError):
            serve(trained_project, port=other.getsockname()[1], on_listening=lambda: announced.append(True))
    assert announced == []


def test_before_anything_is_embedded_the_answer_says_what_to_do(shop_project: Workspace) -> None:
    with shop_project.store() as store, TestClient(create_app(shop_project, store)) as client:
        assert client.get("/readyz").status_code == 503
        assert "forekey embed churn" in client.get("/predict/churn/1").json()["detail"]


def test_with_keys_only_bearers_are_let_in(trained_project: Workspace) -> None:
    with trained_project.store() as store, TestClient(create_app(trained_project, store, ("k1", "k2"))) as client:
        refused = client.get("/predict/churn/1")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/predict/churn/1", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/predict/churn/1", headers={"Authorization": "Basic k1"}).status_code == 401
        assert client.get("/predict/churn/1", headers={"Authorization": "Bearer k2"}).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_a_public_address_needs_a_key(trained_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOREKEY_API_KEYS", raising=False)
    with pytest.raises(ServeError, match="no API key is set"):
        serve(trained_project, host="0.0.0.0", port=0)


def test_a_busy_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ServeError, match=f"Port {other.getsockname()[1]}.*--port"):
            listen("127.0.0.1", other.getsockname()[1])
