"""Invariant 3: rows that came after the base was made, late ones and parents after their children, are seen as if they
had always been there, by sampling, window features and the layer-wise pass."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from forekey.features import (
    FeatureStore,
    PairFeatures,
    PairSpec,
    WindowFeatures,
    fit_features,
    fit_windows,
    interactions_between,
)
from forekey.graph import GraphView, Seeds, Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.inference import Predictor
from forekey.sampling import NeighborPlan, NeighborSampler
from tests.support.databases import SHOP_SCHEMA, START, Tables, source_of
from tests.support.models import random_predictor
from tests.support.split import SplitView

DAY = st.integers(0, 22)
SEED = st.integers(0, 2**32 - 1)


def crowded(random: np.random.Generator) -> Tables:
    """Make few customers with many orders and lines: NULLs, orphans, no two rows at once, and lines after their orders.

    The order of every list is then settled by time alone.
    """

    def some(values: NDArray[Any]) -> list[Any]:
        return [None if lost else v for v, lost in zip(values.tolist(), random.random(len(values)) < 0.05, strict=True)]

    days = random.uniform(0, 20, 40)
    order_ids = random.permutation(40)
    of_order = random.integers(0, 44, 60)
    placed = dict(zip(order_ids.tolist(), days.tolist(), strict=True))
    added = [placed.get(o, 3.0) + random.uniform(0.001, 5) for o in of_order.tolist()]
    when = [[START + timedelta(days=d) for d in part] for part in (days.tolist(), added)]
    return {
        "customers": pa.table(
            {"customer_id": range(5), "region": some(np.array(list("abcab"))), "age": random.normal(40, 9, 5)}
        ),
        "orders": pa.table(
            {
                "order_id": order_ids,
                "customer_id": pa.array(some(random.integers(0, 6, 40)), pa.int64()),
                "placed_at": pa.array(when[0], pa.timestamp("us")),
                "amount": pa.array(some(random.lognormal(2, 1, 40)), pa.float64()),
                "kind": some(np.array(list("xyz"))[random.integers(0, 3, 40)]),
            }
        ),
        "lines": pa.table(
            {
                "order_id": pa.array(some(of_order), pa.int64()),
                "added_at": pa.array(when[1], pa.timestamp("us")),
                "quantity": random.integers(-3, 4, 60),
            }
        ),
    }


@contextmanager
def both(seed: int) -> Iterator[tuple[Snapshot, SplitView]]:
    """Build a snapshot, and split it at random: about half of the rows with a time came later."""
    random = np.random.default_rng(seed)
    tables = crowded(random)
    with tempfile.TemporaryDirectory() as folder:
        whole = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        live = {}
        for name in ("orders", "lines"):
            count = whole.num_nodes(name)
            live[name] = random.permutation(count)[: random.integers(0, count + 1)].astype(np.int32)
        yield whole, SplitView(whole, live)


def test_a_split_graph_is_a_view(tmp_path: Path) -> None:
    from forekey.source import infer_schema
    from forekey.testing import shop_tables

    source = source_of(shop_tables(20, 60))
    whole = build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path))
    for view in (whole, SplitView(whole, {"orders": np.array([3, 1], np.int32)})):
        known: GraphView = view
        assert known.keys("orders")[int(known.lookup("orders", [2])[0])].as_py() == 2


@given(SEED, DAY)
def test_lists_are_merged_by_time(seed: int, day: int) -> None:
    with both(seed) as (whole, split):
        cutoff = to_micros(START + timedelta(days=day, hours=12))
        for edge in whole.schema.edge_types:
            every = np.arange(whole.num_nodes(edge.parent), dtype=np.int32)
            one, two = whole.adjacency(edge), split.adjacency(edge)
            here, moments = split.rows_of(edge.parent, every), np.full(len(every), cutoff)
            degrees = [one.degrees(every, moments), two.degrees(here, moments)]
            assert one.counts(every, moments).tolist() == two.counts(here, moments).tolist()
            taken = one.counts(every, moments)
            newest, owner = one.newest(every, degrees[0], taken)
            merged, theirs = two.newest(here, degrees[1], taken)
            assert split.rows_of(edge.child, newest).tolist() == merged.tolist()
            assert owner.tolist() == theirs.tolist()
        for table in whole.schema.names:
            there = split.presence(table).at(cutoff)
            assert sorted(split.rows_of(table, whole.presence(table).at(cutoff)).tolist()) == there.tolist()
            assert split.presence(table).counts(np.array([cutoff]))[0] == len(there)


@given(SEED, DAY, st.sampled_from([(3, 2), (1, 1), (4, 4)]))
def test_the_sampler_sees_the_same_neighbours(seed: int, day: int, budget: tuple[int, ...]) -> None:
    with both(seed) as (whole, split):
        moment = to_micros(START + timedelta(days=day, hours=12))
        for entity in whole.schema.names:
            rows = whole.presence(entity).at(moment)
            seeds = Seeds.at(entity, rows, moment)
            one = NeighborSampler(whole, NeighborPlan(budget)).sample(seeds)
            two = NeighborSampler(split, NeighborPlan(budget)).sample(seeds.moved(entity, split.rows_of(entity, rows)))
            assert set(one.nodes) == set(two.nodes)
            for table, nodes in one.nodes.items():
                assert split.rows_of(table, nodes.rows).tolist() == two.nodes[table].rows.tolist()
                assert nodes.seeds.tolist() == two.nodes[table].seeds.tolist()
            for relation, edges in one.edges.items():
                for name in ("dst", "src", "rank", "degrees"):
                    assert getattr(edges, name).tolist() == getattr(two.edges[relation], name).tolist()


@given(SEED, DAY)
def test_window_features_are_the_same_to_the_bit(seed: int, day: int) -> None:
    with both(seed) as (whole, split):
        cutoff = to_micros(START + timedelta(days=20))
        moment = to_micros(START + timedelta(days=day, hours=12))
        for entity in ("customers", "orders"):
            spec = fit_windows(whole, entity, cutoff, 7.0)
            rows = whole.presence(entity).at(moment)
            seeds = Seeds.at(entity, rows, moment)
            one = WindowFeatures(whole, spec).compute(seeds)
            two = WindowFeatures(split, spec).compute(seeds.moved(entity, split.rows_of(entity, rows)))
            assert one.tobytes() == two.tobytes()


@given(SEED, DAY)
def test_pair_features_are_the_same_to_the_bit(seed: int, day: int) -> None:
    with both(seed) as (whole, split):
        cutoff = to_micros(START + timedelta(days=20))
        moment = to_micros(START + timedelta(days=day, hours=12))
        known = interactions_between(whole.schema, "customers", "orders")
        assert known, "lines join customers and orders"
        spec = PairSpec("customers", "orders", 7.0, known, fit_windows(whole, "orders", cutoff, 7.0))
        rows, items = (whole.presence(table).at(moment) for table in ("customers", "orders"))
        seeds = Seeds.at("customers", rows, moment)
        ptr, pairs = np.arange(len(rows) + 1) * len(items), np.tile(items, len(rows)).astype(np.int32)
        one = PairFeatures(whole, spec).compute(seeds, ptr, pairs)
        two = PairFeatures(split, spec).compute(
            seeds.moved("customers", split.rows_of("customers", rows)), ptr, split.rows_of("orders", pairs)
        )
        assert one.tobytes() == two.tobytes()


@given(SEED, DAY, st.sampled_from(["mean", "attention", "transformer"]))
def test_the_layerwise_pass_gives_the_same_embeddings(seed: int, day: int, aggregation: str) -> None:
    with both(seed) as (whole, split), tempfile.TemporaryDirectory() as folder:
        moment = to_micros(START + timedelta(days=day, hours=12))
        for entity in ("customers", "orders"):
            late = START + timedelta(days=20)
            one = random_predictor(whole, entity, late, aggregation=aggregation)  # type: ignore[arg-type]
            store = FeatureStore(split, fit_features(whole, to_micros(late)))
            two = Predictor(one.model, store, NeighborPlan((4, 3)), one.objective)
            embedded = one.predict_all(moment, Path(folder))[1]
            there = split.presence(entity).at(moment)
            again = np.zeros((split.num_nodes(entity), embedded.shape[1]), np.float32)
            again[there] = two.predict_all(moment, Path(folder))[1]
            rows = split.rows_of(entity, whole.presence(entity).at(moment))
            np.testing.assert_allclose(again[rows], embedded, atol=1e-5)
            sampled = two.predict(Seeds.at(entity, rows, moment))[1]
            np.testing.assert_allclose(sampled, embedded, atol=1e-4, rtol=1e-4)


def test_contents_are_those_of_the_row(tmp_path: Path) -> None:
    from forekey.source import infer_schema
    from forekey.testing import shop_tables

    source = source_of(shop_tables(20, 60))
    whole = build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path))
    split = SplitView(whole, {"orders": np.array([5, 0, 9], np.int32)})
    amounts = whole.rows("orders").column("amount")
    here = split.all_contents("orders").column("amount")
    moved = here.take(pa.array(split.rows_of("orders", np.arange(len(amounts), dtype=np.int32))))
    assert pc.all(pc.equal(moved, amounts)).as_py()
