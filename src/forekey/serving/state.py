"""What requests are answered from: the store, and models bound to the newest snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.errors import ModelError, UnknownEntity, UnknownTask
from forekey.graph import Seeds, Snapshot, take_values
from forekey.inference import drivers_in_words, explain_entity
from forekey.objectives import Predictions, Reply
from forekey.schema import DType, TableSchema, did_you_mean
from forekey.serving.engine import Engine
from forekey.serving.recorder import Answered, Recorder
from forekey.stages import measured, stage
from forekey.store import EmbeddingStore, EmbeddingVersion, KeyValueStore, Record
from forekey.task import Task, define_task
from forekey.workspace import Workspace

_DRIVERS = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """The prediction for one entity: a number or a class, several for a forecast, a set of classes or a ranking.

    Of a ranking, ``prediction`` lists items from the best on, and ``scores`` what each scored. ``mode`` says whether it
    was looked up or computed now.
    """

    entity_id: Any
    prediction: float | str | list[Any]
    probabilities: dict[str, float] | None
    eligible: bool | None
    model_version: str
    as_of: str
    mode: str
    scores: list[float] | None = None


class ServingState:
    """Answers requests. Safe to use from several threads."""

    def __init__(self, workspace: Workspace, store: KeyValueStore) -> None:
        self.workspace = workspace
        self.registry = workspace.registry
        self.engine = Engine(workspace)
        self.recorder = Recorder(workspace.predictions)
        self.count_answer: Callable[[str, str, dict[str, float]], None] = lambda task, mode, took: None
        self.store, self.embeddings = store, EmbeddingStore(store)
        self._tasks: dict[tuple[str, str], Task] = {}
        self._item_keys: dict[str, tuple[str, tuple[Any, ...]]] = {}
        self._matrices: dict[str, tuple[str, list[str], NDArray[np.float32]]] = {}

    def snapshot(self) -> Snapshot:
        """Return the newest snapshot, opened once; :class:`SnapshotError` if there is none."""
        return self.engine.snapshot()

    def snapshot_or_none(self) -> Snapshot | None:
        """Return the newest snapshot, opened once, or None if there never was one."""
        return self.engine.snapshot_or_none()

    def task(self, name: str) -> Task:
        """Return a task of the project; :class:`UnknownTask` if there is none."""
        if name not in self.workspace.config.tasks:
            raise UnknownTask(f"There is no task '{name}'{did_you_mean(name, self.workspace.config.tasks)}.")
        snapshot = self.snapshot()
        held = self._tasks.get((snapshot.id, name))
        if held is None:
            held = define_task(name, self.workspace, snapshot.schema)
            self._tasks = {k: t for k, t in self._tasks.items() if k[0] == snapshot.id} | {(snapshot.id, name): held}
        return held

    def version(self, task: str) -> EmbeddingVersion:
        """Return what is stored for a task now; :class:`ModelError` if it was never embedded."""
        self.task(task)
        version = self.embeddings.current(task)
        if version is None:
            raise ModelError(
                f"Task '{task}' has no embeddings yet. Run `forekey train {task}` and `forekey embed {task}`."
            )
        return version

    def predict(self, task: str, entity_ids: Sequence[Any], mode: str) -> list[Answer | None]:
        """Answer for each entity; None for one that does not exist. ``auto`` computes what is not stored."""
        with measured() as took, stage("total"):
            answers = self._predict(task, entity_ids, mode)
        self.count_answer(task, mode, took)
        return answers

    def _predict(self, task: str, entity_ids: Sequence[Any], mode: str) -> list[Answer | None]:
        if mode == "online":
            return self._online(task, entity_ids)
        answers = self._stored(task, entity_ids)
        missing = [i for i, a in enumerate(answers) if a is None]
        if mode == "auto" and missing:
            for i, answer in zip(missing, self._online(task, [entity_ids[i] for i in missing]), strict=True):
                answers[i] = answer
        return answers

    def embedding(self, task: str, entity_id: Any) -> tuple[EmbeddingVersion, NDArray[np.float32]]:
        """Return the stored vector of an entity."""
        version = self.version(task)
        record = self._records(task, version, [entity_id])[0]
        if record is None:
            raise UnknownEntity(f"No entity '{entity_id}' is stored for task '{task}'.")
        return version, record.embedding

    def similar(self, task: str, entity_id: Any, k: int) -> tuple[EmbeddingVersion, list[tuple[str, float]]]:
        """Return the ``k`` entities with the most similar embeddings (cosine), nearest first, exactly."""
        version, own = self.embedding(task, entity_id)
        keys, matrix = self._matrix(version)
        scores = matrix @ (own / max(float(np.linalg.norm(own)), 1e-12))
        itself = {str(entity_id), str(self._own_keys(task, [entity_id])[0])}
        order = [i for i in np.argsort(-scores, kind="stable")[: k + 1] if keys[i] not in itself][:k]
        return version, [(keys[i], float(scores[i])) for i in order]

    def explain(self, task: str, entity_id: Any) -> dict[str, Any] | None:
        """Say what drives the prediction for an entity as computed now; None for one that does not exist."""
        self.task(task)
        bound = self.engine.bound(task)
        entity, now = bound.task.entity.name, bound.now
        row = int(bound.snapshot.lookup(entity, [entity_id])[0])
        if not bound.snapshot.presence(entity).of(np.array([row], np.int32), np.array([now]))[0]:
            return None
        found = explain_entity(bound.predictor, row, now)
        return {**found, "model_version": bound.key.model_version, "as_of": bound.snapshot.as_of.isoformat()}

    def look_up(self, task: str, entity_id: Any) -> Answer | None:
        """Return what is stored for an entity, for people to look at: it is not logged as served."""
        version = self.version(task)
        return self._looked_up(task, version, [entity_id])[0][0]

    def drivers(self, task: str, entity_id: Any) -> list[dict[str, Any]]:
        """Return what drives the prediction for an entity as computed now, in words, the strongest first."""
        self.task(task)
        bound = self.engine.bound(task)
        row = int(bound.snapshot.lookup(bound.task.entity.name, [entity_id])[0])
        return drivers_in_words(bound.predictor, [row], bound.now, _DRIVERS)[0] if row >= 0 else []

    def typed(self, task: str, entity_id: Any) -> Any:
        """Return an id as its key's type: a number for integer keys, else text."""
        return _typed(self.task(task).entity, entity_id)

    def _records(self, task: str, version: EmbeddingVersion, entity_ids: Sequence[Any]) -> list[Record | None]:
        """Return what is stored for ids, also for those that are another spelling of a key."""
        found = self.embeddings.get_many(version, entity_ids)
        missing = [i for i, record in enumerate(found) if record is None]
        own = self._own_keys(task, [entity_ids[i] for i in missing])
        for i, record in zip(missing, self.embeddings.get_many(version, own), strict=True):
            found[i] = record
        return found

    def _own_keys(self, task: str, entity_ids: Sequence[Any]) -> list[Any]:
        """Return ids as the database spells them; one that no row has stays as it is."""
        if not entity_ids:
            return []
        entity, snapshot = self.task(task).entity.name, self.snapshot()
        rows = snapshot.lookup(entity, entity_ids)
        found = take_values(snapshot.keys(entity), rows[rows >= 0]).to_pylist()
        keys = iter(found)
        return [next(keys) if row >= 0 else entity_ids[i] for i, row in enumerate(rows.tolist())]

    def _stored(self, task: str, entity_ids: Sequence[Any]) -> list[Answer | None]:
        version = self.version(task)
        answers, keys, predictions = self._looked_up(task, version, entity_ids)
        self.recorder.record(Answered(task, version.model_version, version.as_of, "stored", keys, predictions))
        return answers

    def _looked_up(
        self, task: str, version: EmbeddingVersion, entity_ids: Sequence[Any]
    ) -> tuple[list[Answer | None], list[Any], Predictions]:
        """Return an answer for each entity that is stored, and the keys and predictions of those that are."""
        with stage("look up"):
            records = self._records(task, version, entity_ids)
        known = [r for r in records if r is not None]
        predictions = version.predictions(known, self._names(task, version))
        answers: list[Answer | None] = [None] * len(records)
        keys = []
        for row, i in enumerate(i for i, record in enumerate(records) if record is not None):
            own, reply = self.typed(task, entity_ids[i]), predictions.reply(row)
            answers[i] = _answer(own, reply, known[row].eligible, version.model_version, version.as_of, "stored")
            keys.append(own)
        return answers, keys, predictions

    def _names(self, task: str, version: EmbeddingVersion) -> tuple[Any, ...]:
        """Return what stored predictions refer to: classes, or items by their keys, typed once a version."""
        items = self.task(task).items
        if items is None:
            return version.classes
        held = self._item_keys.get(task)
        if held is None or held[0] != version.version:
            held = (version.version, tuple(_typed(items, key) for key in version.classes))
            self._item_keys[task] = held
        return held[1]

    def _online(self, task: str, entity_ids: Sequence[Any]) -> list[Answer | None]:
        self.task(task)
        # The bound model's own snapshot, whatever is published meanwhile: row numbers mean nothing in another.
        bound = self.engine.bound(task)
        entity, now, as_of = bound.task.entity.name, bound.now, bound.snapshot.as_of.isoformat()
        with stage("look up"):
            rows = bound.snapshot.lookup(entity, entity_ids)
        known = bound.snapshot.presence(entity).of(rows, np.full(len(rows), now))
        predictions, _ = bound.predictor.predict(Seeds.at(entity, rows[known], now), embed=False)
        answers: list[Answer | None] = [None] * len(entity_ids)
        keys = []
        for at, i in enumerate(np.flatnonzero(known).tolist()):
            eligible = None if bound.eligible is None else bool(bound.eligible[rows[i]])
            own = _typed(bound.task.entity, entity_ids[i])
            answers[i] = _answer(own, predictions.reply(at), eligible, bound.key.model_version, as_of, "online")
            keys.append(own)
        self.recorder.record(Answered(task, bound.key.model_version, as_of, "online", keys, predictions))
        return answers

    def _matrix(self, version: EmbeddingVersion) -> tuple[list[str], NDArray[np.float32]]:
        """Return all keys and unit vectors of a version, read once."""
        held = self._matrices.get(version.task)
        if held is None or held[0] != version.version:
            pairs = list(self.embeddings.scan(version))
            matrix = np.stack([r.embedding for _, r in pairs])
            matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
            held = (version.version, [k for k, _ in pairs], matrix)
            self._matrices[version.task] = held
        return held[1], held[2]


def _typed(table: TableSchema, key: Any) -> Any:
    """Return a key as its column's type: a number for integer keys, else text."""
    integer = table.column(table.primary_key or "").dtype is DType.INTEGER
    text = str(key)
    return int(text) if integer and text.lstrip("-").isdigit() else text


def _answer(entity_id: Any, reply: Reply, eligible: bool | None, model_version: str, as_of: str, mode: str) -> Answer:
    return Answer(entity_id, reply.prediction, reply.probabilities, eligible, model_version, as_of, mode, reply.scores)
