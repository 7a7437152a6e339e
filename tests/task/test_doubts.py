"""Anchors lie where the tables of a query are dense; labels that say nothing, or change between splits, are named."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.cli import render
from forekey.errors import SplitError
from forekey.project import PQLTask
from forekey.query import TaskType
from forekey.task import LabelTable, label_doubts
from forekey.workspace import Workspace

SPEND = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id"


def shop(folder: Path, *odd: str, also: tuple[str, ...] = ()) -> Workspace:
    """Make 60 customers' orders from 2024-01-01 to 2024-08-27, and one more order at each of some odd moments."""
    draw = random.Random(1)
    orders: list[tuple[Any, ...]] = []
    for customer in range(1, 61):
        rate = draw.choice([0.02, 0.05, 0.12])
        for day in range(240):
            if draw.random() < rate:
                moment = datetime(2024, 1, 1) + timedelta(days=day, seconds=draw.randint(0, 86_399))
                orders.append((customer, moment, round(draw.lognormvariate(3, 1), 2)))
    orders += [(1, datetime.fromisoformat(day), 5.0) for day in odd]
    with duckdb.connect(str(folder / "s.duckdb")) as database:
        database.execute("CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, region VARCHAR)")
        database.execute(
            "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER, placed_at TIMESTAMP, amount DOUBLE)"
        )
        database.executemany("INSERT INTO customers VALUES (?, ?)", [(i, "ns"[i % 2]) for i in range(1, 61)])
        database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", [(i, *o) for i, o in enumerate(orders)])
        for statement in also:
            database.execute(statement)
    project = pipeline.init(str(folder / "s.duckdb"), folder, tasks={"spend": PQLTask(query=SPEND)}).workspace
    pipeline.snapshot(project)
    return project


VARIANTS = [
    (),
    ("1970-01-01",),
    ("1900-01-01",),
    ("2026-08-27",),
    ("1970-01-01", "1970-01-01", "2025-06-01", "2026-01-01"),
]


@pytest.mark.parametrize("odd", VARIANTS, ids=str)
def test_rows_that_are_far_off_do_not_decide_what_is_learnt(odd: tuple[str, ...], tmp_path: Path) -> None:
    made = pipeline.labels(shop(tmp_path, *odd), "spend")
    assert [a[:10] for a in made.anchors["train"]][::4] == ["2024-01-30", "2024-05-29"]
    assert made.statistics["train"]["mean"] == pytest.approx(53, abs=1)
    assert len(made.warnings) == len({day > "2024" for day in odd})


def test_check_sql_and_train_name_the_rows(tmp_path: Path) -> None:
    project = shop(tmp_path, "1970-01-01")
    said = "orders: 1 row lies at 1970-01-01, 19,723 days before the next; anchors begin at 2024-01-01."
    shown = render.labelled(pipeline.labels(project, "spend"))
    assert shown.data["warnings"] == [said]
    found = {w.where: w.what for w in pipeline.check(project).warnings}
    assert found["orders.placed_at"] == "1 row lies at 1970-01-01, 19,723 days before the next"
    report = pipeline.train(project, "spend", preset="fast")
    assert report.notes == (said,)
    assert said in Path(str(report.page)).read_text()


def test_anchors_begin_when_all_tables_of_the_query_have_begun(tmp_path: Path) -> None:
    visits = (
        "CREATE TABLE visits AS SELECT i AS visit_id, 1 + i % 60 AS customer_id, "
        "TIMESTAMP '2000-01-01' + INTERVAL (i) DAY AS visited_at FROM range(9000) r(i)"
    )
    project = shop(tmp_path, also=(visits, "ALTER TABLE visits ADD PRIMARY KEY (visit_id)"))
    project = Workspace.open(project.root)
    said = (
        "Anchors begin at 2024-01-01, where orders begins; visits, which the query reads too, goes back to 2000-01-01."
    )
    for query in (
        f"{SPEND} WHERE COUNT(visits.*, -30, 0, days) > 0",
        f"{SPEND} ASSUMING COUNT(visits.*, 0, 30, days) > 0",
        "PREDICT COUNT(visits.*, 0, 30, days) FOR EACH customers.customer_id WHERE COUNT(orders.*) >= 0",
    ):
        made = pipeline.labels(project, query)
        assert min(min(a) for a in made.anchors.values()) > "2024-01-01"
        assert made.warnings == (said,)


def test_too_few_windows_are_refused_with_the_table_that_bounds_them(tmp_path: Path) -> None:
    young = (
        "CREATE TABLE offers AS SELECT i AS offer_id, 1 + i % 60 AS customer_id, "
        "TIMESTAMP '2024-07-20' + INTERVAL (i) HOUR AS made_at FROM range(300) r(i)"
    )
    project = shop(tmp_path, also=(young, "ALTER TABLE offers ADD PRIMARY KEY (offer_id)"))
    with pytest.raises(SplitError, match="Anchors begin at 2024-07-20, where offers begins; orders, which the query"):
        pipeline.labels(project, f"{SPEND} WHERE COUNT(offers.*, -30, 0, days) > 0")


def labels(kind: TaskType, **splits: Any) -> LabelTable:
    rows = [(split, label) for split, values in splits.items() for label in values]
    table = pa.table(
        {
            "entity": list(range(len(rows))),
            "time": pa.array([datetime(2024, 1, 1)] * len(rows), pa.timestamp("us")),
            "target": [label for _, label in rows],
            "split": [split for split, _ in rows],
        }
    )
    return LabelTable(table, kind, {})


BINARY, NUMBER, CLASSES, SETS = (
    TaskType.BINARY_CLASSIFICATION, TaskType.REGRESSION, TaskType.MULTICLASS_CLASSIFICATION,
    TaskType.MULTILABEL_CLASSIFICATION,
)  # fmt: skip
DRAWN = np.random.default_rng(0)
DOUBTFUL = {
    "all alike": (BINARY, {"train": [0.0] * 100, "val": [0.0, 1.0] * 50, "test": [0.0, 1.0] * 50}, "Every label of train is 0"),
    "nearly": (NUMBER, {"train": [*[0.0] * 5000, 3.0], "val": [0.0] * 40, "test": [0.0] * 40}, "All labels of train but 1 are 0"),
    "one class": (CLASSES, {"train": ["a", "b"] * 50, "val": ["a"] * 50, "test": ["a", "b"] * 50}, "Every label of val is a"),
    "empty sets": (SETS, {"train": [["a"], []] * 50, "val": [["a"], []] * 50, "test": [[]] * 50}, "Every label of test is empty"),
    "far numbers": (NUMBER, {"train": DRAWN.normal(5, 1, 300), "val": DRAWN.normal(5, 1, 90), "test": DRAWN.normal(9, 1, 90)}, "The labels of test are far from those of train: mean"),
    "far shares": (BINARY, {"train": [0.0] * 490 + [1.0] * 10, "val": [0.0] * 49 + [1.0], "test": [0.0, 1.0] * 50}, "The labels of test are far"),
    "other classes": (CLASSES, {"train": ["a", "b"] * 50, "val": ["a", "b"] * 50, "test": ["c", "c", "c", "a"] * 20}, "The labels of test are far from those of train: 75% would"),
}  # fmt: skip
FINE = {
    "rare events": (BINARY, {s: [0.0] * 990 + [1.0] * 10 for s in ("train", "val", "test")}),
    "growth": (NUMBER, {"train": DRAWN.exponential(10, 500), "val": DRAWN.exponential(13, 80), "test": DRAWN.exponential(16, 80)}),
    "a share that doubles": (BINARY, {"train": [1.0, *[0.0] * 9] * 50, "val": [1.0, *[0.0] * 6] * 20, "test": [1.0, *[0.0] * 4] * 20}),
    "few labels": (BINARY, {s: [0.0] * 10 for s in ("train", "val", "test")}),
}  # fmt: skip


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_splits_that_say_nothing_or_change_are_named(kind: str) -> None:
    task_type, splits, said = DOUBTFUL[kind]
    assert [d for d in label_doubts(labels(task_type, **splits)) if d.startswith(said)]


@pytest.mark.parametrize("kind", FINE)
def test_labels_that_are_usual_are_no_cause_for_doubt(kind: str) -> None:
    task_type, splits = FINE[kind]
    assert label_doubts(labels(task_type, **splits)) == []


def test_the_small_shop_gives_no_cause_for_doubt(shop_project: Workspace) -> None:
    for name in shop_project.config.tasks:
        assert pipeline.labels(shop_project, name).warnings == ()
