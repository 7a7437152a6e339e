"""What became of predictions: labels that the query itself makes once the window has passed, and an estimate before."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import Snapshot
from forekey.monitoring.estimate import Estimate, estimated
from forekey.objectives import Bootstrap, HeldOut, Metrics, Objective, Predictions, Ranking, objective_from
from forekey.registry import ModelVersion
from forekey.schema import Stype
from forekey.source import Source
from forekey.store import LoggedBatch, PredictionLog
from forekey.task import Task

_SEGMENTS, _SEGMENT_ROWS = 12, 50
"""Values of one column that are segments, and the labels that one needs."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The metric among entities of which ``column`` is ``value``."""

    column: str
    value: str
    n: int
    score: float | None


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the predictions of one model version as of one time (the ``anchor``) are, by the task's metric.

    ``realized`` lies between ``low`` and ``high`` (95 %, bootstrap over entities) and is None until the window has
    passed and late rows had their look-back; ``expected``, with its own interval, is what the test period promised;
    ``estimated`` is what the predictions themselves promise, before any label is known. ``baseline`` names the best one
    of training and ``baseline_score`` what it scored then. ``n`` counts labels once they are there, else predictions.
    ``calibration`` holds what was predicted and what happened, by tenths.
    """

    task: str
    version: str
    anchor: str
    n: int
    metric: str
    realized: float | None = None
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None
    estimated: float | None = None
    estimated_low: float | None = None
    estimated_high: float | None = None
    baseline: str | None = None
    baseline_score: float | None = None
    metrics: Metrics = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    calibration: dict[str, list[float]] | None = None
    unlabelled: int = 0
    """Predictions whose entity has no label, since the task is not about it or its label is undefined."""
    logged: int = 0
    """Lines of the log that the estimate is made of."""

    @property
    def is_final(self) -> bool:
        """Whether labels are in; the metric may be undefined all the same, such as AUROC with one class only."""
        return self.realized is not None or bool(self.metrics)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Quality:
        """Read what :meth:`to_dict` wrote; what this version does not know is left out."""
        known = {f.name for f in fields(cls)}
        segments = tuple(Segment(**s) for s in data.get("segments", ()))
        return cls(**{k: v for k, v in data.items() if k in known} | {"segments": segments})


@dataclass
class Scored:
    """The quality of all that was predicted for a task, and what is not scored: by reason, and what waits."""

    quality: list[Quality] = field(default_factory=list)
    waiting: int = 0
    unscorable: Counter[str] = field(default_factory=Counter)


def score_predictions(
    task: Task,
    source: Source,
    snapshot: Snapshot,
    log: PredictionLog,
    versions: dict[str, ModelVersion],
    known: dict[tuple[str, str], Quality],
) -> Scored:
    """Score what was predicted for a task, oldest first; ``known`` holds what was found before, by version and anchor.

    A prediction at ``anchor`` is about the events in ``(anchor, anchor + horizon]``. What is final stays as it is.
    """
    found = Scored()
    # What was scored stays known when its predictions have left the log.
    every = set(log.anchors(task.name)) | {(as_of, version) for (version, as_of), q in known.items() if q.is_final}
    for as_of, version in sorted(every):
        before = known.get((version, as_of))
        if before is not None and before.is_final:
            found.quality.append(before)
            found.unscorable["its entity has no label"] += before.unlabelled
            continue
        anchor = datetime.fromisoformat(as_of)
        why = _never(task, anchor, versions.get(version))
        if why is not None:
            found.unscorable[why] += log.count(task.name, as_of, version)
            continue
        over, lines = is_over(task, snapshot, anchor), log.count(task.name, as_of, version)
        if before is not None and before.logged == lines and not over:
            quality = before  # nothing came since: nothing is read
            found.waiting += before.n
        else:
            batch, model = log.at(task.name, as_of, version), versions[version]
            quality = replace(_promised(task, batch, model), logged=lines)
            if over:
                quality = _realized(quality, task, source, snapshot, batch, model)
                found.unscorable["its entity has no label"] += quality.unlabelled
            else:
                found.waiting += len(batch.rows)
        found.quality.append(quality)
    found.unscorable = +found.unscorable
    return found


def is_over(task: Task, snapshot: Snapshot, anchor: datetime) -> bool:
    """Whether the window of an anchor has passed, and so has the time that late rows of its tables may take."""
    end = task.labels.horizon_end(anchor)
    late = max((task.project.config.tables[t].lookback_days for t in _tables_of(task)), default=0.0)
    return end is not None and end + timedelta(days=late) <= task.labels.known_until(snapshot)


def _tables_of(task: Task) -> list[str]:
    return [t for t in task.labels.target_tables if t in task.project.config.tables]


def _never(task: Task, anchor: datetime, version: ModelVersion | None) -> str | None:
    """Say why predictions can never be scored; None if they can."""
    end = task.labels.horizon_end(anchor)
    if end is None or end == anchor:
        return "the task has no window that passes"
    if version is None:
        return "its model version is gone"
    if version.manifest.task_config != task.config.model_dump(mode="json"):
        return "the task has changed since"
    return None


def _promised(task: Task, batch: LoggedBatch, version: ModelVersion) -> Quality:
    """Return what is known of predictions before any label is."""
    facts, objective = version.manifest, objective_from(version.manifest.output)
    metric = objective.metric
    expected, interval = facts.metrics.get("test", {}).get(metric), facts.intervals.get("model", [None, None])
    best = (facts.comparison or {}).get("baseline")
    predicted = objective.predicts.from_columns(batch.rows, objective.classes)
    guess = estimated(objective, predicted, HeldOut.load(version.folder)) or Estimate(None, None, None)
    return Quality(
        task.name, version.version, batch.as_of, len(batch.rows), metric, expected=expected, expected_low=interval[0],
        expected_high=interval[1], estimated=guess.value, estimated_low=guess.low, estimated_high=guess.high,
        baseline=best, baseline_score=facts.baselines.get(best or "", {}).get("test", {}).get(metric),
    )  # fmt: skip


def _realized(
    quality: Quality, task: Task, source: Source, snapshot: Snapshot, batch: LoggedBatch, version: ModelVersion
) -> Quality:
    """Return the quality with the labels of its window; as it was where there is no label at all."""
    examples = task.labels.at(source, snapshot, [datetime.fromisoformat(batch.as_of)])
    source.release()
    entity = task.entity.name  # labels and predictions may spell one key differently, and predictions among themselves
    batch = replace(batch, rows=_readable(batch.rows, snapshot.keys(entity).type))
    wanted, logged = (snapshot.numbers_of(entity, k) for k in (examples.keys, batch.rows.column("entity")))
    logged, first = np.unique(logged, return_index=True)
    batch = replace(batch, rows=batch.rows.take(pa.array(first)))
    place = pc.index_in(pa.array(wanted), value_set=pa.array(logged))
    labelled = np.asarray(pc.is_valid(place))
    unlabelled = len(batch.rows) - int(labelled.sum())
    if not labelled.any():
        return replace(quality, unlabelled=unlabelled)
    rows, target = batch.rows.take(place.drop_null()), examples.target[labelled]
    objective = objective_from(version.manifest.output)
    predicted = objective.predicts.from_columns(rows, objective.classes)
    compared = _comparable(predicted, target, task, snapshot, version.manifest.top or 0)
    metrics = objective.metrics(*compared)
    draws = Bootstrap(objective, np.arange(len(target)), compared[0])
    low, high = draws.interval(draws.scores(compared[1])) or (None, None)
    keys = examples.keys.filter(pa.array(labelled))
    return replace(
        quality, n=len(rows), realized=metrics[objective.metric], low=low, high=high, metrics=metrics,
        segments=_segments(objective, compared, snapshot, entity, snapshot.lookup_keys(entity, keys)),
        calibration=objective.plots(*compared).get("calibration"), unlabelled=unlabelled,
    )  # fmt: skip


def _readable(rows: pa.Table, key: pa.DataType) -> pa.Table:
    """Return rows whose entities are keys of the table's type; those that cannot be are left out."""
    entities = rows.column("entity")
    if entities.type == key or pa.types.is_string(key) or pa.types.is_large_string(key):
        return rows
    try:
        return rows.set_column(rows.column_names.index("entity"), "entity", entities.cast(key))
    except pa.ArrowInvalid:
        good = [i for i, e in enumerate(entities.to_pylist()) if _casts(e, key)]
        return _readable(rows.take(pa.array(good, pa.int64())), key)


def _casts(value: Any, key: pa.DataType) -> bool:
    try:
        pa.array([value]).cast(key)
    except pa.ArrowInvalid:
        return False
    return True


def _segments(
    objective: Objective,
    compared: tuple[NDArray[Any], NDArray[Any]],
    snapshot: Snapshot,
    entity: str,
    rows: NDArray[np.int32],
) -> tuple[Segment, ...]:
    """Return the metric by each categorical column of the entity, where enough entities share a value."""
    found = []
    target, predicted = compared
    kinds = {Stype.CATEGORICAL, Stype.BOOLEAN}
    for column in snapshot.schema.table(entity).columns:
        if column.stype not in kinds or column.name in snapshot.schema.table(entity).keys:
            continue
        values = snapshot.rows(entity).column(column.name).take(pa.array(np.maximum(rows, 0))).cast(pa.string())
        texts = np.array(["NULL" if v is None else v for v in values.to_pylist()], object)
        names, times = np.unique(texts.astype(str), return_counts=True)
        for i in np.argsort(-times, kind="stable")[:_SEGMENTS]:
            own = (texts == names[i]) & (rows >= 0)
            if own.sum() >= _SEGMENT_ROWS:
                score = objective.metrics(target[own], predicted[own])[objective.metric]
                found.append(Segment(column.name, str(names[i])[:80], int(own.sum()), score))
    return tuple(found)


def _comparable(
    predicted: Predictions, target: NDArray[Any], task: Task, snapshot: Snapshot, top: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return labels and predictions as metrics take them; rankings by the numbers of their keys."""
    if not isinstance(predicted, Ranking):
        return target, predicted.values
    assert task.items is not None
    lists = [list(predicted.keys), [key for items in target for key in items]]
    found = [snapshot.numbers_of(task.items.name, pa.array(keys)) for keys in lists if keys]
    number = np.concatenate([np.zeros(0, np.int64), *found])
    _, number = np.unique(number, return_inverse=True)  # from 0 on, so that -1 is none of them
    items = np.full((len(target), top), -1)
    shown = predicted.items[:, :top]
    items[:, : shown.shape[1]] = np.where(shown >= 0, np.append(number, -1)[shown], -1)
    wanted, ends = np.empty(len(target), object), np.cumsum([len(predicted.keys), *map(len, target)])
    wanted[:] = [tuple(number[a:b].tolist()) for a, b in pairwise(ends.tolist())]
    return wanted, items
