"""Rankings are trained, judged by mean average precision, held against what anyone would guess, and trained again."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from forekey import pipeline
from forekey.errors import TaskError
from forekey.project import LabelTask, PQLTask, Project
from tests.monitoring.test_monitoring import add_month


def with_task(project: Project, name: str, task: Any) -> Project:
    config = project.config.model_copy(update={"tasks": {**project.config.tasks, name: task}})
    return Project(project.root, config)


def test_what_customers_like_is_learnt(trained_project: Project) -> None:
    facts = pipeline.registry(trained_project).champion("baskets").manifest
    mine = facts["metrics"]["test"]
    assert set(facts["baselines"]) == {"popular", "last_items", "items_of_others_alike"}
    assert all(mine["map"] > scores["test"]["map"] for scores in facts["baselines"].values())
    assert set(mine) == {"map", "precision", "recall", "ndcg", "mrr"}
    assert facts["intervals"]["model"][0] < mine["map"] < facts["intervals"]["model"][1]
    assert any("pair" in name for name in list(facts["importance"])[:5])


def test_scoring_a_version_again_gives_what_its_report_says(trained_project: Project) -> None:
    version, metrics, examples = pipeline.evaluate(trained_project, "baskets")
    assert examples > 0
    assert metrics == pytest.approx(version.manifest["metrics"]["test"], abs=1e-3)


def test_equal_seeds_give_equal_rankings(own_project: Project) -> None:
    reports = [pipeline.train(own_project, "baskets", preset="fast", seed=7) for _ in range(2)]
    assert reports[0].metrics == reports[1].metrics


def test_a_ranking_of_values_of_a_column_is_refused_with_the_reason(own_project: Project) -> None:
    query = "PREDICT LIST_DISTINCT(orders.channel, 0, 30) RANK TOP 2 FOR EACH customers.customer_id"
    with pytest.raises(TaskError, match=r"only rows of a table can be ranked.*CLASSIFY"):
        pipeline.train(with_task(own_project, "ranked", PQLTask(query=query)), "ranked", preset="fast")


def test_ready_made_rankings_name_their_items(own_project: Project) -> None:
    labels = pipeline.labels(own_project, "baskets").table.rename_columns(["who", "at", "what", "part"])
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.register("made", labels)
        connection.execute("CREATE TABLE bought AS SELECT * FROM made")
    given: dict[str, Any] = {
        "labels": "bought", "entity": {"column": "who", "key": "customers.customer_id"}, "time": "at",
        "target": "what", "split": "part", "task_type": "link_prediction", "horizon_days": 30, "top": 5,
    }  # fmt: skip
    with pytest.raises(TaskError, match=r"items: must name its primary key, for example products.sku"):
        pipeline.train(with_task(own_project, "bought", LabelTask.model_validate(given)), "bought", preset="fast")
    named = with_task(own_project, "bought", LabelTask.model_validate({**given, "items": "products.sku"}))
    report = pipeline.train(named, "bought", preset="fast")
    assert (report.metrics["test"]["map"] or 0) > (report.baselines["popular"]["test"]["map"] or 0)


def test_a_ranking_is_monitored_and_trained_again(own_project: Project) -> None:
    newest = pipeline.snapshots(own_project).current().as_of
    add_month(own_project, amount=30.0)
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute(
            "INSERT INTO order_lines SELECT order_id, 'sku-00' || (order_id % 3), 1, placed_at FROM orders "
            "WHERE placed_at > ?",
            [newest],
        )
    pipeline.snapshot(own_project)
    seen = {q.task: q for q in pipeline.monitor(own_project).quality}
    assert 0 <= (seen["baskets"].metrics["map"] or 0) < (seen["baskets"].expected["map"] or 0)
    found = pipeline.retrain(own_project, "baskets", preset="fast")
    assert found.verdict.promote is ((found.challenger_metrics["map"] or 0) > (found.champion_metrics["map"] or 0))


def test_a_run_of_towers_that_was_cut_off_goes_on(own_project: Project) -> None:
    from dataclasses import replace

    from forekey.training import train_task

    class CutOff(Exception):
        pass

    current, models = pipeline.snapshots(own_project).current(), pipeline.registry(own_project)
    task = pipeline.find_task(own_project, current.schema, "baskets")
    config = replace(pipeline.train_config("fast", 5), max_epochs=3, patience=9)
    seen: list[int] = []

    def cut(epoch: Any) -> None:
        seen.append(epoch.number)
        if epoch.number == 2:
            raise CutOff

    with pipeline._source(own_project) as source:
        straight, _ = train_task(task, current, source, models, config, baselines=False)
        with pytest.raises(CutOff):
            train_task(task, current, source, models, config, baselines=False, on_epoch=cut)
        resumed, _ = train_task(
            task, current, source, models, config, baselines=False, on_epoch=lambda e: seen.append(e.number)
        )
    assert seen == [1, 2, 3]
    assert resumed.manifest["metrics"] == straight.manifest["metrics"]
