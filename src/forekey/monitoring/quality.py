"""What became of predictions: labels that the query itself produces once the window has passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
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


def _numbered(snapshot: Snapshot, task: Task, items: Sequence[Any]) -> list[Any]:
    """Return the numbers of items of a ranking, whichever way their keys are spelled."""
    if task.items is None or len(items) == 0:
        return list(items)
    return snapshot.numbers_of(task.items.name, pa.array(items)).tolist()  # type: ignore[no-any-return]


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
    source.release()
    entity = task.entity.name  # labels and predictions may spell one key differently
    wanted, logged = (snapshot.numbers_of(entity, k) for k in (examples.keys, batch.rows.column("entity")))
    found = pc.index_in(pa.array(wanted), value_set=pa.array(logged))
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
        said = [_numbered(snapshot, task, items) for items in rows.column("prediction").to_pylist()]
        predicted = _padded(said, int(version.manifest["top"]))
    else:
        predicted = rows.column("prediction").to_numpy()
    target = examples.target[known]
    if task.task_type is TaskType.LINK_PREDICTION:
        target[:] = [tuple(map(str, _numbered(snapshot, task, items))) for items in target]
    metrics = compute_metrics(
        task.task_type, target, predicted, classes=classes, train_std=version.manifest["train_std"]
    )
    expected = version.manifest["metrics"]["test"]
    return RealizedQuality(task.name, batch.as_of, batch.model_version, len(rows), metrics, expected)
