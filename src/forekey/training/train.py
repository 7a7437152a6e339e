"""Train one task on one snapshot: labels, features, model, loop, baselines, report, registered version."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.errors import TaskError
from forekey.graph import Snapshot, to_micros
from forekey.inference import ErrorBand, Explainer, FinalStage, Predictor, Raw, Trees, predictions_from, save_weights
from forekey.nn import GraphModel
from forekey.progress import SILENT, Deadline, Listener, in_words
from forekey.registry import ModelVersion, Registry
from forekey.source import Source
from forekey.task import Task, TaskType
from forekey.training.baselines import BaselineData, Previous, run_baselines
from forekey.training.checkpoint import NOWHERE, Checkpoint
from forekey.training.config import TrainConfig
from forekey.training.evaluate import joined
from forekey.training.final import Validation, choose_final
from forekey.training.judged import MODEL, NETWORK, TREES, Judged
from forekey.training.lineage import lineage, network_of, run_id
from forekey.training.loop import Epoch, fit, fit_again
from forekey.training.page import render_report
from forekey.training.prepare import Aging, Data, prepare
from forekey.training.ranking import train_ranking
from forekey.training.report import TrainReport
from forekey.training.run_plan import Rates, estimate, fitted, in_a_line
from forekey.training.search import Trial, search, searched
from forekey.training.suspects import decisive_column, leaking_columns
from forekey.training.trees import MAX_GROUPS, Growing, Grown, fit_trees, regrow

_EXPLAINED = 128
"""Validation examples on which parts of the data are taken away, to measure what counts."""


def train_task(
    task: Task,
    snapshot: Snapshot,
    source: Source,
    registry: Registry,
    config: TrainConfig,
    *,
    baselines: bool = True,
    aging: Aging | None = None,
    minutes: float | None = None,
    listener: Listener = SILENT,
) -> tuple[ModelVersion, TrainReport]:
    """Train, score on validation and test, hold against baselines, and register the version.

    ``aging`` says up to when each example may see the graph, where data come late or end before what is predicted.
    ``minutes`` is how long the whole run may take; what does not fit is made smaller or left out, and noted.
    """
    started, deadline = time.perf_counter(), Deadline.after(60 * minutes if minutes is not None else None)
    if task.task_type is TaskType.LINK_PREDICTION:
        return train_ranking(
            task, snapshot, source, registry, _for_ranking(config, minutes), baselines, listener, aging,
            Deadline.after(45 * minutes if minutes is not None else None),
        )  # fmt: skip
    listener.step("making labels")
    data = prepare(task, snapshot, source, config, aging, listener)
    _check_trees(task, data, config)
    previous = _previous(task, snapshot, source, data) if baselines else {}
    source.release()  # nothing is asked of the database from here on
    config, notes = _planned(task, data, config, deadline, baselines, listener)
    tried: list[Trial] = []
    if config.search_seconds > 0 and config.network:
        listener.step("looking for better settings")
        config, tried = search(
            task.task_type, config, lambda own, heard: _network(task, data, own, Listener(epoch=heard)), listener.step
        )
    checkpoint = Checkpoint(registry.unfinished(task.name, run_id(task, snapshot, config)) if aging is None else None)
    model, history = None, list[Epoch]()
    if config.network:
        listener.step(f"training the network on {len(data.splits['train']):,} examples")
        model, history = _network(task, data, config, listener, checkpoint)
    growing = Growing(torch.get_num_threads(), deadline, listener)
    finished = _finish(data, model, config, growing)
    if config.regrow:
        best = max((e.number for e in history if e.best), default=0)
        finished = _with_validation(task, data, finished, config, best, growing)
    judged = _judge(task, data, finished)
    if baselines:
        _judge_baselines(judged, task, data, previous, config, listener)
    manifest = _manifest(task, snapshot, data, finished, config)
    manifest |= {**judged.to_dict(), "final": finished.final.to_dict(), "history": [e.to_dict() for e in history]}
    manifest["tried"] = [t.to_dict() for t in tried]
    manifest["notes"] += [*data.sampled, *searched(tried, config), *notes]
    manifest["blend"] = _blend(finished, config)
    manifest["error_band"] = _error_band(data, judged)
    manifest["importance"] = _importance(data, finished.grown.trees if finished.grown is not None else None)
    manifest |= _asked_what_counts(snapshot, data, finished, config, judged, manifest["warnings"], listener)
    manifest["seconds"] = round(time.perf_counter() - started, 2)
    plots = judged.plots()

    def write(draft: ModelVersion) -> None:
        _write(finished.model, finished.final, plots, draft)

    version = registry.register(task.name, manifest, data.features.spec.to_dict(), write)
    checkpoint.clear()
    return version, TrainReport.from_version(version)


def _for_ranking(config: TrainConfig, minutes: float | None) -> TrainConfig:
    """Return the settings for a ranking, whose towers may take half of the time."""
    return config if minutes is None else replace(config, max_seconds=min(config.max_seconds, 15 * minutes))


def _check_trees(task: Task, data: Data, config: TrainConfig) -> None:
    """Refuse trees alone where they cannot predict."""
    val = data.splits["val"].target
    outputs = data.transform.outputs if data.goal(data.splits["val"]).ndim == 2 and len(val) else 1
    if not config.network and outputs > MAX_GROUPS:
        raise TaskError(
            f"'{task.name}' has {outputs} outputs; trees alone predict up to {MAX_GROUPS}. Use the preset fast, normal "
            "or best."
        )


def _planned(
    task: Task, data: Data, config: TrainConfig, deadline: Deadline, baselines: bool, listener: Listener
) -> tuple[TrainConfig, list[str]]:
    """Measure how fast this machine is, fit the settings to the time there is, and say what will be done."""
    if listener is SILENT and deadline.left == float("inf"):
        return config, []  # nobody asks how long it takes
    listener.step("measuring how long training will take")
    rates = Rates.measured(data, config, task.entity.name)
    notes = []
    if deadline.left < float("inf"):
        config, left_out = fitted(config, rates, deadline.left, baselines=baselines)
        if left_out:
            notes = [f"To end in time ({in_words(deadline.left)} were left for training), {'; '.join(left_out)}."]
    listener.note(in_a_line(data, config, rates, estimate(rates, config, baselines=baselines)))
    for note in notes:
        listener.note(note)
    return config, notes


def _network(
    task: Task, data: Data, config: TrainConfig, listener: Listener = SILENT, checkpoint: Checkpoint = NOWHERE
) -> tuple[GraphModel, list[Epoch]]:
    """Train a network from scratch."""
    torch.manual_seed(config.seed)
    model = GraphModel(network_of(task.entity.name, data.features, config, data.transform.outputs))
    return model, fit(model, data.features, task, data.splits, data.transform, config, listener, checkpoint)


@dataclass(frozen=True)
class _Finished:
    """The network and the blend: as ``chosen`` on validation, and as ``final``, trained with validation too.

    ``model`` is None where trees alone predict. ``raw`` are the network's raw outputs by split, empty without one: of
    validation, those of the network that has not been trained on it.
    """

    model: GraphModel | None
    raw: dict[str, Raw]
    grown: Grown | None
    chosen: FinalStage
    final: FinalStage


def _finish(data: Data, model: GraphModel | None, config: TrainConfig, growing: Growing) -> _Finished:
    """Grow trees beside the network, choose on validation how much each counts, calibrate."""
    known = data.splits
    raw: dict[str, Raw] = {}
    if model is not None:
        predictor = Predictor(model, data.features, config.neighbors, data.transform)
        raw = {s: predictor.network(r.seeds, r.history)[0] for s, r in known.items() if s != "train"}
    val, kind, classes = known["val"], data.task_type, len(data.transform.classes)
    if val.history is None:
        return _Finished(model, raw, None, FinalStage(), FinalStage())
    growing.listener.step("growing trees")
    learnt = data.tree_data(data.described_train())
    grown = fit_trees(kind, classes, learnt, data.tree_data(val), config.trees, config.seed, growing)
    trees = grown.trees if grown is not None else None
    if model is None and trees is None:
        constant = FinalStage(0.0, base=_usual_raw(data))
        return _Finished(None, raw, None, constant, constant)
    chosen = choose_final(Validation(kind, raw.get("val"), val.history, data.goal(val)), trees)
    return _Finished(model if chosen.share > 0.0 else None, raw, grown, chosen, chosen)


def _usual_raw(data: Data) -> tuple[float, ...]:
    """Return the raw outputs that say what is usual in training: of a model that found nothing to learn."""
    goal = data.goal(data.splits["train"])
    if data.task_type is TaskType.MULTICLASS_CLASSIFICATION:
        shares = np.bincount(goal.astype(np.int64), minlength=len(data.transform.classes)) / len(goal)
        return tuple(np.log(np.clip(shares, 1e-6, 1.0)).tolist())
    columns = goal.reshape(len(goal), -1)
    if data.task_type in {TaskType.BINARY_CLASSIFICATION, TaskType.MULTILABEL_CLASSIFICATION}:
        shares = (columns.sum(axis=0) + 0.5) / (len(columns) + 1.0)
        return tuple(np.log(shares / (1.0 - shares)).tolist())
    return tuple(np.median(columns, axis=0).tolist())


def _blend(finished: _Finished, config: TrainConfig) -> str:
    """Say which parts the model consists of, and how much each counts."""
    share = finished.final.share
    if finished.final.base:
        return "The training labels are all alike: the model predicts them, whatever the entity."
    if not config.network:
        return "Trees only: no network was trained."
    if finished.grown is None:
        return "Network only."
    if share <= 0.0:
        return "Trees only: the network added nothing on validation."
    if share >= 1.0:
        return "Network only: trees added nothing on validation."
    return f"Blend: the network counts {share:.0%}, trees over window features {1.0 - share:.0%}, as validation chose."


def _with_validation(
    task: Task, data: Data, finished: _Finished, config: TrainConfig, epochs: int, growing: Growing
) -> _Finished:
    """Train what was chosen once more, with validation examples too: they resemble the next ones most."""
    growing.listener.step("training once more, with validation examples too")
    later = data.splits["val"] if data.val_again is None else data.val_again
    if later.history is None and data.splits["train"].history is not None:
        later = data.described(later)
    final, kind, classes = finished.final, data.task_type, len(data.transform.classes)
    if final.trees is not None and finished.grown is not None:
        again = data.tree_data(data.described_train()).plus(
            data.tree_data(later if later.history is not None else data.described(later))
        )
        trees = regrow(finished.grown, kind, classes, again, config.trees, config.seed, growing)
        final = replace(final, trees=trees)
    if finished.model is None or epochs == 0:
        return replace(finished, final=final)
    torch.manual_seed(config.seed)
    model = GraphModel(finished.model.config)
    known = later if kind is not TaskType.MULTICLASS_CLASSIFICATION else later.only(data.goal(later) >= 0)
    every = joined(data.splits["train"], known)
    fit_again(model, data.features, task, every, data.transform, config, epochs, growing.listener)
    test = data.splits["test"]
    predictor = Predictor(model, data.features, config.neighbors, data.transform)
    raw = predictor.network(test.seeds, test.history)[0]
    return replace(finished, model=model, final=final, raw={**finished.raw, "test": raw})


def _judge(task: Task, data: Data, finished: _Finished) -> Judged:
    """Score the model and its parts; on validation, those that have not learnt from it."""
    judged = Judged.of(task, data.splits, data.transform.classes, data.train_std)
    for split, stage in (("val", finished.chosen), ("test", finished.final)):
        raw, past = finished.raw.get(split), data.splits[split].history
        judged.add(MODEL, split, predictions_from(stage.apply(raw, past, data.task_type), data.transform))
        if finished.grown is not None and past is not None and raw is not None:
            judged.add(NETWORK, split, predictions_from(raw, data.transform))
            judged.add(TREES, split, predictions_from((stage.trees or finished.grown.trees).raw(past), data.transform))
    return judged


def _previous(task: Task, snapshot: Snapshot, source: Source, data: Data) -> dict[str, Previous]:
    """Read the labels that the examples which are judged had one window before."""
    until = to_micros(snapshot.as_of)
    return {s: task.previous(source, snapshot, data.splits[s].examples, until) for s in ("val", "test")}


def _judge_baselines(
    judged: Judged, task: Task, data: Data, previous: dict[str, Previous], config: TrainConfig, listener: Listener
) -> None:
    listener.step("scoring baselines")
    kinds, splits = tuple(f.kind for f in data.features.features), dict(data.splits)
    if kinds and config.tree_baselines:
        splits["train"] = data.described_train()
    held_against = BaselineData(task, splits, data.transform.classes, previous, kinds, config.tree_baselines)
    for name, predictions in run_baselines(held_against, listener).items():
        for split, predicted in predictions.items():
            judged.add(name, split, predicted)


def _asked_what_counts(
    snapshot: Snapshot,
    data: Data,
    finished: _Finished,
    config: TrainConfig,
    judged: Judged,
    warnings: list[str],
    listener: Listener,
) -> dict[str, Any]:
    """Return what a manifest says of what counts, and the warnings that follow from it."""
    used = {t.table for t in data.features.spec.tables}
    found = [*warnings, *leaking_columns(snapshot, used)]
    if not config.importance:
        return {"explanation": {}, "warnings": found}
    listener.step("measuring what counts")
    explainer = Explainer(Predictor(finished.model, data.features, config.neighbors, data.transform, finished.final))
    explanation = _explanation(data, explainer, config, listener)
    constant = judged.metrics.get("constant", {}).get("val")
    found += decisive_column(
        explainer, data.splits["val"], data.transform, explanation["column"], constant, data.train_std
    )
    return {"explanation": explanation, "warnings": found}


def _explanation(data: Data, explainer: Explainer, config: TrainConfig, listener: Listener) -> dict[str, Any]:
    """Return how much predictions change on average when tables, columns, or all beyond a hop are taken away."""
    val = data.splits["val"]
    some = np.sort(np.random.default_rng(config.seed).permutation(len(val))[:_EXPLAINED])
    found = explainer.effects(val.seeds.take(some), done=listener.advance)
    return {kind: found.overall(kind) for kind in ("table", "column", "hop")}


def _importance(data: Data, trees: Trees | None) -> dict[str, float]:
    """Return the window features that trees gained most from, and their shares."""
    scale = data.features.spec.scale
    if trees is None or scale is None:
        return {}
    shares: NDArray[np.float64] = trees.importance()
    return {scale.names[i]: round(float(shares[i]), 4) for i in np.argsort(-shares)[:30] if shares[i] > 0}


def _error_band(data: Data, judged: Judged) -> dict[str, Any] | None:
    """Return between which bounds labels lie around predicted numbers, learnt from validation."""
    if data.task_type is not TaskType.REGRESSION:
        return None
    target = {s: data.splits[s].target.astype(np.float64) for s in ("val", "test")}
    predicted = judged.predicted[MODEL]
    band = ErrorBand.fit(predicted["val"], target["val"], data.transform.least)
    if band is None:
        return None
    return replace(band, coverage=band.covered(predicted["test"], target["test"])).to_dict()


def _manifest(task: Task, snapshot: Snapshot, data: Data, finished: _Finished, config: TrainConfig) -> dict[str, Any]:
    """Return the version's lineage: everything it was made from."""
    unknown, model = {name: r.unknown for name, r in data.splits.items()}, finished.model
    return {
        **lineage(task, snapshot, config, data.labels, data.cutoff, unknown),
        "model": model.config.to_dict() if model is not None else None,
        "parameters": sum(p.numel() for p in model.parameters()) if model is not None else 0,
        "embedding": "network" if model is not None else "trees",
        "window_features": {"used": len(data.features.features), "of": data.all_features},
        "output": data.transform.to_dict(),
        "train_std": data.train_std,
    }


def _write(model: GraphModel | None, final: FinalStage, plots: dict[str, Any], draft: ModelVersion) -> None:
    """Write the files of a version into its folder."""
    if model is not None:
        save_weights({"": model}, draft.weights)
    if final.trees is not None:
        final.trees.save(draft.folder)
    (draft.folder / "plots.json").write_text(json.dumps(plots), encoding="utf-8")
    (draft.folder / "report.html").write_text(render_report(draft), encoding="utf-8")
