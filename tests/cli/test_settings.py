"""What is accepted does something, or says that it does nothing; moments are printed as moments."""

from __future__ import annotations

import ast
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel

from forekey import pipeline
from forekey.cli.commands import cli
from forekey.project import (
    CONFIG_NAME,
    Config,
    EntityRef,
    ForeignKeyConfig,
    LabelTask,
    PQLTask,
    Project,
    RetrainConfig,
    TableConfig,
    idle_settings,
    parse_config,
)
from forekey.workspace import Workspace

SOURCES = Path(pipeline.__file__).parents[1]
LABELS = "entity: {column: c, key: customers.customer_id}, time: t, target: y, task_type: regression"


def run(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--project", str(project.root)])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("retrain: {schedule: '0 3 * * *'}", "retrain.schedule"),
        ("tables: {t: {lookback_days: 2}}", "tables.t.lookback_days"),
        (f"tasks: {{x: {{labels: {{train: a, val: b, test: c}}, split: s, {LABELS}}}}}", "tasks.x.split"),
        (f"tasks: {{x: {{labels: a, items: p.k, {LABELS}}}}}", "tasks.x.items"),
        (f"tasks: {{x: {{labels: a, top: 10, {LABELS}}}}}", "tasks.x.top"),
    ],
)
def test_a_setting_that_does_nothing_is_known(text: str, where: str) -> None:
    assert [s.where for s in idle_settings(parse_config(f"source: x\n{text}", "forekey.yaml"))] == [where]


def test_settings_that_do_something_are_not_named() -> None:
    text = (
        "source: x\nretrain: {min_gain: 0.1, on_drift: 0.2}\ntables: {t: {time_column: c, lookback_days: 2}}\n"
        f"tasks: {{x: {{labels: a, split: s, {LABELS}}}}}"
    )
    assert list(idle_settings(parse_config(text, "forekey.yaml"))) == []


@pytest.mark.parametrize("model", [Config, TableConfig, ForeignKeyConfig, EntityRef, LabelTask, PQLTask, RetrainConfig])
def test_every_setting_is_read_somewhere_or_named_as_idle(model: type[BaseModel]) -> None:
    read: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and (path.name != "project.py" or node.attr in {"schedule"}):
                read.add(node.attr)
    assert set(model.model_fields) - read == set()


def test_the_commands_that_act_on_settings_name_those_that_do_nothing(own_project: Project) -> None:
    path = own_project.root / CONFIG_NAME
    path.write_text(path.read_text() + "retrain: {schedule: '0 3 * * *'}\n")
    said = run(own_project, "monitor", "--json")
    assert "retrain.schedule does nothing: nothing acts on a schedule yet" in said.stderr
    assert json.loads(said.stdout)
    assert "retrain.schedule" in run(own_project, "train", "nothing").stderr
    warned = {w["where"]: w for w in json.loads(run(own_project, "check", "--json").stdout)["warnings"]}
    assert "does nothing" in warned["retrain.schedule"]["what"]


def test_anchor_settings_of_a_target_without_a_window_are_named_by_check(own_project: Project) -> None:
    task = PQLTask(query="PREDICT customers.age FOR EACH customers.customer_id", max_anchors=5, step_days=7)
    config = own_project.config.model_copy(update={"tasks": {"age": task}})
    found = {f.where for f in pipeline.check(Workspace(own_project.root, config)).warnings}
    assert {"tasks.age.max_anchors", "tasks.age.step_days"} <= found


@pytest.mark.parametrize(
    "arguments",
    [
        ("snapshot", "--stats", "--full"),
        ("snapshot", "--list", "--as-of", "2024-01-01"),
        ("evaluate", "spend", "--at", "2024-06-01", "--split", "val"),
        ("models", "spend", "--promote", "v1", "--rollback"),
        ("predict", "spend", "--out", "a.csv", "--table", "b"),
    ],
)
def test_options_that_exclude_each_other_are_refused(trained_project: Project, arguments: tuple[str, ...]) -> None:
    done = run(trained_project, *arguments)
    assert done.exit_code == 2
    assert "Usage" in done.stderr


def moments_in(value: Any) -> list[float]:
    """Return every number in some JSON that looks like microseconds since 1970."""
    if isinstance(value, dict):
        return [m for v in value.values() for m in moments_in(v)]
    if isinstance(value, list):
        return [m for v in value for m in moments_in(v)]
    return [value] if isinstance(value, int | float) and abs(value) > 1e12 else []


def test_statistics_give_moments_as_iso_times(trained_project: Project) -> None:
    stats = json.loads(run(trained_project, "snapshot", "--stats", "--json").stdout)
    orders = stats["tables"]["orders"]
    quantiles = [datetime.fromisoformat(q) for q in orders["columns"]["placed_at"]["quantiles"]]
    assert quantiles == sorted(quantiles)
    assert datetime.fromisoformat(orders["newest"]) == quantiles[-1]
    assert stats["tables"]["customers"]["newest"] is None
    shown = run(trained_project, "snapshot", "--stats").stdout
    assert f"{quantiles[0]:%Y-%m-%d %H:%M} … " in " ".join(shown.split())
    assert "e+1" not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("snapshot", "--stats"),
        ("snapshot", "--list"),
        ("snapshot", "--diff", "current", "current"),
        ("check",),
        ("sql", "churn"),
        ("monitor",),
        ("models",),
        ("explain", "spend", "7"),
        ("explain", "baskets", "7"),
        ("evaluate", "spend"),
    ],
)
def test_no_command_prints_a_moment_as_microseconds(trained_project: Project, arguments: tuple[str, ...]) -> None:
    done = run(trained_project, *arguments, "--json")
    assert moments_in(json.loads(done.stdout)) == []
