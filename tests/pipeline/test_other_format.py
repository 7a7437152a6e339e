"""A model that this version of Forekey cannot load gives way to the next one that is trained."""

from __future__ import annotations

import json

import pytest

from forekey import pipeline
from forekey.errors import ModelError
from forekey.progress import Listener
from forekey.workspace import Workspace

QUESTION = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id"


def as_of_another_format(project: Workspace, task: str) -> str:
    """Make a task's champion one of another version of Forekey; return its name."""
    champion = project.registry.champion(task)
    facts = {name: value for name, value in champion.manifest.to_dict().items() if name not in ("format", "files")}
    (champion.folder / "manifest.json").write_text(json.dumps(facts))
    return champion.version


def test_training_again_as_the_message_says_mends_it(own_project: Workspace) -> None:
    old = as_of_another_format(own_project, "spend")
    with pytest.raises(ModelError, match=r"another version of Forekey.*Train the task again"):
        pipeline.explain(own_project, "spend", 1)
    report = pipeline.train(own_project, "spend", preset="instant")
    assert any(f"{old} cannot be loaded" in note for note in report.notes)
    assert own_project.registry.champion("spend").version == report.model_version
    assert pipeline.explain(own_project, "spend", 1)["model_version"] == report.model_version


def test_a_question_is_answered_by_a_new_model(own_project: Workspace) -> None:
    first = pipeline.ask(own_project, QUESTION, top=3)
    as_of_another_format(own_project, first.task)
    again = pipeline.ask(own_project, QUESTION, top=3)
    assert again.model_version != first.model_version
    assert [p["entity_id"] for p in again.predictions] == [p["entity_id"] for p in first.predictions]


def test_retraining_refuses_before_it_trains(own_project: Workspace) -> None:
    as_of_another_format(own_project, "spend")
    phases: list[str] = []
    with pytest.raises(ModelError, match="another version of Forekey"):
        pipeline.retrain(own_project, "spend", preset="instant", listener=Listener(step=phases.append))
    assert not any("trees" in phase or "network" in phase for phase in phases)
