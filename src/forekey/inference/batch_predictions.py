"""Predictions for everyone at one time: what is stored, exported and logged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.graph import to_micros
from forekey.inference.trained_model import AnyPredictor
from forekey.notebooks import as_table
from forekey.objectives import Predictions
from forekey.registry import ModelVersion
from forekey.store import EmbeddingVersion, new_version_name
from forekey.task import Task


@dataclass(frozen=True)
class BatchPredictions:
    """Every entity that existed at ``as_of``, in the order of the graph.

    ``eligible [n] bool`` marks those that the task is about (they pass WHERE); ``embeddings [n, channels] float32``.
    """

    task: Task
    model: ModelVersion
    as_of: datetime
    keys: list[Any]
    predictions: Predictions
    embeddings: NDArray[np.float32]
    eligible: NDArray[np.bool_]

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
        columns |= self.predictions.take(chosen).columns()
        columns["model_version"] = pa.array([self.model.version] * len(chosen), pa.string())
        return pa.table(columns)

    def embedding_version(self, stored: Predictions, now: datetime) -> EmbeddingVersion:
        """Describe these embeddings and the ``stored`` predictions as a new version for the store, made ``now``."""
        return EmbeddingVersion(
            task=self.task.name,
            version=new_version_name(self.model.version),
            model_version=self.model.version,
            as_of=self.as_of.isoformat(),
            created_at=now.isoformat(),
            entities=len(self.keys),
            channels=int(self.embeddings.shape[1]),
            outputs=stored.width,
            task_type=str(self.task.task_type),
            classes=stored.names,
            kind=self.model.manifest.embedding,
        )


def predict_everyone(
    predictor: AnyPredictor,
    model: ModelVersion,
    task: Task,
    population: pa.ChunkedArray | None,
    as_of: datetime,
    workspace: Path,
) -> BatchPredictions:
    """Predict every visible entity layer by layer; ``population`` holds the keys that the task is about, None all."""
    snapshot = predictor.features.view
    predictions, embeddings = predictor.predict_all(to_micros(as_of), workspace)
    eligible = np.ones(len(embeddings), bool)
    if population is not None:
        eligible = np.isin(np.arange(len(embeddings)), snapshot.lookup_keys(task.entity.name, population))
    keys = snapshot.keys(task.entity.name).slice(0, len(embeddings)).to_pylist()
    return BatchPredictions(task, model, as_of, keys, predictions, embeddings, eligible)
