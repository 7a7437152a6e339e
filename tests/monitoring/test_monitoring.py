"""The monitors see drift, growth, and what became of predictions; they change nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from forekey.monitoring.drift import column_drift
from hypothesis import given
from hypothesis import strategies as st

from forekey import pipeline
from forekey.graph import SnapshotStore, build_snapshot
from forekey.monitoring import population_stability
from forekey.project import PQLTask
from forekey.source import infer_schema
from forekey.testing import append_rows, write_database
from forekey.workspace import Workspace
from tests.support.databases import source_of

START = datetime(2024, 1, 1)


def add_month(project: Workspace, amount: float, customers: range = range(1, 101)) -> None:
    """Let one more month of orders arrive, of the given amount."""
    newest = project.snapshots.current().as_of
    n = 400
    rows = pa.table(
        {
            "order_id": np.arange(n) + 10_000_000,
            "customer_id": [customers[i % len(customers)] for i in range(n)],
            "placed_at": pa.array([newest + timedelta(hours=2 * (i + 1)) for i in range(n)], pa.timestamp("us")),
            "amount": np.full(n, amount) * np.linspace(0.9, 1.1, n),
            "channel": ["web"] * n,
            "gift": [False] * n,
        }
    )
    with duckdb.connect(str(project.root / "shop.duckdb")) as connection:
        append_rows(connection, "orders", rows)
    pipeline.snapshot(project)


def test_rows_unlike_those_of_training_are_drift(own_project: Workspace) -> None:
    assert pipeline.monitor(own_project).drift["spend"] == []
    add_month(own_project, amount=1e5)
    worst = pipeline.monitor(own_project).drift["spend"][0]
    assert (worst.table, worst.column) == ("orders", "amount")
    assert worst.psi > 1
    assert worst.new_rows == 400


def test_drift_is_measured_of_every_type_and_of_tables_without_a_time(tmp_path: Path) -> None:
    def rows(first: int, count: int, broken: bool) -> pa.Table:
        ids = np.arange(first, first + count)
        whole = {
            "channel": pa.array(np.where(ids % 2, "x", "y")),
            "due": pa.array([START + timedelta(hours=int(i) * 6 + 72) for i in ids], pa.timestamp("us")),
            "tags": pa.array([["u", "v"]] * count),
            "memo": pa.array([f"note {i} of many words and then some more {i * 7}" for i in ids]),
            "vec": pa.array([[1.0, 2.0, float(i)] for i in ids], pa.list_(pa.float32(), 3)),
        }
        empty = {n: pa.nulls(count, c.type) for n, c in whole.items()}
        keys = {
            "order_id": ids,
            "customer_id": 1 + ids % 60,
            "placed_at": [START + timedelta(hours=int(i) * 6) for i in ids],
        }
        return pa.table({**keys, **(empty if broken else whole)})

    customers = pa.table({"customer_id": range(1, 61), "region": ["n", "s"] * 30, "plan": ["a", "b", "b"] * 20})
    place = write_database(tmp_path / "d.duckdb", {"customers": customers, "orders": rows(0, 900, False)})
    task = PQLTask(query="PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id")
    project = pipeline.init(str(place), tmp_path, tasks={"c": task}).workspace
    pipeline.train(project, "c", preset="fast")
    with duckdb.connect(str(place)) as connection:
        append_rows(connection, "orders", rows(900, 200, True))
        connection.execute("UPDATE customers SET plan = 'zzz', region = NULL")
    pipeline.snapshot(project)
    report = pipeline.monitor(project)
    shifted = {(d.table, d.column) for d in report.drift["c"] if d.psi > 0.25}
    assert shifted == {("orders", c) for c in ("channel", "due", "tags", "memo", "vec")} | {
        ("customers", "plan"), ("customers", "region"),
    }  # fmt: skip
    assert report.not_measured == {}
    project.snapshots.prune(1)
    told = pipeline.monitor(project).not_measured["c"]
    assert told == ["customers: it has no time, and the snapshot that the model was trained on is gone"]


def test_predictions_are_scored_once_their_window_has_passed(own_project: Workspace) -> None:
    assert pipeline.monitor(own_project).quality == []
    add_month(own_project, amount=30.0)
    found = {q.task: q for q in pipeline.monitor(own_project).quality}
    # The window of "channels" and the last timeframe of "weeks" reach further than a month.
    assert set(found) == {"churn", "spend", "next_channel"}
    assert 0 < (found["next_channel"].metrics["accuracy"] or 0) <= 1
    assert found["spend"].examples == 200
    assert found["spend"].expected["mae"] == own_project.registry.champion("spend").manifest.metrics["test"]["mae"]
    assert (found["spend"].metrics["mae"] or 0) > 0


def test_realized_quality_equals_the_metric_on_the_true_labels(own_project: Workspace) -> None:
    logged = own_project.predictions.batches("spend")[0]
    add_month(own_project, amount=30.0)
    quality = next(q for q in pipeline.monitor(own_project).quality if q.task == "spend")
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        truth = dict(
            connection.execute(
                "SELECT customer_id, sum(amount) FROM orders WHERE placed_at > $t::TIMESTAMP AND placed_at <= $t::TIMESTAMP + INTERVAL 30 DAY "
                "GROUP BY customer_id",
                {"t": logged.as_of},
            ).fetchall()
        )
    errors = [abs(r["prediction"] - truth.get(r["entity"], 0.0)) for r in logged.rows.to_pylist()]
    assert quality.metrics["mae"] == pytest.approx(np.mean(errors))


def test_growth_and_freshness_are_told(own_project: Workspace) -> None:
    add_month(own_project, amount=30.0)
    report = pipeline.monitor(own_project)
    orders = next(t for t in report.tables if t.table == "orders")
    assert orders.growth == 400
    assert orders.age_days == 0.0
    lines = next(t for t in report.tables if t.table == "order_lines")
    assert lines.age_days is not None
    assert lines.age_days > 30
    edge = next(e for e in report.edges if e.edge_type == "orders.customer_id->customers")
    assert edge.orphan_rate == 0.0


def test_looking_changes_nothing(own_project: Workspace) -> None:
    before = {p: p.stat().st_mtime_ns for p in own_project.root.rglob("*") if p.is_file()}
    pipeline.monitor(own_project)
    after = {p: p.stat().st_mtime_ns for p in own_project.root.rglob("*") if p.is_file()}
    changed = {p.name for p in after if before.get(p) != after[p]}
    assert changed <= {"monitor.json", "lock.mdb"}


SHARES = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).map(lambda v: np.array(v) / max(sum(v), 1e-9))


@given(SHARES, SHARES)
def test_the_stability_index_is_zero_for_equals_symmetric_and_never_negative(a: np.ndarray, b: np.ndarray) -> None:
    assert population_stability(a, a) == 0.0
    assert population_stability(a, b) == pytest.approx(population_stability(b, a))
    assert population_stability(a, b) >= 0.0


def test_slow_change_over_decades_is_no_drift_and_a_step_since_training_is(tmp_path: Path) -> None:
    """Prices that rose for forty years, then stood: new rows look like the last years', not like all of history."""
    days = np.arange(0, 40 * 365, 2)
    moments = np.datetime64("1980-01-01") + days.astype("timedelta64[D]")
    steady = np.random.default_rng(0).normal(size=len(days))
    rising = np.minimum(days / 365.0, 37.0) + 0.5 * steady
    stepped = np.where(days > days[-100], steady + 5.0, steady)
    table = pa.table({"id": days, "at": moments.astype("datetime64[us]"), "rising": rising, "stepped": stepped})
    source = source_of({"prices": table})
    snapshot = build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path))
    trained_until = int(moments[-100].astype("datetime64[us]").astype(np.int64))

    def psi(reference_days: float | None) -> dict[str, float]:
        return {d.column: d.psi for d in column_drift(snapshot, trained_until, None, reference_days)[0]}

    assert psi(None)["rising"] > 1.0
    assert psi(720.0)["rising"] < 0.25
    assert psi(720.0)["stepped"] > 1.0
