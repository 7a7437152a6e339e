"""What embedding stored is read back, and what is served follows the champion at once."""

from __future__ import annotations

import numpy as np
import pytest
from fastapi.testclient import TestClient

from forekey import pipeline
from forekey.serving import create_app
from forekey.store import EmbeddingStore
from forekey.workspace import Workspace


@pytest.mark.parametrize("task", ["churn", "spend", "next_channel", "channels", "weeks", "baskets"])
def test_predictions_that_are_stored_are_those_that_would_be_computed(trained_project: Workspace, task: str) -> None:
    from forekey.pipeline.models import _computed

    found, computed = pipeline.predict(trained_project, task), _computed(trained_project, task, None, pipeline.SILENT)
    assert found.table().equals(computed.table())
    np.testing.assert_array_equal(found.embeddings, computed.embeddings)


def test_stored_predictions_are_not_computed_again(trained_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("computed what is stored")

    monkeypatch.setattr(pipeline.models, "_computed", never)
    assert pipeline.predict(trained_project, "churn").table().num_rows > 0
    with pytest.raises(AssertionError, match="computed what is stored"):
        pipeline.predict(trained_project, "churn", as_of=trained_project.snapshots.current().as_of.replace(day=1))


def test_what_is_stored_of_another_snapshot_or_model_is_not_taken(own_project: Workspace) -> None:
    from forekey.pipeline.stored import stored_batch

    current = own_project.snapshots.current()
    task = pipeline.find_task(own_project, current.schema, "churn")
    champion = own_project.registry.champion("churn")
    assert stored_batch(own_project, task, champion, current, None) is not None
    pipeline.train(own_project, "churn", preset="instant")
    other = own_project.registry.get("churn", "v2")
    assert stored_batch(own_project, task, other, current, None) is None
    # Built again with the same time: values may be others.
    rebuilt = pipeline.snapshot(own_project, full=True, as_of=current.as_of.replace(hour=0))
    assert stored_batch(own_project, task, champion, rebuilt, None) is None


def test_going_back_serves_the_former_champion_at_once(own_project: Workspace) -> None:
    pipeline.train(own_project, "churn", preset="instant")
    own_project.registry.promote("churn", "v2", "for the test")
    pipeline.embed(own_project, "churn")
    with own_project.store() as store, TestClient(create_app(own_project, store)) as client:
        before = client.get("/predict/churn/7?mode=stored").json()
        assert before["model_version"] == "v2"
        served = pipeline.change_champion(own_project, "churn", None)
        assert served is not None
        after = client.get("/predict/churn/7?mode=stored").json()
        assert (after["model_version"], served.model_version) == ("v1", "v1")
        assert client.get("/predict/churn/7?mode=online").json()["model_version"] == "v1"
        assert after["prediction"] != before["prediction"]


def test_the_newest_embeddings_of_three_models_stay_stored(own_project: Workspace) -> None:
    for number in range(2, 6):
        pipeline.train(own_project, "spend", preset="instant", seed=number)
        own_project.registry.promote("spend", f"v{number}", "for the test")
        pipeline.embed(own_project, "spend")
        pipeline.embed(own_project, "spend")
    with own_project.store() as opened:
        store = EmbeddingStore(opened)
        assert sorted(v.model_version for v in store._finished("spend")) == ["v3", "v4", "v5", "v5"]
        assert store.switch("spend", "v1") is None
        switched = store.switch("spend", "v3")
        assert switched is not None
        assert store.current("spend") == switched
