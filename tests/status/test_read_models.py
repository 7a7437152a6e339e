"""Read models say what is on disk, and go on where a part of it cannot be read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.errors import UnknownTask
from forekey.graph import to_micros
from forekey.monitoring import MonitorHistory, State, histograms
from forekey.monitoring.finding import Finding
from forekey.status import entity_rows, episodes, project_status, series_of, task_detail
from forekey.testing import write_database
from forekey.workspace import Workspace


def test_a_task_is_told_with_its_versions_and_promotions(trained_project: Workspace) -> None:
    found = task_detail(trained_project, "churn")
    champion = trained_project.registry.champion("churn")
    assert [v.version for v in found.versions if v.is_champion] == [champion.version]
    assert found.versions[0].score == champion.manifest.metrics["test"]["auroc"]
    assert found.promotions[0].reason == "the first model of the task"
    assert found.distribution is not None
    assert sum(found.distribution.now) == pytest.approx(1.0, abs=1e-3)
    assert sum(found.distribution.held_out) == pytest.approx(1.0, abs=1e-3)
    assert len(found.distribution.edges) == len(found.distribution.now) + 1
    assert found.calibration_expected is not None
    with pytest.raises(UnknownTask, match=r"Tasks are: .*churn"):
        task_detail(trained_project, "nope")


@pytest.mark.parametrize("task", ["next_channel", "channels", "weeks", "baskets"])
def test_a_task_of_any_kind_has_its_page(trained_project: Workspace, task: str) -> None:
    found = task_detail(trained_project, task)
    assert found.status.champion == "v1"
    assert found.versions


def test_a_model_that_cannot_be_read_does_not_hide_the_others(own_project: Workspace) -> None:
    (own_project.place("models") / "churn" / "v1" / "manifest.json").write_text("{")
    found = project_status(Workspace.open(own_project.root))
    churn, others = found.tasks[0], found.tasks[1:]
    assert (churn.task, churn.state) == ("churn", State.CRITICAL)
    assert churn.broken is not None
    assert all(t.champion == "v1" for t in others)
    assert found.headline == "Something is wrong"


def test_all_is_well_only_where_it_was_looked_at_lately(own_project: Workspace) -> None:
    path = own_project.place("reports") / "monitor.json"
    path.unlink(missing_ok=True)
    assert project_status(own_project).headline == "Not monitored yet"
    pipeline.monitor(own_project)
    quiet = json.loads(path.read_text()) | {"state": "ok", "alerts": []}
    path.write_text(json.dumps(quiet))
    assert project_status(own_project).headline == "All is well"
    later = replace(Workspace.open(own_project.root), clock=lambda: own_project.clock() + timedelta(days=30))
    found = project_status(later)
    assert (found.headline, found.state) == (f"Not monitored since {quiet['at'][:10]}", State.WARNING)
    path.write_text(json.dumps(quiet | {"state": "warning"}))
    assert project_status(own_project).headline == "There are warnings"


def test_a_store_that_does_not_answer_is_not_well(own_project: Workspace) -> None:
    pipeline.monitor(own_project)
    config = own_project.config.model_copy(update={"store": "redis://127.0.0.1:1"})
    found = project_status(Workspace(own_project.root, config))
    assert (found.headline, found.state) == ("The store does not answer", State.CRITICAL)


def test_a_row_is_shown_with_what_belongs_to_it(trained_project: Workspace) -> None:
    snapshot = trained_project.snapshots.current()
    edge = next(e for e in snapshot.edge_types if e.child == "orders" and e.parent == "customers")
    row = int(np.argmax(np.bincount(snapshot.parents(edge))))
    key = snapshot.keys("customers")[row].as_py()
    found = entity_rows(snapshot, "customers", str(key))
    assert found is not None
    assert found.key == key
    orders = next(r for r in found.related if r.table == "orders")
    table = snapshot.rows("orders").to_pylist()
    mine = [i for i, p in enumerate(snapshot.parents(edge)) if p == row]
    assert orders.total == len(mine)
    assert list(orders.keys) == [table[i]["order_id"] for i in reversed(mine)][:10]
    assert [t for t in orders.times if t is not None] == sorted((t for t in orders.times if t), reverse=True)
    order = entity_rows(snapshot, "orders", orders.keys[0])
    assert order is not None
    parent = next(r for r in order.related if r.is_parent and r.table == "customers")
    assert parent.keys == (key,)
    assert entity_rows(snapshot, "customers", 10**9) is None
    assert entity_rows(snapshot, "customers", "no key") is None


def odd(tmp_path: Path) -> Workspace:
    """A project with moments that Python has no value for, numbers near the end of floats, and empty columns."""
    n = 300
    tables = {
        "people": pa.table({"id": list(range(20)), "until": pa.array([569_024_438_400_000_000] + [0] * 19).cast(pa.timestamp("us"))}),
        "events": pa.table(
            {
                "id": list(range(n)), "person": [i % 20 for i in range(n)],
                "at": pa.array([datetime(2020, 1, 1) + timedelta(days=i) for i in range(n)], pa.timestamp("us")),
                "size": pa.array([1.7e308, -1.7e308, 5e-324, *np.linspace(0, 1, n - 3)]),
                "nothing": pa.nulls(n, pa.float64()), "one": [3.0] * n,
            }
        ),
    }  # fmt: skip
    ddl = (
        "CREATE TABLE people (id BIGINT PRIMARY KEY, until TIMESTAMP)",
        'CREATE TABLE events (id BIGINT PRIMARY KEY, person BIGINT REFERENCES people (id), "at" TIMESTAMP, size DOUBLE, '
        '"nothing" DOUBLE, one DOUBLE)',
    )
    path = write_database(tmp_path / "odd.duckdb", tables, ddl)
    project = pipeline.init(str(path), tmp_path / "odd").workspace
    pipeline.snapshot(project)
    return project


def test_odd_moments_and_numbers_are_shown(tmp_path: Path) -> None:
    snapshot = odd(tmp_path).snapshots.current()
    person = entity_rows(snapshot, "people", 0)
    assert person is not None
    assert "20001-09-01" in str(person.values["until"])
    event = entity_rows(snapshot, "events", 20)
    assert event is not None
    for until in (None, to_micros(snapshot.as_of) - 100 * 86_400_000_000):
        drawn, said = histograms(snapshot, "events", until)
        by_name = {h.column: h for h in drawn}
        assert {"size", "nothing"} <= set(by_name) <= {"size", "nothing", "one"}  # not keys, nor the table's own time
        assert by_name["nothing"].names[-1] == "NULL"
        assert by_name["nothing"].now[-1] == pytest.approx(1.0)
        assert sum(by_name["size"].now) == pytest.approx(1.0, abs=1e-3)
        assert said


def test_one_row_far_in_the_future_is_not_the_current_period(tmp_path: Path) -> None:
    n = 600
    days = [datetime(2020, 1, 1) + timedelta(hours=8 * i) for i in range(n - 1)] + [datetime(2090, 1, 1)]
    rows = pa.table({"id": list(range(n)), "at": pa.array(days, pa.timestamp("us")), "size": np.arange(n) % 7 / 2})
    ddl = ('CREATE TABLE events (id BIGINT PRIMARY KEY, "at" TIMESTAMP, size DOUBLE)',)
    path = write_database(tmp_path / "events.duckdb", {"events": rows}, ddl)
    project = pipeline.init(str(path), tmp_path / "project").workspace
    snapshot = pipeline.snapshot(project)
    (drawn,), said = histograms(snapshot, "events", to_micros(datetime(2020, 5, 1)))
    assert drawn.before, said
    assert sum(drawn.now) == pytest.approx(1.0, abs=1e-3)
    assert max(drawn.now) < 0.5  # many rows, not the one


def test_a_histogram_holds_every_row_once(trained_project: Workspace) -> None:
    snapshot = trained_project.snapshots.current()
    for table in snapshot.schema.names:
        for found in histograms(snapshot, table, to_micros(snapshot.as_of) - 60 * 86_400_000_000)[0]:
            assert len(found.now) == len(found.names)
            assert sum(found.now) == pytest.approx(1.0, abs=1e-3)
            assert found.before == () or sum(found.before) == pytest.approx(1.0, abs=1e-3)


def look(project: Workspace, number: int, *states: tuple[str, State]) -> None:
    """Keep one run of the monitors in which subjects were in states."""
    at = f"2020-01-{number:02d}T00:00:00"
    found: list[Any] = [
        (Finding("m", s, {"ok": 0.1, "warning": 2.0, "critical": 9.0}[state], 1.0, what=f"{s} is {state}"), state, None)
        for s, state in states
    ]
    MonitorHistory(project.place("monitor")).add(at, ("x", at), found, [])


def test_alerts_have_episodes_with_their_worst_state(shop_project: Workspace, tmp_path: Path) -> None:
    project = Workspace(tmp_path, shop_project.config)
    ok, warning, critical = State.OK, State.WARNING, State.CRITICAL
    for number, (a, b) in enumerate([(warning, ok), (critical, ok), (ok, ok), (ok, warning), (warning, warning)], 1):
        look(project, number, ("a", a), ("b", b))
    found = episodes(project)
    shown = [(e.subject, e.state, e.began[8:10], e.until[8:10] if e.until else None, e.what) for e in found]
    assert shown == [
        ("b", warning, "04", None, "b is warning"),
        ("a", warning, "05", None, "a is warning"),
        ("a", critical, "01", "03", "a is critical"),
    ]
    series = series_of(project)
    assert [(s.subject, s.state, len(s.points)) for s in series] == [("a", warning, 5), ("b", warning, 5)]
    assert [s.subject for s in series_of(project, lambda _, subject: subject == "b")] == ["b"]


def test_where_nobody_looked_there_is_nothing(shop_project: Workspace, tmp_path: Path) -> None:
    project = Workspace(tmp_path, shop_project.config)
    assert episodes(project) == ()
    assert series_of(project) == ()
