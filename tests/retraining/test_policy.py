"""Decisions are pure: given a report, the same answer with the same reasons."""

from __future__ import annotations

import json
from typing import Any

import pytest

from forekey import pipeline
from forekey.monitoring import Alert, DriftLine, LogLine, MonitorReport, Quality, State
from forekey.project import RetrainConfig
from forekey.retraining import judge, should_retrain
from forekey.task import TaskType
from forekey.training import TrainConfig
from forekey.workspace import Workspace


def report(
    psi: float = 0.0,
    metric: str = "auroc",
    realized: float | None = None,
    expected: float | None = None,
    alerts: tuple[Alert, ...] = (),
) -> MonitorReport:
    drift = DriftLine("orders", "amount", ("churn",), State.OK, psi, 0.1, 0.5, 1.0, 0.0, 0.0, 100, 100, 7, "")
    quality = Quality("churn", "v1", "2024", 10, metric, realized, expected=expected)
    return MonitorReport("now", "s", "2024", State.OK, alerts, (quality,), (drift,), (), (), {}, LogLine())


def alert(monitor: str, state: State, task: str = "churn") -> tuple[Alert, ...]:
    return (Alert(monitor, "orders.amount", state, 1.0, 0.1, None, (task,), "it moved", "look"),)


DROP = RetrainConfig(on_quality_drop=0.02)


@pytest.mark.parametrize(
    ("seen", "config", "says"),
    [
        (report(0.5), RetrainConfig(on_drift=0.2), "orders.amount drifted by 0.5"),
        (report(0.1), RetrainConfig(on_drift=0.2), None),
        (report(0.5), RetrainConfig(), None),
        (report(realized=0.7, expected=0.8), DROP, "auroc is 0.7 where 0.8"),
        (report(realized=0.79, expected=0.8), DROP, None),
        (report(0, "mae", 12.0, 10.0), RetrainConfig(on_quality_drop=0.1), "mae is 12 where 10"),
        (report(0, "mae", 8.0, 10.0), RetrainConfig(on_quality_drop=0.1), None),
        (report(realized=None, expected=0.8), DROP, None),
        (report(alerts=alert("quality", State.WARNING)), RetrainConfig(), "it moved"),
        (report(alerts=alert("quality", State.WARNING, "spend")), RetrainConfig(), None),
        (report(alerts=alert("column drift", State.WARNING)), RetrainConfig(), None),
        (report(alerts=alert("column drift", State.CRITICAL)), RetrainConfig(), None),
        (report(alerts=alert("orphans", State.CRITICAL)), RetrainConfig(), None),
    ],
)
def test_when_to_train_again(seen: MonitorReport, config: RetrainConfig, says: str | None) -> None:
    task_type = TaskType.REGRESSION if seen.quality[0].metric == "mae" else TaskType.BINARY_CLASSIFICATION
    decision = should_retrain("churn", task_type, seen, config)
    assert decision.retrain is (says is not None)
    assert (says or "") in " ".join(decision.reasons)


@pytest.mark.parametrize(
    ("task_type", "champion", "challenger", "min_gain", "promote"),
    [
        (TaskType.BINARY_CLASSIFICATION, {"auroc": 0.8}, {"auroc": 0.81}, 0.0, True),
        (TaskType.BINARY_CLASSIFICATION, {"auroc": 0.8}, {"auroc": 0.81}, 0.02, False),
        (TaskType.BINARY_CLASSIFICATION, {"auroc": 0.8}, {"auroc": 0.8}, 0.0, False),
        (TaskType.REGRESSION, {"mae": 10.0}, {"mae": 9.0}, 0.05, True),
        (TaskType.REGRESSION, {"mae": 10.0}, {"mae": 11.0}, 0.0, False),
        (TaskType.BINARY_CLASSIFICATION, {"auroc": None}, {"auroc": 0.5}, 0.0, True),
        (TaskType.BINARY_CLASSIFICATION, {"auroc": 0.5}, {"auroc": None}, 0.0, False),
    ],
)
def test_who_is_champion(
    task_type: TaskType, champion: dict[str, Any], challenger: dict[str, Any], min_gain: float, promote: bool
) -> None:
    verdict = judge(task_type, champion, challenger, min_gain)
    assert verdict.promote is promote
    assert "newest window" in verdict.reason


def test_retraining_compares_on_one_window_and_refreshes_embeddings(own_project: Workspace) -> None:
    found = pipeline.retrain(own_project, "next_channel", preset="fast", seed=4)
    assert (found.champion, found.challenger) == ("v1", "v2")
    assert found.examples == len(
        pipeline.labels(own_project, "next_channel").table.filter(
            pipeline.labels(own_project, "next_channel").table.column("split").to_numpy(zero_copy_only=False) == "test"
        )
    )
    current = own_project.registry.champion("next_channel").version
    assert current == ("v2" if found.verdict.promote else "v1")
    assert found.embedding_version.startswith(current)
    better = (found.challenger_metrics["accuracy"] or 0) > (found.champion_metrics["accuracy"] or 0)
    assert found.verdict.promote is better


def test_a_gain_that_is_asked_for_keeps_the_champion(own_project: Workspace) -> None:
    config = own_project.config.model_copy(update={"retrain": RetrainConfig(min_gain=0.9)})
    found = pipeline.retrain(Workspace(own_project.root, config), "spend", preset="fast")
    assert not found.verdict.promote
    assert "a gain above 0.9 is needed" in found.verdict.reason
    assert own_project.registry.champion("spend").version == "v1"


def test_a_challenger_is_trained_by_what_was_found_for_the_champion(own_project: Workspace) -> None:
    pipeline.train(own_project, "spend", preset="fast", search_minutes=0.05)
    own_project.registry.promote("spend", "v2", "searched")
    said: list[str] = []
    found = pipeline.retrain(own_project, "spend", seed=6, listener=pipeline.Listener(step=said.append))
    champion, challenger = (own_project.registry.get("spend", v).manifest.config for v in ("v2", found.challenger))
    assert champion["search_seconds"] == 3.0
    assert challenger == {**champion, "seed": 6, "search_seconds": 0.0}
    assert "looking for better settings" not in said


def test_a_preset_that_is_asked_for_is_the_challengers(own_project: Workspace) -> None:
    config = own_project.config.model_copy(update={"retrain": RetrainConfig(min_gain=0.9)})
    found = pipeline.retrain(Workspace(own_project.root, config), "spend", preset="fast", seed=2)
    manifest = own_project.registry.get("spend", found.challenger).manifest
    assert TrainConfig.from_dict(manifest.config) == pipeline.train_config("fast", 2)


@pytest.mark.parametrize("preset", ["fast", "normal", "best"])
def test_settings_are_read_as_they_were_written_by_this_version_or_another(preset: str) -> None:
    config = pipeline.train_config(preset, 3)
    written = json.loads(json.dumps(config.to_dict()))
    assert TrainConfig.from_dict(written) == config
    assert TrainConfig.from_dict({**written, "setting of a later version": 1}) == config
    del written["weight_decay"], written["trees"]["patience"]
    read = TrainConfig.from_dict(written)
    assert (read.weight_decay, read.trees.patience) == (TrainConfig().weight_decay, TrainConfig().trees.patience)


@pytest.mark.parametrize(
    ("between", "said"), [((-0.01, 0.03), "cannot tell which is better"), ((0.005, 0.03), "between +0.005 and +0.03")]
)
def test_a_verdict_says_how_sure_it_is(between: tuple[float, float], said: str) -> None:
    verdict = judge(TaskType.BINARY_CLASSIFICATION, {"auroc": 0.80}, {"auroc": 0.81}, 0.0, between)
    assert verdict.promote
    assert said in verdict.reason
    assert ("cannot tell" in verdict.reason) == (between[0] <= 0.0)


def test_a_challenger_alike_is_not_said_to_be_surely_better(own_project: Workspace) -> None:
    pipeline.train(own_project, "churn", preset="instant")
    own_project.registry.promote("churn", "v2", "for the test")
    found = pipeline.retrain(own_project, "churn", seed=0)  # the same settings, seed and data: the same model
    assert found.interval == (0.0, 0.0)
    assert not found.verdict.promote
