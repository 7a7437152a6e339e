"""Invariant 1: a prediction at time T on the full database equals, bit for bit, the one on the database cut at T."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey import pipeline
from forekey.features import WindowFeatures, fit_features, fit_windows
from forekey.graph import Seeds, Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.query import bind, label_sql, parse, shift
from forekey.sampling import NeighborPlan, NeighborSampler
from forekey.source import infer_schema, open_source
from forekey.testing import shop_tables
from forekey.workspace import Workspace
from tests.support.databases import SHOP_SCHEMA, START, Tables, cut, shops, source_of
from tests.support.models import champion_of, random_predictor
from tests.support.shipped import QUERIES, shipped


def snapshots(tables: Tables, moment: datetime, folder: str) -> tuple[Snapshot, Snapshot]:
    """Build the snapshot of everything, and of the database cut at a moment."""
    full = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder) / "full"))
    past = build_snapshot(
        source_of(cut(tables, SHOP_SCHEMA, moment)), SHOP_SCHEMA, SnapshotStore(Path(folder) / "past")
    )
    return full, past


@given(shops(), st.integers(0, 22), st.sampled_from([(4, 3), (2, 2), (3, 1)]))
def test_a_prediction_at_t_does_not_depend_on_rows_after_t(tables: Tables, day: int, budget: tuple[int, ...]) -> None:
    moment = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        full, past = snapshots(tables, moment, folder)
        rows = np.arange(full.num_nodes("customers"), dtype=np.int32)
        times = np.full(len(rows), to_micros(moment))
        plan = NeighborPlan(budget)
        predictions = [
            random_predictor(s, "customers", moment, plan).predict(Seeds.at("customers", rows, times))[0].values
            for s in (full, past)
        ]
        everyone = [
            random_predictor(s, "customers", moment, plan).predict_all(to_micros(moment), Path(folder))[0].values
            for s in (full, past)
        ]
    assert predictions[0].tobytes() == predictions[1].tobytes()
    assert everyone[0].tobytes() == everyone[1].tobytes()


@given(shops(), st.integers(1, 22), st.sampled_from(sorted(QUERIES)))
def test_a_model_as_it_ships_does_not_depend_on_rows_after_t(tables: Tables, day: int, task: str) -> None:
    """Network, trees, lagged labels and calibration together."""
    moment, model = START + timedelta(days=day), shipped(task)
    before = cut(tables, SHOP_SCHEMA, moment)
    with tempfile.TemporaryDirectory() as folder:
        full, past = snapshots(tables, moment, folder)
        rows = np.arange(full.num_nodes("customers"), dtype=np.int32)
        bound = [model.on(given, s, moment) for given, s in ((tables, full), (before, past))]
        one_by_one = [b.predict(Seeds.at("customers", rows, to_micros(moment)))[0].values for b in bound]
        together = [b.predict_all(to_micros(moment), Path(folder))[0].values for b in bound]
    assert one_by_one[0].tobytes() == one_by_one[1].tobytes()
    assert together[0].tobytes() == together[1].tobytes()


@given(shops(), st.integers(0, 22))
def test_column_statistics_do_not_depend_on_rows_after_the_cutoff(tables: Tables, day: int) -> None:
    moment = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        full, past = snapshots(tables, moment, folder)
        assert fit_features(full, to_micros(moment)) == fit_features(past, to_micros(moment))


@given(shops(), st.integers(0, 22), st.sampled_from(["most_recent", "uniform"]), st.integers(0, 3))
def test_a_sample_does_not_depend_on_rows_after_its_seed_time(
    tables: Tables, day: int, strategy: str, number: int
) -> None:
    moment = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        full, past = snapshots(tables, moment, folder)
        rows = np.arange(full.num_nodes("customers"), dtype=np.int32)
        times = np.full(len(rows), to_micros(moment))
        plan = NeighborPlan((3, 2), strategy)  # type: ignore[arg-type]
        a, b = (NeighborSampler(s, plan).sample(Seeds.at("customers", rows, times), number) for s in (full, past))
        assert a.nodes.keys() == b.nodes.keys()
        for name in a.nodes:
            assert np.array_equal(a.nodes[name].rows, b.nodes[name].rows)
            assert np.array_equal(a.nodes[name].seeds, b.nodes[name].seeds)


@given(shops(), st.integers(1, 22))
def test_pasts_in_numbers_do_not_depend_on_rows_after_the_anchor(tables: Tables, day: int) -> None:
    moment = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        full, past = snapshots(tables, moment, folder)
        for entity in ("customers", "orders"):
            visible = int(past.visible(entity, np.array([to_micros(moment)]))[0])
            rows, times = np.arange(visible, dtype=np.int32), np.full(visible, to_micros(moment))
            spec = fit_windows(past, entity, to_micros(moment), 5.0)
            assert spec == fit_windows(full, entity, to_micros(moment), 5.0)
            a, b = (WindowFeatures(s, spec).compute(Seeds.at("customers", rows, times)) for s in (full, past))
            assert a.tobytes() == b.tobytes()


@given(shops(), st.integers(0, 12))
def test_a_label_does_not_depend_on_rows_after_its_window(tables: Tables, day: int) -> None:
    anchor = START + timedelta(days=day)
    query = parse(
        "PREDICT SUM(orders.amount, 0, 5, days) FOR EACH customers.customer_id WHERE COUNT(orders.*, -5, 0, days) > 0"
    )
    bound = bind(query, SHOP_SCHEMA)
    statement = label_sql(bound, [anchor])
    end = shift(anchor, 5, bound.target_window.unit) if bound.target_window else anchor
    full = source_of(tables).query(statement).read_all().to_pylist()
    past = source_of(cut(tables, SHOP_SCHEMA, end)).query(statement).read_all().to_pylist()
    order = lambda rows: sorted((r["entity"], repr(round(r["label"], 6))) for r in rows)  # noqa: E731
    assert order(full) == order(past)


def test_on_a_generated_shop_predictions_of_the_past_stay_when_the_future_arrives(tmp_path: Path) -> None:
    tables = shop_tables(customers=60, days=200)
    source = source_of(tables)
    schema = infer_schema(source).schema
    moment = datetime(2024, 4, 1)
    full = build_snapshot(source, schema, SnapshotStore(tmp_path / "full"))
    past = build_snapshot(source_of(cut(tables, schema, moment)), schema, SnapshotStore(tmp_path / "past"))
    rows = np.arange(60, dtype=np.int32)
    times = np.full(60, to_micros(moment))
    a, b = (
        random_predictor(s, "customers", moment).predict(Seeds.at("customers", rows, times))[0].values
        for s in (full, past)
    )
    assert a.tobytes() == b.tobytes()
    assert len(np.unique(a)) > 30


@pytest.mark.parametrize("day", ["1975-06-01", "2004-12-31"])
def test_on_the_formula_1_database(relbench_f1: Path, tmp_path: Path, day: str) -> None:
    moment = datetime.fromisoformat(day)
    source = open_source(f"relbench:///{relbench_f1}", tmp_path)
    schema = infer_schema(source).schema
    full = build_snapshot(source, schema, SnapshotStore(tmp_path / "full"))
    past = build_snapshot(source, schema, SnapshotStore(tmp_path / "past"), as_of=moment)
    rows = np.arange(full.num_nodes("drivers"), dtype=np.int32)
    times = np.full(len(rows), to_micros(moment))
    a, b = (random_predictor(s, "drivers", moment, NeighborPlan((16, 8))) for s in (full, past))
    assert (
        a.predict(Seeds.at("drivers", rows, times))[0].values.tobytes()
        == b.predict(Seeds.at("drivers", rows, times))[0].values.tobytes()
    )
    everyone = [p.predict_all(to_micros(moment), tmp_path)[0].values.tobytes() for p in (a, b)]
    assert everyone[0] == everyone[1]


@pytest.mark.parametrize("task", ["churn", "spend"])
def test_a_prediction_for_the_past_does_not_see_attributes_that_changed_since(
    own_project: Workspace, task: str
) -> None:
    """The same model, asked for the same moment before and after customers moved and new orders came, says the same."""
    first = own_project.snapshots.current()
    before = pipeline.predict(own_project, task, as_of=first.as_of)
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute("UPDATE customers SET region = 'east', age = age + 40 WHERE customer_id % 3 = 0")
        connection.execute("INSERT INTO orders VALUES (900001, 1, '2026-01-01', 5000, 'web', true)")
    second = pipeline.snapshot(own_project)
    versions = second.versions("customers")
    assert versions is not None
    assert len(versions) > 50
    after = pipeline.predict(own_project, task, as_of=first.as_of)
    assert after.keys == before.keys
    assert after.predictions.values.tolist() == before.predictions.values.tolist()
    assert after.embeddings.tolist() == before.embeddings.tolist()
    now = pipeline.predict(own_project, task)
    assert now.predictions.values.tolist() != before.predictions.values.tolist()


def test_sampled_and_layerwise_agree_on_former_contents(own_project: Workspace, tmp_path: Path) -> None:
    first = own_project.snapshots.current()
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute("UPDATE customers SET region = 'east', age = age + 40 WHERE customer_id % 3 = 0")
        connection.execute("INSERT INTO orders VALUES (900001, 1, '2026-01-01', 5000, 'web', true)")
    current = pipeline.snapshot(own_project)
    predictor = champion_of(own_project, "spend", to_micros(first.as_of), to_micros(current.as_of))
    rows = np.arange(current.num_nodes("customers"), dtype=np.int32)
    for moment in (to_micros(first.as_of), to_micros(current.as_of)):
        _, sampled = predictor.predict(Seeds.at(predictor.entity, rows, moment))
        _, layerwise = predictor.predict_all(moment, tmp_path)
        np.testing.assert_allclose(sampled, layerwise, atol=1e-4, rtol=1e-4)


def test_rankings_on_the_shop_do_not_see_what_comes_later(tmp_path: Path) -> None:
    """The same candidates and the same pairs, bit for bit, on the shop as it is and as it was."""
    from forekey.features import PairFeatures, PairSpec, interactions_between

    moment = datetime(2024, 8, 1)
    told = []
    for name, tables in (("full", shop_tables()), ("past", None)):
        tables = tables or cut(shop_tables(), infer_schema(source_of(shop_tables())).schema, moment)
        source = source_of(tables)
        snapshot = build_snapshot(source, infer_schema(source_of(shop_tables())).schema, SnapshotStore(tmp_path / name))
        windows = fit_windows(snapshot, "products", to_micros(moment), 30.0)
        known = interactions_between(snapshot.schema, "customers", "products")
        pairs = PairFeatures(snapshot, PairSpec("customers", "products", 30.0, known, windows))
        seeds = Seeds.at("customers", np.arange(200), to_micros(moment))
        ptr, items = pairs.candidates(seeds)
        told.append((windows, ptr.tobytes(), items.tobytes(), pairs.compute(seeds, ptr, items).tobytes()))
    assert told[0] == told[1]
