"""Rankings are trained, judged by mean average precision, held against what anyone would guess, and trained again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import duckdb
import pytest

from forekey import pipeline
from forekey.errors import TaskError
from forekey.progress import SILENT, Listener
from forekey.project import LabelTask, PQLTask
from forekey.training import gather, train_task
from forekey.training.lineage import run_id
from forekey.training.ranking import RankingRecipe
from forekey.training.trees import Growing
from forekey.workspace import Workspace
from tests.support.months import add_month


def with_task(project: Workspace, name: str, task: Any) -> Workspace:
    config = project.config.model_copy(update={"tasks": {**project.config.tasks, name: task}})
    return Workspace(project.root, config)


def test_what_customers_like_is_learnt(trained_project: Workspace) -> None:
    facts = trained_project.registry.champion("baskets").manifest
    mine = facts.metrics["test"]
    assert set(facts.baselines) == {"popular", "last_items", "items_of_others_alike"}
    assert all(mine["map"] > scores["test"]["map"] for scores in facts.baselines.values())
    assert set(mine) == {"map", "precision", "recall", "ndcg", "mrr"}
    assert facts.intervals["model"][0] < mine["map"] < facts.intervals["model"][1]
    assert any("pair" in name for name in list(facts.importance)[:5])


def test_scoring_a_version_again_gives_what_its_report_says(trained_project: Workspace) -> None:
    version, metrics, examples = pipeline.evaluate(trained_project, "baskets")
    assert examples > 0
    assert metrics == pytest.approx(version.manifest.metrics["test"], abs=1e-3)


def test_equal_seeds_give_equal_rankings(own_project: Workspace) -> None:
    reports = [pipeline.train(own_project, "baskets", preset="fast", seed=7) for _ in range(2)]
    assert reports[0].metrics == reports[1].metrics


def test_a_ranking_of_values_of_a_column_is_refused_with_the_reason(own_project: Workspace) -> None:
    query = "PREDICT LIST_DISTINCT(orders.channel, 0, 30) RANK TOP 2 FOR EACH customers.customer_id"
    with pytest.raises(TaskError, match=r"only rows of a table can be ranked.*CLASSIFY"):
        pipeline.train(with_task(own_project, "ranked", PQLTask(query=query)), "ranked", preset="fast")


def test_ready_made_rankings_name_their_items(own_project: Workspace) -> None:
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


def test_a_ranking_is_monitored_and_trained_again(own_project: Workspace) -> None:
    newest = own_project.snapshots.current().as_of
    add_month(own_project, amount=30.0)
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute(
            "INSERT INTO order_lines SELECT order_id, 'sku-00' || (order_id % 3), 1, placed_at FROM orders "
            "WHERE placed_at > ?",
            [newest],
        )
    pipeline.snapshot(own_project)
    seen = {q.task: q for q in pipeline.monitor(own_project).quality}["baskets"]
    assert seen.is_final
    assert seen.estimated is None, "scores of rankings are no probabilities"
    assert 0 <= (seen.realized or 0) < (seen.expected or 0)
    found = pipeline.retrain(own_project, "baskets", preset="fast")
    assert found.verdict.promote is ((found.challenger_metrics["map"] or 0) > (found.champion_metrics["map"] or 0))


def test_a_run_of_towers_that_was_cut_off_goes_on(own_project: Workspace) -> None:

    class CutOff(Exception):
        pass

    current, models = own_project.snapshots.current(), own_project.registry
    task = pipeline.find_task(own_project, current.schema, "baskets")
    config = replace(pipeline.train_config("fast", 5), max_epochs=3, patience=9)
    seen: list[int] = []

    def cut(epoch: Any) -> None:
        seen.append(epoch.number)
        if epoch.number == 2:
            raise CutOff

    with own_project.source() as source:
        straight, _ = train_task(task, current, source, models, config, baselines=False)
        with pytest.raises(CutOff):
            train_task(task, current, source, models, config, baselines=False, listener=Listener(epoch=cut))
        resumed, _ = train_task(
            task,
            current,
            source,
            models,
            config,
            baselines=False,
            listener=Listener(epoch=lambda e: seen.append(e.number)),
        )
    assert seen == [1, 2, 3]
    assert resumed.manifest.metrics == straight.manifest.metrics


def test_trees_learn_from_all_times_when_there_are_too_many_pairs(
    own_project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forekey.training import pair_trees

    current = own_project.snapshots.current()
    task = pipeline.find_task(own_project, current.schema, "baskets")
    monkeypatch.setattr(pair_trees, "_MAX_PAIRS", 2_000)
    seen: list[Any] = []
    with own_project.source() as source:
        job = gather(task, current, source, pipeline.train_config("fast", 0))
    pairs = RankingRecipe(job, SILENT)._pairs
    real = pairs.compute
    monkeypatch.setattr(pairs, "compute", lambda *a: (seen.append(a[0].times), real(*a))[1])
    made = pair_trees._pair_set(pairs, job.splits["train"], 0)
    assert len(made.label) <= 2_000
    assert set(seen[0].tolist()) == set(job.splits["train"].times.tolist())


def test_items_that_were_not_there_yet_are_named(own_project: Workspace) -> None:
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute("ALTER TABLE products ADD COLUMN loaded_at TIMESTAMP DEFAULT '2030-01-01'")
    config = own_project.config.tables["products"]
    tables = {**own_project.config.tables, "products": config.model_copy(update={"time_column": "loaded_at"})}
    late = Workspace(own_project.root, own_project.config.model_copy(update={"tables": tables}))
    pipeline.snapshot(late)
    with pytest.raises(TaskError, match=r"No row of 'products' was there yet.*remove time_column"):
        pipeline.train(late, "baskets", preset="fast")


def ready_made(project: Workspace, rows: str) -> Workspace:
    """Return a project with a ranking whose labels a query makes."""
    with duckdb.connect(str(project.root / "shop.duckdb")) as connection:
        connection.execute(f"CREATE TABLE made AS {rows}")
    given: dict[str, Any] = {
        "labels": "made", "entity": {"column": "who", "key": "customers.customer_id"}, "time": "at", "target": "what",
        "task_type": "link_prediction", "items": "products.sku", "top": 3,
    }  # fmt: skip
    return with_task(project, "made", LabelTask.model_validate(given))


def test_labels_at_very_many_times_are_refused_with_advice(own_project: Workspace) -> None:
    rows = (
        "SELECT 1 + i % 200 AS who, TIMESTAMP '2024-03-01' + INTERVAL (i) MINUTE AS at, ['sku-001'] AS what "
        "FROM range(3000) t(i)"
    )
    with pytest.raises(TaskError, match=r"3,000 different times.*Round the times"):
        pipeline.train(ready_made(own_project, rows), "made", preset="fast")


def test_an_item_that_is_listed_twice_counts_once_and_an_empty_list_not_at_all(own_project: Workspace) -> None:
    from forekey.training import resolve_examples

    rows = (
        "SELECT 1 + i % 50 AS who, TIMESTAMP '2024-03-01' + INTERVAL (i // 50) MONTH AS at, "
        "CASE WHEN i % 5 = 0 THEN [] ELSE ['sku-001', 'sku-001', 'no such', 'no such'] END AS what FROM range(300) t(i)"
    )
    project = ready_made(own_project, rows)
    current = project.snapshots.current()
    task = pipeline.find_task(project, current.schema, "made")
    with project.source() as source:
        labels = task.labels.make(source, current)
    assert labels.dropped["no label"] >= 60
    found = resolve_examples(current, task, labels.split("train"))
    row = int(current.lookup("products", ["sku-001"])[0])
    assert all(len(label) == 2 and label[0] == row and label[1] < -1 for label in found.target)


def test_with_nothing_to_rank_the_answer_is_empty(own_project: Workspace) -> None:
    from forekey.serving.state import ServingState

    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute("DELETE FROM products")
    pipeline.snapshot(own_project)
    with own_project.store() as store:
        (answer,) = ServingState(own_project, store).predict("baskets", [1], "online")
    assert answer is not None
    assert answer.prediction == []
    assert answer.scores == []


def test_a_run_that_had_stopped_before_it_was_cut_off_does_not_go_on(
    own_project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:

    from forekey.training import ranking, train_task

    current, models = own_project.snapshots.current(), own_project.registry
    task = pipeline.find_task(own_project, current.schema, "baskets")
    config = replace(pipeline.train_config("fast", 5), max_epochs=12, patience=1)
    epochs: list[list[int]] = [[], []]

    def killed(*_: Any) -> Any:
        raise RuntimeError("killed")

    with own_project.source() as source:
        with monkeypatch.context() as patched:
            patched.setattr(ranking, "grow_pair_trees", killed)
            with pytest.raises(RuntimeError):
                train_task(
                    task, current, source, models, config, listener=Listener(epoch=lambda e: epochs[0].append(e.number))
                )
        train_task(task, current, source, models, config, listener=Listener(epoch=lambda e: epochs[1].append(e.number)))
    assert len(epochs[0]) < 12
    assert epochs[1] == []


def test_of_a_large_catalogue_what_speaks_for_an_item_is_found(own_project: Workspace) -> None:
    """1,500 products, of which each customer keeps to a dozen: no list of candidates holds them all."""
    from forekey.serving.state import ServingState

    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute("DELETE FROM products")
        connection.execute("INSERT INTO products SELECT 'p' || i, 'thing ' || i, i % 50 FROM range(1500) t(i)")
        connection.execute(
            "CREATE TABLE bought AS SELECT l.order_id, "
            "'p' || (hash(o.customer_id * 100 + hash(l.rowid) % 12) % 1500)::BIGINT AS sku, l.quantity, l.added_at "
            "FROM order_lines l JOIN orders o USING (order_id)"
        )
        connection.execute("DELETE FROM order_lines")
        connection.execute("INSERT INTO order_lines SELECT * FROM bought")
        connection.execute("DROP TABLE bought")
    pipeline.snapshot(own_project)
    report = pipeline.train(own_project, "baskets", preset="fast", seed=1)
    mine = report.metrics["test"]["map"] or 0
    for name in ("popular", "items_of_others_alike"):
        assert mine > 3 * (report.baselines[name]["test"]["map"] or 0)
    own_project.registry.promote("baskets", report.model_version, "for this test")
    pipeline.embed(own_project, "baskets")
    with own_project.store() as store:
        state = ServingState(own_project, store)
        stored, online = (state.predict("baskets", list(range(1, 60)), mode) for mode in ("stored", "online"))
    assert [a and a.prediction for a in stored] == [a and a.prediction for a in online]


def test_runs_that_see_the_graph_cut_otherwise_never_go_on_from_one_another(own_project: Workspace) -> None:
    current = own_project.snapshots.current()
    task = pipeline.find_task(own_project, current.schema, "baskets")
    models, config = own_project.registry, pipeline.train_config("fast", 5)

    class CutOff(Exception):
        pass

    def cut(_: Any) -> None:
        raise CutOff

    with own_project.source() as source:
        for delay, left in ((lambda _, times: times - 1, False), (None, True)):
            with pytest.raises(CutOff):
                train_task(
                    task, current, source, models, config, baselines=False, delay=delay, listener=Listener(epoch=cut)
                )
            assert models.unfinished("baskets", run_id(task, current, config)).exists() is left


def test_choices_are_made_on_so_many_rankings_at_most(own_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from forekey.training import pair_trees

    current = own_project.snapshots.current()
    task = pipeline.find_task(own_project, current.schema, "baskets")
    monkeypatch.setattr(pair_trees, "_MAX_JUDGED", 20)
    config = pipeline.train_config("fast", 0)
    with own_project.source() as source:
        recipe = RankingRecipe(gather(task, current, source, config), SILENT)
    networks, _ = recipe.fit(config, SILENT)
    chosen = recipe.choose(networks, config, Growing(1))
    ranker = recipe._on(chosen.model)
    asked: list[int] = []
    real = ranker.scored
    monkeypatch.setattr(ranker, "scored", lambda rows, *rest: (asked.append(len(rows)), real(rows, *rest))[1])
    assert len(recipe._judging) > 20
    pair_trees.choose_rank_blend(ranker, recipe._judging, chosen.grown.trees)
    assert asked == [20]


def test_a_ranking_keeps_its_time_and_says_what_was_left_out(own_project: Workspace) -> None:
    phases: list[str] = []
    report = pipeline.train(own_project, "baskets", minutes=0.01, listener=Listener(step=phases.append))
    assert "learning from validation too" not in phases
    (note,) = (n for n in report.notes if n.startswith("To end in time"))
    assert "1 of 9 boosters" in note
    assert "importance was not measured" in note
    assert report.metrics["test"]["map"] > 0.0
