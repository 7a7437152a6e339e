"""Invariant 2: sampled, layer-wise and online inference agree at the same time and budget."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forekey.graph import Seeds, SnapshotStore, build_snapshot, to_micros
from forekey.nn import Aggregation
from forekey.sampling import NeighborPlan
from forekey.serving.state import ServingState
from forekey.workspace import Workspace
from tests.support.databases import SHOP_SCHEMA, START, Tables, shops, source_of
from tests.support.models import champion_of, random_predictor
from tests.support.shipped import QUERIES, shipped

AGGREGATIONS = st.sampled_from(["mean", "moments", "attention", "transformer"])


@given(shops(), st.integers(0, 22), st.sampled_from([(4, 4), (5, 2), (3, 2, 1), (1,), (2, 0), (0, 0)]), AGGREGATIONS)
def test_sampling_each_entity_equals_one_pass_over_the_whole_graph(
    tables: Tables, day: int, budget: tuple[int, ...], aggregation: Aggregation
) -> None:
    moment = to_micros(START + timedelta(days=day))
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        for entity in ("customers", "orders"):
            predictor = random_predictor(
                snapshot, entity, START + timedelta(days=20), NeighborPlan(budget), aggregation=aggregation
            )
            visible = int(snapshot.visible(entity, np.array([moment]))[0])
            rows = np.arange(visible, dtype=np.int32)
            _, sampled = predictor.predict(Seeds.at(predictor.entity, rows, moment))
            _, layerwise = predictor.predict_all(moment, Path(folder))
            np.testing.assert_allclose(sampled, layerwise, atol=1e-4, rtol=1e-4)


@given(shops(), st.integers(1, 22), st.sampled_from(sorted(QUERIES)))
def test_a_model_as_it_ships_predicts_the_same_in_every_way(tables: Tables, day: int, task: str) -> None:
    """Network, trees, lagged labels and calibration together: sampled, layer by layer, and each entity by itself."""
    moment = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        predictor, now = shipped(task).on(tables, snapshot, moment), to_micros(moment)
        everyone = Seeds.at("customers", np.arange(snapshot.num_nodes("customers"), dtype=np.int32), now)
        sampled = predictor.predict(everyone)[0].values
        layerwise = predictor.predict_all(now, Path(folder))[0].values
        alone = [predictor.predict(everyone.take(np.array([i])))[0].values for i in range(len(everyone))]
    np.testing.assert_allclose(layerwise, sampled, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(np.concatenate([sampled[:0], *alone]), sampled, atol=1e-4, rtol=1e-4)


@given(shops(), st.integers(0, 22), AGGREGATIONS)
def test_a_row_alone_is_what_it_is_among_all(tables: Tables, day: int, aggregation: Aggregation) -> None:
    moment = to_micros(START + timedelta(days=day))
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        for entity in snapshot.schema.names:
            predictor = random_predictor(snapshot, entity, START + timedelta(days=20), aggregation=aggregation)
            visible = int(snapshot.visible(entity, np.array([moment]))[0])
            rows = np.arange(visible, dtype=np.int32)
            together = predictor.predict(Seeds.at(predictor.entity, rows, moment))[1]
            alone = [
                predictor.predict(Seeds.at(predictor.entity, rows[i : i + 1], moment))[1]
                for i in range(min(visible, 4))
            ]
            for i, embedding in enumerate(alone):
                np.testing.assert_allclose(embedding[0], together[i], atol=1e-4, rtol=1e-4)


@given(
    st.sampled_from(
        [
            {"customers<-orders.customer_id": (5, 1)},
            {"orders.customer_id->customers": (0, 0)},
            {"order_lines.order_id->orders": (0, 0)},
        ]
    ),
    AGGREGATIONS,
)
def test_budgets_of_single_relations_count_in_both(
    overrides: dict[str, tuple[int, ...]], aggregation: Aggregation
) -> None:
    from forekey.testing import shop_tables
    from tests.support.databases import source_of as open_tables

    with tempfile.TemporaryDirectory() as folder:
        source = open_tables(shop_tables(40, 120))
        from forekey.source import infer_schema

        snapshot = build_snapshot(source, infer_schema(source).schema, SnapshotStore(Path(folder)))
        plan = NeighborPlan((4, 3), overrides=overrides)
        moment = to_micros(snapshot.as_of)
        for entity in ("customers", "order_lines"):
            predictor = random_predictor(snapshot, entity, snapshot.as_of, plan, aggregation=aggregation)
            rows = np.arange(snapshot.num_nodes(entity), dtype=np.int32)
            _, sampled = predictor.predict(Seeds.at(predictor.entity, rows, moment))
            _, layerwise = predictor.predict_all(moment, Path(folder))
            np.testing.assert_allclose(sampled, layerwise, atol=1e-4, rtol=1e-4)


def test_a_trained_model_stored_and_online_say_the_same(trained_project: Workspace, tmp_path: Path) -> None:
    current = trained_project.snapshots.current()
    for task in ("churn", "spend"):
        predictor = champion_of(trained_project, task)
        ids = list(range(1, 51))
        rows = current.lookup("customers", ids)
        sampled, _ = predictor.predict(Seeds.at(predictor.entity, rows, to_micros(current.as_of)))
        with trained_project.store() as store:
            state = ServingState(trained_project, store)
            stored = [a.prediction for a in state.predict(task, ids, "stored") if a]
            online = [a.prediction for a in state.predict(task, ids, "online") if a]
        np.testing.assert_allclose(stored, sampled.values, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(online, sampled.values, atol=1e-4, rtol=1e-4)
