"""Training learns what is there, is judged on later data, and says plainly how it compares."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from forekey import pipeline
from forekey.errors import TaskError
from forekey.graph import Seeds
from forekey.objectives import Loss
from forekey.progress import Listener
from forekey.project import PQLTask
from forekey.registry import ModelVersion
from forekey.task import Examples, TaskType
from forekey.training import TrainReport, resolve_examples
from forekey.training.evaluate import Resolved
from forekey.training.losses import example_loss
from forekey.workspace import Workspace

BASELINES = {"constant", "last_value", "entity_mean", "lightgbm_columns", "lightgbm"}


def champion(project: Workspace, task: str) -> ModelVersion:
    return project.registry.champion(task)


def test_the_model_beats_the_constant_on_a_shop_with_something_to_learn(trained_project: Workspace) -> None:
    churn = TrainReport.from_version(champion(trained_project, "churn"))
    assert (churn.metrics["test"]["auroc"] or 0) > 0.55
    scores = (("spend", "mae"), ("weeks", "mae"), ("next_channel", "accuracy"), ("channels", "macro_auprc"))
    for task, metric in scores:
        report = TrainReport.from_version(champion(trained_project, task))
        mine, constant = report.metrics["test"][metric], report.baselines["constant"]["test"][metric]
        assert mine is not None
        assert constant is not None
        assert mine < 0.8 * constant if metric == "mae" else mine > constant + 0.2


def test_a_forecast_is_scored_over_all_timeframes_and_each_by_itself(trained_project: Workspace) -> None:
    report = TrainReport.from_version(champion(trained_project, "weeks"))
    scores = report.metrics["test"]
    assert scores["mae"] == pytest.approx(np.mean([scores[f"mae_{i}"] for i in (1, 2, 3)]))
    assert {"smape", "wape"} <= set(scores)
    assert set(report.baselines) == BASELINES
    assert len(pipeline.labels(trained_project, "weeks").table.column("target")[0].as_py()) == 3


def test_a_forecast_learns_from_labels_that_end_before_it_is_judged(trained_project: Workspace) -> None:
    labels = pipeline.labels(trained_project, "weeks")
    window = timedelta(days=3 * 14)
    train, val, test = ([datetime.fromisoformat(a) for a in labels.anchors[s]] for s in ("train", "val", "test"))
    assert train[-1] + window <= val[0]
    assert val[-1] + window <= test[0]
    assert test[-1] - test[0] == timedelta(days=14)


def test_too_many_classes_are_to_be_ranked(own_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from forekey.objectives import multilabel

    monkeypatch.setattr(multilabel, "_MAX_CLASSES", 2)
    with pytest.raises(
        TaskError,
        match=r"Task 'channels' cannot be learnt. The training labels hold 3 classes; CLASSIFY takes up to 2\. Use RANK TOP k",
    ):
        pipeline.train(own_project, "channels", preset="fast")


def test_some_examples_are_those_at_positions_or_where_a_mask_holds(own_project: Workspace) -> None:
    current = own_project.snapshots.current()
    task = pipeline.find_task(own_project, current.schema, "next_channel")
    with own_project.source() as source:
        every = resolve_examples(current, task, task.labels.make(source, current).split("val"))
    mask = every.rows % 2 == 0
    one, two = every.only(mask), every.only(np.flatnonzero(mask))
    assert 0 < len(one) == len(two) < len(every)
    assert one.examples.keys.to_pylist() == two.examples.keys.to_pylist()
    assert one.target.tolist() == two.target.tolist() == every.target[mask].tolist()


def test_a_version_tells_where_it_comes_from(trained_project: Workspace) -> None:
    manifest = champion(trained_project, "churn").manifest
    snapshot = trained_project.snapshots.current()
    assert manifest.snapshot == snapshot.id
    assert manifest.task_config["query"].startswith("PREDICT COUNT(orders.*")
    assert manifest.code_version
    assert manifest.config["preset"] == "fast"
    assert manifest.labels["train"]["rows"] > manifest.labels["test"]["rows"]
    assert manifest.feature_cutoff < manifest.snapshot_as_of


def test_statistics_end_with_the_training_anchors(trained_project: Workspace) -> None:
    manifest = champion(trained_project, "spend").manifest
    anchors = pipeline.labels(trained_project, "spend").anchors
    assert manifest.feature_cutoff == anchors["train"][-1]


def test_the_best_epoch_is_kept(trained_project: Workspace) -> None:
    manifest = champion(trained_project, "spend").manifest
    scores = [e["score"] for e in manifest.history]
    assert manifest.parts["network alone"]["val"]["mae"] == pytest.approx(min(scores))
    assert manifest.history[int(np.argmin(scores))]["best"]


def test_equal_seeds_give_equal_models(own_project: Workspace) -> None:
    pipeline.train(own_project, "next_channel", preset="fast", seed=7)
    pipeline.train(own_project, "next_channel", preset="fast", seed=7)
    a, b = own_project.registry.versions("next_channel")[-2:]
    assert a.manifest.metrics == b.manifest.metrics


def test_the_first_model_becomes_champion_and_later_ones_do_not_by_themselves(own_project: Workspace) -> None:
    pipeline.train(own_project, "spend", preset="fast", seed=1)
    assert champion(own_project, "spend").version == "v1"
    assert len(own_project.registry.versions("spend")) == 2


def test_baselines_are_scored_on_the_same_rows(trained_project: Workspace) -> None:
    report = TrainReport.from_version(champion(trained_project, "churn"))
    assert set(report.baselines) == BASELINES
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


def with_task(project: Workspace, name: str, query: str) -> Workspace:
    tasks = {**project.config.tasks, name: PQLTask(query=query)}
    return Workspace(project.root, project.config.model_copy(update={"tasks": tasks}))


def test_a_filter_that_nobody_passes_is_an_error_that_counts(own_project: Workspace) -> None:
    query = "PREDICT COUNT(orders.*, 0, 30, days) FOR EACH customers.customer_id WHERE customers.age > 1000"
    with pytest.raises(TaskError, match=r"no train examples.*left out by WHERE"):
        pipeline.train(with_task(own_project, "nobody", query), "nobody", preset="fast")


def test_a_label_that_never_varies_still_trains(own_project: Workspace) -> None:
    query = "PREDICT COUNT(orders.* WHERE orders.amount > 1000000000, 0, 30, days) > 0 FOR EACH customers.customer_id"
    report = pipeline.train(with_task(own_project, "never", query), "never", preset="fast")
    assert report.metrics["test"]["auroc"] is None
    assert "too small, or has one class only" in report.verdict


def test_a_static_target_trains_without_seeing_itself(own_project: Workspace) -> None:
    project = with_task(own_project, "channel", "PREDICT orders.channel FOR EACH orders.order_id")
    report = pipeline.train(project, "channel", preset="fast")
    columns = project.registry.get("channel", report.model_version).features()["tables"]
    orders = next(t for t in columns if t["table"] == "orders")
    assert "channel" not in [c["name"] for c in orders["columns"]]
    assert (report.metrics["test"]["accuracy"] or 0) > (report.baselines["constant"]["test"]["accuracy"] or 0)


@pytest.mark.parametrize(
    ("loss", "output", "target"),
    [
        ("logistic", [[0.5], [-3.0], [2.0]], [1.0, 1.0, 0.0]),
        ("softmax", [[0.5, 1.0], [-3.0, 2.0], [2.0, 0.0]], [1, 0, 1]),
        ("logistic", [[0.5, 1.0], [-3.0, 2.0], [2.0, 0.0]], [[1.0, 0.0]] * 3),
        ("absolute", [[0.5], [-3.0], [2.0]], [1.0, 1.0, 0.0]),
        ("absolute", [[0.5, 1.0], [-3.0, 2.0], [2.0, 0.0]], [[1.0, 0.0]] * 3),
    ],
)
def test_an_example_counts_by_its_weight(loss: Loss, output: list[Any], target: list[Any]) -> None:
    outputs, targets = torch.tensor(output), torch.tensor(target)
    plain = [example_loss(loss, outputs[[i]], targets[[i]], None).item() for i in range(3)]
    assert example_loss(loss, outputs, targets, None).item() == pytest.approx(np.mean(plain))
    weighted = example_loss(loss, outputs, targets, torch.tensor([0.0, 3.0, 1.0])).item()
    assert weighted == pytest.approx((3 * plain[1] + plain[2]) / 4)


def test_the_report_says_what_assuming_means(own_project: Workspace) -> None:
    query = "PREDICT SUM(orders.amount, 0, 30) FOR EACH customers.customer_id ASSUMING COUNT(orders.*, 0, 30) > 0"
    report = pipeline.train(with_task(own_project, "if", query), "if", preset="fast")
    assert "a correlation" in report.notes[0]
    assert TrainReport.from_version(champion(own_project, "churn")).notes == ()


class CutOff(Exception):
    pass


def test_a_run_that_was_cut_off_goes_on_and_ends_as_if_it_had_not_been(own_project: Workspace) -> None:
    from dataclasses import replace

    from forekey.training import train_task

    current = own_project.snapshots.current()
    task = pipeline.find_task(own_project, current.schema, "spend")
    config = replace(pipeline.train_config("fast", 5), max_epochs=4, patience=9)
    models = own_project.registry
    seen: list[int] = []

    def cut(epoch: Any) -> None:
        seen.append(epoch.number)
        if epoch.number == 2:
            raise CutOff

    with own_project.source() as source:
        straight, _ = train_task(task, current, source, models, config, baselines=False)
        with pytest.raises(CutOff):
            train_task(task, current, source, models, config, baselines=False, listener=Listener(epoch=cut))
        folder = own_project.place("models") / "spend"
        assert len(list(folder.glob(".unfinished-*"))) == 1
        resumed, _ = train_task(
            task,
            current,
            source,
            models,
            config,
            baselines=False,
            listener=Listener(epoch=lambda e: seen.append(e.number)),
        )
    assert seen == [1, 2, 3, 4]
    assert resumed.manifest.metrics == straight.manifest.metrics
    assert [e["score"] for e in resumed.manifest.history] == [e["score"] for e in straight.manifest.history]
    assert not list(folder.glob(".unfinished-*"))


def test_a_checkpoint_that_cannot_be_read_is_passed_over(
    own_project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forekey.registry import Registry

    place = own_project.root / "broken.safetensors"
    place.write_bytes(b"cut short")
    monkeypatch.setattr(Registry, "unfinished", lambda *_: place)
    assert pipeline.train(own_project, "spend", preset="fast").metrics["test"]["mae"] is not None
    assert not place.exists()


def examples_at(*times: int) -> dict[str, Resolved]:
    seeds = Seeds.at("customers", np.arange(len(times)), np.array(times))
    target = np.zeros(len(times))
    return {
        "test": Resolved(seeds, target, Examples(pa.chunked_array([np.arange(len(times))]), seeds.times, target), 0)
    }


def test_examples_of_one_time_see_the_graph_alike_where_items_are_ranked() -> None:
    from forekey.training.job import late_as_tests

    seen = late_as_tests(examples_at(12, 12, 12, 30), 10, 0, by_moment=True)
    assert seen is not None
    cutoffs = seen("train", np.repeat(np.arange(100, 110), 20)).reshape(10, 20)
    assert (cutoffs == cutoffs[:, :1]).all()
    assert set((np.arange(100, 110) - cutoffs[:, 0]).tolist()) == {2, 20}


def test_where_the_data_end_before_what_is_predicted_all_examples_see_them_so_old() -> None:
    from forekey.training.job import late_as_tests

    assert late_as_tests(examples_at(5, 9), 10, 0, by_moment=False) is None
    seen = late_as_tests(examples_at(12, 30), 10, 0, by_moment=False)
    assert seen is not None
    tests = np.array([8, 12, 30])
    assert Seeds.at("customers", np.arange(3), tests, seen("test", tests)).cutoffs.tolist() == [8, 10, 10]
    times = np.arange(100, 200)
    aged = seen("train", times)
    assert set((times - aged).tolist()) == {2, 20}
    assert seen("train", times).tolist() == aged.tolist()
