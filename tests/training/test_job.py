"""A training job is a value: another process runs it, with the database gone, and returns the same model (up to the order in
which threads add numbers up)."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

from forekey import pipeline
from forekey.graph import Seeds, to_micros
from forekey.inference import Predictor, Ranker
from forekey.training import TrainJob, gather, run
from forekey.workspace import Workspace


def trained_elsewhere(job: TrainJob) -> tuple[dict[str, Any], dict[str, list[float]], np.ndarray]:
    """Run a job, and return what can be compared: metrics, parameters in sum, and predictions on the snapshot."""
    found = run(job)
    sums = {n: [float(p.detach().sum()) for p in m.parameters()] for n, m in found.model.networks.items()}
    bound = found.model.bind(job.snapshot, job.past)
    assert isinstance(bound, Predictor | Ranker)
    moment = to_micros(job.snapshot.as_of)
    seeds = job.splits["test"].seeds if job.past is not None else Seeds.at(bound.entity, np.arange(20), moment)
    return found.manifest.metrics, sums, np.asarray(bound.predict(seeds)[0].values)


@pytest.mark.parametrize(("task", "preset"), [("churn", "instant"), ("next_channel", "fast"), ("baskets", "instant")])
def test_a_job_runs_in_another_process_without_the_database(own_project: Workspace, task: str, preset: str) -> None:
    current = own_project.snapshots.current()
    found = pipeline.find_task(own_project, current.schema, task)
    with own_project.source() as source:
        job = gather(found, current, source, pipeline.train_config(preset, 3, found.task_type))
    (own_project.root / "shop.duckdb").unlink()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(trained_elsewhere, job).result()
    here = trained_elsewhere(job)
    for split in ("val", "test"):
        assert there[0][split] == pytest.approx(here[0][split], abs=1e-5)
    for name, parameters in here[1].items():
        assert there[1][name] == pytest.approx(parameters, abs=1e-3)
    np.testing.assert_allclose(there[2], here[2], atol=1e-5)


def test_a_job_says_what_it_is(own_project: Workspace) -> None:
    current = own_project.snapshots.current()
    task = pipeline.find_task(own_project, current.schema, "churn")
    with own_project.source() as source:
        job = gather(task, current, source, pipeline.train_config("instant", 0), baselines=False)
    assert repr(job).startswith("TrainJob('churn', ")
    assert "preset instant" in repr(job)
    assert job.previous is None
