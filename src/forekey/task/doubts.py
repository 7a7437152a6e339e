"""What is doubtful about the labels of a task: splits whose labels are all alike, or far from those of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forekey.objectives import objective_of
from forekey.project import TableConfig, TimeConfig
from forekey.task.labels import SPLITS, Examples, LabelTable

if TYPE_CHECKING:
    from forekey.task.task import Task

_ENOUGH = 30
"""Labels that a split needs for its own to be judged."""
_NEARLY = 0.001
_DAYS_OF = {"year": 360, "month": 28}
_FEW = 5
_SOMETHING = "Something differs between those times; see whether all data reach over both."


def task_doubts(task: Task, labels: LabelTable) -> list[str]:
    """Say what is doubtful about the labels of a task: its window, splits without examples, and their labels."""
    empty = [f"{name} has no examples." for name in SPLITS if len(labels.table) and not len(labels.split(name))]
    return [*_short_windows(task), *empty, *label_doubts(labels)]


def label_doubts(labels: LabelTable) -> list[str]:
    """Say which splits have labels all (or nearly all) alike, and which lie far from the training labels."""
    kind, splits = objective_of(labels.task_type), {name: labels.split(name) for name in SPLITS}
    enough = {name: s for name, s in splits.items() if len(s) >= _ENOUGH}
    found = [said for name, s in enough.items() if (said := _alike(name, s)) is not None]
    same = [name for name, s in enough.items() if _alike(name, s) is not None]
    for name in ("val", "test"):
        if name in enough and "train" in enough and not {name, "train"} <= set(same):
            far = kind.difference(enough["train"].target, enough[name].target)
            found += [f"The labels of {name} are far from those of train: {far}. {_SOMETHING}"] if far else []
    return found


def _short_windows(task: Task) -> list[str]:
    """Name the tables whose rows have times of whole years or months only, of which a label covers less than one."""
    if task.bound is None or task.bound.is_static:
        return []
    found = []
    for name in task.labels.target_tables:
        time = _time_of(task.project.config.tables, name)
        if time is not None and task.window_days < _DAYS_OF.get(time.period, 0):
            found.append(
                f"A label covers less than a {time.period}, but rows of {name} are dated to the {time.end} of a "
                f"{time.period} ({', '.join(time.columns)}): in most windows there can be none. "
                f"Choose a window of a {time.period} or more, or state a finer time_column in forekey.yaml."
            )
    return found


def _time_of(tables: Mapping[str, TableConfig], name: str) -> TimeConfig | None:
    """Return how the time of a table is written, be it that of the row that its rows are parts of."""
    for _ in tables:
        entry = tables.get(name)
        if entry is None or entry.time_from is None:
            return entry.time if entry is not None else None
        foreign = entry.foreign_keys.get(entry.time_from)
        name = foreign.table if foreign is not None else ""
    return None


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
