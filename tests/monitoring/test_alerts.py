"""An alert comes once a limit is passed, stays while the value hovers around it, and says since when."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.errors import ProjectError
from forekey.monitoring import Finding, MonitorHistory, Quality, State
from forekey.monitoring.alerts import MONITORS, alerts_of, configured, judged
from forekey.monitoring.traffic import of_latency
from forekey.project import MonitorConfig

FOUND = Finding("column drift", "orders.amount", 0.3, 0.2, 0.5, True, "median 1 → 2", "2024-03-01T00:00:00")


def look(history: MonitorHistory, finding: Finding, at: str) -> tuple[State, str | None, bool]:
    """Look once, keep it, and return state, since, and whether the alert is new."""
    before = history.last()
    states = judged([finding], before)
    alerts = alerts_of(states, before)
    history.add(at, ("s1", at), states, [])
    return states[0][1], states[0][2], bool(alerts and alerts[0].is_new)


def test_a_state_is_left_only_once_the_value_is_well_below_its_limit(tmp_path: Path) -> None:
    history = MonitorHistory(tmp_path)
    values = [0.1, 0.21, 0.19, 0.17, 0.15, 0.19, 0.6, 0.45, 0.3, 0.1]
    states = [look(history, replace(FOUND, value=v), f"2024-03-{i + 1:02}")[0] for i, v in enumerate(values)]
    ok, warning, critical = State.OK, State.WARNING, State.CRITICAL
    assert states == [ok, warning, warning, warning, ok, ok, critical, critical, warning, ok]


def test_what_may_be_chance_raises_no_alert_but_ends_none_either(tmp_path: Path) -> None:
    history = MonitorHistory(tmp_path)
    assert look(history, replace(FOUND, counts=False), "2024-03-01")[0] is State.OK
    assert look(history, FOUND, "2024-03-02")[0] is State.WARNING
    assert look(history, replace(FOUND, counts=False), "2024-03-03")[0] is State.WARNING


def test_since_is_that_of_the_first_look_and_an_alert_is_new_once(tmp_path: Path) -> None:
    history = MonitorHistory(tmp_path)
    assert look(history, FOUND, "2024-03-02") == (State.WARNING, "2024-03-01T00:00:00", True)
    later = replace(FOUND, since="2024-03-08T00:00:00")
    assert look(history, later, "2024-03-09") == (State.WARNING, "2024-03-01T00:00:00", False)
    assert look(history, replace(later, value=0.6), "2024-03-10") == (State.CRITICAL, "2024-03-01T00:00:00", True)
    assert look(history, replace(later, value=0.0), "2024-03-11") == (State.OK, None, False)


@given(st.lists(st.floats(0.0, 1.0), max_size=30))
def test_states_follow_the_value(values: list[float]) -> None:
    before = State.OK
    for value in values:
        state = replace(FOUND, value=value).state(before)
        assert state.rank <= before.rank or value >= 0.2
        assert state is not State.OK or value < 0.2
        before = state


def test_the_worst_come_first() -> None:
    found = [
        FOUND,
        replace(FOUND, subject="a", value=0.9),
        replace(FOUND, subject="b", value=0.01),
        replace(FOUND, subject="c", value=0.45),
    ]
    assert [a.subject for a in alerts_of(judged(found, {}), {})] == ["a", "c", "orders.amount"]


@pytest.mark.parametrize("ignore", ["column drift", "orders.amount", "column drift: orders.amount"])
def test_forekey_yaml_says_what_to_ignore(ignore: str) -> None:
    assert configured([FOUND], MonitorConfig(ignore=(ignore,))) == []
    assert configured([replace(FOUND, monitor="m", subject="s")], MonitorConfig(ignore=(ignore,)))


def test_forekey_yaml_says_from_where_on_to_warn() -> None:
    (found,) = configured([FOUND], MonitorConfig(limits={"column drift": 0.4}))
    assert (found.limit, found.critical) == (0.4, pytest.approx(1.0))
    assert found.state() is State.OK


def test_a_limit_of_no_monitor_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ProjectError, match=r"no monitor 'colum drift' \(did you mean 'column drift'\?\)"):
        configured([FOUND], MonitorConfig(limits={"colum drift": 0.4}))


def test_every_monitor_has_a_name_that_can_be_limited() -> None:
    source = Path(__file__).parents[2] / "src" / "forekey" / "monitoring"
    text = "".join(p.read_text() for p in source.glob("*.py"))
    used = set(re.findall(r'Finding\(\s*"([a-z ]+)"', text)) | set(re.findall(r'\(\s*"([a-z]+ ?[a-z]*)", drift', text))
    assert {"quality", "task", "idle entities"} <= used
    assert used <= set(MONITORS)


def test_errors_count_since_the_last_run(tmp_path: Path) -> None:
    route = "/predict/{task}"
    routes = {route: {"requests": 1_000, "errors": 100, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 2.0}}
    assert next(of_latency(routes)).state() is State.CRITICAL
    history = MonitorHistory(tmp_path)
    history.keep_requests(routes)
    routes[route] |= {"requests": 2_000, "errors": 100}
    found = next(of_latency(routes, history.requests()))
    assert (found.value, found.state()) == (0.0, State.OK)
    assert "0 of 1,000 requests" in found.what
    routes[route] |= {"requests": 50, "errors": 25}  # another process has begun to count
    assert next(of_latency(routes, history.requests())).value == 0.5


def test_old_looks_are_thinned_out_but_for_what_was_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from forekey.monitoring import history as module

    monkeypatch.setattr(module, "_WHOLE_LOOKS", 5)
    history = MonitorHistory(tmp_path)
    for number in range(1, 31):
        look(history, replace(FOUND, value=9.0 if number == 3 else 0.01), f"2024-03-{number:02}")
    kept = [int(m.at[8:10]) for m in history.of("column drift", "orders.amount")]
    assert kept == [3, 7, 14, 21, 26, 27, 28, 29, 30]


def test_history_answers_since_when(tmp_path: Path) -> None:
    history = MonitorHistory(tmp_path)
    for day in range(1, 6):
        look(history, replace(FOUND, value=day / 10), f"2024-03-{day:02}")
    assert [m.value for m in history.of("column drift", "orders.amount")] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert [state for _, _, state in history.looks()] == ["ok", "warning", "warning", "warning", "critical"]
    kept = Quality("churn", "v1", "2024-01-01T00:00:00", 10, "auroc", realized=0.8)
    history.add("2024-03-06", ("s1", "2024-03-06"), [], [kept])
    assert history.quality("churn") == {("v1", "2024-01-01T00:00:00"): kept}


def test_a_damaged_history_is_set_aside_and_looking_goes_on(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_bytes(b"this is no database, however long it is" * 100)
    history = MonitorHistory(tmp_path)
    assert look(history, FOUND, "2024-03-01")[0] is State.WARNING
    assert (tmp_path / "history.damaged").exists()
    with sqlite3.connect(tmp_path / "history.sqlite") as db:
        assert db.execute("SELECT count(*) FROM looks").fetchone() == (1,)
