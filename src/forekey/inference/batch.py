"""Predictions for everyone at one time: what is stored, exported and logged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.graph import to_micros
from forekey.inference.load import AnyPredictor
from forekey.inference.output import OutputTransform, Predictions, chosen_classes
from forekey.notebooks import as_table
from forekey.registry import ModelVersion
from forekey.store import EmbeddingVersion, new_version_name
from forekey.task import Task, TaskType


@dataclass(frozen=True)
class BatchPredictions:
    """Every entity that existed at ``as_of``, in the order of the graph.

    ``eligible [n] bool`` marks those that the task speaks of (they pass WHERE); ``embeddings [n, channels] float32``.
    """

    task: Task
    model: ModelVersion
    as_of: datetime
    keys: list[Any]
    predictions: Predictions
    embeddings: NDArray[np.float32]
    eligible: NDArray[np.bool_]
    transform: OutputTransform
    item_keys: pa.ChunkedArray | None = None
    """Of a ranking: the primary key of each row of the items' table."""

    def __repr__(self) -> str:
        of = f"{int(self.eligible.sum()):,} of {len(self.keys):,} {self.task.entity.name}"
        return f"BatchPredictions({self.model.name}, {of}, as of {self.as_of.isoformat(' ', 'seconds')})"

    def _repr_html_(self) -> str:
        first = self.table().slice(0, 10)
        names = first.column_names
        return as_table(names, ([row[n] for n in names] for row in first.to_pylist()), repr(self))

    def table(self) -> pa.Table:
        """Return the eligible entities with columns ``entity``, ``as_of``, ``prediction`` and ``model_version``.

        For classes, ``prediction`` is the likeliest, or for sets a list of those that are likelier than not, and
        ``probabilities`` lists all in the model's order. For a forecast, ``prediction`` lists the timeframes; of a
        ranking, the keys of the items from the best on, and ``scores`` what each scored.
        """
        chosen = np.flatnonzero(self.eligible)
        entity = pa.array(self.keys).take(pa.array(chosen))
        columns: dict[str, Any] = {
            "entity": entity,
            "as_of": pa.array([self.as_of] * len(chosen), pa.timestamp("us")),
        }
        values = self.predictions[chosen]
        kind, classes = self.task.task_type, self.transform.classes
        if classes:
            several = kind is TaskType.MULTILABEL_CLASSIFICATION
            names = [chosen_classes(row, kind, classes) for row in values]
            columns["prediction"] = pa.array(names, pa.list_(pa.string()) if several else pa.string())
            columns["probabilities"] = pa.array(list(values), pa.list_(pa.float64()))
        elif kind is TaskType.FORECASTING:
            columns["prediction"] = pa.array(list(values), pa.list_(pa.float64()))
        elif self.item_keys is not None:
            columns |= self._ranked(values)
        else:
            columns["prediction"] = pa.array(values, pa.float64())
        columns["model_version"] = pa.array([self.model.version] * len(chosen), pa.string())
        return pa.table(columns)

    def _ranked(self, values: Predictions) -> dict[str, pa.Array]:
        rows, scores = np.hsplit(values, 2)
        there = rows >= 0
        assert self.item_keys is not None
        keys = self.item_keys.take(pa.array(rows[there].astype(np.int64))).combine_chunks()
        ends = pa.array(np.concatenate([[0], np.cumsum(there.sum(axis=1))]), pa.int32())
        return {
            "prediction": pa.ListArray.from_arrays(ends, keys),
            "scores": pa.ListArray.from_arrays(ends, pa.array(scores[there])),
        }

    def stored(self) -> Predictions:
        """Return the predictions as the store keeps them: items by their place in :attr:`named`."""
        if self.item_keys is None:
            return self.predictions
        rows, scores = np.hsplit(self.predictions, 2)
        place = np.searchsorted(self._ranked_rows, rows)
        return np.concatenate([np.where(rows >= 0, place, -1.0), scores], axis=1)

    @property
    def named(self) -> tuple[str, ...]:
        """Return the classes; of a ranking, the keys, as text, of the items that stand in any of them."""
        if self.item_keys is None:
            return self.transform.classes
        keys = self.item_keys.take(pa.array(self._ranked_rows.astype(np.int64)))
        return tuple(str(k) for k in keys.to_pylist())

    @cached_property
    def _ranked_rows(self) -> NDArray[np.float64]:
        rows = np.unique(np.hsplit(self.predictions, 2)[0])
        return rows[rows >= 0]

    def embedding_version(self, now: datetime) -> EmbeddingVersion:
        """Describe these embeddings as a new version for the store, made ``now``."""
        return EmbeddingVersion(
            task=self.task.name,
            version=new_version_name(self.model.version),
            model_version=self.model.version,
            as_of=self.as_of.isoformat(),
            created_at=now.isoformat(),
            entities=len(self.keys),
            channels=int(self.embeddings.shape[1]),
            outputs=self.transform.outputs,
            task_type=str(self.task.task_type),
            classes=self.named,
            kind=self.model.manifest.get("embedding", "network"),
        )


def predict_everyone(
    predictor: AnyPredictor,
    model: ModelVersion,
    task: Task,
    population: pa.ChunkedArray | None,
    as_of: datetime,
    workspace: Path,
) -> BatchPredictions:
    """Predict every visible entity layer by layer; ``population`` holds the keys that the task speaks of, None all."""
    snapshot = predictor.features.view
    predictions, embeddings = predictor.predict_all(to_micros(as_of), workspace)
    eligible = np.ones(len(embeddings), bool)
    if population is not None:
        eligible = np.isin(np.arange(len(embeddings)), snapshot.lookup_keys(task.entity.name, population))
    keys = snapshot.keys(task.entity.name).slice(0, len(embeddings)).to_pylist()
    items = snapshot.keys(task.items.name) if task.items is not None else None
    return BatchPredictions(task, model, as_of, keys, predictions, embeddings, eligible, predictor.transform, items)
