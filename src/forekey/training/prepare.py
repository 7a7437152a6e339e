"""From gathered examples to what a pointwise model learns from: window features, chosen on training data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from forekey.features import EncodedTables, FeatureStore, WindowFeatures, fit_features, fit_windows
from forekey.nn import WindowScale
from forekey.objectives import PointwiseObjective
from forekey.progress import Listener
from forekey.training.evaluate import Resolved
from forekey.training.job import SPLITS, TrainJob
from forekey.training.lineage import text_width
from forekey.training.select import unused_features
from forekey.training.trees import TreeData

_MAX_NUMBERS = 100_000_000  # 400 MB: of more training examples, window features are computed batch by batch
_PART = 8_192


@dataclass(frozen=True)
class Data:
    """Everything that a model of one task is trained on and judged by.

    ``all_features`` counts the window features before those were left out that say nothing; ``val_again`` are the
    validation examples as they are learnt from, where data come late, ``scale`` that of the window features.
    """

    splits: dict[str, Resolved]
    objective: PointwiseObjective
    features: FeatureStore
    val_again: Resolved | None
    all_features: int
    scale: WindowScale | None = None

    def described_train(self) -> Resolved:
        """Return the training examples with their window features, or, of very many, a random part of them."""
        train = self.splits["train"]
        if train.window_features is not None:
            return train
        val = self.splits["val"].window_features
        width = val.shape[1] if val is not None else 1
        most = max(_MAX_NUMBERS // max(width, 1), 1)
        if len(train) > most:
            train = train.only(np.sort(np.random.default_rng(0).permutation(len(train))[:most]))
        return self.described(train)

    def described(self, examples: Resolved) -> Resolved:
        """Return examples with their window features."""
        return replace(examples, window_features=_compute(self.features, examples))

    def goal(self, examples: Resolved) -> NDArray[np.float64]:
        """Return the labels of examples in the form of raw outputs."""
        return self.objective.encode(examples.target)

    def tree_data(self, examples: Resolved) -> TreeData:
        """Return examples as trees take them."""
        assert examples.window_features is not None
        return TreeData(examples.window_features, self.goal(examples), examples.examples.weight)


def prepare(job: TrainJob, listener: Listener) -> Data:
    """Choose features, and compute the window features of the examples."""
    task, snapshot, config, objective = job.task, job.snapshot, job.config, job.objective
    assert isinstance(objective, PointwiseObjective)
    spec = fit_features(snapshot, job.cutoff, task.hidden, text_width(task))
    past, tables = job.past, EncodedTables(snapshot, spec.tables, task.project.place("encoded"))
    if not config.window_features:
        return Data(job.splits, objective, FeatureStore(snapshot, spec, past, tables), job.val_again, 0)
    listener.step("choosing window features")
    windows = fit_windows(
        snapshot, task.entity.name, job.cutoff, task.window_days, task.hidden, lagged_labels=past is not None
    )
    every = WindowFeatures(snapshot, windows, past)
    unused = unused_features(every, job.splits["train"], objective, config.seed)
    spec = replace(spec, windows=windows.without(unused, (past.classes or (None,)) if past is not None else ()))
    features = FeatureStore(snapshot, spec, past, tables)
    count = len(every.features)
    total = sum(len(r) for r in job.splits.values())
    listener.step(f"computing {len(features.features):,} of {count:,} window features for {total:,} examples")
    return _described(Data(job.splits, objective, features, job.val_again, count), listener)


def _described(data: Data, listener: Listener) -> Data:
    """Compute the window features of all examples, of training examples as many as fit in memory."""
    splits, features = dict(data.splits), data.features
    width = max(len(features.features), 1)
    names = [n for n in SPLITS if n != "train" or len(splits[n]) * width <= _MAX_NUMBERS]
    total = sum(len(splits[n]) for n in names)
    done = 0
    for name in names:
        window_features = _compute(features, splits[name], partial(_advance, listener, done, total))
        splits[name] = replace(splits[name], window_features=window_features)
        done += len(splits[name])
    found = replace(data, splits=splits)
    learnt = found.described_train()
    assert learnt.window_features is not None
    return replace(found, scale=WindowScale.fitted(learnt.window_features))


def _advance(listener: Listener, before: int, total: int, done: int) -> None:
    listener.advance(before + done, total)


def _compute(
    features: FeatureStore, examples: Resolved, done: Callable[[int], None] = lambda _: None
) -> NDArray[np.float32] | None:
    parts = []
    for place, seeds in examples.seeds.batches(_PART):
        part = features.window_features(seeds)
        if part is None:
            return None
        parts.append(part)
        done(place.stop)
    return np.concatenate(parts)
