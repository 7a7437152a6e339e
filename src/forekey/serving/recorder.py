"""What the service answered, on its way to the log: beside requests, bounded, and never in their way."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from forekey.objectives import Predictions
from forekey.store import LogCounts, LoggedBatch, PredictionLog

_MOST_WAITING = 200_000
"""Predictions that wait to be written, at most; what comes then is lost, and counted."""
_EVERY_SECONDS = 5.0
_log = logging.getLogger("forekey.serving")


@dataclass(frozen=True, slots=True)
class Answered:
    """Predictions for some entities that a request was answered with."""

    task: str
    model_version: str
    as_of: str
    mode: str
    entities: Sequence[Any]
    predictions: Predictions

    @property
    def anchor(self) -> tuple[str, str, str]:
        """Return what is logged in one file."""
        return self.task, self.model_version, self.as_of


class Recorder:
    """Takes answers in microseconds and writes them from a thread of its own. Safe to use from several threads.

    A disk that is full, or too slow for what is asked, loses lines and fails no request.
    """

    def __init__(self, log: PredictionLog, most: int = _MOST_WAITING) -> None:
        self._log, self._most = log, most
        self._waiting: deque[Answered] = deque()
        self._lock = threading.Lock()
        self._number = self._size = 0
        self.process = f"{os.getpid()}-{os.urandom(3).hex()}"
        self.counts = LogCounts()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def record(self, answered: Answered) -> None:
        """Keep an answer for the log."""
        size = len(answered.entities)
        if not size:
            return
        with self._lock:
            if self._size + size > self._most:
                self.counts = self.counts.plus(LogCounts(lost=size))
                return
            self._waiting.append(answered)
            self._size += size

    def start(self) -> None:
        """Begin to write every few seconds."""
        self._thread = threading.Thread(target=self._run, name="forekey-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and stop."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.write()

    def write(self) -> None:
        """Write what waits, a file for each anchor."""
        with self._lock:
            taken, self._waiting, self._size = list(self._waiting), deque(), 0
        for anchor, group in groupby(sorted(taken, key=lambda a: a.anchor), key=lambda a: a.anchor):
            self._write_anchor(anchor, list(group))
        if taken:
            self._write_counts()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            self.write()

    def _write_anchor(self, anchor: tuple[str, str, str], group: list[Answered]) -> None:
        task, version, as_of = anchor
        size = sum(len(a.entities) for a in group)
        try:
            self._number += 1
            name = f"{int(time.time())}-{self.process}-{self._number}"
            self._log.add_served(task, LoggedBatch(as_of, version, _rows(group)), name)
            self._add(LogCounts(written=size))
        except (OSError, pa.ArrowException, ValueError, TypeError, OverflowError, LookupError) as error:
            self._add(LogCounts(lost=size))
            _log.warning("%s predictions of %s were not logged: %s", size, task, error)

    def _add(self, counts: LogCounts) -> None:
        with self._lock:
            self.counts = self.counts.plus(counts)

    def _write_counts(self) -> None:
        try:
            self._log.write_counts(self.process, self.counts)
        except OSError as error:
            _log.warning("the counts of the log of predictions were not written: %s", error)


def _keys(keys: list[Any], as_text: bool) -> pa.Array:
    """Return keys as Arrow has them; as text where some are numbers and some are not."""
    return pa.array([str(k) for k in keys], pa.string()) if as_text else pa.array(keys)


def _rows(group: list[Answered]) -> pa.Table:
    """Return one line an entity and mode, with how often it was answered."""
    parts = []
    as_text = len({type(k) for a in group for k in a.entities}) > 1
    for answered in group:
        keys = list(answered.entities)
        columns: dict[str, Any] = {"entity": _keys(keys, as_text), **answered.predictions.columns()}
        columns["mode"] = pa.array([answered.mode] * len(keys), pa.string())
        parts.append(pa.table(columns))
    rows = pa.concat_tables(parts, promote_options="permissive")
    seen: dict[tuple[Any, str], int] = {}
    first: dict[tuple[Any, str], int] = {}
    for i, line in enumerate(zip(rows.column("entity").to_pylist(), rows.column("mode").to_pylist(), strict=True)):
        seen[line] = seen.get(line, 0) + 1
        first.setdefault(line, i)
    kept = rows.take(pa.array(list(first.values())))
    return kept.append_column("answers", pa.array([seen[line] for line in first], pa.int64()))
