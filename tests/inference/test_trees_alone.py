"""A model without a network: one answer in every way of asking, embeddings that add up to it, nothing else stored."""

from __future__ import annotations

import numpy as np
import pytest

from forekey import pipeline
from forekey.graph import Seeds, to_micros
from forekey.inference import Blend, Predictor
from forekey.nn import load_tensors
from forekey.workspace import Workspace

TASKS = ["churn", "spend", "next_channel", "channels", "weeks"]


@pytest.fixture(scope="module")
def instant(shop_project: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    import shutil

    root = tmp_path_factory.mktemp("instant") / "project"
    shutil.copytree(shop_project.root, root)
    project = Workspace.open(root)
    for task in TASKS:
        pipeline.train(project, task, preset="instant")
    return project


def predictor_of(project: Workspace, name: str) -> tuple[Predictor, int]:
    current = project.snapshots.current()
    task = pipeline.find_task(project, current.schema, name)
    now = to_micros(current.as_of)
    found = pipeline.predictor_of(project, project.registry.champion(name), task, current, np.array([now]))
    assert isinstance(found, Predictor)
    return found, now


@pytest.mark.parametrize("task", TASKS)
def test_one_by_one_and_all_at_once_agree_to_the_bit(instant: Workspace, task: str) -> None:
    predictor, now = predictor_of(instant, task)
    every, embeddings = predictor.predict_all(now, instant.place("scratch"))
    np.testing.assert_array_equal(predictor.predictions_all(now, instant.place("scratch")).values, every.values)
    for row in (0, 7, len(every) - 1):
        one, vector = predictor.predict(Seeds.at(predictor.entity, np.array([row]), now))
        np.testing.assert_array_equal(one.values[0], every.values[row])
        np.testing.assert_allclose(vector[0], embeddings[row], rtol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_embeddings_add_up_to_what_the_trees_predict(instant: Workspace, task: str) -> None:
    predictor, now = predictor_of(instant, task)
    rows = np.arange(50, dtype=np.int32)
    described = predictor.features.window_features(Seeds.at(predictor.entity, rows, now))
    trees = predictor.blend.trees
    assert described is not None
    assert trees is not None
    embeddings = trees.embed(described, 64)
    assert embeddings.shape[1] <= 64
    np.testing.assert_allclose(embeddings.sum(axis=1), trees.raw(described).sum(axis=1), rtol=1e-4, atol=1e-4)
    assert trees.embed(described[:0], 64).shape == (0, embeddings.shape[1])


@pytest.mark.parametrize("task", TASKS)
def test_contributions_add_up_to_the_raw_outputs(instant: Workspace, task: str) -> None:
    predictor, now = predictor_of(instant, task)
    described = predictor.features.window_features(Seeds.at(predictor.entity, np.arange(20), now))
    assert described is not None
    assert predictor.blend.trees is not None
    contributions, base = predictor.blend.trees.contributions(described)
    np.testing.assert_allclose(
        contributions.sum(axis=2) + base, predictor.blend.trees.raw(described), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("task", TASKS)
def test_no_network_is_stored_and_the_version_says_so(instant: Workspace, task: str) -> None:
    version = instant.registry.champion(task)
    assert version.manifest.networks == {}
    assert (version.manifest.embedding, version.manifest.blend) == (
        "trees",
        "Trees only: no network was trained.",
    )
    assert {name.split(".")[0] for name in load_tensors(version.weights)} == {"blend"}
    assert pipeline.embed(instant, task).kind == "trees"


def test_a_prediction_is_explained_without_a_network(instant: Workspace) -> None:
    told = pipeline.explain(instant, "churn", 8)
    assert {"orders"} < {t["table"] for t in told["tables"]}
    assert told["neighbors"] == []


def test_a_network_that_adds_nothing_is_left_out(own_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from forekey.training import pointwise

    chosen = pointwise.choose_blend
    monkeypatch.setattr(
        pointwise, "choose_blend", lambda known, trees: Blend(0.0, trees, chosen(known, trees).calibration)
    )
    report = pipeline.train(own_project, "churn", preset="fast")
    version = own_project.registry.get("churn", report.model_version)
    assert report.blend == "Trees only: the network added nothing on validation."
    assert version.manifest.networks == {}
    assert {name.split(".")[0] for name in load_tensors(version.weights)} == {"blend"}
    assert "network alone" in version.manifest.parts


def test_labels_that_are_all_alike_are_predicted_as_they_are(own_project: Workspace) -> None:
    query = "PREDICT COUNT(orders.*, 0, 30, days) >= 0 FOR EACH customers.customer_id"
    report = pipeline.train(own_project, query, preset="instant")
    assert "all alike" in report.blend
    predictions = pipeline.predict(own_project, query).table().column("prediction").to_numpy()
    assert (predictions > 0.99).all()
    assert pipeline.ask(own_project, query, top=1).predictions[0]["drivers"] == []
