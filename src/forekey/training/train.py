"""One training run, whatever is predicted: features, networks, trees, their blend, scores beside baselines."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any

from forekey.graph import Snapshot
from forekey.inference import TrainedModel
from forekey.objectives import HeldOut
from forekey.progress import SILENT, Deadline, Listener
from forekey.registry import ModelManifest, ModelVersion, Registry
from forekey.source import Source
from forekey.task import Task
from forekey.training.checkpoint import NOWHERE, Checkpoint
from forekey.training.config import TrainConfig
from forekey.training.job import SimulatedDelay, TrainJob, gather
from forekey.training.lineage import lineage, run_id
from forekey.training.pointwise import PointwiseRecipe
from forekey.training.ranking import RankingRecipe
from forekey.training.recipe import Recipe
from forekey.training.report import TrainReport
from forekey.training.report_page import render_report
from forekey.training.scorecard import Scorecard
from forekey.training.search import Trial, search, searched
from forekey.training.suspects import leaking_columns


@dataclass(frozen=True)
class Trained:
    """What a run returns: the model, what its manifest says, what its report draws, its predictions on test."""

    model: TrainedModel
    manifest: ModelManifest
    plots: dict[str, Any]
    held_out: HeldOut | None
    checkpoint: Checkpoint

    def register(self, registry: Registry, task: str) -> ModelVersion:
        """Write the model as a new version, which appears whole."""
        version = registry.register(task, self.manifest, self._write)
        self.checkpoint.clear()
        return version

    def _write(self, draft: ModelVersion) -> None:
        self.model.save(draft)
        if self.held_out is not None:
            self.held_out.save(draft.folder)
        (draft.folder / "plots.json").write_text(json.dumps(self.plots), encoding="utf-8")
        (draft.folder / "report.html").write_text(render_report(draft), encoding="utf-8")


def train_task(
    task: Task,
    snapshot: Snapshot,
    source: Source,
    registry: Registry,
    config: TrainConfig,
    *,
    baselines: bool = True,
    delay: SimulatedDelay | None = None,
    minutes: float | None = None,
    listener: Listener = SILENT,
) -> tuple[ModelVersion, TrainReport]:
    """Train, score on validation and test, hold against baselines, and register the version.

    ``delay`` says up to when each example may see the graph, where data come late or end before what is predicted.
    ``minutes`` is how long the whole run may take; what does not fit is made smaller or left out, and noted.
    """
    deadline = Deadline.after(60 * minutes if minutes is not None else None)
    listener.step("making labels")
    job = gather(task, snapshot, source, config, baselines=baselines, delay=delay, minutes=minutes)
    # Runs that see the graph cut otherwise must not go on from one another.
    version = run(job, listener, registry if delay is None else None, deadline).register(registry, task.name)
    return version, TrainReport.from_version(version)


def run(
    job: TrainJob, listener: Listener = SILENT, registry: Registry | None = None, deadline: Deadline | None = None
) -> Trained:
    """Train a model from what was gathered; no database is asked.

    With a ``registry``, a run that was cut off goes on after its last epoch. The deadline of the job counts from now,
    unless another is given.
    """
    started = time.perf_counter()
    deadline = deadline or Deadline.after(60 * job.minutes if job.minutes is not None else None)
    recipe = _recipe(job, listener)
    config, notes = recipe.plan(deadline, listener)
    config, tried = _searched(recipe, config, listener)
    checkpoint = _checkpoint(job, config, registry)
    networks, history = recipe.fit(config, listener, checkpoint) if config.network else ({}, [])
    growing = recipe.growing(deadline, listener)
    chosen = final = recipe.choose(networks, config, growing)
    left_out = recipe.left_out(chosen, config)
    if config.refit and not growing.deadline.passed:
        listener.step("training once more, with validation examples too")
        final = recipe.refit(chosen, config, max((e.number for e in history if e.best), default=0), growing)
    elif config.refit:
        left_out.append("validation examples were not learnt from")
    scorecard = Scorecard.of(job.objective, job.splits)
    recipe.score(scorecard, "val", chosen)  # by what has not learnt from it
    recipe.score(scorecard, "test", final)
    if job.previous is not None:
        listener.step("scoring baselines")
        recipe.score_baselines(scorecard, config, listener)
    explanation, warnings = dict[str, Any](), leaking_columns(job.snapshot, recipe.used_tables())
    if config.importance and not growing.deadline.passed:
        listener.step("measuring what counts")
        explanation, more = recipe.explain(final, scorecard, listener)
        warnings += more
    elif config.importance:
        left_out.append("importance was not measured")
    known = lineage(job, config)
    manifest = replace(
        known,
        **final.model.facts(),
        **recipe.facts(chosen, final, scorecard, config),
        **scorecard.to_dict(),
        history=[e.to_dict() for e in history],
        tried=[t.to_dict() for t in tried],
        explanation=explanation,
        warnings=[*known.warnings, *warnings],
        notes=[*known.notes, *job.sampled, *searched(tried, config), *notes, *_in_time(left_out)],
        seconds=round(job.seconds + time.perf_counter() - started, 2),
    )
    return Trained(final.model, manifest, scorecard.plots(), scorecard.held_out(), checkpoint)


def _checkpoint(job: TrainJob, config: TrainConfig, registry: Registry | None) -> Checkpoint:
    """Return what a run by these settings leaves behind to go on from; nothing without a registry."""
    if registry is None:
        return NOWHERE
    return Checkpoint(registry.unfinished(job.task.name, run_id(job.task, job.snapshot, config)))


def _in_time(left_out: list[str]) -> list[str]:
    return [f"To end in time, {'; '.join(left_out)}."] if left_out else []


def _recipe(job: TrainJob, listener: Listener) -> Recipe[Any, Any]:
    return RankingRecipe(job, listener) if job.objective.ranks_items else PointwiseRecipe(job, listener)


def _searched(recipe: Recipe[Any, Any], config: TrainConfig, listener: Listener) -> tuple[TrainConfig, list[Trial]]:
    """Look for better settings of the networks, if there is time for it."""
    if config.search_seconds <= 0 or not config.network:
        return config, []
    listener.step("looking for better settings")
    return search(
        type(recipe.job.objective), config, lambda own, done: recipe.fit(own, Listener(epoch=done)), listener.step
    )
