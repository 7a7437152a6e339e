"""A workspace opens the parts of a project once, stamps by its clock, and lets one process at a time change a task."""

from __future__ import annotations

import multiprocessing
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from forekey import pipeline
from forekey.registry import Registry
from forekey.workspace import Workspace

NOON = datetime(2031, 5, 1, 12)


def test_parts_are_opened_once(shop_project: Workspace) -> None:
    assert shop_project.registry is shop_project.registry
    assert shop_project.snapshots is shop_project.snapshots
    assert shop_project == Workspace.open(shop_project.root)


def test_everything_is_stamped_by_the_clock_it_is_given(own_project: Workspace) -> None:
    later = replace(own_project, clock=lambda: NOON)
    built = pipeline.snapshot(later, full=True)
    fresh = pipeline.snapshot(replace(later, root=later.root), full=True)
    assert built.id == fresh.id
    report = pipeline.train(later, "spend", preset="instant")
    version = later.registry.get("spend", report.model_version)
    assert version.manifest.created_at == NOON.isoformat()
    later.registry.promote("spend", version.version, "by the clock")
    assert later.registry.history("spend")[-1]["at"] == NOON.isoformat()
    pipeline.embed(later, "spend")
    assert pipeline.monitor(later).at == NOON.isoformat()


def _promote(folder: Path, count: int) -> None:
    models = Registry(folder)
    for _ in range(count):
        models.promote("churn", "v1", "again")


def test_promotions_of_several_processes_are_all_kept(own_project: Workspace) -> None:
    before = len(own_project.registry.history("churn"))
    folder = own_project.place("models")
    workers = [multiprocessing.get_context("spawn").Process(target=_promote, args=(folder, 20)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(own_project.registry.history("churn")) == before + 60


def test_a_second_training_of_a_task_waits_for_the_first(own_project: Workspace) -> None:
    waits, done = threading.Event(), threading.Event()

    def second() -> None:
        with Workspace.open(own_project.root).training("spend", waits.set):
            done.set()

    with own_project.training("spend"):
        other = threading.Thread(target=second)
        other.start()
        assert waits.wait(10)
        assert not done.is_set()
        with own_project.training("churn"):  # another task does not wait
            pass
    other.join(10)
    assert done.is_set()
