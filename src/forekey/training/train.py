"""Train one task on one snapshot: labels, features, model, loop, baselines, report, registered version."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.errors import TaskError
from forekey.features import FeatureStore, fit_features, fit_history
from forekey.graph import Micros, Snapshot, to_micros
from forekey.inference import Explainer, FinalStage, OutputTransform, Predictor, Raw, Trees, predictions_from
from forekey.nn import GraphModel
from forekey.project import write_atomically
from forekey.registry import ModelVersion, Registry
from forekey.source import Source
from forekey.task import LabelTable, Task, TaskType, past_labels
from forekey.training.baselines import BaselineData, Previous, run_baselines
from forekey.training.checkpoint import NOWHERE, Checkpoint
from forekey.training.config import TrainConfig
from forekey.training.evaluate import Resolved, joined, resolve_examples
from forekey.training.final import Validation, choose_final
from forekey.training.judged import MODEL, NETWORK, TREES, Judged
from forekey.training.lineage import lineage, network_of, run_id, text_width
from forekey.training.loop import Epoch, fit, fit_again, targets
from forekey.training.page import render_report
from forekey.training.ranking import Aging, train_ranking
from forekey.training.report import TrainReport
from forekey.training.search import Trial, search, searched
from forekey.training.suspects import decisive_column, leaking_columns
from forekey.training.trees import Grown, TreeData, fit_trees, regrow

Progress = Callable[[str], None]


_MAX_CLASSES = 1000
_EXPLAINED = 128
"""Validation examples on which parts of the data are taken away, to tell what counts."""
_MAX_PAST_NUMBERS = 100_000_000  # 400 MB: of more training examples, pasts are computed batch by batch
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Data:
    labels: LabelTable
    splits: dict[str, Resolved]
    transform: OutputTransform
    features: FeatureStore
    cutoff: int
    val_again: Resolved | None = None

    @property
    def train_std(self) -> float | None:
        numbers = self.transform.task_type is TaskType.REGRESSION
        return float(self.splits["train"].target.std()) if numbers else None


def train_task(
    task: Task,
    snapshot: Snapshot,
    source: Source,
    registry: Registry,
    config: TrainConfig,
    *,
    baselines: bool = True,
    aging: Aging | None = None,
    progress: Progress = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> tuple[ModelVersion, TrainReport]:
    """Train, score on validation and test, hold against baselines, and register the version.

    ``aging`` says up to when each example may see the graph, where data come late or end before what is predicted.
    """
    started = time.perf_counter()
    if task.task_type is TaskType.LINK_PREDICTION:
        return train_ranking(task, snapshot, source, registry, config, baselines, progress, on_epoch, aging)
    progress("making labels")
    data = _prepare(task, snapshot, source, config, aging)
    previous = _previous(task, snapshot, source, data) if baselines else {}
    source.release()  # nothing is asked of the database from here on
    tried: list[Trial] = []
    if config.search_seconds > 0:
        progress("looking for better settings")
        config, tried = search(task.task_type, config, lambda *trial: _network(task, data, *trial), progress)
    progress(f"training on {len(data.splits['train']):,} examples")
    checkpoint = Checkpoint(registry.unfinished(task.name, run_id(task, snapshot, config)) if aging is None else None)
    model, history = _network(task, data, config, on_epoch, checkpoint)
    finished = _finish(data, model, config, progress)
    if config.regrow:
        best = max(e.number for e in history if e.best)
        finished = _with_validation(task, data, finished, config, best, progress)
    judged = _judge(task, data, finished)
    if baselines:
        _judge_baselines(judged, task, data, previous, progress)
    manifest = _manifest(task, snapshot, data, model, config)
    manifest |= {**judged.to_dict(), "final": finished.final.to_dict(), "history": [e.to_dict() for e in history]}
    manifest["tried"] = [t.to_dict() for t in tried]
    manifest["notes"] += searched(tried, config)
    manifest["importance"] = _importance(data, finished.grown.trees if finished.grown is not None else None)
    progress("asking what counts")
    explainer = _explainer(data, finished, config)
    manifest["explanation"] = _explanation(data, explainer, config)
    used = {t.table for t in data.features.spec.tables}
    manifest["warnings"] += leaking_columns(snapshot, used) + decisive_column(
        explainer,
        data.splits["val"],
        data.transform,
        manifest["explanation"]["column"],
        judged.metrics.get("constant", {}).get("val"),
        data.train_std,
    )
    manifest["seconds"] = round(time.perf_counter() - started, 2)
    plots = judged.plots()

    def save(path: Path) -> None:
        _save(finished.model, finished.final, plots, path)

    version = registry.register(task.name, manifest, data.features.spec.to_dict(), save)
    checkpoint.clear()
    write_atomically(version.folder / "report.html", render_report(version))
    return version, TrainReport.from_version(version)


def _network(
    task: Task,
    data: _Data,
    config: TrainConfig,
    on_epoch: Callable[[Epoch], None],
    checkpoint: Checkpoint = NOWHERE,
) -> tuple[GraphModel, list[Epoch]]:
    """Train a network from scratch."""
    torch.manual_seed(config.seed)
    model = GraphModel(network_of(task.entity.name, data.features, config, data.transform.outputs))
    return model, fit(model, data.features, task, data.splits, data.transform, config, on_epoch, checkpoint)


@dataclass(frozen=True)
class _Finished:
    """The network and the last stage: as ``chosen`` on validation, and as ``final``, taught with validation too.

    ``raw`` is what the network says: of validation, the one that has not learnt from it.
    """

    model: GraphModel
    raw: dict[str, Raw]
    grown: Grown | None
    chosen: FinalStage
    final: FinalStage


def _finish(data: _Data, model: GraphModel, config: TrainConfig, progress: Progress) -> _Finished:
    """Grow trees beside the network, choose on validation how much each counts, calibrate."""
    predictor, known = Predictor(model, data.features, config.neighbors, data.transform), data.splits
    raw = {s: predictor.network(r.rows, r.times, r.seen_until, r.history)[0] for s, r in known.items() if s != "train"}
    val, kind, classes = known["val"], data.transform.task_type, len(data.transform.classes)
    if val.history is None:
        return _Finished(model, raw, None, FinalStage(), FinalStage())
    progress("growing trees")
    threads, learnt = torch.get_num_threads(), _tree_data(data, _with_pasts(data))
    grown = fit_trees(kind, classes, learnt, _tree_data(data, val), config.trees, config.seed, threads)
    trees = grown.trees if grown is not None else None
    chosen = choose_final(Validation(kind, raw["val"], val.history, _goal(data, val)), trees)
    return _Finished(model, raw, grown, chosen, chosen)


def _with_validation(
    task: Task, data: _Data, finished: _Finished, config: TrainConfig, epochs: int, progress: Progress
) -> _Finished:
    """Train what was chosen once more, from validation examples too: what happened last tells most of what is next."""
    progress("learning from validation too")
    later = data.splits["val"] if data.val_again is None else data.val_again
    if later.history is None and data.splits["train"].history is not None:
        later = replace(later, history=_pasts(data.features, later))
    final, kind, classes = finished.final, data.transform.task_type, len(data.transform.classes)
    if final.trees is not None and finished.grown is not None:
        again = _tree_data(data, _with_pasts(data)).plus(
            _tree_data(data, replace(later, history=_pasts(data.features, later)))
        )
        trees = regrow(finished.grown, kind, classes, again, config.trees, config.seed, torch.get_num_threads())
        final = replace(final, trees=trees)
    if final.share <= 0.0:
        return replace(finished, final=final)
    torch.manual_seed(config.seed)
    model = GraphModel(finished.model.config)
    known = later if kind is not TaskType.MULTICLASS_CLASSIFICATION else later.only(_goal(data, later) >= 0)
    fit_again(model, data.features, task, joined(data.splits["train"], known), data.transform, config, epochs)
    test = data.splits["test"]
    predictor = Predictor(model, data.features, config.neighbors, data.transform)
    raw = predictor.network(test.rows, test.times, test.seen_until, test.history)[0]
    return replace(finished, model=model, final=final, raw={**finished.raw, "test": raw})


def _judge(task: Task, data: _Data, finished: _Finished) -> Judged:
    """Score the model and its parts; on validation, those that have not learnt from it."""
    judged = Judged.of(task, data.splits, data.transform.classes, data.train_std)
    for split, stage in (("val", finished.chosen), ("test", finished.final)):
        raw, past = finished.raw[split], data.splits[split].history
        said = stage.apply(raw, past, data.transform.task_type)
        judged.add(MODEL, split, predictions_from(said, data.transform))
        if finished.grown is not None and past is not None:
            judged.add(NETWORK, split, predictions_from(raw, data.transform))
            judged.add(TREES, split, predictions_from((stage.trees or finished.grown.trees).raw(past), data.transform))
    return judged


def _previous(task: Task, snapshot: Snapshot, source: Source, data: _Data) -> dict[str, Previous]:
    """Read the labels that the examples which are judged had one window before."""
    until = to_micros(snapshot.as_of)
    return {s: task.previous(source, snapshot, data.splits[s].examples, until) for s in ("val", "test")}


def _judge_baselines(
    judged: Judged, task: Task, data: _Data, previous: dict[str, Previous], progress: Progress
) -> None:
    scale, splits = data.features.spec.scale, dict(data.splits)
    if scale is not None:
        splits["train"] = _with_pasts(data)
    held_against = BaselineData(task, splits, data.transform.classes, previous, scale.kinds if scale else ())
    for name, predictions in run_baselines(held_against, progress).items():
        for split, predicted in predictions.items():
            judged.add(name, split, predicted)


def _as_late_as_tests(tests: Micros, as_of: int, seed: int) -> Aging | None:
    """Where the data end before what is predicted, let every example see data that ended as long before it, at random.

    Only when test examples are asked about is used of them. None where the data reach to all of them.
    """
    late = np.maximum(tests - as_of, 0)
    if not late.any():
        return None

    def seen_until(split: str, times: Micros) -> Micros:
        if split == "test":
            return np.minimum(times, as_of)
        ages: Micros = np.random.default_rng((seed, len(split))).choice(late, len(times))
        return times - ages

    return seen_until


def _prepare(task: Task, snapshot: Snapshot, source: Source, config: TrainConfig, aging: Aging | None) -> _Data:
    labels = task.labels(source, snapshot)
    source.release()
    splits = {name: resolve_examples(snapshot, task, labels.split(name)) for name in _SPLITS}
    for name in ("train", "val"):
        if len(splits[name]) == 0:
            dropped = ", ".join(f"{n:,} {reason}" for reason, n in labels.dropped.items() if n) or "none were dropped"
            raise TaskError(
                f"Task '{task.name}' has no {name} examples ({dropped}). See `forekey sql {task.name}`; "
                "loosen WHERE, or choose another window."
            )
    val_again = None
    aging = aging or _as_late_as_tests(splits["test"].times, to_micros(snapshot.as_of), config.seed)
    if aging is not None:
        # To learn from, validation examples are seen as training examples are.
        val_again = replace(splits["val"], seen_until=aging("train", splits["val"].times))
        splits = {name: replace(r, seen_until=aging(name, r.times)) for name, r in splits.items()}
    transform = _transform(task, splits["train"])
    # Nothing newer than the newest training anchor may shape what the model is fed.
    cutoff = int(splits["train"].times.max())
    past = None
    if config.history and config.past_labels:
        moments = {int(t) for r in splits.values() for t in np.unique(r.times)}
        past = past_labels(task, source, snapshot, moments, transform.classes)
        past = past if past is not None and len(past.values) else None
    spec = fit_features(snapshot, cutoff, task.hidden, text_width(task))
    if config.history:
        entity, window = task.entity.name, task.window_days
        history = fit_history(snapshot, entity, cutoff, window, task.hidden, past_labels=past is not None)
        spec = replace(spec, history=history)
    data = _Data(
        labels,
        splits,
        transform,
        FeatureStore(snapshot, spec, past, cache=task.project.place("encoded")),
        cutoff,
        val_again,
    )
    return _describe_pasts(data) if config.history else data


def _describe_pasts(data: _Data) -> _Data:
    """Compute the pasts of all examples, of training examples as many as fit in memory, and how to scale them."""
    features, splits = data.features, dict(data.splits)
    for name in ("val", "test"):
        splits[name] = replace(splits[name], history=_pasts(features, splits[name]))
    described = replace(data, splits=splits)
    learnt = _with_pasts(described)
    assert learnt.history is not None
    features.learn_scale(learnt.history)
    if len(learnt) == len(splits["train"]):
        splits["train"] = learnt
    return described


def _with_pasts(data: _Data) -> Resolved:
    """Return the training examples with their pasts, or, of very many, a random part of them."""
    train = data.splits["train"]
    if train.history is not None:
        return train
    val = data.splits["val"].history
    width = val.shape[1] if val is not None else 1
    most = max(_MAX_PAST_NUMBERS // max(width, 1), 1)
    if len(train) > most:
        train = train.only(np.sort(np.random.default_rng(0).permutation(len(train))[:most]))
    return replace(train, history=_pasts(data.features, train))


def _pasts(features: FeatureStore, examples: Resolved) -> NDArray[np.float32] | None:
    return features.history(examples.rows, examples.times, examples.seen_until)


def _goal(data: _Data, examples: Resolved) -> NDArray[np.float64]:
    return targets(data.transform.task_type, examples, data.transform).numpy().astype(np.float64)


def _tree_data(data: _Data, examples: Resolved) -> TreeData:
    assert examples.history is not None
    return TreeData(examples.history, _goal(data, examples), examples.examples.weight)


def _explainer(data: _Data, finished: _Finished, config: TrainConfig) -> Explainer:
    return Explainer(Predictor(finished.model, data.features, config.neighbors, data.transform, finished.final))


def _explanation(data: _Data, explainer: Explainer, config: TrainConfig) -> dict[str, Any]:
    """Return how much predictions change on average when tables, columns, or all beyond a hop are taken away."""
    val = data.splits["val"]
    some = np.sort(np.random.default_rng(config.seed).permutation(len(val))[:_EXPLAINED])
    seen = val.seen_until[some] if val.seen_until is not None else None
    found = explainer.effects(val.rows[some], val.times[some], seen)
    return {kind: found.overall(kind) for kind in ("table", "column", "hop")}


def _importance(data: _Data, trees: Trees | None) -> dict[str, float]:
    """Return the numbers of the past that the trees gained most from, and their shares."""
    scale = data.features.spec.scale
    if trees is None or scale is None:
        return {}
    shares = trees.importance()
    return {scale.names[i]: round(float(shares[i]), 4) for i in np.argsort(-shares)[:30] if shares[i] > 0}


def _transform(task: Task, train: Resolved) -> OutputTransform:
    if task.task_type is TaskType.REGRESSION:
        scale = float(train.target.std())
        return OutputTransform(task.task_type, float(np.median(train.target)), scale if scale > 0 else 1.0)
    if task.task_type is TaskType.FORECASTING:
        scale, frames = float(train.target.std()), train.target.shape[1]
        return OutputTransform(task.task_type, float(np.median(train.target)), scale if scale > 0 else 1.0, (), frames)
    if task.task_type in {TaskType.MULTICLASS_CLASSIFICATION, TaskType.MULTILABEL_CLASSIFICATION}:
        several = task.task_type is TaskType.MULTILABEL_CLASSIFICATION
        counts = Counter(name for label in train.target for name in (label if several else (str(label),)))
        ordered = sorted(counts, key=lambda name: (-counts[name], name))
        if several and len(ordered) > _MAX_CLASSES:
            raise TaskError(
                f"The training labels of '{task.name}' hold {len(ordered):,} classes; CLASSIFY takes up to "
                f"{_MAX_CLASSES}. Use RANK TOP k to rank that many."
            )
        return OutputTransform(task.task_type, classes=tuple(ordered))
    return OutputTransform(task.task_type)


def _manifest(task: Task, snapshot: Snapshot, data: _Data, model: GraphModel, config: TrainConfig) -> dict[str, Any]:
    """Return the version's lineage: everything it was made from."""
    unknown = {name: r.unknown for name, r in data.splits.items()}
    return {
        **lineage(task, snapshot, config, data.labels, data.cutoff, unknown),
        "model": model.config.to_dict(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "output": data.transform.to_dict(),
        "train_std": data.train_std,
    }


def _save(model: GraphModel, final: FinalStage, plots: dict[str, Any], path: Path) -> None:
    torch.save(model.state_dict(), path)
    if final.trees is not None:
        final.trees.save(path.parent)
    (path.parent / "plots.json").write_text(json.dumps(plots), encoding="utf-8")
