"""Models bound to the newest snapshot, ready to predict; the next one is made ready beside the one that answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from forekey.errors import ForekeyError, SourceUnavailable
from forekey.graph import Seeds, Snapshot, to_micros
from forekey.inference import AnyPredictor, lagged_labels_for, load_predictor
from forekey.task import Task, define_task
from forekey.workspace import Workspace

_TRY_AGAIN_SECONDS = 30.0
"""After what failed beside the answers: a model that cannot be loaded, a database that does not answer."""
_log = logging.getLogger("forekey.serving")


class Key(NamedTuple):
    """Which model on which snapshot."""

    model_version: str
    snapshot: str


@dataclass
class Bound:
    """A model on a snapshot. Row numbers, labels and times are that snapshot's, whatever is published meanwhile."""

    key: Key
    predictor: AnyPredictor
    task: Task
    snapshot: Snapshot
    eligible: NDArray[np.bool_] | None = None
    """Of each row of the entity table, whether the task's WHERE holds; None while the database does not answer."""
    asked_at: float = 0.0

    @property
    def now(self) -> int:
        """Return the time of predictions: the snapshot's, in microseconds."""
        return to_micros(self.snapshot.as_of)


class Engine:
    """Holds one bound model a task, and swaps in the next one once that is ready. Safe to use from several threads.

    No lock is held while a model predicts. Binding one takes a lock of its task alone.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()  # guards the dictionaries; never kept while anything is read or computed
        self._opening = threading.Lock()
        self._binding: dict[str, threading.Lock] = {}
        self._bound: dict[str, Bound] = {}
        self._earlier: dict[str, Bound] = {}
        self._snapshot: Snapshot | None = None
        self._beside = ThreadPoolExecutor(1, "forekey-warming")
        self._coming: dict[str, Future[None]] = {}
        self._tried: dict[str, tuple[Key, float]] = {}
        self._closed = False
        self._warmed = threading.Event()
        self._warmed.set()

    def snapshot_or_none(self) -> Snapshot | None:
        """Return the newest snapshot, opened once, or None if there never was one."""
        newest = self._workspace.snapshots.newest_id()
        held = self._snapshot
        if (held is not None and held.id == newest) or not newest:
            return held
        with self._opening:
            if self._snapshot is None or self._snapshot.id != newest:
                self._snapshot = self._workspace.snapshots.current()
            return self._snapshot

    def snapshot(self) -> Snapshot:
        """Return the newest snapshot; :class:`SnapshotError` if there is none."""
        found = self.snapshot_or_none()
        return found if found is not None else self._workspace.snapshots.current()

    def bound(self, task: str) -> Bound:
        """Return the model that answers for a task now; :class:`ModelError` if the task was never trained.

        Where a newer snapshot or another champion is there, it is made ready beside, and answers from then on. A
        champion that answered before takes over at once.
        """
        held = self._bound.get(task)
        key = Key(self._workspace.registry.champion_name(task), self.snapshot().id)
        if held is None:
            return self._bind(task, key)
        if held.key != key:
            held = self._next(task, held, key)
        if held.eligible is None and time.monotonic() - held.asked_at > _TRY_AGAIN_SECONDS:
            held.asked_at = time.monotonic()
            self._do_beside(task, lambda: self._ask_who(held))
        return held

    def warm(self) -> None:
        """Make the champions of all tasks ready, in a thread of its own; :attr:`is_warm` says when that is done."""
        self._warmed.clear()
        self._beside.submit(self._warm_all)

    @property
    def is_warm(self) -> bool:
        """Whether what :meth:`warm` began is done."""
        return self._warmed.is_set()

    def settle(self) -> None:
        """Wait until what is being made ready answers."""
        self._warmed.wait()
        for coming in list(self._coming.values()):
            coming.result()

    def close(self) -> None:
        """Stop making anything ready; what is bound goes on to answer."""
        self._closed = True
        self._beside.shutdown(cancel_futures=True)

    def _do_beside(self, task: str, step: Callable[[], None]) -> None:
        """Do something of a task in the thread of its own, one thing at a time."""
        with self._lock:
            coming = self._coming.get(task)
            if not self._closed and (coming is None or coming.done()):
                self._coming[task] = self._beside.submit(step)

    def _warm_all(self) -> None:
        try:
            for task in self._workspace.config.tasks:
                self._quietly(task)
        finally:
            self._warmed.set()

    def _quietly(self, task: str) -> None:
        """Bind the newest. What fails is logged, and tried again after a while; until then the model in use goes on."""
        try:
            if not self._workspace.registry.history(task):
                return  # it was never trained
            key = Key(self._workspace.registry.champion_name(task), self.snapshot().id)
            self._tried[task] = key, time.monotonic()
            self._bind(task, key)
        except ForekeyError as error:
            _log.warning("%s is not ready: %s", task, error)

    def _next(self, task: str, held: Bound, key: Key) -> Bound:
        """Return what answers while another is asked for."""
        with self._lock:
            earlier = self._earlier.get(task)
            if earlier is not None and earlier.key == key:
                self._bound[task], self._earlier[task] = earlier, held
                return earlier
            tried, when = self._tried.get(task, (None, 0.0))
        if tried != key or time.monotonic() - when > _TRY_AGAIN_SECONDS:
            self._do_beside(task, lambda: self._quietly(task))
        return held

    def _bind(self, task: str, key: Key) -> Bound:
        """Load a model, predict once with it so that everything it needs is loaded, and let it answer from then on."""
        with self._lock:
            own = self._binding.setdefault(task, threading.Lock())
        with own:
            held = self._bound.get(task)
            if held is not None and held.key == key:
                return held
            made = self._made(task, key)
            with self._lock:
                self._earlier.pop(task, None)
                if held is not None and held.key.snapshot == made.key.snapshot:
                    self._earlier[task] = held  # of another snapshot, it never answers again
                self._bound[task] = made
            return made

    def _made(self, name: str, key: Key) -> Bound:
        workspace, snapshot = self._workspace, self.snapshot()
        task = define_task(name, workspace, snapshot.schema)
        version = workspace.registry.get(name, key.model_version)
        # The database is asked only for past labels that embedding did not leave here.
        past = lagged_labels_for(
            version, task, workspace.source, snapshot, [to_micros(snapshot.as_of)], workspace.place("past")
        )
        predictor = load_predictor(version, snapshot, past, workspace.place("encoded"))
        made = Bound(Key(key.model_version, snapshot.id), predictor, task, snapshot)
        predictor.prepare()
        if snapshot.num_nodes(task.entity.name):
            predictor.predict(Seeds.at(task.entity.name, np.zeros(1, np.int32), made.now), embed=False)
        self._ask_who(made)
        return made

    def _ask_who(self, bound: Bound) -> None:
        """Ask the database whom the task is about as of the snapshot; predictions do not need to know."""
        bound.asked_at = time.monotonic()
        task, snapshot = bound.task, bound.snapshot
        try:
            with self._workspace.source() as source:
                population = task.labels.population(source, snapshot, snapshot.as_of)
        except SourceUnavailable:
            return
        flags = np.ones(snapshot.num_nodes(task.entity.name), bool)
        if population is not None:
            flags = np.isin(np.arange(len(flags)), snapshot.lookup_keys(task.entity.name, population))
        bound.eligible = flags
