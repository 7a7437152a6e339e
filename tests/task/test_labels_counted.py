"""Every ready-made label is an example or counted, by the first reason that it is none; every command counts alike."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from forekey import pipeline
from forekey.cli.commands import cli
from forekey.project import EntityRef, LabelTask, PQLTask
from forekey.workspace import Workspace

MARCH = datetime(2024, 3, 1)
GOOD = [(i, datetime(2024, m, 1), float((i + m) % 3 == 0), 1.0) for m in range(2, 9) for i in range(1, 61)]
BAD: list[tuple[Any, ...]] = [
    *[(999, MARCH, 1.0, 1.0)] * 5,
    *[(None, MARCH, 1.0, 1.0)] * 5,
    *[(5, None, 1.0, 1.0)] * 5,
    *[(6, MARCH, None, 1.0)] * 5,
]
EXPECTED = {"unknown entity": 5, "no entity": 5, "no time": 5, "no label": 5}


def make_project(root: Path, rows: list[tuple[Any, ...]], **settings: Any) -> Workspace:
    """Make a project of 60 customers and their orders, with ready-made labels in a file."""
    root.mkdir(exist_ok=True)
    with duckdb.connect(str(root / "s.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE customers AS SELECT i::INTEGER AS customer_id, 'n' AS region FROM range(1, 61) t(i)"
        )
        connection.execute("ALTER TABLE customers ADD PRIMARY KEY (customer_id)")
        connection.execute(
            "CREATE TABLE orders AS SELECT i::INTEGER AS order_id, (i % 60 + 1)::INTEGER AS customer_id, "
            "TIMESTAMP '2024-01-01' + i * INTERVAL '5 hours' AS placed_at, 1.5 * (i % 7) AS amount FROM range(1100) t(i)"
        )
    customer, as_of, target, weight = zip(*rows, strict=True)
    columns = {
        "customer": pa.array(customer, pa.int64()),
        "as_of": pa.array(as_of, pa.timestamp("us")),
        "y": target if isinstance(target, pa.Array) else pa.array(target),
        "w": pa.array(weight, pa.float64()),
    }
    pq.write_table(pa.table(columns), root / "labels.parquet")
    entity = EntityRef(column="customer", key="customers.customer_id")
    common = {"labels": "labels.parquet", "entity": entity, "time": "as_of", "target": "y"}
    task = LabelTask(**{**common, "task_type": "binary_classification", **settings})
    return pipeline.init(str(root / "s.duckdb"), root, tasks={"ren": task}, force=True).workspace


def command(project: Workspace, *arguments: str) -> str:
    done = CliRunner().invoke(cli, [*arguments, "--project", str(project.root)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_sql_its_json_and_training_count_the_same(tmp_path: Path) -> None:
    project = make_project(tmp_path, GOOD + BAD)
    pipeline.snapshot(project)
    data = json.loads(command(project, "sql", "ren", "--json"))
    assert data["dropped"] == EXPECTED
    assert sum(data["splits"][s]["rows"] for s in ("train", "val", "test")) == 420
    shown = command(project, "sql", "ren")
    assert "440 labels = 420 examples + 20 dropped." in shown
    assert "Dropped: 5 unknown entity, 5 no entity, 5 no time, 5 no label" in shown
    report = json.loads(command(project, "train", "ren", "--preset", "fast", "--json"))
    account = "440 labels = 420 examples + 20 dropped: 5 unknown entity, 5 no entity, 5 no time, 5 no label."
    assert account in report["notes"]
    version = project.registry.champion("ren")
    assert version.manifest.dropped == EXPECTED
    assert sum(version.manifest.labels[s]["rows"] for s in ("train", "val", "test")) == 420
    assert set(version.manifest.unknown_entities.values()) == {0}
    assert account in (version.folder / "report.html").read_text()


def counted(project: Workspace) -> dict[str, int]:
    pipeline.snapshot(project)
    made = pipeline.labels(project, "ren")
    assert made.account.startswith(f"{len(made.table) + sum(made.dropped.values()):,} labels")
    return {reason: n for reason, n in made.dropped.items() if n}


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), None])
@pytest.mark.parametrize("kind", ["binary_classification", "regression", "multiclass_classification"])
def test_a_label_that_is_no_number_is_none(odd: float | None, kind: str, tmp_path: Path) -> None:
    rows = GOOD + [(6, MARCH, odd, 1.0)] * 3
    assert counted(make_project(tmp_path, rows, task_type=kind)) == {"no label": 3}


def test_a_label_that_lacks_several_things_is_counted_once(tmp_path: Path) -> None:
    rows = [*GOOD, (None, None, None, 1.0), (None, MARCH, None, 1.0), (999, None, None, 1.0), (999, MARCH, None, 1.0)]
    assert counted(make_project(tmp_path, rows)) == {"no entity": 2, "no time": 1, "no label": 1}


def test_a_label_before_its_entity_was_there_is_counted(tmp_path: Path) -> None:
    project = make_project(tmp_path, GOOD)
    with duckdb.connect(str(tmp_path / "s.duckdb")) as connection:
        connection.execute("ALTER TABLE customers ADD COLUMN since TIMESTAMP")
        connection.execute(
            "UPDATE customers SET since = CASE WHEN customer_id = 1 THEN TIMESTAMP '2024-04-15' ELSE '2024-01-01' END"
        )
    tasks = project.config.tasks
    project = pipeline.init(str(tmp_path / "s.duckdb"), tmp_path, tasks=tasks, force=True).workspace
    assert project.config.tables["customers"].time_column == "since"
    assert counted(project) == {"not there yet at the anchor": 3}


def test_labels_without_a_split_or_too_close_to_the_next_one_are_counted(tmp_path: Path) -> None:
    assert counted(make_project(tmp_path / "close", GOOD, horizon_days=40)) == {"too close to the next split": 120}
    project = make_project(tmp_path / "named", GOOD, split="split")
    table = pq.read_table(project.root / "labels.parquet")
    months = table.column("as_of").to_pylist()
    names = [None if m.month == 2 else "test" if m.month == 8 else "val" if m.month == 7 else "train" for m in months]
    pq.write_table(table.append_column("split", pa.array(names)), project.root / "labels.parquet")
    assert counted(project) == {"no split": 60}


def test_labels_in_a_table_of_the_source_and_in_a_file_per_split_are_counted_alike(tmp_path: Path) -> None:
    project = make_project(tmp_path, GOOD + BAD, labels="ready")
    with duckdb.connect(str(tmp_path / "s.duckdb")) as connection:
        connection.execute(f"CREATE TABLE ready AS SELECT * FROM '{tmp_path / 'labels.parquet'}'")
    assert counted(project) == EXPECTED
    files = {s: f"{s}.parquet" for s in ("train", "val", "test")}
    table = pq.read_table(tmp_path / "labels.parquet")
    for i, file in enumerate(files.values()):
        pq.write_table(table.take(np.arange(i, len(table), 3)), tmp_path / file)
    assert (
        counted(make_project(tmp_path / "each", GOOD, labels={s: str(tmp_path / f) for s, f in files.items()}))
        == EXPECTED
    )


def test_entities_that_came_since_the_snapshot_are_counted_by_sql_as_training_drops_them(tmp_path: Path) -> None:
    query = PQLTask(query="PREDICT COUNT(orders.*, 0, 30, days) FOR EACH customers.customer_id")
    project = make_project(tmp_path, GOOD)
    project = Workspace(project.root, project.config.model_copy(update={"tasks": {"count": query}}))
    pipeline.snapshot(project)
    with duckdb.connect(str(tmp_path / "s.duckdb")) as connection:
        connection.execute("INSERT INTO customers VALUES (61, 's')")
    made = pipeline.labels(project, "count")
    anchors = sum(len(a) for a in made.anchors.values())
    assert made.dropped["unknown entity"] == anchors
    assert len(made.table) == 60 * anchors
    report = pipeline.train(project, "count", preset="fast")
    assert f"{anchors} labels were dropped: their entity is not in the snapshot." in report.notes


def test_times_with_a_label_alone_choose_the_splits(tmp_path: Path) -> None:
    late = [(1, MARCH + timedelta(days=300 + i), None, 1.0) for i in range(5)]
    project = make_project(tmp_path, GOOD + late)
    pipeline.snapshot(project)
    assert pipeline.labels(project, "ren").statistics["test"]["rows"] == 60
