"""What /metrics says: well formed, whole, and what dashboard and alert rules ask for is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from forekey import pipeline
from forekey.serving import create_app
from forekey.stages import measured, stage
from forekey.workspace import Workspace
from tests.support.months import add_month

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMTOOL = shutil.which("promtool")


@pytest.fixture(scope="module")
def text(_trained_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("metrics") / "project"
    shutil.copytree(_trained_shop, root)
    project = Workspace.open(root)
    add_month(project, amount=1e5)
    pipeline.monitor(project)
    with TestClient(create_app(project)) as client:
        for mode in ("stored", "online"):
            assert client.get(f"/predict/spend/1?mode={mode}").status_code == 200
        assert client.get("/predict/spend/no-such-customer").status_code == 404
        yield client.get("/metrics").text


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_alerts_quality_stages_and_the_log_are_there(text: str) -> None:
    found = samples(text)
    assert sum(value for _, value in found["forekey_alerts"]) > 0
    kinds = {(labels["task"], labels["kind"]) for labels, _ in found["forekey_quality"]}
    assert {("spend", "promised"), ("spend", "realized")} <= kinds
    stages = {(labels["mode"], labels["stage"]) for labels, _ in found["forekey_stage_seconds_count"]}
    assert {("stored", "look up"), ("stored", "total"), ("online", "window features"), ("online", "total")} <= stages
    assert found["forekey_monitor_age_seconds"][0][1] >= 0
    assert {labels["outcome"] for labels, _ in found["forekey_predictions_logged_total"]} == {"written", "lost"}


def test_stages_are_no_longer_than_the_whole(text: str) -> None:
    found = {(labels["mode"], labels["stage"]): value for labels, value in samples(text)["forekey_stage_seconds_sum"]}
    for mode in ("stored", "online"):
        parts = sum(v for (m, s), v in found.items() if m == mode and s != "total")
        assert 0 < parts <= found[mode, "total"]


def test_rules_and_dashboard_ask_for_metrics_that_there_are(text: str) -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    dashboard = json.loads((DEPLOY / "grafana" / "forekey.json").read_text(encoding="utf-8"))
    asked = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {name for expression in asked for name in re.findall(r"forekey_\w+", expression)}
    assert names
    assert names <= set(samples(text))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed here")
def test_promtool_accepts_metrics_and_rules(text: str) -> None:
    assert PROMTOOL is not None
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    rules = [PROMTOOL, "check", "rules", str(DEPLOY / "prometheus" / "alerts.yml")]
    assert subprocess.run(rules, capture_output=True).returncode == 0


def test_stages_are_added_up_and_cost_nothing_where_nobody_asks() -> None:
    with stage("alone"):
        pass
    with measured() as outer:
        with stage("a"), measured() as inner, stage("b"):
            pass
        with stage("a"):
            pass
    assert set(outer) == {"a"}
    assert set(inner) == {"b"}
