"""The open parts of a project: source, snapshots, models, store, log of predictions, locks and the clock."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from forekey.graph.timestamps import utc_now
from forekey.project import Project

if TYPE_CHECKING:
    from forekey.graph import SnapshotStore
    from forekey.registry import Registry
    from forekey.source import ConfiguredSource
    from forekey.store import KeyValueStore, PredictionLog


@dataclass(frozen=True)
class Workspace(Project):
    """A project with its parts, each opened when it is first asked for; what a step of the pipeline is given.

    ``clock`` returns the time that everything made here is stamped with, in UTC without a zone.
    """

    clock: Callable[[], datetime] = field(default=utc_now, compare=False, repr=False)

    def __getstate__(self) -> dict[str, object]:
        """Give another process the project, which opens its parts anew."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __repr__(self) -> str:
        tasks = f", tasks: {', '.join(self.config.tasks)}" if self.config.tasks else ""
        return f"Workspace({str(self.root)!r}, {len(self.config.tables)} tables{tasks})"

    @cached_property
    def snapshots(self) -> SnapshotStore:
        """The project's snapshots."""
        from forekey.graph import SnapshotStore

        return SnapshotStore(self.place("snapshots"), self.clock)

    @cached_property
    def registry(self) -> Registry:
        """The project's model versions."""
        from forekey.registry import Registry

        return Registry(self.place("models"), self.clock)

    @cached_property
    def predictions(self) -> PredictionLog:
        """The log of the project's predictions."""
        from forekey.store import PredictionLog

        return PredictionLog(self.place("predictions"))

    def source(self) -> ConfiguredSource:
        """Return the source as forekey.yaml means it; it connects when it is first asked something. Close it."""
        from forekey.source import ConfiguredSource, source_on_demand

        url, seconds = self.config.source, self.config.statement_timeout_seconds
        return ConfiguredSource(source_on_demand(url, self.root, timeout_seconds=seconds), self.config)

    def store(self) -> KeyValueStore:
        """Open the store of embeddings and predictions. Close it."""
        from forekey.store import open_store

        return open_store(self)

    @contextmanager
    def training(self, task: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the right to train a task: one process at a time. ``on_wait`` is called if another holds it now."""
        with (self.place("models") / f".training-{task}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
