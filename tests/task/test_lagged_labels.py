"""What was known of earlier labels: as many windows as were over, each on the grid of the moment that asks."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forekey import pipeline
from forekey.features import FeatureKind, WindowSpec
from forekey.graph import Seeds, to_micros
from forekey.objectives import BinaryObjective, RegressionObjective
from forekey.project import LabelTask
from forekey.task import LaggedLabels, TaskType, define_task, lagged_labels, stored_lagged_labels
from forekey.task.lagged_labels import WINDOWS
from forekey.workspace import Workspace

SPEND = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id"


def gathered(project: Workspace, pql: str, moments: list[datetime], classes: tuple[str, ...] = ()) -> LaggedLabels:
    current = project.snapshots.current()
    task = pipeline.find_task(project, current.schema, pql)
    with project.source() as source:
        objective = task.kind(classes) if classes else task.kind()  # type: ignore[call-arg]
        found = lagged_labels(task, source, current, [to_micros(m) for m in moments], objective)
    assert found is not None
    return found


def described(past: LaggedLabels, moment: datetime, seen: datetime | None = None) -> dict[str, np.ndarray]:
    rows = np.arange(past.rows, dtype=np.int32)
    block = past.describe(Seeds.at("customers", rows, to_micros(moment), to_micros(seen or moment)))
    spec = WindowSpec("customers", 30.0, (), (), lagged_labels=True)
    names = [f.name for f in spec.features(past.classes or (None,)) if f.kind is FeatureKind.LAGGED_LABEL]
    return dict(zip(names, block.T, strict=True))


def sums(project: Workspace, end: datetime) -> np.ndarray:
    """Return each customer's spend in the 30 days up to ``end``, computed by hand."""
    start = end - timedelta(days=30)
    with duckdb.connect(str(project.root / "shop.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "SELECT c.customer_id, coalesce(sum(o.amount) FILTER (placed_at > ? AND placed_at <= ?), 0) "
            "FROM customers c LEFT JOIN orders o USING (customer_id) GROUP BY ALL",
            [start, end],
        ).fetchall()
    by_key = dict(rows)
    keys = project.snapshots.current().keys("customers").to_pylist()
    return np.array([by_key[k] for k in keys], np.float64)


def test_the_newest_label_is_that_of_the_window_just_over(shop_project: Workspace) -> None:
    moment = datetime(2024, 7, 1)
    told = described(gathered(shop_project, SPEND, [moment]), moment)
    np.testing.assert_allclose(told["label 1 before"], sums(shop_project, moment), rtol=1e-5)
    np.testing.assert_allclose(told["label 2 before"], sums(shop_project, moment - timedelta(days=30)), rtol=1e-5)
    assert (told["days since a label"] == 0).all()
    three = np.stack([told[f"label {k} before"] for k in (1, 2, 3)])
    assert (told["labels known"] > 3).all()
    assert ((three.min(axis=0) >= 0) | np.isnan(three.min(axis=0))).all()


def test_a_label_is_known_when_its_window_is_over_and_not_before(shop_project: Workspace) -> None:
    moment = datetime(2024, 7, 1)
    past = gathered(shop_project, SPEND, [moment])
    aged = described(past, moment, moment - timedelta(microseconds=1))
    fresh = described(past, moment)
    assert (aged["labels known"] == fresh["labels known"] - 1).all()
    np.testing.assert_array_equal(aged["label 1 before"], fresh["label 2 before"])
    assert (aged["days since a label"] == 30).all()


def test_moments_that_are_not_whole_windows_apart_do_not_hear_of_each_other_s_labels(shop_project: Workspace) -> None:
    first, second = datetime(2024, 7, 1), datetime(2024, 7, 12)
    both = gathered(shop_project, SPEND, [first, second])
    for moment in (first, second):
        alone = described(gathered(shop_project, SPEND, [moment]), moment)
        together = described(both, moment)
        for name, values in alone.items():
            np.testing.assert_array_equal(values, together[name])


def test_moments_on_one_grid_share_its_labels(shop_project: Workspace) -> None:
    moments = [datetime(2024, 7, 1) - timedelta(days=30 * k) for k in range(4)]
    shared, alone = gathered(shop_project, SPEND, moments), gathered(shop_project, SPEND, moments[:1])
    assert len(shared.values) == len(alone.values)
    assert set(shared.grids.tolist()) == {0}


def test_between_two_moments_the_newest_before_answers(shop_project: Workspace) -> None:
    first, second = datetime(2024, 6, 20), datetime(2024, 7, 1)
    past = gathered(shop_project, SPEND, [first, second])
    for moment, asked in ((first, datetime(2024, 6, 30)), (second, datetime(2024, 7, 2)), (second, second)):
        then, later = described(past, moment), described(past, asked)
        np.testing.assert_array_equal(later["label 1 before"], then["label 1 before"])
        days = (asked - moment).days
        np.testing.assert_allclose(later["days since a label"], then["days since a label"] + days)
    with pytest.raises(ValueError, match="later times only"):
        described(past, datetime(2024, 6, 19))


def test_before_the_first_window_there_is_nothing_to_tell(shop_project: Workspace) -> None:
    moment = datetime(2024, 1, 5)
    told = described(gathered(shop_project, SPEND, [moment]), moment)
    assert (told["labels known"] == 0).all()
    assert np.isnan(told["label 1 before"]).all()


def test_at_most_a_year_or_so_of_windows_is_looked_at(shop_project: Workspace) -> None:
    weekly = "PREDICT COUNT(orders.*, 0, 7, days) FOR EACH customers.customer_id"
    moment = datetime(2024, 12, 1)
    told = described(gathered(shop_project, weekly, [moment]), moment)
    assert (told["labels known"] == WINDOWS).all()


def test_classes_are_told_apart(shop_project: Workspace) -> None:
    query = "PREDICT FIRST(orders.channel, 0, 30, days) FOR EACH customers.customer_id"
    moment = datetime(2024, 7, 1)
    told = described(gathered(shop_project, query, [moment], ("web", "app", "shop")), moment)
    newest = np.stack([told[f"label 1 before = {c}"] for c in ("web", "app", "shop")])
    known = np.isfinite(newest[0])
    assert known.any()
    assert (newest[:, known].sum(axis=0) == 1).all()


def test_ready_made_labels_are_known_after_their_horizon(shop_project: Workspace, tmp_path: Path) -> None:
    times = [datetime(2024, 3, 1), datetime(2024, 4, 1), datetime(2024, 5, 1)]
    pq.write_table(pa.table({"customer": [1, 1, 2], "at": times, "y": [1.0, 0.0, 1.0]}), tmp_path / "labels.parquet")
    config = LabelTask.model_validate(
        {
            "labels": str(tmp_path / "labels.parquet"),
            "entity": {"column": "customer", "key": "customers.customer_id"},
            "time": "at",
            "target": "y",
            "task_type": "binary_classification",
            "horizon_days": 30,
        }
    )
    current = shop_project.snapshots.current()
    task = define_task("ready", shop_project, current.schema, config)
    with shop_project.source() as source:
        past = lagged_labels(task, source, current, [], BinaryObjective())
    assert past is not None
    one, two = current.lookup("customers", [1, 2])
    told = described(past, datetime(2024, 5, 1))
    assert told["labels known"][[one, two]].tolist() == [2, 0]
    assert told["label 1 before"][one] == 0.0
    assert told["days since a label that is not 0"][one] == 31
    assert described(past, datetime(2024, 4, 30))["labels known"][one] == 1
    assert task.task_type is TaskType.BINARY_CLASSIFICATION


def test_labels_gathered_once_are_read_from_their_file(shop_project: Workspace, tmp_path: Path) -> None:
    current = shop_project.snapshots.current()
    task = pipeline.find_task(shop_project, current.schema, SPEND)
    moment = datetime(2024, 7, 1)
    asked: list[int] = []

    def opened():  # type: ignore[no-untyped-def]
        asked.append(1)
        return shop_project.source()

    ways = [
        stored_lagged_labels(task, opened, current, [to_micros(moment)], RegressionObjective(), tmp_path)
        for _ in range(2)
    ]
    assert len(asked) == 1
    one, two = (described(p, moment) for p in ways if p is not None)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    next(tmp_path.glob("*.npz")).write_bytes(b"cut short")
    assert stored_lagged_labels(task, opened, current, [to_micros(moment)], RegressionObjective(), tmp_path) is not None
    assert len(asked) == 2
