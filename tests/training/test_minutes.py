"""Time is known before training, and kept."""

from __future__ import annotations

import time

import pytest

from forekey import pipeline
from forekey.pipeline import Listener, train_config
from forekey.training.run_plan import Rates, estimate, fitted
from forekey.workspace import Workspace

SLOW = Rates(tree_round=0.2, epoch=30.0, importance=60.0, outputs=1)


def test_before_training_it_is_said_what_will_be_done_and_how_long_it_takes(own_project: Workspace) -> None:
    notes: list[str] = []
    pipeline.train(own_project, "churn", preset="fast", listener=Listener(note=notes.append))
    (plan,) = notes
    assert "1,800 examples" in plan or "examples with" in plan
    assert "window features" in plan
    assert "on this machine" in plan


def test_every_phase_reports_how_far_it_is(own_project: Workspace) -> None:
    phases: dict[str, list[float]] = {}
    name = [""]

    def step(text: str) -> None:
        name[0] = text.split(" on ")[0].split(" for ")[0]
        phases[name[0]] = []

    listener = Listener(step=step, advance=lambda done, total: phases[name[0]].append(done / total))
    pipeline.train(own_project, "churn", preset="normal", minutes=0.5, listener=listener)
    for phase in ("training the network", "growing trees", "scoring baselines"):
        assert phases[phase], phase
        assert phases[phase] == sorted(phases[phase])
        assert 0.0 < phases[phase][-1] <= 1.0
    computing = next(p for name, p in phases.items() if name.startswith("computing"))
    assert computing[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [600.0, 120.0, 30.0, 10.0])
def test_what_does_not_fit_is_left_out_and_said(seconds: float) -> None:
    config, said = fitted(train_config("normal", 0), SLOW, seconds)
    assert said
    assert "importance was not measured" in said
    assert not config.importance
    assert config.max_seconds <= seconds
    if seconds <= 10.0:  # one epoch alone would take as long; trees are held to the rest by their deadline
        assert not config.network
        assert not config.tree_baselines
    if seconds >= 120.0:
        assert estimate(SLOW, config).total[0] <= seconds


def test_what_fits_is_left_as_it_is() -> None:
    config, said = fitted(train_config("fast", 0), Rates(0.001, 0.5, 0.5, 1), 600.0)
    assert said == []
    assert config == train_config("fast", 0)


def test_the_time_is_kept(own_project: Workspace) -> None:
    started = time.perf_counter()
    report = pipeline.train(own_project, "churn", preset="normal", minutes=0.1)
    assert time.perf_counter() - started < 60.0  # six seconds of training, on a machine that may be busy
    assert any("To end in time" in note for note in report.notes)


def test_importance_may_be_left_out(own_project: Workspace) -> None:
    report = pipeline.train(own_project, "churn", preset="instant", importance=False)
    assert own_project.registry.get("churn", report.model_version).manifest.explanation == {}
