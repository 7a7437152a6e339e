"""Explanations are facts about the model: what is called important changes the prediction more than what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from forekey import pipeline
from forekey.features import CALENDAR, LABELS, FeatureStore, Origin, WindowFeatures, fit_windows
from forekey.graph import Seeds, SnapshotStore, build_snapshot, to_micros
from forekey.inference import (
    Explainer,
    Part,
    Predictor,
    RankBlend,
    Ranker,
    RankExplainer,
    explain_entity,
    explain_ranking,
)
from forekey.inference.collate import Collator
from forekey.inference.explain import _one_more
from forekey.sampling import NeighborPlan, NeighborSampler
from forekey.source import infer_schema
from forekey.testing import shop_tables
from forekey.workspace import Workspace
from tests.support.databases import source_of
from tests.support.models import champion_of, random_predictor

N = 120


def reweighted(blend: RankBlend, weight: float) -> RankBlend:
    return RankBlend(weight, blend.trees, blend.tower_scale, blend.tree_scale)


def asked(project: Workspace, task: str) -> tuple[Explainer, Seeds]:
    predictor = champion_of(project, task)
    assert isinstance(predictor, Predictor)
    now = to_micros(project.snapshots.current().as_of)
    return Explainer(predictor), Seeds.at("customers", np.arange(N), now)


@pytest.mark.parametrize("task", ["churn", "spend", "next_channel", "channels", "weeks"])
def test_taking_away_what_is_called_important_changes_more_than_random_parts(
    trained_project: Workspace, task: str
) -> None:
    explainer, seeds = asked(trained_project, task)
    found = explainer.effects(seeds, kinds=["column"])
    whole = explainer.without(seeds, ())
    order = np.argsort(-np.abs(found.weights).mean(axis=0))

    def changed(places: np.ndarray) -> float:
        return float(np.abs(explainer.without(seeds, [found.parts[i] for i in places]) - whole).mean())

    rng = np.random.default_rng(0)
    at_random = [changed(rng.choice(len(order), 3, replace=False)) for _ in range(20)]
    assert changed(order[:3]) > np.mean(at_random)
    assert changed(order[:3]) > changed(order[-3:])


@pytest.mark.parametrize("task", ["churn", "spend"])
def test_so_it_is_for_each_prediction_by_itself(trained_project: Workspace, task: str) -> None:
    explainer, seeds = asked(trained_project, task)
    found = explainer.effects(seeds, kinds=["column"])
    first = np.argmax(np.abs(found.weights), axis=1)
    rng = np.random.default_rng(0)
    strongest, drawn = [], []
    for i in range(40):
        one = seeds.take(slice(i, i + 1))
        whole = explainer.without(one, ())
        strongest.append(abs(explainer.without(one, [found.parts[first[i]]]) - whole).mean())
        drawn.append(abs(explainer.without(one, [found.parts[rng.integers(len(found.parts))]]) - whole).mean())
    assert np.mean(strongest) > 1.3 * np.mean(drawn)
    assert all(s >= d - 1e-4 for s, d in zip(strongest, drawn, strict=True))


def test_what_makes_the_label_is_found(trained_project: Workspace) -> None:
    explainer, seeds = asked(trained_project, "next_channel")
    overall = explainer.effects(seeds).overall("column")
    assert (overall[0]["table"], overall[0]["column"]) == ("orders", "channel")
    told = trained_project.registry.champion("next_channel").manifest.explanation
    assert (told["column"][0]["table"], told["column"][0]["column"]) == ("orders", "channel")
    assert {"orders", LABELS, CALENDAR} <= {part["table"] for part in told["table"]}


def test_nothing_taken_away_is_the_prediction_itself(trained_project: Workspace) -> None:
    explainer, seeds = asked(trained_project, "churn")
    predicted, _ = champion_of(trained_project, "churn").predict(seeds)
    np.testing.assert_allclose(explainer.effects(seeds, kinds=["hop"]).predictions, predicted.values, atol=1e-6)


def test_everything_taken_away_leaves_nothing_to_tell_entities_apart(trained_project: Workspace) -> None:
    explainer, seeds = asked(trained_project, "spend")
    every = [p for p in explainer.parts if p.kind == "table"] + [Part("hop", hop=1)]
    assert np.ptp(explainer.without(seeds, every)) < 1e-4
    assert np.ptp(explainer.without(seeds, ())) > 0.1


def test_one_prediction_is_told_by_tables_columns_hops_and_neighbours(trained_project: Workspace) -> None:
    told = pipeline.explain(trained_project, "churn", 7)
    assert {"prediction", "tables", "columns", "hops", "neighbors"} < set(told)
    assert {t["table"] for t in told["tables"]} >= {"orders"}
    known = set(trained_project.snapshots.current().keys("orders").to_pylist())
    assert {n["key"] for n in told["neighbors"] if n["table"] == "orders"} <= known
    sizes = [abs(n["effect"]) for n in told["neighbors"]]
    assert sizes == pytest.approx(sorted(sizes, reverse=True), abs=1e-3)


def test_the_reasons_for_a_ranking_add_up_to_its_scores(trained_project: Workspace) -> None:
    ranker = champion_of(trained_project, "baskets")
    now = to_micros(trained_project.snapshots.current().as_of)
    seeds = Seeds.at("customers", np.arange(5), now)
    ranked, _ = ranker.predict(seeds)
    for q, told in enumerate(explain_ranking(ranker, seeds)):  # type: ignore[arg-type]
        assert [r["item"] for r in told] == ranked.items[q].tolist()
        assert all(len(r["reasons"]) == 5 for r in told)
    names = {r["feature"] for r in explain_entity(ranker, 0, now)["items"][0]["reasons"]}
    assert names <= {feature.name for feature in ranker.pairs.features}  # type: ignore[union-attr]


def test_each_number_of_a_past_knows_where_it_comes_from(shop_project: Workspace) -> None:
    snapshot = shop_project.snapshots.current()
    spec = fit_windows(snapshot, "customers", to_micros(snapshot.as_of), 30.0)
    features = WindowFeatures(snapshot, spec)
    found = {f.name: f.origin for f in features.features}
    assert found["age"] == Origin("customers", "age", 0)
    assert found["orders: sum amount, 30 days"] == Origin("orders", "amount", 1)
    assert found["orders: mean channel = web, all time"] == Origin("orders", "channel", 1)
    assert found["orders: rows, 90 days"] == Origin("orders", None, 1)
    lines = Origin("order_lines", "quantity", 2, ("orders",))
    assert found["order_lines of orders: mean quantity, all time"] == lines
    assert found["all orders, 30 days, a year ago"] == Origin("orders")
    assert found["sine of the week"] == Origin(CALENDAR)
    assert {o.table for o in found.values()} == {"customers", "orders", "order_lines", CALENDAR}


def test_the_effect_of_a_neighbour_is_that_of_a_database_without_it(tmp_path: Path) -> None:
    tables = shop_tables(20, 300)
    schema = infer_schema(source_of(tables)).schema
    full = build_snapshot(source_of(tables), schema, SnapshotStore(tmp_path / "full"))
    predictor = random_predictor(full, "customers", full.as_of, NeighborPlan((4, 2)))
    now = to_micros(full.as_of)
    orders = tables["orders"].column("customer_id").to_pylist()
    customer = max(set(orders), key=orders.count)  # has more orders than the network hears
    assert orders.count(customer) > 6
    row = int(full.lookup("customers", [customer])[0])
    told = Explainer(predictor).neighbors(row, now)
    whole = predictor.predict(Seeds.at(predictor.entity, np.array([row]), now))[0].values[0]
    assert len(told) == 4
    for neighbor in told:
        kept = {
            **tables,
            **{
                t: tables[t].filter(pc.not_equal(tables[t].column("order_id"), neighbor["key"]))
                for t in ("orders", "order_lines")
            },
        }
        fewer = build_snapshot(source_of(kept), schema, SnapshotStore(tmp_path / str(neighbor["key"])))
        again = Predictor(
            predictor.model, FeatureStore(fewer, predictor.features.spec), predictor.plan, predictor.objective
        )
        without = again.predict(Seeds.at(again.entity, np.array([row]), now))[0].values[0]
        assert neighbor["effect"] == pytest.approx(whole - without, abs=1e-6)


def test_what_is_reached_through_a_table_is_gone_with_it(shop_project: Workspace) -> None:
    snapshot = shop_project.snapshots.current()
    spec = fit_windows(snapshot, "customers", to_micros(snapshot.as_of), 30.0)
    features = WindowFeatures(snapshot, spec)
    found = {f.name: f.origin for f in features.features}
    lines = found["order_lines of orders: mean quantity, all time"]
    assert Part("table", "orders").covers(lines)
    assert Part("table", "order_lines").covers(lines)
    assert not Part("table", "order_lines").covers(found["orders: rows, 90 days"])
    assert not Part("column", "orders", "amount").covers(lines)


def test_a_ranking_is_explained_in_the_order_in_which_it_is_given(trained_project: Workspace) -> None:
    ranker = champion_of(trained_project, "baskets")
    now = to_micros(trained_project.snapshots.current().as_of)
    seeds = Seeds.at("customers", np.arange(200), now)
    ranked, _ = ranker.predict(seeds)
    told = explain_ranking(ranker, seeds)  # type: ignore[arg-type]
    assert [[r["item"] for r in items] for items in told] == ranked.items.tolist()


def test_neighbours_add_to_what_was_predicted_whatever_the_budgets(tmp_path: Path) -> None:
    tables = shop_tables(20, 100)
    full = build_snapshot(source_of(tables), infer_schema(source_of(tables)).schema, SnapshotStore(tmp_path))
    plan = NeighborPlan((4, 2), overrides={"orders.customer_id->customers": (0, 0)})
    predictor = random_predictor(full, "orders", full.as_of, plan, aggregation="transformer")
    one = Seeds.at("orders", np.array([50]), to_micros(full.as_of))
    explainer = Explainer(predictor)
    subgraph = NeighborSampler(full, _one_more(plan)).sample(one)
    batch = Collator(predictor.features)(subgraph, predictor.model.config.types_at(0))
    whole = explainer._final(explainer._without_neighbors(batch, ()), None)
    assert whole == pytest.approx(predictor.network(one, None)[0], abs=1e-5)
    assert len(explainer.neighbors(50, to_micros(full.as_of))) > 0


def rankings(project: Workspace) -> tuple[RankExplainer, Ranker, Seeds]:
    ranker = champion_of(project, "baskets")
    assert isinstance(ranker, Ranker)
    now = to_micros(project.snapshots.current().as_of)
    return RankExplainer(ranker), ranker, Seeds.at("customers", np.arange(60), now)


@pytest.mark.parametrize(("kind", "share"), [("table", None), ("column", 1.0)])
def test_what_is_called_important_for_rankings_changes_them_more_than_random_parts(
    trained_project: Workspace, kind: str, share: float | None
) -> None:
    explainer, ranker, seeds = rankings(trained_project)
    if share is not None:  # trees of pairs read few columns: what the towers see is tried by itself
        ranker.blend = reweighted(ranker.blend, share)
    found = explainer.effects(seeds, kinds=[kind])
    whole = explainer.without(seeds, ())
    order = np.argsort(-np.abs(found.effects).mean(axis=(0, 1)))

    def changed(places: np.ndarray) -> float:
        return float(np.nanmean(np.abs(explainer.without(seeds, [found.parts[i] for i in places]) - whole)))

    rng = np.random.default_rng(0)
    at_random = [changed(rng.choice(len(order), 2, replace=False)) for _ in range(12)]
    assert changed(order[:2]) > np.mean(at_random)
    assert changed(order[:2]) > changed(order[-2:])


def test_the_items_explained_are_those_that_are_ranked_and_say_how_far_they_stand_out(
    trained_project: Workspace,
) -> None:
    explainer, ranker, seeds = rankings(trained_project)
    found = explainer.effects(seeds, kinds=["hop"])
    assert found.items.tolist() == ranker.predict(seeds)[0].values.tolist()
    whole = explainer.without(seeds, ())
    for p, part in enumerate(found.parts):
        left = explainer.without(seeds, [part])
        np.testing.assert_allclose(found.effects[:, :, p], whole - left, atol=1e-5)
    assert (np.diff(whole, axis=1) <= 1e-9).all()  # the best stand out most
    assert (whole[:, 0] > 0).all()


def test_a_part_that_nothing_reads_is_not_listed(trained_project: Workspace) -> None:
    explainer, ranker, seeds = rankings(trained_project)
    ranker.blend = reweighted(ranker.blend, 0.5)
    explainer.parts = (*explainer.parts, Part("column", "orders", "colour of the cart"))
    found = explainer.effects(seeds, kinds=["column"])
    assert (found.effects[:, :, -1] == 0.0).all()  # to the bit, or rounding would be told as a reason
    assert "colour of the cart" not in {p["column"] for p in found.overall("column")}


def test_without_anything_no_item_stands_out(trained_project: Workspace) -> None:
    explainer, _, seeds = rankings(trained_project)
    every = [p for p in explainer.parts if p.kind == "table"] + [Part("hop", hop=1)]
    assert np.nanmax(np.abs(explainer.without(seeds, every))) < 1e-3


def test_what_counts_for_rankings_stands_in_the_report_and_in_each_explanation(trained_project: Workspace) -> None:
    version = trained_project.registry.champion("baskets")
    told = version.manifest.explanation
    assert told["table"][0]["table"] in {"orders", "order_lines", "products"}
    assert {p["hop"] for p in told["hop"]} >= {1}
    assert "this hop and beyond" in (version.folder / "report.html").read_text()
    one = pipeline.explain(trained_project, "baskets", 7)
    assert {"items", "tables", "columns", "hops"} < set(one)
    assert {t["table"] for t in one["tables"]} & {"orders", "order_lines"}


@pytest.mark.parametrize("task", ["churn", "next_channel", "weeks"])
def test_many_choices_in_one_pass_are_what_each_is_by_itself(trained_project: Workspace, task: str) -> None:
    """For few seeds, copies that lack different parts go through the network together."""
    predictor = champion_of(trained_project, task)
    explainer, now = Explainer(predictor), to_micros(trained_project.snapshots.current().as_of)
    seeds = Seeds.at("customers", np.array([3, 7, 50]), now)
    gone = [(), *((part,) for part in explainer.parts), tuple(explainer.parts[:3])]
    together = explainer.without_each(seeds, gone)
    alone = np.stack([explainer.without(seeds, parts) for parts in gone], axis=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    for i in range(3):
        np.testing.assert_allclose(explainer.without_each(seeds.take(np.array([i])), gone)[0], together[i], atol=1e-5)
    assert len({tuple(np.round(row, 6)) for row in together[0]}) > 3
