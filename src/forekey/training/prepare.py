"""From a task to what a model learns from: labels, examples by split, features chosen on training data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from forekey.errors import TaskError
from forekey.features import FeatureStore, HistoryFeatures, fit_features, fit_history
from forekey.graph import Micros, Snapshot, to_micros
from forekey.inference import OutputTransform
from forekey.progress import Listener
from forekey.source import Source
from forekey.task import LabelTable, PastLabels, Task, TaskType, past_labels
from forekey.training.config import TrainConfig
from forekey.training.evaluate import Resolved, resolve_examples
from forekey.training.lineage import text_width
from forekey.training.loop import targets
from forekey.training.select import unused_features
from forekey.training.trees import TreeData

Aging = Callable[[str, Micros], Micros]
"""Given a split and the times of its examples, up to when each sees the graph."""

SPLITS = ("train", "val", "test")
_MAX_CLASSES = 1000
_MAX_NUMBERS = 100_000_000  # 400 MB: of more training examples, window features are computed batch by batch
_PART = 8_192


@dataclass(frozen=True)
class Data:
    """Everything that a model of one task is trained on and judged by.

    ``all_features`` counts the window features before those were left out that say nothing; ``val_again`` are the
    validation examples as they are learnt from, where data come late.
    """

    labels: LabelTable
    splits: dict[str, Resolved]
    transform: OutputTransform
    features: FeatureStore
    cutoff: int
    val_again: Resolved | None = None
    all_features: int = 0
    sampled: tuple[str, ...] = ()
    """What was drawn of how many, for a model that learns from some examples only."""

    @property
    def task_type(self) -> TaskType:
        """Return the kind of the task."""
        return self.transform.task_type

    @property
    def train_std(self) -> float | None:
        """Return the spread of training labels that are numbers."""
        return float(self.splits["train"].target.std()) if self.task_type is TaskType.REGRESSION else None

    def described_train(self) -> Resolved:
        """Return the training examples with their window features, or, of very many, a random part of them."""
        train = self.splits["train"]
        if train.history is not None:
            return train
        val = self.splits["val"].history
        width = val.shape[1] if val is not None else 1
        most = max(_MAX_NUMBERS // max(width, 1), 1)
        if len(train) > most:
            train = train.only(np.sort(np.random.default_rng(0).permutation(len(train))[:most]))
        return self.described(train)

    def described(self, examples: Resolved) -> Resolved:
        """Return examples with their window features."""
        return replace(examples, history=_compute(self.features, examples))

    def goal(self, examples: Resolved) -> NDArray[np.float64]:
        """Return the labels of examples in the form of raw outputs."""
        return targets(self.task_type, examples, self.transform).numpy().astype(np.float64)

    def tree_data(self, examples: Resolved) -> TreeData:
        """Return examples as trees take them."""
        assert examples.history is not None
        return TreeData(examples.history, self.goal(examples), examples.examples.weight)


def prepare(
    task: Task, snapshot: Snapshot, source: Source, config: TrainConfig, aging: Aging | None, listener: Listener
) -> Data:
    """Make labels, choose features, and compute the window features of the examples."""
    labels = task.labels(source, snapshot)
    source.release()
    splits = _examples(task, snapshot, labels)
    splits, sampled = some_examples(splits, config)
    val_again = None
    aging = aging or _as_late_as_tests(splits["test"].times, to_micros(snapshot.as_of), config.seed)
    if aging is not None:
        # To learn from, validation examples are seen as training examples are.
        val_again = splits["val"].seen_by(aging("train", splits["val"].times))
        splits = {name: r.seen_by(aging(name, r.times)) for name, r in splits.items()}
    transform = _transform(task, splits["train"])
    # Nothing newer than the newest training anchor may shape what the model is fed.
    cutoff = int(splits["train"].times.max())
    past = _lagged_labels(task, source, snapshot, splits, transform) if config.history and config.past_labels else None
    spec = fit_features(snapshot, cutoff, task.hidden, text_width(task))
    cache = task.project.place("encoded")
    if not config.history:
        return Data(labels, splits, transform, FeatureStore(snapshot, spec, past, cache=cache), cutoff, val_again)
    listener.step("choosing window features")
    history = fit_history(
        snapshot, task.entity.name, cutoff, task.window_days, task.hidden, past_labels=past is not None
    )
    every = HistoryFeatures(snapshot, history, past)
    unused = unused_features(every, splits["train"], transform, config.seed)
    spec = replace(spec, history=history.without(unused, (past.classes or (None,)) if past is not None else ()))
    features = FeatureStore(snapshot, spec, past, cache=cache)
    count = len(every.features)
    data = Data(labels, splits, transform, features, cutoff, val_again, count, sampled)
    total = sum(len(r) for r in splits.values())
    listener.step(f"computing {len(features.features):,} of {count:,} window features for {total:,} examples")
    return _described(data, listener)


def _examples(task: Task, snapshot: Snapshot, labels: LabelTable) -> dict[str, Resolved]:
    splits = {name: resolve_examples(snapshot, task, labels.split(name)) for name in SPLITS}
    for name in ("train", "val"):
        if len(splits[name]) == 0:
            dropped = ", ".join(f"{n:,} {reason}" for reason, n in labels.dropped.items() if n) or "none were dropped"
            raise TaskError(
                f"Task '{task.name}' has no {name} examples ({dropped}). See `forekey sql {task.name}`; "
                "loosen WHERE, or choose another window."
            )
    return splits


def some_examples(splits: dict[str, Resolved], config: TrainConfig) -> tuple[dict[str, Resolved], tuple[str, ...]]:
    """Draw at most ``config.max_examples`` training examples, and 20,000 to choose on and to judge by."""
    if config.max_examples is None:
        return splits, ()
    kept, said = {}, []
    for name, examples in splits.items():
        most = config.max_examples if name == "train" else min(config.max_examples, 20_000)
        if len(examples) > most:
            chosen = np.sort(np.random.default_rng((config.seed, len(name))).permutation(len(examples))[:most])
            said.append(f"{most:,} of {len(examples):,} {name} examples were drawn at random.")
            examples = examples.only(chosen)
        kept[name] = examples
    return kept, tuple(said)


def _lagged_labels(
    task: Task, source: Source, snapshot: Snapshot, splits: dict[str, Resolved], transform: OutputTransform
) -> PastLabels | None:
    moments = {int(t) for r in splits.values() for t in np.unique(r.times)}
    past = past_labels(task, source, snapshot, moments, transform.classes)
    return past if past is not None and len(past.values) else None


def _described(data: Data, listener: Listener) -> Data:
    """Compute the window features of all examples, of training examples as many as fit in memory."""
    splits, features = dict(data.splits), data.features
    width = max(len(features.features), 1)
    names = [n for n in SPLITS if n != "train" or len(splits[n]) * width <= _MAX_NUMBERS]
    total = sum(len(splits[n]) for n in names)
    done = 0
    for name in names:
        history = _compute(features, splits[name], partial(_advance, listener, done, total))
        splits[name] = replace(splits[name], history=history)
        done += len(splits[name])
    found = replace(data, splits=splits)
    learnt = found.described_train()
    assert learnt.history is not None
    features.learn_scale(learnt.history)
    return found


def _advance(listener: Listener, before: int, total: int, done: int) -> None:
    listener.advance(before + done, total)


def _compute(
    features: FeatureStore, examples: Resolved, done: Callable[[int], None] = lambda _: None
) -> NDArray[np.float32] | None:
    parts = []
    for place, seeds in examples.seeds.batches(_PART):
        part = features.history(seeds)
        if part is None:
            return None
        parts.append(part)
        done(place.stop)
    return np.concatenate(parts)


def _as_late_as_tests(tests: Micros, as_of: int, seed: int) -> Aging | None:
    """Where the data end before what is predicted, let every example see data that ended as long before it, at random.

    Only when test examples are asked about is used of them. None where the data reach to all of them.
    """
    late = np.maximum(tests - as_of, 0)
    if not late.any():
        return None

    def cutoffs(split: str, times: Micros) -> Micros:
        if split == "test":
            return np.full(len(times), as_of, np.int64)
        ages: Micros = np.random.default_rng((seed, len(split))).choice(late, len(times))
        return times - ages

    return cutoffs


def _transform(task: Task, train: Resolved) -> OutputTransform:
    if task.task_type in {TaskType.REGRESSION, TaskType.FORECASTING}:
        scale, least = float(train.target.std()), float(train.target.min())
        frames = train.target.shape[1] if train.target.ndim == 2 else 1
        return OutputTransform(
            task.task_type,
            float(np.median(train.target)),
            scale if scale > 0 else 1.0,
            frames=frames,
            least=least if least >= 0.0 else None,
        )
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
