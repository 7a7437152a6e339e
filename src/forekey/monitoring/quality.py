"""What became of predictions: labels that the query itself produces once the window has passed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph import Snapshot
from forekey.registry import ModelVersion
from forekey.source import Source
from forekey.store import LoggedBatch, PredictionLog
from forekey.task import Metrics, Task, TaskType, compute_metrics


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
        end = task.horizon_end(anchor)
        if end is None or end == anchor or end > task.known_until(snapshot) or batch.model_version not in versions:
            continue
        scored = _score(task, source, snapshot, batch, anchor, versions[batch.model_version])
        if scored is not None:
            found.append(scored)
    return found


def _padded(lists: list[list[Any]], top: int) -> NDArray[Any]:
    """Return rankings as text, ``[n, top] object``, None where they end early."""
    out = np.full((len(lists), top), None, object)
    for row, items in enumerate(lists):
        out[row, : len(items)] = [str(item) for item in items[:top]]
    return out


def _score(
    task: Task, source: Source, snapshot: Snapshot, batch: LoggedBatch, anchor: datetime, version: ModelVersion
) -> RealizedQuality | None:
    examples = task.labels_at(source, snapshot, [anchor])
    found = pc.index_in(examples.keys, value_set=batch.rows.column("entity").combine_chunks())
    known = np.asarray(pc.is_valid(found))
    if not known.any():
        return None
    rows = batch.rows.take(found.drop_null())
    classes = tuple(version.manifest["output"]["classes"])
    if classes:
        predicted = np.stack(rows.column("probabilities").to_pylist())
    elif task.task_type is TaskType.FORECASTING:
        predicted = np.stack(rows.column("prediction").to_pylist())
    elif task.task_type is TaskType.LINK_PREDICTION:
        predicted = _padded(rows.column("prediction").to_pylist(), int(version.manifest["top"]))
    else:
        predicted = rows.column("prediction").to_numpy()
    target = examples.target[known]
    if task.task_type is TaskType.LINK_PREDICTION:
        target[:] = [tuple(str(item) for item in items) for items in target]
    metrics = compute_metrics(
        task.task_type, target, predicted, classes=classes, train_std=version.manifest["train_std"]
    )
    expected = version.manifest["metrics"]["test"]
    return RealizedQuality(task.name, batch.as_of, batch.model_version, len(rows), metrics, expected)
