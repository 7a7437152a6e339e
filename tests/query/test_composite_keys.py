"""A key of several columns may stand wherever a column may: in targets, in filters and in ready-made labels."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forekey import pipeline
from forekey.project import LabelTask, PQLTask
from forekey.training import resolve_examples
from forekey.workspace import Workspace
from tests.support.servers import run_all

TEAM = "`year, team`"
EACH = "FOR EACH players.id"
# Player p bats for team A in even weeks and for B in odd ones, every week; player 3 for A alone, or for none.
TEAMS = {1: ("A", "B"), 2: ("A", "B"), 3: ("A", None)}
WEEKS = 40


def fill(url: str, moment: str) -> None:
    batting = ", ".join(
        f"({100 * w + p}, {p}, 2024, {'NULL' if TEAMS[p][w % 2] is None else repr(TEAMS[p][w % 2])}, "
        f"'{datetime(2024, 1, 1) + timedelta(weeks=w)}', {w % 5})"
        for w in range(WEEKS)
        for p in TEAMS
    )
    run_all(
        url,
        (
            "CREATE TABLE players (id INTEGER PRIMARY KEY, size INTEGER)",
            "CREATE TABLE teams (year INTEGER, team VARCHAR(4), rank INTEGER, PRIMARY KEY (year, team))",
            f"CREATE TABLE batting (n INTEGER PRIMARY KEY, player INTEGER, year INTEGER, team VARCHAR(4), played {moment}, "
            "hits INTEGER, FOREIGN KEY (player) REFERENCES players(id), "
            "FOREIGN KEY (year, team) REFERENCES teams(year, team))",
            "INSERT INTO players VALUES (1, 1), (2, 2), (3, 3)",
            "INSERT INTO teams VALUES (2024, 'A', 1), (2024, 'B', 2), (2024, 'C', 3)",
            f"INSERT INTO batting VALUES {batting}",
        ),
    )


@pytest.fixture(params=["duckdb", "sqlite", "postgres"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    postgres = request.param == "postgres"
    url = request.getfixturevalue("postgres").database() if postgres else str(tmp_path / f"d.{request.param}")
    fill(url, "DATETIME" if request.param == "sqlite" else "TIMESTAMP")
    project = pipeline.init(url, tmp_path).workspace
    pipeline.snapshot(project)
    return project


# Per query, the label of each player at the newest anchor, two weeks before the end: one row with A and one with B.
TARGETS = {
    f"COUNT(batting.{TEAM}, 0, 14, days) {EACH}": {1: 2, 2: 2, 3: 1},
    f"COUNT_DISTINCT(batting.{TEAM}, 0, 28, days) {EACH}": {1: 2, 2: 2, 3: 1},
    f"LIST_DISTINCT(batting.{TEAM}, 0, 14, days) CLASSIFY {EACH}": {
        1: ["2024,A", "2024,B"], 2: ["2024,A", "2024,B"], 3: ["2024,A"],
    },
    f"LIST_DISTINCT(batting.{TEAM}, 0, 14, days) RANK TOP 2 {EACH}": {
        1: ["2024,A", "2024,B"], 2: ["2024,A", "2024,B"], 3: ["2024,A"],
    },
    f"LAST(batting.{TEAM}, 0, 14, days) = '2024,B' {EACH}": {1: 1, 2: 1, 3: 0},
    f"FIRST(batting.{TEAM}, 0, 14, days) IN ('2024,A', '2024,C') {EACH}": {1: 1, 2: 1, 3: 1},
    f"COUNT(batting.* WHERE batting.{TEAM} = '2024,B', 0, 14, days) {EACH}": {1: 1, 2: 1, 3: 0},
    f"COUNT(batting.* WHERE batting.{TEAM} IS NULL, 0, 14, days) {EACH}": {1: 0, 2: 0, 3: 1},
    f"COUNT(batting.* WHERE batting.{TEAM} != '2024,B', 0, 14, days) {EACH}": {1: 1, 2: 1, 3: 1},
    f"COUNT(batting.* WHERE batting.{TEAM} STARTS WITH '2024,', 0, 14, days) {EACH}": {1: 2, 2: 2, 3: 1},
    f"SUM(batting.hits, 0, 35, days) {EACH} WHERE COUNT(batting.{TEAM}, -14, 0, days) = 2": {1: 10, 2: 10},
    f"COUNT(batting.*, 0, 14, days) {EACH} ASSUMING LAST(batting.{TEAM}, 0, 14, days) = '2024,B'": {1: 2, 2: 2},
    f"COUNT(batting.*, 0, 28, days) FOR EACH teams.{TEAM} WHERE teams.{TEAM} != '2024,C'": {"2024,A": 6, "2024,B": 4},
    f"COUNT(batting.*, 0, 28, days) FOR teams.{TEAM} IN ('2024,A', '2024,C')": {"2024,A": 6, "2024,B": 4, "2024,C": 0},
}  # fmt: skip


@pytest.mark.parametrize("query", TARGETS)
def test_a_composite_key_is_a_value_like_others(query: str, project: Workspace) -> None:
    made = pipeline.labels(project, f"PREDICT {query}")
    newest = max(made.table.column("time").to_pylist())
    found = {r["entity"]: r["target"] for r in made.table.to_pylist() if r["time"] == newest}
    assert found == TARGETS[query]


def test_ready_made_labels_may_name_a_composite_key_by_its_columns(project: Workspace) -> None:
    times = [datetime(2024, 2, 1) + timedelta(weeks=w) for w in range(12)]
    rows = [(2024.0, team, at, float(w % 2), ["2024,A", "2024,C"]) for w, at in enumerate(times) for team in "AB"]
    columns = dict(zip(("year", "team", "at", "y", "liked"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), project.root / "labels.parquet")
    shared = {"labels": "labels.parquet", "entity": {"column": "year, team", "key": "teams.year, team"}, "time": "at"}
    tasks = {
        "y": {"target": "y", "task_type": "regression"},
        "liked": {"target": "liked", "task_type": "link_prediction", "items": "teams.year, team"},
    }
    for name, own in tasks.items():
        config = project.config.model_copy(update={"tasks": {name: LabelTask.model_validate({**shared, **own})}})
        changed = Workspace(project.root, config)
        snapshot = changed.snapshots.current()
        task = pipeline.find_task(changed, snapshot.schema, name)
        with changed.source() as source:
            examples = resolve_examples(snapshot, task, task.labels.make(source, snapshot).split("train"))
        assert len(examples) > 0
        assert examples.unknown == 0
    assert set(examples.target[0]) == set(snapshot.lookup("teams", ["2024,A", "2024,C"]).tolist())


def test_a_check_goes_on_after_a_task_and_a_table_that_are_wrong(tmp_path: Path) -> None:
    fill(str(tmp_path / "d.duckdb"), "TIMESTAMP")
    tasks = {
        "gone": PQLTask(query="PREDICT COUNT(nothing.*, 0, 14, days) FOR EACH players.id"),
        "too_long": PQLTask(query="PREDICT COUNT(batting.*, 0, 900, days) FOR EACH players.id"),
        "no_table": PQLTask(query=f"PREDICT COUNT(batting.{TEAM}, 0, 14, days) FOR EACH teams.{TEAM}"),
        "fine": PQLTask(query="PREDICT COUNT(batting.*, 0, 14, days) FOR EACH players.id"),
    }
    project = pipeline.init(str(tmp_path / "d.duckdb"), tmp_path, tasks=tasks).workspace
    path = project.root / "forekey.yaml"
    path.write_text(path.read_text().replace("tables:", "tables:\n  missing: {primary_key: id}"))
    found = pipeline.check(Workspace.open(project.root))
    assert [f.where for f in found.errors] == ["missing", "tasks.gone"]
    assert "tasks.too_long" in [f.where for f in found.warnings]
    assert not [f for f in (*found.errors, *found.warnings) if f.where in {"tasks.fine", "tasks.no_table"}]
