"""What a training run needs from the database, gathered before it begins; no connection is open from then on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.errors import TaskError
from forekey.graph import Micros, Snapshot, to_micros
from forekey.objectives import Objective
from forekey.source import Source
from forekey.task import LabelTable, LaggedLabels, Task, lagged_labels
from forekey.training.config import TrainConfig
from forekey.training.evaluate import Resolved, resolve_examples

SPLITS = ("train", "val", "test")

SimulatedDelay = Callable[[str, Micros], Micros]
"""Given a split and the times of its examples, up to when each may see the graph."""

Previous = tuple[NDArray[np.int64], NDArray[Any]]
"""For each example, the place of its own previous label among labels (-1: it has none), and those labels."""


@dataclass(frozen=True)
class TrainJob:
    """A training run with everything it reads, so that any process can run it (:func:`forekey.training.run`).

    ``splits`` are examples as of their cutoffs; ``val_again`` are the validation examples as they are learnt from at
    the end, where data come late. ``past`` are the labels that entities had before, ``previous`` those one window
    before each example that is judged. ``sampled`` says what was drawn of how many.
    """

    task: Task
    snapshot: Snapshot
    config: TrainConfig
    labels: LabelTable
    splits: dict[str, Resolved]
    objective: Objective
    val_again: Resolved | None = None
    past: LaggedLabels | None = None
    previous: dict[str, Previous] | None = None
    sampled: tuple[str, ...] = ()
    minutes: float | None = None
    seconds: float = 0.0
    """How long gathering took."""

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(examples):,} {name}" for name, examples in self.splits.items())
        return f"TrainJob({self.task.name!r}, {counts}, preset {self.config.preset})"

    @property
    def cutoff(self) -> int:
        """Return the newest training time (microseconds): nothing newer may shape what a model is fed."""
        return int(self.splits["train"].times.max())


def gather(
    task: Task,
    snapshot: Snapshot,
    source: Source,
    config: TrainConfig,
    *,
    baselines: bool = True,
    delay: SimulatedDelay | None = None,
    minutes: float | None = None,
) -> TrainJob:
    """Make or read the labels of a task, find their entities, and gather earlier labels; then let the source go.

    ``delay`` says up to when each example may see the graph, where data come late or end before what is predicted.
    ``minutes`` is how long the whole run may take. Without ``baselines``, none are scored.
    """
    started = time.perf_counter()
    if task.kind.ranks_items and task.items is None:
        raise TaskError(
            f"Task '{task.name}' ranks values of a column, and only rows of a table can be ranked. "
            "List a foreign key, or ask with CLASSIFY instead of RANK."
        )
    labels = task.labels.make(source, snapshot)
    source.release()
    splits, sampled = some_examples(_examples(task, snapshot, labels), config)
    objective = _objective(task, splits["train"])
    known = splits
    delay = delay or late_as_tests(splits, to_micros(snapshot.as_of), config.seed, by_moment=task.kind.ranks_items)
    val_again = None
    if delay is not None:
        # To learn from, validation examples are seen as training examples are.
        val_again = splits["val"].seen_by(delay("train", splits["val"].times))
        splits = {name: r.seen_by(delay(name, r.times)) for name, r in splits.items()}
    job = TrainJob(task, snapshot, config, labels, splits, objective, val_again, sampled=sampled, minutes=minutes)
    if config.window_features and config.lagged_labels and not task.kind.ranks_items:
        job = replace(job, past=_past_labels(task, source, snapshot, splits, objective))
    if baselines:
        job = replace(job, previous=_previous(task, source, snapshot, known))
    source.release()
    return replace(job, seconds=time.perf_counter() - started)


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


def _objective(task: Task, train: Resolved) -> Objective:
    """Fit what the task asks for on training labels."""
    try:
        return task.kind.fit(train.target)
    except TaskError as error:
        raise TaskError(f"Task '{task.name}' cannot be learnt. {error}") from error


def late_as_tests(splits: dict[str, Resolved], as_of: int, seed: int, *, by_moment: bool) -> SimulatedDelay | None:
    """Where the data end before what is predicted, let every example see data that ended as long before it, at random.

    Only when test examples are asked about is used of them. None where the data reach to all of them. With
    ``by_moment``, examples of one time see the graph alike.
    """
    tests = np.unique(splits["test"].times) if by_moment else splits["test"].times
    late = np.maximum(tests - as_of, 0)
    if not late.any():
        return None

    def cutoffs(split: str, times: Micros) -> Micros:
        if split == "test":
            return np.full(len(times), as_of, np.int64)
        moments, which = np.unique(times, return_inverse=True) if by_moment else (times, np.arange(len(times)))
        delays = np.random.default_rng((seed, len(split))).choice(late, len(moments))
        seen: Micros = (moments - delays)[which]
        return seen

    return cutoffs


def _past_labels(
    task: Task, source: Source, snapshot: Snapshot, splits: dict[str, Resolved], objective: Objective
) -> LaggedLabels | None:
    moments = {int(t) for r in splits.values() for t in np.unique(r.times)}
    past = lagged_labels(task, source, snapshot, moments, objective)
    return past if past is not None and len(past.values) else None


def _previous(task: Task, source: Source, snapshot: Snapshot, splits: dict[str, Resolved]) -> dict[str, Previous]:
    """Read the labels one window before each example that is judged; rankings have baselines of their own."""
    if task.kind.ranks_items:
        return {}
    until = to_micros(snapshot.as_of)
    return {s: task.labels.previous(source, snapshot, splits[s].examples, until) for s in ("val", "test")}
