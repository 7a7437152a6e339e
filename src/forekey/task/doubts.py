"""What is doubtful about the labels of a task: splits whose labels are all alike, or far from those of others."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.query import TaskType
from forekey.task.labels import SPLITS, Examples, LabelTable

_ENOUGH = 30
"""Labels that a split needs for its own to be judged."""
_NEARLY = 0.001
_FEW = 5
_LARGE = 0.8
"""A large effect by Cohen (1988): of d between means, of h between shares."""
_APART = 0.5
"""The share of labels that would have to change for two splits to have the same classes."""


def label_doubts(labels: LabelTable) -> list[str]:
    """Say which splits have labels all (or nearly all) alike, and which lie far from the training labels."""
    splits = {name: labels.split(name) for name in SPLITS}
    enough = {name: s for name, s in splits.items() if len(s) >= _ENOUGH}
    found = [said for name, s in enough.items() if (said := _alike(name, s)) is not None]
    same = [name for name, s in enough.items() if _alike(name, s) is not None]
    for name in ("val", "test"):
        if name in enough and "train" in enough and not {name, "train"} <= set(same):
            far = _far(labels.task_type, name, enough["train"], enough[name])
            found += [far] if far is not None else []
    return found


def _alike(name: str, examples: Examples) -> str | None:
    """Say whether nearly all labels of a split are one."""
    label, most = _commonest(examples.target)
    others = len(examples) - most
    if others == 0:
        return f"Every label of {name} is {label}: there is nothing to learn or to judge there."
    if others <= min(_FEW, _NEARLY * len(examples)):
        return f"All labels of {name} but {others} are {label}: there is next to nothing to learn or to judge there."
    return None


def _commonest(target: NDArray[Any]) -> tuple[str, int]:
    """Return the label that most examples have, and how many do."""
    if target.dtype == object:
        plain = (v if isinstance(v, str) else tuple(v) for v in target.tolist())
        value, most = Counter(plain).most_common(1)[0]
        return (", ".join(map(str, value)) or "empty") if isinstance(value, tuple) else str(value), most
    values, counts = np.unique(target, return_counts=True, axis=0)
    value, most = values[counts.argmax()], int(counts.max())
    return ", ".join(f"{v:g}" for v in np.atleast_1d(value)), most


def _far(task_type: TaskType, name: str, train: Examples, other: Examples) -> str | None:
    """Say whether the labels of a split are far from the training labels."""
    doubt = "Something differs between those times; see whether all data reach over both."
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        shares = [Counter(s.target.tolist()) for s in (train, other)]
        classes = {c for counts in shares for c in counts}
        apart = sum(abs(shares[0][c] / len(train) - shares[1][c] / len(other)) for c in classes) / 2
        return f"The classes of {name} are not those of train: {apart:.0%} differ. {doubt}" if apart > _APART else None
    one, two = _numbers(task_type, train), _numbers(task_type, other)
    means = float(one.mean()), float(two.mean())
    if task_type is TaskType.BINARY_CLASSIFICATION:
        effect = 2 * abs(np.arcsin(np.sqrt(means[0])) - np.arcsin(np.sqrt(means[1])))
    else:
        spread = float(np.sqrt((one.var() + two.var()) / 2))
        effect = abs(means[0] - means[1]) / spread if spread > 0 else 0.0
    if effect <= _LARGE:
        return None
    return f"The labels of {name} are far from those of train: mean {means[1]:.3g} against {means[0]:.3g}. {doubt}"


def _numbers(task_type: TaskType, examples: Examples) -> NDArray[np.float64]:
    """Return a number per label: its mean over frames, or how many classes or items it holds."""
    if task_type in {TaskType.MULTILABEL_CLASSIFICATION, TaskType.LINK_PREDICTION}:
        return np.array([len(v) for v in examples.target], np.float64)
    values = np.asarray(examples.target, np.float64)
    return values.mean(axis=1) if values.ndim > 1 else values
