"""RelBench v3 folders: keys, times, official tasks and splits, and the history cut as RelBench's loader cuts it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forekey import pipeline
from forekey.errors import SourceError
from forekey.project import LabelTask
from forekey.source import open_source
from forekey.source.protocol import ForeignKeyInfo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny database and task in the same format."""
    root = tmp_path / "rel-tiny"
    (root / "db").mkdir(parents=True)
    (root / "tasks" / "user-buys").mkdir(parents=True)
    (root / "manifest.yaml").write_text(
        "name: rel-tiny\nval_timestamp: '2020-03-01'\ntest_timestamp: '2020-04-01'\ntables:\n"
        "  users: {pkey: userId, time_col: null, fkeys: {}}\n"
        "  buys: {pkey: null, time_col: when, fkeys: {userId: users}}\n"
    )
    moments = [datetime(2020, m, 15) for m in range(1, 7)]
    pq.write_table(pa.table({"userId": [1, 2]}), root / "db" / "users.parquet")
    pq.write_table(pa.table({"userId": [1, 2] * 3, "when": moments, "price": [1.0] * 6}), root / "db" / "buys.parquet")
    (root / "tasks" / "user-buys" / "manifest.yaml").write_text(
        "name: user-buys\ntask_type: binary_classification\nentity_table: users\nentity_col: userId\n"
        "target_col: buys\ntime_col: at\ntimedelta: 30 days\n"
    )
    for split, month in (("train", 2), ("val", 3), ("test", 4)):
        rows = pa.table({"at": [datetime(2020, month, 1)] * 2, "userId": [1, 2], "buys": [1, 0]})
        pq.write_table(rows, root / "tasks" / "user-buys" / f"{split}.parquet")
    return root


def test_keys_and_times_come_from_the_manifest(folder: Path, tmp_path: Path) -> None:
    users, buys = open_source(str(folder), tmp_path).tables()
    assert (users.primary_key, users.time_column) == (("userId",), None)
    assert (buys.primary_key, buys.time_column, buys.foreign_keys) == (
        (),
        "when",
        (ForeignKeyInfo(("userId",), "users", ("userId",)),),
    )


def test_init_takes_over_tasks_and_the_end_of_history(folder: Path, tmp_path: Path) -> None:
    project = pipeline.init(str(folder), tmp_path / "project").workspace
    assert project.config.as_of == datetime(2020, 4, 1)
    task = project.task("user-buys")
    assert isinstance(task, LabelTask)
    assert (task.target, task.time, task.entity.key, task.horizon_days) == ("buys", "at", "users.userId", 30.0)


def test_rows_after_the_test_timestamp_are_not_read(folder: Path, tmp_path: Path) -> None:
    project = pipeline.init(str(folder), tmp_path / "project").workspace
    assert pipeline.snapshot(project).num_nodes("buys") == 3


def test_official_labels_keep_their_splits(folder: Path, tmp_path: Path) -> None:
    project = pipeline.init(str(folder), tmp_path / "project").workspace
    pipeline.snapshot(project)
    made = pipeline.labels(project, "user-buys")
    assert {s: made.statistics[s]["rows"] for s in ("train", "val", "test")} == {"train": 2, "val": 2, "test": 2}
    assert made.sql is None


def test_a_missing_table_or_manifest_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "db" / "buys.parquet").unlink()
    with pytest.raises(SourceError, match=r"names 'buys'.*missing"):
        open_source(str(folder), tmp_path)
    (folder / "manifest.yaml").write_text("name: x")
    with pytest.raises(SourceError, match="not a RelBench v3 manifest"):
        open_source(str(folder), tmp_path)


def test_the_formula_1_tasks_have_their_published_sizes(relbench_f1: Path, tmp_path: Path) -> None:
    project = pipeline.init(str(relbench_f1), tmp_path / "f1").workspace
    pipeline.snapshot(project)
    sizes = {}
    for name in ("driver-dnf", "driver-top3", "driver-position"):
        made = pipeline.labels(project, name)
        sizes[name] = tuple(made.statistics[s]["rows"] for s in ("train", "val", "test"))
    assert sizes == {
        "driver-dnf": (11411, 566, 702),
        "driver-top3": (1353, 588, 726),
        "driver-position": (7453, 499, 760),
    }
