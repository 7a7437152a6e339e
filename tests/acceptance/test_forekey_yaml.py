"""Edits of forekey.yaml take effect with the next command; what makes a score doubtful is said before it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from forekey import pipeline
from forekey.cli.commands import cli
from forekey.errors import ModelError
from forekey.project import CONFIG_NAME, PQLTask
from forekey.testing import write_database
from forekey.workspace import Workspace

TASK = "PREDICT COUNT(visits.*, 0, 30, days) > 0 FOR EACH people.person_id WHERE COUNT(visits.*, -60, 0, days) > 0"


def fill(path: Path) -> None:
    """People who visit until a last day that their row tells; who visits next month follows from that day alone."""
    random = np.random.default_rng(0)
    start = datetime(2020, 1, 1)
    joined = [start + timedelta(days=int(d)) for d in random.integers(0, 900, 300)]
    last = [j + timedelta(days=int(d)) for j, d in zip(joined, random.integers(20, 400, 300), strict=True)]
    visits = [
        (i, j + timedelta(days=int(d)))
        for i, (j, end) in enumerate(zip(joined, last, strict=True))
        for d in np.unique(random.integers(0, (end - j).days, 1 + (end - j).days // 30))
    ]
    tables = {
        "people": pa.table(
            {"person_id": range(300), "joined_at": joined, "finalVisit": last, "age": random.integers(18, 80, 300)}
        ),
        "visits": pa.table(
            {"visit_id": range(len(visits)), "person_id": [v[0] for v in visits], "visited_at": [v[1] for v in visits]}
        ),
    }
    write_database(path, tables)


@pytest.fixture
def project(tmp_path: Path) -> Workspace:
    fill(tmp_path / "d.duckdb")
    return pipeline.init(str(tmp_path / "d.duckdb"), tmp_path, tasks={"next": PQLTask(query=TASK)}).workspace


def edit(project: Workspace, old: str, new: str) -> Workspace:
    path = project.root / CONFIG_NAME
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return Workspace.open(project.root)


def steps(project: Workspace) -> tuple[list[str], pipeline.Listener]:
    said: list[str] = []
    return said, pipeline.Listener(said.append)


def test_a_column_that_tells_the_future_is_set_aside_and_warned_of_when_taken_back(project: Workspace) -> None:
    assert project.config.tables["people"].columns["finalVisit"] == "ignore"
    fair = pipeline.train(project, "next", preset="fast")
    assert not any("finalVisit" in w for w in fair.warnings)
    taken_back = edit(project, "finalVisit: ignore", "finalVisit: timestamp")
    said, listener = steps(taken_back)
    leaking = pipeline.train(taken_back, "next", preset="fast", listener=listener)
    assert any(
        "updating the graph: the settings of 'people' have changed in forekey.yaml since snapshot" in line
        for line in said
    )
    assert leaking.metrics["test"]["auroc"] > fair.metrics["test"]["auroc"] + 0.03
    assert any(
        "people.finalVisit: leak risk: it is later than its row's own time in 100%" in w for w in leaking.warnings
    )
    page = Path(str(leaking.page)).read_text()
    assert page.index('class="warning"') < page.index('class="verdict"')
    again = edit(taken_back, "finalVisit: timestamp", "finalVisit: ignore")
    assert pipeline.train(again, "next", preset="fast").metrics["test"] == fair.metrics["test"]


def test_a_column_that_carries_most_of_the_score_is_named_first(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    joined = [datetime(2020, 1, 1) + timedelta(days=int(d)) for d in np.sort(random.integers(0, 700, 900))]
    hint = random.integers(1, 150, 900)
    came = [j + timedelta(days=int(h)) for j, h in zip(joined, hint, strict=True)]
    tables = {
        "people": pa.table(
            {"person_id": range(900), "joined_at": joined, "hint": hint, "age": random.integers(18, 80, 900)}
        ),
        "visits": pa.table({"visit_id": range(900), "person_id": range(900), "visited_at": came}),
    }
    write_database(tmp_path / "d.duckdb", tables)
    task = "PREDICT COUNT(visits.*, 0, 30, days) > 0 FOR EACH people.person_id WHERE COUNT(visits.*, -INF, 0, days) = 0"
    project = pipeline.init(str(tmp_path / "d.duckdb"), tmp_path, tasks={"first": PQLTask(query=task)}).workspace
    report = pipeline.train(project, "first", preset="fast")
    said = [w for w in report.warnings if w.startswith("people.hint carries most of the score: without it, validation")]
    assert len(said) == 1
    assert "Make sure that it is known at the time of prediction" in said[0]
    assert report.to_dict()["warnings"] == list(report.warnings)


def test_a_model_that_needs_what_was_left_out_is_refused(project: Workspace) -> None:
    pipeline.train(project, "next", preset="fast")
    changed = edit(project, "age: numerical", "age: ignore")
    for ask in (
        lambda: pipeline.predict(changed, "next"),
        lambda: pipeline.embed(changed, "next"),
        lambda: pipeline.evaluate(changed, "next"),
        lambda: pipeline.explain(changed, "next", 1),
    ):
        with pytest.raises(ModelError, match=r"needs people.age as numerical, .*Run `forekey train next`"):
            ask()
    with pytest.raises(ModelError, match=r"needs people\.age"):
        pipeline.retrain(changed, "next")
    report = pipeline.train(changed, "next", preset="fast")
    assert any("v2 is the champion now: v1 needs columns that the graph has no more" in n for n in report.notes)
    assert pipeline.predict(changed, "next").model.version == "v2"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("time_column: visited_at", "time_column: {column: visited_at, at: end}"),
        ("person_id: people", "{}"),
        ("source: duckdb:///d.duckdb", "source: duckdb:///other.duckdb"),
        ("tasks:", "as_of: 2020-06-01\ntasks:"),
    ],
)
def test_keys_times_source_and_as_of_take_effect_at_once(project: Workspace, old: str, new: str) -> None:
    built = pipeline.snapshot(project)
    fill(project.root / "other.duckdb")
    text = (project.root / CONFIG_NAME).read_text()
    line = next(x for x in text.split("\n") if x.startswith(old) or x.strip().startswith(old.strip()))
    (project.root / CONFIG_NAME).write_text(text.replace(line, line[: len(line) - len(line.lstrip())] + new.strip()))
    changed = Workspace.open(project.root)
    said, listener = steps(changed)
    updated = pipeline.current_graph(changed, listener)
    assert any(line.startswith("updating the graph:") and f"since snapshot {built.id}" in line for line in said)
    assert (
        updated.schema != built.schema
        or updated.as_of != built.as_of
        or updated.manifest.source != "duckdb:///d.duckdb"
    )
    said.clear()
    assert pipeline.current_graph(changed, listener).id == updated.id
    assert said == []


def test_settings_that_do_not_shape_the_graph_build_nothing(project: Workspace) -> None:
    pipeline.snapshot(project)
    changed = edit(project, "tasks:", "statement_timeout_seconds: 9\ntasks:")
    said, listener = steps(changed)
    pipeline.current_graph(changed, listener)
    assert said == []


def test_every_command_that_needs_a_snapshot_builds_it_and_says_so(project: Workspace) -> None:
    runner = CliRunner()
    shown = runner.invoke(cli, ["sql", "next", "--project", str(project.root)])
    assert shown.exit_code == 0
    assert "building the graph: there is no snapshot yet" in shown.stderr
    assert "people" in shown.stdout


def test_tables_without_a_time_are_named_where_it_matters(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("CREATE TABLE people AS SELECT i AS person_id, i % 9 AS grade FROM range(60) t(i)")
        connection.execute(
            "CREATE TABLE visits AS SELECT i AS visit_id, i % 60 AS person_id, TIMESTAMP '2024-01-01' + "
            "INTERVAL (i * 7) HOUR AS visited_at FROM range(600) t(i)"
        )
    runner, at = CliRunner(), ["--project", str(tmp_path)]
    for command in (["init", str(tmp_path / "d.duckdb")], ["check"], ["sql", TASK]):
        shown = runner.invoke(cli, [*command, *at])
        assert shown.exit_code == 0, shown.output
        flat = " ".join(shown.stdout.split())
        assert "No time: people. Their rows count as known at every moment" in flat
        assert "set time_column (a year will do) in forekey.yaml" in flat
