"""What became of predictions: scored once their labels are complete, never before, and estimated until then."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey import pipeline
from forekey.monitoring import MonitorReport, Quality
from forekey.monitoring.estimate import estimated
from forekey.objectives import (
    BinaryObjective,
    Classes,
    HeldOut,
    MulticlassObjective,
    Numbers,
    Ranking,
    RankingObjective,
    RegressionObjective,
)
from forekey.project import CONFIG_NAME
from forekey.store import LoggedBatch
from forekey.workspace import Workspace
from tests.support.months import add_month


def scored(report: MonitorReport) -> dict[str, Quality]:
    return {q.task: q for q in report.quality if q.is_final}


def test_predictions_are_scored_once_their_window_has_passed(own_project: Workspace) -> None:
    first = pipeline.monitor(own_project)
    assert scored(first) == {}
    assert first.log.waiting == sum(q.n for q in first.quality) > 0
    add_month(own_project)
    found = scored(pipeline.monitor(own_project))
    # The window of "channels" and the last timeframe of "weeks" reach further than a month; no order line came.
    assert set(found) == {"churn", "spend", "next_channel"}
    spend = found["spend"]
    assert spend.n == 200
    assert spend.expected == own_project.registry.champion("spend").manifest.metrics["test"]["mae"]
    assert spend.low is not None
    assert spend.high is not None
    assert spend.low <= (spend.realized or 0) <= spend.high
    regions = [s for s in spend.segments if s.column == "region"]
    assert sum(s.n for s in regions) <= spend.n
    assert {s.value for s in regions} <= {"north", "south", "east", "west"}
    assert found["churn"].calibration is not None


def test_a_partial_window_is_never_scored(own_project: Workspace) -> None:
    add_month(own_project, days=29)
    report = pipeline.monitor(own_project)
    assert scored(report) == {}
    assert report.log.waiting > 0


def test_late_rows_have_their_look_back_first(own_project: Workspace) -> None:
    path = own_project.root / CONFIG_NAME
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("  orders:\n", "  orders:\n    lookback_days: 10\n"), encoding="utf-8")
    project = Workspace.open(own_project.root)
    assert project.config.tables["orders"].lookback_days == 10
    add_month(project)
    assert "spend" not in scored(pipeline.monitor(project))
    add_month(project, days=10)
    assert "spend" in scored(pipeline.monitor(project))


def test_realized_quality_equals_the_metric_on_the_true_labels(own_project: Workspace) -> None:
    logged = own_project.predictions.batches("spend")[0]
    add_month(own_project)
    quality = scored(pipeline.monitor(own_project))["spend"]
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        truth = dict(
            connection.execute(
                "SELECT customer_id, sum(amount) FROM orders WHERE placed_at > $t::TIMESTAMP AND placed_at <= $t::TIMESTAMP + INTERVAL 30 DAY "
                "GROUP BY customer_id",
                {"t": logged.as_of},
            ).fetchall()
        )
    errors = [abs(r["prediction"] - truth.get(r["entity"], 0.0)) for r in logged.rows.to_pylist()]
    assert quality.realized == pytest.approx(np.mean(errors))


def test_what_is_final_is_not_scored_again(own_project: Workspace) -> None:
    add_month(own_project)
    before = scored(pipeline.monitor(own_project))["spend"]
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute("UPDATE orders SET amount = 0")
    assert scored(pipeline.monitor(own_project))["spend"] == before


def test_served_predictions_are_scored_beside_stored_ones_each_entity_once(own_project: Workspace) -> None:
    current = own_project.snapshots.current()
    moment = current.as_of - timedelta(days=45)
    version = own_project.registry.champion("spend").version
    rows = pa.table({"entity": [1, 2, 3, 2], "prediction": [10.0, 20.0, 30.0, 20.0], "answers": [1, 1, 1, 1]})
    own_project.predictions.add_served("spend", LoggedBatch(moment.isoformat(), version, rows), "a")
    own_project.predictions.add_served("spend", LoggedBatch(moment.isoformat(), version, rows.slice(0, 1)), "b")
    found = next(q for q in pipeline.monitor(own_project).quality if q.anchor == moment.isoformat())
    assert (found.n, found.is_final) == (3, True)


def test_what_is_never_scored_is_counted_with_its_reason(own_project: Workspace) -> None:
    moment = (own_project.snapshots.current().as_of - timedelta(days=45)).isoformat()
    rows = pa.table({"entity": [1, 2], "prediction": [1.0, 2.0]})
    own_project.predictions.append("spend", LoggedBatch(moment, "v99", rows))
    strangers = pa.table({"entity": [1, 100_000], "prediction": [1.0, 2.0]})
    version = own_project.registry.champion("spend").version
    own_project.predictions.append("spend", LoggedBatch(moment, version, strangers))
    report = pipeline.monitor(own_project)
    assert report.log.unscorable == {"its model version is gone": 2, "its entity has no label": 1}


def test_a_task_whose_column_is_gone_is_named_and_the_others_are_looked_at(own_project: Workspace) -> None:
    path = own_project.root / CONFIG_NAME
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("SUM(orders.amount, 0, 30, days)", "SUM(orders.gone, 0, 30, days)"), encoding="utf-8")
    report = pipeline.monitor(Workspace.open(own_project.root))
    (alert,) = (a for a in report.alerts if a.monitor == "task")
    assert (alert.subject, alert.state) == ("spend", "critical")
    assert {q.task for q in report.quality} >= {"churn", "next_channel"}


def test_predictions_are_not_scored_by_another_question(own_project: Workspace) -> None:
    add_month(own_project)
    path = own_project.root / CONFIG_NAME
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("SUM(orders.amount, 0, 30, days)", "SUM(orders.amount, 0, 7, days)"), encoding="utf-8")
    report = pipeline.monitor(Workspace.open(own_project.root))
    assert "spend" not in {q.task for q in report.quality}
    assert report.log.unscorable["the task has changed since"] == 200


def test_few_labels_raise_no_alert(own_project: Workspace) -> None:
    moment = (own_project.snapshots.current().as_of - timedelta(days=45)).isoformat()
    version = own_project.registry.champion("spend").version
    rows = pa.table({"entity": [1], "prediction": [1e6]})
    own_project.predictions.append("spend", LoggedBatch(moment, version, rows))
    report = pipeline.monitor(own_project)
    assert next(q for q in report.quality if q.anchor == moment).is_final
    assert not any(a.monitor in {"quality", "predictions"} and a.subject == "spend" for a in report.alerts)


def test_a_fault_that_lasts_is_seen_in_every_batch(own_project: Workspace) -> None:
    current, version = own_project.snapshots.current(), own_project.registry.champion("spend").version
    for day in range(1, 8):
        moment = (current.as_of + timedelta(days=day)).isoformat()
        rows = pa.table({"entity": np.arange(1, 201), "prediction": 1e5 + np.arange(200.0)})
        own_project.predictions.append("spend", LoggedBatch(moment, version, rows))
        report = pipeline.monitor(own_project)
        assert ("predictions", "spend") in {(a.monitor, a.subject) for a in report.alerts}


def test_keys_that_are_logged_as_text_are_scored_all_the_same(own_project: Workspace) -> None:
    moment = (own_project.snapshots.current().as_of - timedelta(days=45)).isoformat()
    version = own_project.registry.champion("spend").version
    log = own_project.predictions
    log.append("spend", LoggedBatch(moment, version, pa.table({"entity": [1, 2], "prediction": [1.0, 2.0]})))
    odd = pa.table({"entity": ["3", "+7x", "2"], "prediction": [3.0, 4.0, 5.0], "answers": [1, 1, 1]})
    log.add_served("spend", LoggedBatch(moment, version, odd), "a")
    found = next(q for q in pipeline.monitor(own_project).quality if q.anchor == moment)
    assert found.n == 3


def test_an_open_anchor_is_estimated_again_when_more_was_answered(own_project: Workspace) -> None:
    moment = own_project.snapshots.current().as_of.isoformat()
    version = own_project.registry.champion("spend").version
    log = own_project.predictions
    for batch in log.batches("spend"):
        (own_project.place("predictions") / "spend" / f"{batch.as_of.replace(':', '')}-{version}.parquet").unlink()
    sizes = []
    for name, keys in (("a", range(1, 61)), ("b", range(61, 121))):
        rows = pa.table({"entity": list(keys), "prediction": [10.0] * 60, "answers": [1] * 60})
        log.add_served("spend", LoggedBatch(moment, version, rows), name)
        sizes.append(next(q.n for q in pipeline.monitor(own_project).quality if q.task == "spend"))
    assert sizes == [60, 120]


def test_predictions_are_kept_until_their_labels_come(own_project: Workspace) -> None:
    path = own_project.root / CONFIG_NAME
    path.write_text(f"{path.read_text(encoding='utf-8')}monitor: {{keep_days: 1}}\n", encoding="utf-8")
    project = Workspace.open(own_project.root)
    add_month(project)
    assert "spend" in scored(pipeline.monitor(project))


def test_a_look_changes_only_what_monitors_keep(own_project: Workspace) -> None:
    before = {p: p.stat().st_mtime_ns for p in own_project.root.rglob("*") if p.is_file()}
    pipeline.monitor(own_project)
    after = {p: p.stat().st_mtime_ns for p in own_project.root.rglob("*") if p.is_file()}
    changed = {p.name for p in after if before.get(p) != after[p]}
    assert changed <= {"monitor.json", "lock.mdb", "history.sqlite"}


def test_a_report_is_read_back_as_it_was_written(own_project: Workspace) -> None:
    add_month(own_project, amount=1e5)
    report = pipeline.monitor(own_project)
    assert MonitorReport.from_dict(report.to_dict()) == report


def held_out(n: int = 4_000, seed: int = 0) -> HeldOut:
    random = np.random.default_rng(seed)
    chance = random.beta(1.0, 2.0, n)
    return HeldOut.of(chance, (random.random(n) < chance).astype(float), np.zeros(n, np.int64))


@given(st.floats(0.5, 4.0), st.floats(0.5, 4.0), st.integers(0, 100))
def test_of_calibrated_probabilities_the_estimate_is_near_what_comes(a: float, b: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    chance = random.beta(a, b, 4_000)
    label = (random.random(4_000) < chance).astype(float)
    found = estimated(BinaryObjective(), Numbers(chance), held_out())
    realized = BinaryObjective().metrics(label, chance)["auroc"]
    assert found is not None
    assert found.value is not None
    assert realized == pytest.approx(found.value, abs=0.04)
    assert (found.low or 0) <= found.value <= (found.high or 0)


def test_a_model_that_was_overconfident_on_test_is_not_believed() -> None:
    random = np.random.default_rng(0)
    true = random.beta(2.0, 2.0, 8_000)
    label = (random.random(8_000) < true).astype(float)
    logit = np.log(true / (1 - true))
    sure = 1 / (1 + np.exp(-3.0 * logit))
    found = estimated(BinaryObjective(), Numbers(sure), HeldOut.of(sure, label, np.zeros(8_000, np.int64)))
    assert found is not None
    realized = BinaryObjective().metrics(label, sure)["auroc"]
    assert found.value == pytest.approx(realized, abs=0.03)


def test_of_numbers_errors_are_those_of_like_predictions() -> None:
    random = np.random.default_rng(0)
    predicted = random.uniform(1, 100, 5_000)
    right = predicted * (1 + 0.2 * random.normal(size=5_000))
    past = HeldOut.of(predicted, right, np.zeros(5_000, np.int64))
    objective = RegressionObjective(0.0, 1.0)
    small, large = (estimated(objective, Numbers(np.full(500, v)), past) for v in (5.0, 95.0))
    assert small is not None
    assert large is not None
    assert large.value == pytest.approx(0.2 * 95 * np.sqrt(2 / np.pi), rel=0.15)
    assert (small.value or 0) < (large.value or 0) / 5


def test_of_classes_accuracy_is_what_probabilities_say_and_of_rankings_nothing_is_said() -> None:
    random = np.random.default_rng(0)
    shares = random.dirichlet([1.0, 1.0, 1.0], 3_000)
    one_hot = np.eye(3)[[random.choice(3, p=s) for s in shares]]
    objective = MulticlassObjective(("a", "b", "c"))
    past = HeldOut.of(shares, one_hot, np.zeros(3_000, np.int64))
    found = estimated(objective, Classes(shares, objective.class_names), past)
    assert found is not None
    assert found.value == pytest.approx(shares.max(axis=1).mean(), abs=0.03)
    ranking = Ranking(np.zeros((60, 2), np.int32), np.zeros((60, 2)), ["x"])
    assert estimated(RankingObjective(), ranking, past) is None
    assert estimated(objective, Classes(shares, objective.class_names), None) is None


def test_held_out_predictions_lie_with_the_version(trained_project: Workspace, tmp_path: Path) -> None:
    version = trained_project.registry.champion("churn")
    past = HeldOut.load(version.folder)
    assert past is not None
    assert len(past.predicted) == version.manifest.labels["test"]["rows"]
    assert "held_out.npz" in version.manifest.files
    assert HeldOut.load(tmp_path) is None


def test_anchors_of_the_log_are_read_back(own_project: Workspace) -> None:
    log = own_project.predictions
    rows = pa.table({"entity": ["a"], "prediction": [1.0]})
    for moment in (datetime(2024, 1, 2, 3, 4, 5, 678), datetime(2024, 1, 2)):
        log.append("other", LoggedBatch(moment.isoformat(), "v3", rows))
    assert log.anchors("other") == [("2024-01-02T00:00:00", "v3"), ("2024-01-02T03:04:05.000678", "v3")]
