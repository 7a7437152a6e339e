"""The sampler takes what was visible at the seed's time: the newest, or a fair draw, never the future."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.errors import ModelError
from forekey.graph import Seeds, Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.sampling import NeighborPlan, NeighborSampler, Relation, Subgraph
from tests.support.databases import SHOP_SCHEMA, START, Tables, shops, source_of

Strategy = st.sampled_from(["most_recent", "uniform"])


def sample(
    snapshot: Snapshot, days: list[int], plan: NeighborPlan, entity: str = "customers", number: int = 0
) -> Subgraph:
    """Sample around every row of the entity at each of some days."""
    n = snapshot.num_nodes(entity)
    rows = np.tile(np.arange(n, dtype=np.int32), len(days))
    times = np.repeat([to_micros(START + timedelta(days=d)) for d in days], n)
    return NeighborSampler(snapshot, plan).sample(Seeds.at(entity, rows, times), number)


@given(shops(), st.lists(st.integers(-2, 22), min_size=1, max_size=3), Strategy, st.sampled_from([(3, 2), (2, 2, 1)]))
def test_no_sampled_node_is_newer_than_its_seed(
    tables: Tables, days: list[int], strategy: str, budget: tuple[int, ...]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        subgraph = sample(snapshot, days, NeighborPlan(budget, strategy))  # type: ignore[arg-type]
        for table, nodes in subgraph.nodes.items():
            times = snapshot.times(table)
            if times is not None:
                assert (times[nodes.rows] <= subgraph.seeds.times[nodes.seeds]).all()


@given(shops(), st.lists(st.integers(-2, 22), min_size=1, max_size=3), Strategy)
def test_the_sample_is_the_tree_that_a_plain_reading_gives(tables: Tables, days: list[int], strategy: str) -> None:
    plan = NeighborPlan((3, 2), strategy)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        subgraph = sample(snapshot, days, plan)
        for relation, edges in subgraph.edges.items():
            parents, children = subgraph.nodes[relation.dst], subgraph.nodes.get(relation.src)
            taken: dict[int, list[int]] = {i: [] for i in range(parents.depths[1])}
            for p, c in zip(edges.dst.tolist(), edges.src.tolist(), strict=True):
                assert children is not None
                assert parents.seeds[p] == children.seeds[c]
                taken[p].append(int(children.rows[c]))
            for p, rows in taken.items():
                moment = subgraph.seeds.times[parents.seeds[p]]
                visible = visible_neighbors(snapshot, relation, int(parents.rows[p]), int(moment))
                budget = plan.budget(relation, 0 if p < parents.depths[0] else 1)
                assert edges.degrees[p] == len(visible)
                assert len(rows) == min(budget, len(visible))
                assert len(set(rows)) == len(rows)
                if strategy == "most_recent":
                    assert rows == visible[::-1][:budget]
                else:
                    assert set(rows) <= set(visible)


def visible_neighbors(snapshot: Snapshot, relation: Relation, row: int, moment: int) -> list[int]:
    """Return neighbours at or before a time, oldest first, by looking at every one."""
    parents = snapshot.parents(relation.edge)
    found = [int(parents[row])] if relation.up else np.flatnonzero(parents == row).tolist()
    times = snapshot.times(relation.src)
    return [n for n in found if n >= 0 and (times is None or times[n] <= moment)]


@given(shops(), st.integers(0, 22), Strategy, st.integers(0, 5))
def test_a_seeds_sample_does_not_depend_on_the_rest_of_the_batch(
    tables: Tables, day: int, strategy: str, number: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        snapshot = build_snapshot(source_of(tables), SHOP_SCHEMA, SnapshotStore(Path(folder)))
        plan = NeighborPlan((3, 2), strategy)  # type: ignore[arg-type]
        together = sample(snapshot, [day], plan, number=number)
        moment = np.array([to_micros(START + timedelta(days=day))])
        for seed in range(snapshot.num_nodes("customers")):
            rows = np.array([seed], np.int32)
            alone = NeighborSampler(snapshot, plan).sample(Seeds.at("customers", rows, moment), number)
            for table, nodes in alone.nodes.items():
                mine = together.nodes[table].rows[together.nodes[table].seeds == seed]
                assert np.array_equal(nodes.rows, mine)


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """One customer with forty orders, a day apart."""
    moments = [START + timedelta(days=i) for i in range(40)]
    orders = pa.table(
        {
            "order_id": list(range(40)),
            "customer_id": [1] * 40,
            "placed_at": pa.array(moments, pa.timestamp("us")),
            "amount": [1.0] * 40,
            "kind": ["a"] * 40,
        }
    )
    customers = pa.table({"customer_id": [1], "region": ["x"], "age": [1.0]})
    lines = pa.table({"order_id": [0], "added_at": pa.array([START], pa.timestamp("us")), "quantity": [1]})
    source = source_of({"customers": customers, "orders": orders, "lines": lines})
    return build_snapshot(source, SHOP_SCHEMA, SnapshotStore(tmp_path_factory.mktemp("star")))


def test_uniform_sampling_is_fair_and_in_random_order(star: Snapshot) -> None:
    plan = NeighborPlan((5,), "uniform")
    sampler = NeighborSampler(star, plan)
    rows, moment = np.zeros(1, np.int32), np.array([to_micros(START + timedelta(days=19, hours=1))])
    draws = np.array([sampler.sample(Seeds.at("customers", rows, moment), n).nodes["orders"].rows for n in range(4000)])
    counts = np.bincount(draws.ravel(), minlength=40)
    assert (counts[20:] == 0).all()
    # 4,000 draws of 5 from 20: each comes up 1,000 times, give or take 27; six standard deviations are allowed.
    assert np.abs(counts[:20] - 1000).max() < 6 * 27.4
    first = np.bincount(draws[:, 0], minlength=20)
    assert np.abs(first[:20] - 200).max() < 6 * 13.8


def test_equal_numbers_give_equal_samples_and_others_differ(star: Snapshot) -> None:
    plan = NeighborPlan((5,), "uniform")
    picks = [sample(star, [30], plan, number=n).nodes["orders"].rows.tolist() for n in (1, 1, 2)]
    assert picks[0] == picks[1] != picks[2]


def test_budgets_of_single_relations_override(star: Snapshot) -> None:
    plan = NeighborPlan((5, 5), overrides={"customers<-orders.customer_id": (2, 0)})
    subgraph = sample(star, [30], plan)
    assert subgraph.nodes["orders"].depths == (0, 2, 2)
    assert NeighborPlan.from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize("numbers", [(), (2, 3), (-1,), (3, 2, -1)])
def test_budgets_must_not_grow_with_the_hop(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="one number a hop"):
        NeighborPlan(numbers)


def test_no_seeds_give_an_empty_sample(star: Snapshot) -> None:
    subgraph = NeighborSampler(star, NeighborPlan((3, 2))).sample(Seeds.at("customers", np.empty(0), 0))
    assert len(subgraph.nodes["customers"].rows) == 0
