"""`best` looks for better settings within its time, says what it tried, and chooses on validation."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from forekey import pipeline
from forekey.errors import ModelError, TaskError
from forekey.objectives import BinaryObjective, RegressionObjective
from forekey.training.config import TrainConfig
from forekey.training.epochs import Epoch
from forekey.training.search import applied, search
from forekey.workspace import Workspace


def test_a_search_keeps_to_its_time_and_says_what_it_tried(own_project: Workspace) -> None:
    started = time.perf_counter()
    report = pipeline.train(own_project, "churn", preset="fast", search_minutes=0.15)
    assert time.perf_counter() - started < 120
    version = own_project.registry.get("churn", report.model_version)
    tried = version.manifest.tried
    assert len(tried) >= 2
    assert tried[0]["settings"]["channels"] == 64  # what one started with is tried first
    complete = [t for t in tried if not t["stopped"] and t["score"] is not None]
    best = max(complete, key=lambda t: t["score"])
    config = pipeline.train_config("fast", 0)
    chosen = applied(config, best["settings"]).to_dict()
    used = version.manifest.config
    same = ("channels", "aggregation", "learning_rate", "dropout", "neighbors")
    assert {k: used[k] for k in same} == {k: chosen[k] for k in same}
    assert version.manifest.networks["network"]["aggregation"] == used["aggregation"]
    assert any(note.startswith(f"Tried {len(tried)} settings") for note in report.notes)
    assert "Settings that were tried" in (version.folder / "report.html").read_text()
    assert len(pipeline.predict(own_project, "churn").keys) == 200


def test_a_ranking_is_searched_for_too(own_project: Workspace) -> None:
    report = pipeline.train(own_project, "baskets", preset="fast", search_minutes=0.15)
    version = own_project.registry.get("baskets", report.model_version)
    tried = version.manifest.tried
    assert tried[0]["settings"]["channels"] == 64
    assert tried[0]["metric"] == "map"
    assert any(note.startswith(f"Tried {len(tried)} settings") for note in report.notes)
    used = version.manifest.config
    complete = [t for t in tried if not t["stopped"] and t["score"] is not None]
    best = max(complete, key=lambda t: t["score"])["settings"]
    assert (used["channels"], used["aggregation"]) == (best["channels"], best["aggregation"])
    assert {version.manifest.networks[t]["channels"] for t in ("entities", "items")} == {best["channels"]}
    assert len(pipeline.predict(own_project, "baskets").keys) == 200


def test_best_searches_and_the_others_do_not() -> None:
    assert pipeline.train_config("best", 0).search_seconds > 0
    assert pipeline.train_config("normal", 0).search_seconds == 0


def test_without_optuna_the_reason_is_told(own_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(TaskError, match=r"pip install 'forekey\[best\]'"):
        pipeline.train(own_project, "churn", preset="fast", search_minutes=1)


def test_settings_that_lose_their_way_are_left_and_the_search_goes_on() -> None:
    config = replace(pipeline.train_config("fast", 0), search_seconds=5.0)

    def train(own: TrainConfig, heard: Callable[[Epoch], None]) -> None:
        if own.channels != 32:
            raise ModelError("The training loss is not finite.")
        heard(Epoch(1, 1, 0.1, "auroc", 0.7, True, 0.1))

    chosen, tried = search(BinaryObjective, config, train, lambda _: None)
    assert tried[0].stopped
    assert tried[0].score is None
    assert chosen.channels == 32


def test_where_nothing_works_the_settings_stay_as_asked() -> None:
    config = replace(pipeline.train_config("fast", 0), search_seconds=1.0)

    def train(own: TrainConfig, heard: Callable[[Epoch], None]) -> None:
        raise ModelError("The training loss is not finite.")

    assert search(RegressionObjective, config, train, lambda _: None)[0] == config
