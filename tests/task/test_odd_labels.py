"""Labels that once told the future, or broke."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forekey import pipeline
from forekey.errors import TaskError
from forekey.graph import to_micros
from forekey.project import LabelTask, PQLTask
from forekey.source import open_source
from forekey.task import Examples, define_task
from forekey.task.labels import utc_micros
from forekey.testing import SHOP_TASKS, shop_tables, write_database
from forekey.training import resolve_examples
from forekey.workspace import Workspace


def test_a_table_that_reaches_further_does_not_make_unfinished_windows_complete(tmp_path: Path) -> None:
    """A promotion may begin months after the last order; orders of those months are not known to be missing."""
    tables = shop_tables(60, 200)
    newest = max(tables["orders"].column("placed_at").to_pylist())
    tables["promotions"] = pa.table(
        {"promotion_id": [1], "starts_at": pa.array([newest + timedelta(days=90)], pa.timestamp("us"))}
    )
    write_database(tmp_path / "shop.duckdb", tables)
    tasks = {"churn": PQLTask(query=SHOP_TASKS["churn"])}
    project = pipeline.init(str(tmp_path / "shop.duckdb"), tmp_path, tasks=tasks).workspace
    snapshot = pipeline.snapshot(project)
    assert snapshot.as_of > newest
    anchors = pipeline.labels(project, "churn").anchors["test"]
    assert datetime.fromisoformat(anchors[-1]) + timedelta(days=30) <= newest


def test_labels_at_a_time_whose_window_is_not_over_are_refused(trained_project: Workspace) -> None:
    newest = trained_project.snapshots.current().as_of
    with pytest.raises(TaskError, match="Choose an earlier time"):
        pipeline.evaluate(trained_project, "spend", at=newest - timedelta(days=29))
    assert pipeline.evaluate(trained_project, "spend", at=newest - timedelta(days=31))[2] == 200


def test_a_label_for_an_entity_that_did_not_exist_yet_is_left_out(shop_project: Workspace) -> None:
    snapshot = shop_project.snapshots.current()
    task = define_task(
        "x", shop_project, snapshot.schema, PQLTask(query="PREDICT orders.gift FOR EACH orders.order_id")
    )
    times = snapshot.times("orders")
    assert times is not None
    keys = pa.chunked_array([snapshot.keys("orders").slice(0, 10).combine_chunks()])
    early = Examples(keys, times[:10] - 1, np.zeros(10))
    assert resolve_examples(snapshot, task, early).unknown == 10
    assert resolve_examples(snapshot, task, Examples(keys, times[:10], np.zeros(10))).unknown == 0


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("renewed", ["yes", "no", "maybe"], "'maybe', which does not read as a word for yes or no"),
        ("as_of", ["2024-05-01", "01/05/2024", "2024-05-03"], "'01/05/2024', which does not read as a time"),
        ("renewed", [1, 2, 1], "must hold 0 and 1"),
        ("as_of", [1700000000, 1700000001, 1700000002], "not a time"),
        ("who", ["x", "y", "z"], "cannot be used"),
    ],
)
def test_label_files_that_cannot_be_used_say_why(
    shop_project: Workspace, tmp_path: Path, column: str, values: list[object], says: str
) -> None:
    rows = {"who": [1, 2, 3], "as_of": [datetime(2024, 5, 1)] * 3, "renewed": [0, 1, 0], column: values}
    pq.write_table(pa.table(rows), tmp_path / "labels.parquet")
    config = LabelTask.model_validate(
        {
            "labels": str(tmp_path / "labels.parquet"),
            "entity": {"column": "who", "key": "customers.customer_id"},
            "time": "as_of",
            "target": "renewed",
            "task_type": "binary_classification",
        }
    )
    snapshot = shop_project.snapshots.current()
    with open_source(shop_project.config.source, shop_project.root) as source, pytest.raises(TaskError, match=says):
        define_task("renewal", shop_project, snapshot.schema, config).labels.make(source, snapshot)


def test_times_of_labels_may_be_dates_zoned_or_finer_than_microseconds() -> None:
    day = datetime(2024, 6, 1)
    zoned = pa.chunked_array([pa.array([datetime(2024, 6, 1, tzinfo=UTC)], pa.timestamp("ns", tz="Europe/Rome"))])
    for column in (pa.chunked_array([pa.array([day.date()])]), zoned):
        assert utc_micros(column).cast(pa.int64()).to_pylist() == [to_micros(day)]
    fine = pa.chunked_array([pa.array([1_234_567_891], pa.timestamp("ns"))])
    assert utc_micros(fine).cast(pa.int64()).to_pylist() == [1_234_567]


def test_a_task_may_be_named_like_a_keyword(own_project: Workspace) -> None:
    tasks = {"predicted_spend": PQLTask(query=SHOP_TASKS["spend"])}
    project = Workspace(own_project.root, own_project.config.model_copy(update={"tasks": tasks}))
    assert pipeline.labels(project, "predicted_spend").task.name == "predicted_spend"


def test_lists_are_written_to_csv_as_json(trained_project: Workspace, tmp_path: Path) -> None:
    from forekey.cli.files import write_table

    write_table(pipeline.predict(trained_project, "next_channel").table(), tmp_path / "x.csv")
    assert '"[0.' in (tmp_path / "x.csv").read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_assuming_counts_when_windows_are_complete_and_splits_apart(trained_project: Workspace) -> None:
    query = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id ASSUMING COUNT(orders.*, 0, 90, days) > 0"
    made = pipeline.labels(trained_project, query)
    train, val, test = ([datetime.fromisoformat(a) for a in made.anchors[s]] for s in ("train", "val", "test"))
    newest = max(made.task.labels._known_period(trained_project.snapshots.current()))
    reach = timedelta(days=90)
    assert test[-1] + reach <= newest
    assert val[-1] + reach <= test[0]
    assert train[-1] + reach <= val[0]


def test_a_query_about_some_learns_from_all_and_its_model_serves_every_id(own_project: Workspace) -> None:
    asked = "PREDICT COUNT(orders.*, 0, 30, days) FOR customers.customer_id IN (3, 5)"
    report = pipeline.train(own_project, asked, preset="fast")
    everyone = "PREDICT COUNT(orders.*, 0, 30, days) FOR EACH customers.customer_id"
    assert own_project.registry.champion(report.task).manifest.labels["train"]["rows"] > 100
    some, every = pipeline.predict(own_project, asked).table(), pipeline.predict(own_project, everyone).table()
    assert some.column("entity").to_pylist() == [3, 5]
    by_key = dict(zip(every.column("entity").to_pylist(), every.column("prediction").to_pylist(), strict=True))
    assert some.column("prediction").to_pylist() == [by_key[3], by_key[5]]
    with pytest.raises(TaskError, match="no row of 'customers' with the key 99999"):
        pipeline.predict(own_project, "PREDICT COUNT(orders.*, 0, 30, days) FOR customers.customer_id = 99999")


def test_a_split_of_another_name_is_refused_by_name(trained_project: Workspace, tmp_path: Path) -> None:
    times = [datetime(2024, 3, 1)] * 3
    splits = ["train", "validation", "test"]
    pq.write_table(
        pa.table({"who": [1, 2, 3], "at": times, "y": [1.0, 0.0, 1.0], "part": splits}), tmp_path / "l.parquet"
    )
    config = LabelTask.model_validate(
        {
            "labels": str(tmp_path / "l.parquet"),
            "entity": {"column": "who", "key": "customers.customer_id"},
            "time": "at",
            "target": "y",
            "split": "part",
            "task_type": "binary_classification",
        }
    )
    current = trained_project.snapshots.current()
    task = define_task("ready", trained_project, current.schema, config)
    with trained_project.source() as source, pytest.raises(TaskError, match="name the split 'validation'"):
        task.labels.make(source, current)


def test_anchor_times_may_be_closer_than_the_window_and_splits_still_do_not_overlap(trained_project: Workspace) -> None:
    query = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id"
    current = trained_project.snapshots.current()
    task = define_task("weekly", trained_project, current.schema, PQLTask(query=query, step_days=7))
    plan = task.labels.plan(current)
    assert plan is not None
    assert {b - a for a, b in pairwise(plan.train)} == {timedelta(days=7)}
    assert plan.train[-1] + timedelta(days=30) <= plan.val[0]
    assert plan.val[-1] + timedelta(days=30) <= plan.test[0]
    assert plan.dropped
