"""What became of predictions: labels that the query itself produces once the window has passed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import Snapshot
from forekey.objectives import Metrics, Objective, Ranking, objective_from
from forekey.registry import ModelVersion
from forekey.source import Source
from forekey.store import LoggedBatch, PredictionLog
from forekey.task import Task


@dataclass(frozen=True, slots=True)
class RealizedQuality:
    """How good the predictions made at one time proved. ``expected`` are the test metrics of the same version."""

    task: str
    as_of: str
    model_version: str
    examples: int
    metrics: Metrics
    expected: Metrics


def realized_quality(
    task: Task, source: Source, snapshot: Snapshot, log: PredictionLog, versions: dict[str, ModelVersion]
) -> list[RealizedQuality]:
    """Score every logged batch whose window ``(as_of, as_of + horizon]`` the snapshot covers, oldest first."""
    found = []
    for batch in log.batches(task.name):
        anchor = datetime.fromisoformat(batch.as_of)
        end = task.labels.horizon_end(anchor)
        if (
            end is None
            or end == anchor
            or end > task.labels.known_until(snapshot)
            or batch.model_version not in versions
        ):
            continue
        scored = _score(task, source, snapshot, batch, anchor, versions[batch.model_version])
        if scored is not None:
            found.append(scored)
    return found


def _score(
    task: Task, source: Source, snapshot: Snapshot, batch: LoggedBatch, anchor: datetime, version: ModelVersion
) -> RealizedQuality | None:
    examples = task.labels.at(source, snapshot, [anchor])
    source.release()
    entity = task.entity.name  # labels and predictions may spell one key differently
    wanted, logged = (snapshot.numbers_of(entity, k) for k in (examples.keys, batch.rows.column("entity")))
    found = pc.index_in(pa.array(wanted), value_set=pa.array(logged))
    known = np.asarray(pc.is_valid(found))
    if not known.any():
        return None
    rows = batch.rows.take(found.drop_null())
    objective = objective_from(version.manifest.output)
    predicted, target = objective.predicts.from_columns(rows, objective.classes), examples.target[known]
    if isinstance(predicted, Ranking):
        metrics = _of_ranking(objective, predicted, target, task, snapshot, version.manifest.top or 0)
    else:
        metrics = objective.metrics(target, predicted.values)
    expected = version.manifest.metrics.get("test", {})
    return RealizedQuality(task.name, batch.as_of, batch.model_version, len(rows), metrics, expected)


def _of_ranking(
    objective: Objective, predicted: Ranking, target: NDArray[Any], task: Task, snapshot: Snapshot, top: int
) -> Metrics:
    """Score rankings by the numbers of their keys, which labels and predictions may spell differently."""
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
    return objective.metrics(wanted, items)
