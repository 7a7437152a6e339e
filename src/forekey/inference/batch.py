"""Predictions for everyone at one time: what is stored, exported and logged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.graph import to_micros, utc_now
from forekey.inference.output import OutputTransform, Predictions, chosen_classes
from forekey.inference.predictor import Predictor
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

    def table(self) -> pa.Table:
        """Return the eligible entities with columns ``entity``, ``as_of``, ``prediction`` and ``model_version``.

        For classes, ``prediction`` is the likeliest, or for sets a list of those that are likelier than not, and
        ``probabilities`` lists all in the model's order. For a forecast, ``prediction`` lists the timeframes.
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
        else:
            columns["prediction"] = pa.array(values, pa.float64())
        columns["model_version"] = pa.array([self.model.version] * len(chosen), pa.string())
        return pa.table(columns)

    def embedding_version(self) -> EmbeddingVersion:
        """Describe these embeddings as a new version for the store."""
        return EmbeddingVersion(
            task=self.task.name,
            version=new_version_name(self.model.version),
            model_version=self.model.version,
            as_of=self.as_of.isoformat(),
            created_at=utc_now().isoformat(),
            entities=len(self.keys),
            channels=int(self.embeddings.shape[1]),
            outputs=self.transform.outputs,
            task_type=str(self.task.task_type),
            classes=self.transform.classes,
        )


def predict_everyone(
    predictor: Predictor,
    model: ModelVersion,
    task: Task,
    population: pa.ChunkedArray | None,
    as_of: datetime,
    workspace: Path,
) -> BatchPredictions:
    """Predict every visible entity layer by layer; ``population`` holds the keys that the task speaks of, None all."""
    snapshot = predictor.features.snapshot
    predictions, embeddings = predictor.predict_all(to_micros(as_of), workspace)
    eligible = np.ones(len(embeddings), bool)
    if population is not None:
        eligible = np.isin(np.arange(len(embeddings)), snapshot.lookup_keys(task.entity.name, population))
    keys = snapshot.keys(task.entity.name).slice(0, len(embeddings)).to_pylist()
    return BatchPredictions(task, model, as_of, keys, predictions, embeddings, eligible, predictor.transform)
