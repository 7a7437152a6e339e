"""Models are loaded onto snapshots that have what they need, and predict in the units of the label."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from forekey import pipeline
from forekey.errors import ModelError
from forekey.graph import Seeds
from forekey.inference import load_predictor
from forekey.inference.load import check_signature
from forekey.objectives import BinaryObjective, RegressionObjective, objective_from
from forekey.workspace import Workspace
from tests.support.models import champion_of


def test_predictions_are_probabilities_numbers_or_shares(trained_project: Workspace) -> None:
    churn = pipeline.predict(trained_project, "churn")
    assert ((churn.predictions.values > 0) & (churn.predictions.values < 1)).all()
    channel = pipeline.predict(trained_project, "next_channel")
    np.testing.assert_allclose(channel.predictions.values.sum(axis=1), 1.0)
    assert set(channel.table().column("prediction").to_pylist()) <= {"web", "app", "shop"}


def test_of_what_is_never_negative_no_prediction_is(trained_project: Workspace) -> None:
    for task in ("spend", "weeks"):
        predicted = np.array(pipeline.predict(trained_project, task).table().column("prediction").to_pylist())
        assert predicted.min() >= 0.0
    below = RegressionObjective(center=1.0, spread=2.0)
    raw = np.array([[-3.0], [1.0]])
    assert below.link(raw).tolist() == [-5.0, 3.0]
    assert replace(below, least=0.5).link(raw).tolist() == [0.5, 3.0]
    assert objective_from(replace(below, least=0.5).to_dict()) == replace(below, least=0.5)


def test_sets_of_classes_and_forecasts_are_exported_as_lists(trained_project: Workspace) -> None:
    channels = pipeline.predict(trained_project, "channels").table()
    classes = pipeline.predict(trained_project, "channels").predictions.names
    for row in channels.to_pylist():
        assert set(row["prediction"]) == {c for c, p in zip(classes, row["probabilities"], strict=True) if p >= 0.5}
    weeks = pipeline.predict(trained_project, "weeks").table()
    assert {len(p) for p in weeks.column("prediction").to_pylist()} == {3}


def test_the_export_holds_who_the_task_speaks_of(trained_project: Workspace) -> None:
    churn = pipeline.predict(trained_project, "churn")
    assert len(churn.table()) == int(churn.eligible.sum()) < len(churn.keys) == 200
    assert churn.table().column_names == ["entity", "as_of", "prediction", "model_version"]


def test_predictions_of_the_past_are_those_of_the_past(trained_project: Workspace) -> None:
    early, late = (pipeline.predict(trained_project, "spend", as_of=datetime(2024, m, 1)) for m in (4, 10))
    assert early.as_of == datetime(2024, 4, 1)
    assert not np.allclose(early.predictions.values, late.predictions.values)


def test_a_snapshot_without_what_the_model_needs_is_refused_by_name(trained_project: Workspace) -> None:
    needed, version = trained_project.snapshots.current().schema, trained_project.registry.champion("churn")
    without_table = replace(needed, tables=tuple(t for t in needed.tables if t.name != "order_lines"))
    with pytest.raises(ModelError, match="needs the table 'order_lines'"):
        check_signature(version, without_table)
    orders = needed.table("orders")
    changed = replace(orders, columns=tuple(c for c in orders.columns if c.name != "amount"))
    without_column = replace(needed, tables=tuple(changed if t is orders else t for t in needed.tables))
    with pytest.raises(ModelError, match=r"needs orders\.amount as numerical"):
        check_signature(version, without_column)
    unkeyed = replace(orders, foreign_keys=())
    without_edge = replace(needed, tables=tuple(unkeyed if t is orders else t for t in needed.tables))
    with pytest.raises(ModelError, match=r"needs the foreign key orders\.customer_id->customers"):
        check_signature(version, without_edge)


def test_damaged_weights_are_named(own_project: Workspace) -> None:
    version = own_project.registry.champion("churn")
    version.weights.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match=r"churn/v1 is damaged: .*network\.safetensors.* is not what was written"):
        load_predictor(version, own_project.snapshots.current())


@pytest.mark.parametrize(
    "damage",
    [
        {"networks": {"network": {}}},
        {"trees": [99]},
        {"neighbors": {}},
        {"output": {}},
        {"signature": {}},
        {"networks": []},
        {"files": []},
        {"metrics": {"test": 3}},
        {"task_type": "fortune_telling"},
    ],
)
def test_a_damaged_manifest_is_said_to_be_one(own_project: Workspace, damage: dict[str, Any]) -> None:
    path = own_project.registry.champion("churn").folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(ModelError, match="Train the task again"):
        load_predictor(own_project.registry.champion("churn"), own_project.snapshots.current())


def test_nobody_asked_for_is_nobody_answered(trained_project: Workspace) -> None:
    predictor = champion_of(trained_project, "churn")
    predictions, embeddings = predictor.predict(Seeds.at("customers", np.empty(0), np.empty(0)))
    assert predictions.values.shape == (0,)
    assert embeddings.shape == (0, 64)


def test_raw_outputs_become_units_of_the_label() -> None:
    binary = BinaryObjective().link(np.array([[0.0], [1000.0]]))
    assert binary[0] == 0.5
    assert np.isfinite(binary).all()
    number = RegressionObjective(10.0, 3.0).link(np.array([[2.0]]))
    assert number.tolist() == [16.0]
