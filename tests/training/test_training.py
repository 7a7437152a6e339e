"""Training learns what is there, is judged on later data, and says plainly how it compares."""

from __future__ import annotations

import numpy as np
import pytest

from forekey import pipeline
from forekey.errors import TaskError
from forekey.project import PQLTask, Project
from forekey.registry import ModelVersion
from forekey.task import TaskType
from forekey.training import TrainReport


def champion(project: Project, task: str) -> ModelVersion:
    return pipeline.registry(project).champion(task)


def test_the_model_beats_the_constant_on_a_shop_with_something_to_learn(trained_project: Project) -> None:
    churn = TrainReport.from_version(champion(trained_project, "churn"))
    assert (churn.metrics["test"]["auroc"] or 0) > 0.55
    for task, metric in (("spend", "mae"), ("next_channel", "accuracy")):
        report = TrainReport.from_version(champion(trained_project, task))
        mine, constant = report.metrics["test"][metric], report.baselines["constant"]["test"][metric]
        assert mine is not None
        assert constant is not None
        assert mine < 0.8 * constant if metric == "mae" else mine > constant + 0.2


def test_a_version_tells_where_it_comes_from(trained_project: Project) -> None:
    manifest = champion(trained_project, "churn").manifest
    snapshot = pipeline.snapshots(trained_project).current()
    assert manifest["snapshot"] == snapshot.id
    assert manifest["task_config"]["query"].startswith("PREDICT COUNT(orders.*")
    assert manifest["code_version"]
    assert manifest["config"]["preset"] == "fast"
    assert manifest["labels"]["train"]["rows"] > manifest["labels"]["test"]["rows"]
    assert manifest["feature_cutoff"] < manifest["snapshot_as_of"]


def test_statistics_end_with_the_training_anchors(trained_project: Project) -> None:
    manifest = champion(trained_project, "spend").manifest
    anchors = pipeline.labels(trained_project, "spend").anchors
    assert manifest["feature_cutoff"] == anchors["train"][-1]


def test_the_best_epoch_is_kept(trained_project: Project) -> None:
    manifest = champion(trained_project, "spend").manifest
    scores = [e["score"] for e in manifest["history"]]
    assert manifest["metrics"]["val"]["mae"] == pytest.approx(min(scores))
    assert manifest["history"][int(np.argmin(scores))]["best"]


def test_equal_seeds_give_equal_models(own_project: Project) -> None:
    pipeline.train(own_project, "next_channel", preset="fast", seed=7)
    pipeline.train(own_project, "next_channel", preset="fast", seed=7)
    a, b = pipeline.registry(own_project).versions("next_channel")[-2:]
    assert a.manifest["metrics"] == b.manifest["metrics"]


def test_the_first_model_becomes_champion_and_later_ones_do_not_by_themselves(own_project: Project) -> None:
    pipeline.train(own_project, "spend", preset="fast", seed=1)
    assert champion(own_project, "spend").version == "v1"
    assert len(pipeline.registry(own_project).versions("spend")) == 2


def test_baselines_are_scored_on_the_same_rows(trained_project: Project) -> None:
    report = TrainReport.from_version(champion(trained_project, "churn"))
    assert set(report.baselines) == {"constant", "last_value", "lightgbm"}
    assert report.baselines["constant"]["test"]["auroc"] == 0.5
    assert set(report.baselines["lightgbm"]["test"]) == set(report.metrics["test"])


@pytest.mark.parametrize(
    ("model", "baseline", "says"),
    [
        ({"mae": 1.0}, {"mae": 2.0}, "beats every baseline"),
        ({"mae": 2.0}, {"mae": 1.0}, "does not beat lightgbm"),
        ({"mae": None}, {"mae": 1.0}, "too small"),
    ],
)
def test_the_verdict_is_plain(model: dict[str, float | None], baseline: dict[str, float | None], says: str) -> None:
    report = TrainReport(
        "t", TaskType.REGRESSION, "v1", "s", "mae", {"test": model}, {"lightgbm": {"test": baseline}}, 1.0
    )
    assert says in report.verdict


def with_task(project: Project, name: str, query: str) -> Project:
    tasks = {**project.config.tasks, name: PQLTask(query=query)}
    return Project(project.root, project.config.model_copy(update={"tasks": tasks}))


def test_a_filter_that_nobody_passes_is_an_error_that_counts(own_project: Project) -> None:
    query = "PREDICT COUNT(orders.*, 0, 30, days) FOR EACH customers.customer_id WHERE customers.age > 1000"
    with pytest.raises(TaskError, match=r"no train examples.*left out by WHERE"):
        pipeline.train(with_task(own_project, "nobody", query), "nobody", preset="fast")


def test_a_label_that_never_varies_still_trains(own_project: Project) -> None:
    query = "PREDICT COUNT(orders.* WHERE orders.amount > 1000000000, 0, 30, days) > 0 FOR EACH customers.customer_id"
    report = pipeline.train(with_task(own_project, "never", query), "never", preset="fast")
    assert report.metrics["test"]["auroc"] is None
    assert "too small, or has one class only" in report.verdict


def test_a_static_target_trains_without_seeing_itself(own_project: Project) -> None:
    project = with_task(own_project, "channel", "PREDICT orders.channel FOR EACH orders.order_id")
    report = pipeline.train(project, "channel", preset="fast")
    columns = pipeline.registry(project).get("channel", report.model_version).features()["tables"]
    orders = next(t for t in columns if t["table"] == "orders")
    assert "channel" not in [c["name"] for c in orders["columns"]]
    assert (report.metrics["test"]["accuracy"] or 0) > (report.baselines["constant"]["test"]["accuracy"] or 0)


def test_task_types_to_come_are_refused_before_anything_is_read(own_project: Project) -> None:
    query = "PREDICT LIST_DISTINCT(orders.channel, 0, 30) CLASSIFY FOR EACH customers.customer_id"
    with pytest.raises(TaskError, match="cannot be trained by this version"):
        pipeline.train(with_task(own_project, "many", query), "many")
