"""What /status, /monitor and /graph answer is what the command line prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from forekey import pipeline
from forekey.serving import create_app
from forekey.status import graph_status, last_report, project_status, timings
from forekey.workspace import Workspace
from tests.support.months import add_month


@pytest.fixture
def monitored(own_project: Workspace) -> Workspace:
    add_month(own_project, amount=1e5)
    pipeline.monitor(own_project)
    return own_project


def test_status_is_that_of_the_last_look(monitored: Workspace) -> None:
    with TestClient(create_app(monitored)) as client:
        found = client.get("/status").json()
    report = last_report(monitored)
    assert report is not None
    assert found["state"] == report.state != "ok"
    assert [a["subject"] for a in found["alerts"]] == [a.subject for a in report.alerts]
    own = json.loads(json.dumps(project_status(monitored).to_dict(), default=str))
    passing = {"at", "snapshot", "requests"}  # ages and counts go on
    assert {k: v for k, v in found.items() if k not in passing} == {k: v for k, v in own.items() if k not in passing}
    spend = next(t for t in found["tasks"] if t["task"] == "spend")
    assert spend["realized"] == next(q.realized for q in report.quality if q.task == "spend")
    assert len(spend["quality"]) == sum(q.task == "spend" for q in report.quality)
    assert found["next"]


def test_monitor_is_the_report_and_says_so_before_there_is_one(own_project: Workspace) -> None:
    with TestClient(create_app(own_project)) as client:
        refused = client.get("/monitor")
        assert refused.status_code == 409
        assert "forekey monitor" in refused.json()["detail"]
        report = pipeline.monitor(own_project)
        assert client.get("/monitor").json() == json.loads(json.dumps(report.to_dict(), default=str))


def test_the_graph_is_described_with_what_moved(monitored: Workspace) -> None:
    with TestClient(create_app(monitored)) as client:
        found = client.get("/graph").json()
    current = monitored.snapshots.current()
    assert found == json.loads(json.dumps(graph_status(current, last_report(monitored)).to_dict(), default=str))
    orders = next(t for t in found["tables"] if t["table"] == "orders")
    assert orders["nodes"] == current.num_nodes("orders")
    assert orders["state"] != "ok"
    edge = next(e for e in found["edges"] if e["child"] == "orders")
    assert (edge["parent"], edge["match_rate"]) == ("customers", 1.0)


def test_a_project_at_each_step_says_what_to_do_next(shop_database: Path, tmp_path: Path) -> None:
    project = pipeline.init(str(shop_database), tmp_path).workspace
    steps = [s.command for s in project_status(project).next]
    assert steps == ["forekey snapshot", 'forekey ask . "PREDICT …"']
    text = (
        (tmp_path / "forekey.yaml")
        .read_text(encoding="utf-8")
        .replace(
            "tasks: {}", "tasks:\n  spend: 'PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id'"
        )
    )
    (tmp_path / "forekey.yaml").write_text(text, encoding="utf-8")
    project = Workspace.open(tmp_path)
    pipeline.snapshot(project)
    assert [s.command for s in project_status(project).next] == ["forekey train spend"]
    pipeline.train(project, "spend", preset="instant")
    assert [s.command for s in project_status(project).next] == ["forekey embed spend", "forekey monitor"]
    pipeline.embed(project, "spend")
    assert [s.command for s in project_status(project).next] == ["forekey monitor"]


def test_a_damaged_report_and_snapshot_are_said_to_be_so(own_project: Workspace) -> None:
    pipeline.monitor(own_project)
    (own_project.place("reports") / "monitor.json").write_text("{", encoding="utf-8")
    assert project_status(own_project).monitored_at is None
    current = own_project.snapshots.current_id()
    (own_project.place("snapshots") / f"{current}.json").write_text("{", encoding="utf-8")
    state = project_status(own_project)
    assert state.snapshot is None
    assert state.next[0].command == "forekey snapshot --full"


def test_requests_for_predictions_are_counted_by_task(own_project: Workspace) -> None:
    for _ in range(2):  # two services, one after the other
        with TestClient(create_app(own_project)) as client:
            for place in ("/predict/churn/7", "/predict/churn/8?mode=online", "/predict/spend/7", "/predict/nope/7"):
                client.get(place)
            client.get("/no/such/path")
    found = {t.task: t.requests for t in project_status(own_project).tasks}
    assert (found["churn"], found["spend"], found["weeks"]) == (4, 2, 0)
    assert any(t.name == "other" for t in timings(own_project)[0])
    assert all(t.name for t in timings(own_project)[0])
