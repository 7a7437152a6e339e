"""Embeddings and predictions of every entity of a task, in versions; readers see one whole version at a time.

A version is written under keys of its own, then one pointer is switched to it. The newest version of each of the last
models stays, so that going back to one of them is a switch of the pointer.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from forekey.errors import StoreError
from forekey.objectives import Predictions, objective_of
from forekey.store.protocol import KeyValueStore

_LONGEST_KEY = 256
_ABANDONED_SECONDS = 3600.0
_FORMAT = 2
"""Of a record; it changes when what lies there is read differently."""
KEPT_MODELS = 3
"""Of how many models the newest embeddings stay stored."""


@dataclass(frozen=True, slots=True)
class EmbeddingVersion:
    """What one version holds: whose, from which model, as of when (ISO, UTC), and the shape of a record."""

    task: str
    version: str
    model_version: str
    as_of: str
    created_at: str
    entities: int
    channels: int
    outputs: int
    task_type: str
    classes: tuple[str, ...]
    """The names of classes; of a ranking, the keys of the items that predictions refer to by their place here."""
    kind: str = "network"
    """What the vectors are of: a network, or trees."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return how a prediction lies in a record."""
        return objective_of(self.task_type).predicts.dtype(self.outputs)

    def predictions(self, records: Sequence[Record], names: Sequence[Any] | None = None) -> Predictions:
        """Return the predictions of some records; ``names`` replaces :attr:`classes`, such as by keys of their type."""
        packed = np.array([r.packed for r in records], self.dtype)
        return objective_of(self.task_type).predicts.unpack(packed, self.classes if names is None else names)


@dataclass(frozen=True, slots=True)
class Record:
    """One entity: its prediction (see :meth:`EmbeddingVersion.predictions`) and ``embedding [channels] float32``.

    ``eligible`` is whether the task is about this entity at that time (it passed WHERE).
    """

    packed: np.void
    embedding: NDArray[np.float32]
    eligible: bool


class EmbeddingStore:
    """Typed access to the embeddings in a key-value store."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self._read: dict[str, EmbeddingVersion] = {}

    def publish(
        self,
        version: EmbeddingVersion,
        keys: Sequence[Any],
        predictions: Predictions,
        embeddings: NDArray[np.float32],
        eligible: NDArray[np.bool_],
    ) -> None:
        """Write all records of a version, then make it the current one; then drop what nobody reads any more.

        While records are written the version is marked as begun, so that what a killed process leaves is found: a
        mark that is older than an hour is swept up with its records. Another process may publish at the same time.
        """
        mark = _begun_key(version.task, version.version)
        self._store.put_many([(mark, repr(time.time()).encode())])
        self._store.put_many(_records(version, keys, predictions.pack(), embeddings, eligible))
        self._store.put_many(
            [(_meta_key(version.task, version.version), orjson.dumps({"format": _FORMAT, **asdict(version)}))]
        )
        before = self._store.get(_pointer_key(version.task))
        self._store.put_many([(_pointer_key(version.task), version.version.encode())])
        self._store.delete_prefix(mark)
        self._drop_others(version.task, {version.version, before.decode() if before else ""})

    def switch(self, task: str, model_version: str) -> EmbeddingVersion | None:
        """Make the newest stored version of a model the one that readers take; None if nothing of it is stored."""
        found = [v for v in self._finished(task) if v.model_version == model_version]
        if not found:
            return None
        newest = max(found, key=lambda v: v.created_at)
        self._store.put_many([(_pointer_key(task), newest.version.encode())])
        return newest

    def current(self, task: str) -> EmbeddingVersion | None:
        """Return the version that readers should take, or None if the task was never embedded."""
        pointer = self._store.get(_pointer_key(task))
        held = self._read.get(task)
        if held is not None and pointer == held.version.encode():
            return held  # a version never changes, and that of a ranking names many items
        meta = self._store.get(_meta_key(task, pointer.decode())) if pointer is not None else None
        if meta is None:
            return None
        found = _version(meta, task)
        self._read[task] = found
        return found

    def get_many(self, version: EmbeddingVersion, keys: Sequence[Any]) -> list[Record | None]:
        """Return the record of each entity, or None for one that was not there."""
        found = self._store.get_many([_record_key(version, k) for k in keys])
        return [None if value is None else _unpack(value, version) for value in found]

    def scan(self, version: EmbeddingVersion) -> Iterator[tuple[str, Record]]:
        """Return every entity's key (as text) and record. Keys longer than 256 bytes come as their hash."""
        prefix = _record_prefix(version.task, version.version)
        for key, value in self._store.scan(prefix):
            yield key[len(prefix) :].decode(), _unpack(value, version)

    def _drop_others(self, task: str, keep: set[str]) -> None:
        begun = {k: float(v) for k, v in self._names_under(_begun_key(task, ""))}
        finished = [name for name, _ in self._names_under(_meta_key(task, "")) if name not in begun]
        newest: dict[str, str] = {}
        # Of versions of one second, those that readers have are the newest: a server walks its keys in no order.
        for version in sorted(self._finished(task), key=lambda v: (v.created_at, v.version in keep, v.version)):
            newest.pop(version.model_version, None)
            newest[version.model_version] = version.version
        keep = keep | set(list(newest.values())[-KEPT_MODELS:])
        abandoned = [name for name, since in begun.items() if time.time() - since > _ABANDONED_SECONDS]
        for name in {*finished, *abandoned} - keep:
            for prefix in (_record_prefix(task, name), _meta_key(task, name), _begun_key(task, name)):
                self._store.delete_prefix(prefix)

    def _finished(self, task: str) -> list[EmbeddingVersion]:
        """Return all versions that were written to their end."""
        begun = {name for name, _ in self._names_under(_begun_key(task, ""))}
        metas = [v for name, v in self._names_under(_meta_key(task, "")) if name not in begun]
        return [_version(v, task) for v in metas if _is_readable(v)]

    def _names_under(self, prefix: bytes) -> list[tuple[str, bytes]]:
        return [(key[len(prefix) :].decode(), value) for key, value in self._store.scan(prefix)]


def _is_readable(meta: bytes) -> bool:
    """Whether a version is of this format: one that is not is dropped like any that is old."""
    try:
        return bool(orjson.loads(meta).get("format") == _FORMAT)
    except (orjson.JSONDecodeError, AttributeError):
        return False


def _version(meta: bytes, task: str) -> EmbeddingVersion:
    try:
        data = orjson.loads(meta)
        if data.pop("format", 1) != _FORMAT:
            raise StoreError(
                f"What is stored for '{task}' was written by another version of Forekey. Run `forekey embed {task}`."
            )
        return EmbeddingVersion(**{**data, "classes": tuple(data["classes"])})
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise StoreError(f"The store's entry for '{task}' is damaged. Run `forekey embed {task}`.") from error


def new_version_name(model_version: str) -> str:
    """Return a name for a new embedding version of a model version."""
    return f"{model_version}-{os.urandom(4).hex()}"


def _records(
    version: EmbeddingVersion,
    keys: Sequence[Any],
    packed: NDArray[Any],
    embeddings: NDArray[np.float32],
    eligible: NDArray[np.bool_],
) -> Iterable[tuple[bytes, bytes]]:
    for i, key in enumerate(keys):
        flag = b"\x01" if eligible[i] else b"\x00"
        yield _record_key(version, key), flag + packed[i].tobytes() + embeddings[i].tobytes()


def _unpack(value: bytes, version: EmbeddingVersion) -> Record:
    kind = version.dtype
    packed = np.frombuffer(value, kind, 1, 1)[0]
    return Record(packed, np.frombuffer(value, np.float32, offset=1 + kind.itemsize), value[:1] == b"\x01")


def _record_key(version: EmbeddingVersion, key: Any) -> bytes:
    name = str(key).encode()
    if len(name) > _LONGEST_KEY:
        name = b"#" + hashlib.blake2b(name, digest_size=32).hexdigest().encode()
    return _record_prefix(version.task, version.version) + name


def _record_prefix(task: str, version: str) -> bytes:
    return f"record/{task}/{version}/".encode()


def _meta_key(task: str, version: str) -> bytes:
    return f"meta/{task}/{version}".encode()


def _begun_key(task: str, version: str) -> bytes:
    return f"begun/{task}/{version}".encode()


def _pointer_key(task: str) -> bytes:
    return f"current/{task}".encode()
