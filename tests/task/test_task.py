"""Tasks make their labels: from queries, from ready-made tables, for the past of an entity."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forekey import pipeline
from forekey.errors import SplitError, TaskError
from forekey.graph import from_micros, to_micros
from forekey.project import LabelTask
from forekey.source import open_source
from forekey.task import define_task
from forekey.workspace import Workspace


def test_label_tables_have_entity_time_target_and_split(shop_project: Workspace) -> None:
    made = pipeline.labels(shop_project, "churn")
    assert made.table.column_names == ["entity", "time", "target", "split"]
    assert set(made.table.column("split").to_pylist()) == {"train", "val", "test"}
    assert set(made.table.column("target").to_pylist()) == {0, 1}
    assert made.dropped["left out by WHERE or ASSUMING"] > 0
    assert made.sql is not None
    assert "COUNT" in made.sql


def test_a_query_on_the_spot_is_a_task_too(shop_project: Workspace) -> None:
    made = pipeline.labels(shop_project, "PREDICT AVG(orders.amount, 0, 60, days) FOR EACH customers.customer_id")
    assert str(made.task.task_type) == "regression"
    assert made.statistics["test"]["rows"] > 0


def test_the_previous_value_is_the_label_one_window_earlier(shop_project: Workspace) -> None:
    current = shop_project.snapshots.current()
    task = define_task("spend", shop_project, current.schema)
    with open_source(shop_project.config.source, shop_project.root) as source:
        labels = task.labels.make(source, current)
        test, val = labels.split("test"), labels.split("val")
        place, past = task.labels.previous(source, current, test, to_micros(current.as_of))
        before = np.where(place >= 0, past[place], np.nan)
    assert from_micros(test.times[0]) - from_micros(val.times[-1]) == timedelta(days=30)
    last = test.times == test.times.min()
    earlier = {
        k: v for k, v, t in zip(val.keys.to_pylist(), val.target, val.times, strict=True) if t == val.times.max()
    }
    for key, value in zip(np.array(test.keys.to_pylist())[last], before[last], strict=True):
        assert value == pytest.approx(earlier[key])


def ready_made(root: Path, **changes: object) -> LabelTask:
    settings: dict[str, object] = {
        "labels": "labels.parquet",
        "entity": {"column": "who", "key": "customers.customer_id"},
        "time": "as_of",
        "target": "renewed",
        "horizon_days": 10,
        "task_type": "binary_classification",
    }
    return LabelTask.model_validate({**settings, **changes})


@pytest.fixture
def label_file(shop_project: Workspace, tmp_path: Path) -> Workspace:
    moments = [datetime(2024, 3, 1) + timedelta(days=20 * i) for i in range(6)]
    rows = [(who, t, (who + i) % 2) for i, t in enumerate(moments) for who in (1, 2, 3)]
    who, when, renewed = zip(*rows, strict=True)
    pq.write_table(pa.table({"who": who, "as_of": when, "renewed": renewed}), tmp_path / "labels.parquet")
    return Workspace(tmp_path, shop_project.config)


def test_ready_made_labels_are_split_by_time(shop_project: Workspace, label_file: Workspace) -> None:
    schema = shop_project.snapshots.current().schema
    task = define_task("renewal", label_file, schema, ready_made(label_file.root))
    with open_source(shop_project.config.source, shop_project.root) as source:
        current = shop_project.snapshots.current()
        made = task.labels.make(source, current)
        assert [len(made.split(s)) for s in ("train", "val", "test")] == [12, 3, 3]
        test = made.split("test")
        place, known = task.labels.previous(source, current, test, int(test.times.max()))
        earlier, hidden = task.labels.previous(source, current, test, int(made.split("val").times.min()) - 1)
    assert (place >= 0).all()
    assert not np.array_equal(known[place], hidden[earlier])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": "missing.parquet"}, "is not a Parquet file"),
        ({"target": "nothing"}, "lack the column 'nothing'"),
        ({"entity": {"column": "who", "key": "nobody.id"}}, "There is no table 'nobody'"),
        ({"entity": {"column": "who", "key": "customers.age"}}, "must be the primary key"),
        ({"entity": {"column": "who", "key": "order_lines.sku"}}, "has none"),
    ],
)
def test_a_label_table_that_does_not_fit_is_refused(
    shop_project: Workspace, label_file: Workspace, changes: dict[str, object], says: str
) -> None:
    current = shop_project.snapshots.current()
    with (
        open_source(shop_project.config.source, shop_project.root) as source,
        pytest.raises(TaskError, match=says),
    ):
        define_task("renewal", label_file, current.schema, ready_made(label_file.root, **changes)).labels.make(
            source, current
        )


def test_a_window_longer_than_the_data_is_refused(shop_project: Workspace) -> None:
    with pytest.raises(SplitError, match="at least 3 windows of 5 months"):
        pipeline.labels(shop_project, "PREDICT COUNT(orders.*, 0, 5, months) FOR EACH customers.customer_id")


def test_a_static_target_predicts_cells_and_hides_its_column(shop_project: Workspace) -> None:
    made = pipeline.labels(shop_project, "PREDICT customers.region FOR EACH customers.customer_id")
    assert sum(made.statistics[s]["rows"] for s in ("train", "val", "test")) == 200
    assert made.task.hidden == (("customers", "region"),)


def test_a_static_target_of_events_is_asked_at_each_rows_own_time(shop_project: Workspace) -> None:
    made = pipeline.labels(shop_project, "PREDICT orders.gift FOR EACH orders.order_id")
    current = shop_project.snapshots.current()
    rows = current.lookup("orders", made.table.column("entity").to_pylist())
    times = current.times("orders")
    assert times is not None
    assert made.table.column("time").cast(pa.int64()).to_pylist() == times[rows].tolist()


def test_labels_may_be_a_table_of_the_source_with_weights(own_project: Workspace) -> None:
    moments = [datetime(2024, 3, 1) + timedelta(days=20 * i) for i in range(6)]
    rows = [(who, t, float((who + i) % 2), float(who)) for i, t in enumerate(moments) for who in range(1, 60)]
    who, when, renewed, weight = zip(*rows, strict=True)
    labels = pa.table({"who": who, "as_of": when, "renewed": renewed, "weight": weight})
    with open_source(own_project.config.source, own_project.root, writable=True) as source:
        source.write_table("renewals", labels)
    config = ready_made(own_project.root, labels="renewals", weight="weight")
    tasks = {**own_project.config.tasks, "renewal": config}
    project = Workspace(own_project.root, own_project.config.model_copy(update={"tasks": tasks}))
    with open_source(project.config.source, project.root) as source:
        current = project.snapshots.current()
        train = define_task("renewal", project, current.schema).labels.make(source, current).split("train")
    assert train.weight is not None
    assert train.weight.tolist() == [float(k) for k in train.keys.to_pylist()]
    assert pipeline.train(project, "renewal", preset="fast").metrics["test"]["auroc"] is not None


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pa.array([1.0, None, 1.0]), "must hold weights of 0 or more"),
        (pa.array([1.0, -2.0, 1.0]), "must hold weights of 0 or more"),
        (pa.array(["x", "y", "z"]), "cannot be used"),
    ],
)
def test_weights_that_are_none_are_refused(
    shop_project: Workspace, tmp_path: Path, column: pa.Array, says: str
) -> None:
    moments = [datetime(2024, 3, 1) + timedelta(days=20 * i) for i in range(3)]
    table = pa.table({"who": [1, 2, 3], "as_of": moments, "renewed": [0, 1, 0], "weight": column})
    pq.write_table(table, tmp_path / "labels.parquet")
    project = Workspace(tmp_path, shop_project.config)
    schema = shop_project.snapshots.current().schema
    task = define_task("renewal", project, schema, ready_made(tmp_path, weight="weight"))
    with (
        open_source(shop_project.config.source, shop_project.root) as source,
        pytest.raises(TaskError, match=says),
    ):
        task.labels.make(source, shop_project.snapshots.current())
