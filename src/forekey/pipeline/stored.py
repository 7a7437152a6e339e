"""What embedding stored, read back instead of computed again; and what is served when the champion changes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from forekey.workspace import Workspace

if TYPE_CHECKING:
    from forekey.graph import Snapshot
    from forekey.inference import BatchPredictions
    from forekey.registry import ModelVersion
    from forekey.store import EmbeddingVersion
    from forekey.task import Task


def stored_batch(
    workspace: Workspace, task: Task, model: ModelVersion, current: Snapshot, as_of: datetime | None
) -> BatchPredictions | None:
    """Return the predictions that are stored of this model, as of this time, on this snapshot; None if there are none.

    A query about some entities or a ranking is computed: the store holds neither's answer as such.
    """
    from forekey.graph import in_utc
    from forekey.inference import BatchPredictions
    from forekey.store import EmbeddingStore

    moment = in_utc(as_of) if as_of is not None else current.as_of
    asks_of_some = task.bound is not None and task.bound.query.ids is not None
    if moment != current.as_of or task.items is not None or asks_of_some:
        return None
    with workspace.store() as opened:
        store = EmbeddingStore(opened)
        version = store.current(task.name)
        if version is None or not _fits(version, model, current):
            return None
        keys = current.keys(task.entity.name).slice(0, version.entities).to_pylist()
        records = [record for record in store.get_many(version, keys) if record is not None]
    if len(records) < version.entities:
        return None
    embeddings = np.stack([r.embedding for r in records]) if records else np.zeros((0, version.channels), np.float32)
    eligible = np.array([r.eligible for r in records], bool)
    return BatchPredictions(task, model, moment, keys, version.predictions(records), embeddings, eligible)


def _fits(version: EmbeddingVersion, model: ModelVersion, current: Snapshot) -> bool:
    """Whether a stored version is of a model and a snapshot, and not of one before it with the same time."""
    same = (version.model_version, version.as_of) == (model.version, current.as_of.isoformat())
    return same and version.created_at >= current.manifest.created_at


def change_champion(workspace: Workspace, task: str, promote: str | None) -> EmbeddingVersion | None:
    """Promote a version, or roll back to the champion before; serve at once what is stored of it, if anything is."""
    from forekey.store import EmbeddingStore

    models = workspace.registry
    with workspace.store() as opened:  # first: where the store does not answer, nothing changes
        if promote is not None:
            models.promote(task, promote, "promoted by hand")
        else:
            models.rollback(task)
        return EmbeddingStore(opened).switch(task, models.champion(task).version)
