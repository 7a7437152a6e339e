"""What the service holds open: the store, and models bound to the newest snapshot. Reloads itself when they change."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.errors import ModelError, SourceUnavailable, UnknownEntity, UnknownTask
from forekey.graph import Seeds, Snapshot, to_micros
from forekey.inference import AnyPredictor, chosen_classes, explain_entity, load_predictor, past_for
from forekey.registry import ModelVersion
from forekey.schema import DType, TableSchema, did_you_mean
from forekey.store import EmbeddingStore, EmbeddingVersion, KeyValueStore, Record
from forekey.task import Task, TaskType, define_task
from forekey.workspace import Workspace


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
        self.registry, self.snapshots = workspace.registry, workspace.snapshots
        self.embeddings = EmbeddingStore(store)
        self._lock = threading.Lock()  # guards what is held; never kept while computing
        self._binding = threading.Lock()  # one model is loaded at a time; those that are loaded answer meanwhile
        self._snapshot: Snapshot | None = None
        self._tasks: dict[tuple[str, str], Task] = {}
        self._predictors: dict[tuple[str, str, str], AnyPredictor] = {}
        self._populations: dict[tuple[str, str], NDArray[np.bool_]] = {}
        self._matrices: dict[str, tuple[str, list[str], NDArray[np.float32]]] = {}

    def snapshot(self) -> Snapshot:
        """Return the newest snapshot, opened once; :class:`SnapshotError` if there is none."""
        found = self.snapshot_or_none()
        return found if found is not None else self.snapshots.current()

    def snapshot_or_none(self) -> Snapshot | None:
        """Return the newest snapshot, opened once, or None if there never was one."""
        pointer = self.snapshots.folder / "current"
        newest = pointer.read_text().strip() if pointer.is_file() else ""
        with self._lock:
            if newest and (self._snapshot is None or self._snapshot.id != newest):
                self._snapshot = self.snapshots.current()
                self._predictors.clear()
                self._tasks.clear()
            return self._snapshot

    def task(self, name: str) -> Task:
        """Return a task of the project; :class:`UnknownTask` if there is none."""
        if name not in self.workspace.config.tasks:
            raise UnknownTask(f"There is no task '{name}'{did_you_mean(name, self.workspace.config.tasks)}.")
        snapshot = self.snapshot()
        key = (snapshot.id, name)
        if key not in self._tasks:
            self._tasks[key] = define_task(name, self.workspace, snapshot.schema)
        return self._tasks[key]

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
        entity = self.task(task).entity.name
        predictor, model_version, snapshot = self._predictor(task)
        now = to_micros(snapshot.as_of)
        row = int(snapshot.lookup(entity, [entity_id])[0])
        if not snapshot.presence(entity).of(np.array([row], np.int32), np.array([now]))[0]:
            return None
        found = explain_entity(predictor, row, now)
        return {**found, "model_version": model_version, "as_of": snapshot.as_of.isoformat()}

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
        keys = snapshot.keys(entity).take(pa.array(np.maximum(rows, 0).astype(np.int64))) if (rows >= 0).any() else rows
        return [keys[i].as_py() if row >= 0 else entity_ids[i] for i, row in enumerate(rows.tolist())]

    def _stored(self, task: str, entity_ids: Sequence[Any]) -> list[Answer | None]:
        version = self.version(task)
        records = self._records(task, version, entity_ids)
        items = self.task(task).items
        if items is not None:
            return [
                _ranked(
                    self.typed(task, i), [_typed(items, version.classes[p]) for p in _places(record.prediction)],
                    record.prediction, record.eligible, version.model_version, version.as_of, "stored",
                )
                if record is not None
                else None
                for i, record in zip(entity_ids, records, strict=True)
            ]  # fmt: skip
        return [
            None
            if record is None
            else _answer(
                self.typed(task, i), record.prediction, version.task_type, version.classes, record.eligible,
                version.model_version, version.as_of, "stored",
            )
            for i, record in zip(entity_ids, records, strict=True)
        ]  # fmt: skip

    def _online(self, task: str, entity_ids: Sequence[Any]) -> list[Answer | None]:
        entity = self.task(task).entity.name
        # The predictor's own snapshot, whatever is published meanwhile: row numbers mean nothing in another.
        predictor, model_version, snapshot = self._predictor(task)
        now = to_micros(snapshot.as_of)
        rows = snapshot.lookup(entity, entity_ids)
        known = snapshot.presence(entity).of(rows, np.full(len(rows), now))
        predictions, _ = predictor.predict(Seeds.at(entity, rows[known], now), embed=False)
        eligible = self._eligible(task, snapshot)
        flags = [None if eligible is None else bool(eligible[r]) for r in rows[known]]
        answers: list[Answer | None] = [None] * len(entity_ids)
        items = self.task(task).items
        for i, prediction, flag in zip(np.flatnonzero(known).tolist(), predictions, flags, strict=True):
            if items is not None:
                keys = snapshot.keys(items.name).take(pa.array(_places(prediction), pa.int64())).to_pylist()
                answers[i] = _ranked(
                    self.typed(task, entity_ids[i]), keys, prediction, flag, model_version, snapshot.as_of.isoformat(),
                    "online",
                )  # fmt: skip
                continue
            answers[i] = _answer(
                self.typed(task, entity_ids[i]), np.atleast_1d(prediction), str(predictor.transform.task_type),
                predictor.transform.classes, flag, model_version, snapshot.as_of.isoformat(), "online",
            )  # fmt: skip
        return answers

    def _eligible(self, task: str, snapshot: Snapshot) -> NDArray[np.bool_] | None:
        """Say of each row of the entity table whether the task's WHERE holds as of a snapshot.

        The database is asked once a snapshot; None if it does not answer, as predictions do not need it.
        """
        key = (task, snapshot.id)
        if key not in self._populations:
            own = self.task(task)
            size = snapshot.num_nodes(own.entity.name)
            try:
                with self.workspace.source() as source:
                    population = own.population(source, snapshot, snapshot.as_of)
            except SourceUnavailable:
                return None
            flags = np.ones(size, bool)
            if population is not None:
                flags = np.isin(np.arange(size), snapshot.lookup_keys(own.entity.name, population))
            self._populations = {k: v for k, v in self._populations.items() if k[0] != task} | {key: flags}
        return self._populations[key]

    def _predictor(self, task: str) -> tuple[AnyPredictor, str, Snapshot]:
        """Return the champion bound to the newest snapshot, its version, and that snapshot."""
        snapshot, champion = self.snapshot(), self.registry.champion(task)
        key = (task, champion.version, snapshot.id)
        predictor = self._predictors.get(key)
        if predictor is None:
            with self._binding:
                predictor = self._predictors.get(key) or self._bound(champion, task, snapshot)
                with self._lock:
                    self._predictors = {k: p for k, p in self._predictors.items() if k[0] != task} | {key: predictor}
        return predictor, champion.version, snapshot

    def _bound(self, champion: ModelVersion, task: str, snapshot: Snapshot) -> AnyPredictor:
        """Bind a model to a snapshot; the database is asked only for past labels that embedding did not leave here."""
        place, now = self.workspace.place("past"), [to_micros(snapshot.as_of)]
        past = past_for(champion, self.task(task), self.workspace.source, snapshot, now, place)
        return load_predictor(champion, snapshot, past, self.workspace.place("encoded"))

    def _matrix(self, version: EmbeddingVersion) -> tuple[list[str], NDArray[np.float32]]:
        """Return all keys and unit vectors of a version, read once."""
        held = self._matrices.get(version.task)
        if held is None or held[0] != version.version:
            pairs = list(self.embeddings.scan(version))
            matrix = np.stack([r.embedding for _, r in pairs])
            matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
            held = (version.version, [k for k, _ in pairs], matrix)
            with self._lock:
                self._matrices[version.task] = held
        return held[1], held[2]


def _typed(table: TableSchema, key: Any) -> Any:
    """Return a key as its column's type: a number for integer keys, else text."""
    integer = table.column(table.primary_key or "").dtype is DType.INTEGER
    text = str(key)
    return int(text) if integer and text.lstrip("-").isdigit() else text


def _places(prediction: NDArray[np.float64]) -> list[int]:
    """Return what stands for the items of a ranking, from the best on."""
    items = prediction[: len(prediction) // 2]
    places: list[int] = items[items >= 0].astype(np.int64).tolist()
    return places


def _ranked(
    entity_id: Any,
    keys: list[Any],
    prediction: NDArray[np.float64],
    eligible: bool | None,
    model_version: str,
    as_of: str,
    mode: str,
) -> Answer:
    scores = [float(s) for s in prediction[len(prediction) // 2 :][: len(keys)]]
    return Answer(entity_id, keys, None, eligible, model_version, as_of, mode, scores)


def _answer(
    entity_id: Any,
    prediction: NDArray[np.float64],
    task_type: str,
    classes: tuple[str, ...],
    eligible: bool | None,
    model_version: str,
    as_of: str,
    mode: str,
) -> Answer:
    if classes:
        shares = {name: float(p) for name, p in zip(classes, prediction, strict=True)}
        chosen = chosen_classes(prediction, TaskType(task_type), classes)
        return Answer(entity_id, chosen, shares, eligible, model_version, as_of, mode)
    value = [float(v) for v in prediction] if task_type == TaskType.FORECASTING else float(prediction[0])
    return Answer(entity_id, value, None, eligible, model_version, as_of, mode)
