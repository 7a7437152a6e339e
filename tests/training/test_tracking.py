"""Runs are told to a real MLflow where forekey.yaml names one; training does not depend on it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from forekey import pipeline
from forekey.workspace import Workspace


def tracked(project: Workspace, uri: str) -> Workspace:
    return Workspace(project.root, project.config.model_copy(update={"mlflow": uri}))


def test_a_version_is_a_run_with_metrics_and_report(own_project: Workspace, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    report = pipeline.train(tracked(own_project, uri), "churn", preset="fast")
    assert not report.notes
    mlflow.set_tracking_uri(uri)
    (run,) = mlflow.search_runs(experiment_names=["forekey/churn"], output_format="list")
    assert run.data.metrics["test/auroc"] == pytest.approx(report.metrics["test"]["auroc"])
    assert run.data.metrics["lightgbm/test/auroc"] == pytest.approx(report.baselines["lightgbm"]["test"]["auroc"])
    assert run.data.params["config.preset"] == "fast"
    files = {p.name for p in (own_project.place("mlflow")).rglob("*") if p.is_file()}
    assert {"manifest.json", "report.html"} <= files


def test_a_tracker_that_does_not_answer_costs_a_note_and_nothing_else(own_project: Workspace) -> None:
    pytest.importorskip("mlflow")
    report = pipeline.train(tracked(own_project, "sqlite:////proc/nobody/runs.db"), "churn", preset="fast")
    assert report.metrics["test"]["auroc"] is not None
    assert any("did not take the run" in note for note in report.notes)


def test_without_mlflow_the_note_says_how_to_get_it(own_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    report = pipeline.train(tracked(own_project, "http://127.0.0.1:1"), "churn", preset="fast")
    assert any("pip install 'forekey[mlflow]'" in note for note in report.notes)
