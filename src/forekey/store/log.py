"""The log of predictions: what was predicted for whom, as of when, by which model; quality is measured on it later.

predictions/<task>/<as of>-<version>.parquet       everyone, as embedding predicted them
predictions/<task>/<as of>-<version>.npy           some of the embeddings, by which a later batch is compared
predictions/<task>/served/<as of>-<version>/       what the service answered, a file for each few seconds and process
predictions/counts-<process>.json                  lines that a service wrote and lost
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forekey.files import is_draft, whole, write_whole
from forekey.graph import to_micros

_SERVED = "served"
_MOST_FILES = 16
"""Files of one anchor that may lie beside each other before they are put together."""
SAMPLED_EMBEDDINGS = 2_000
_GROUP = 131_072
"""Lines of a Parquet row group: what is read at least."""
_ORDER, _RANKED = "order", "largest prediction first"


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """Predictions of one model as of one time. ``rows`` has columns ``entity`` and ``prediction``.

    For several classes, ``probabilities`` lists all in the model's order.
    """

    as_of: str
    model_version: str
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class LogCounts:
    """Lines of the services of a project: written, and lost since the queue was full or the disk refused them."""

    written: int = 0
    lost: int = 0

    def plus(self, other: LogCounts) -> LogCounts:
        """Return the sum of both."""
        return LogCounts(self.written + other.written, self.lost + other.lost)


class PredictionLog:
    """The predictions of a project by task, model version and the moment as of which they were made (the anchor)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, task: str, batch: LoggedBatch, embeddings: NDArray[np.float32] | None = None) -> Path:
        """Write what embedding predicted for everyone, replacing an earlier batch of the same time and model.

        Predictions that are numbers are written from the largest on, so that the first of millions are found at once.
        """
        path = self._folder / task / f"{_name(batch.as_of, batch.model_version)}.parquet"
        if embeddings is not None:
            some = np.sort(np.random.default_rng(0).permutation(len(embeddings))[:SAMPLED_EMBEDDINGS])
            with whole(path.with_suffix(".npy")) as draft, draft.open("wb") as handle:
                np.save(handle, embeddings[some].astype(np.float32), allow_pickle=False)
        numbers = batch.rows.schema.field("prediction").type
        if pa.types.is_floating(numbers):
            order = np.argsort(-batch.rows.column("prediction").to_numpy(), kind="stable")
            _write(path, replace(batch, rows=batch.rows.take(pa.array(order))), {_ORDER: _RANKED})
        else:
            _write(path, batch)
        return path

    def add_served(self, task: str, batch: LoggedBatch, name: str) -> None:
        """Write what a service answered: a file ``name`` of its own beside those of other processes."""
        home = self._folder / task / _SERVED / _name(batch.as_of, batch.model_version)
        _write(home / f"{name}.parquet", batch)

    def batches(self, task: str) -> list[LoggedBatch]:
        """Return all batches of embedding, oldest first."""
        return [_read([p]) for p in self._files(task)]

    def anchors(self, task: str) -> list[tuple[str, str]]:
        """Return (as of, version) of all that was predicted, by embedding or by a service, oldest first."""
        home = self._folder / task
        names = {p.stem for p in self._files(task)}
        if (home / _SERVED).is_dir():
            names |= {p.name for p in (home / _SERVED).iterdir() if p.is_dir()}
        return sorted(_parts(name) for name in names)

    def count(self, task: str, as_of: str, version: str) -> int:
        """Return how many lines there are of one anchor, without reading them; one entity may have several."""
        return sum(pq.read_metadata(p).num_rows for p in self._of(task, as_of, version))

    def at(self, task: str, as_of: str, version: str) -> LoggedBatch:
        """Return what was predicted at one anchor, each entity once: by embedding, else as it was served."""
        found = _read(self._of(task, as_of, version))
        rows = found.rows.append_column("line", pa.array(np.arange(len(found.rows))))
        first = rows.select(["entity", "line"]).group_by("entity", use_threads=False).aggregate([("line", "min")])
        lines = np.sort(first.column("line_min").to_numpy())
        return LoggedBatch(found.as_of, found.model_version, found.rows.take(pa.array(lines)))

    def embedded(self, task: str, as_of: str, version: str) -> list[Path]:
        """Return the file that embedding wrote of one anchor, or those of what was served where there is none."""
        found = self._of(task, as_of, version)
        return found[:1] if found and found[0].parent == self._folder / task else found

    def embeddings(self, task: str, as_of: str, version: str) -> NDArray[np.float32] | None:
        """Return some embeddings of a batch, ``[n, channels] float32``; None where there are none."""
        path = self._folder / task / f"{_name(as_of, version)}.npy"
        if not path.is_file():
            return None
        found: NDArray[np.float32] = np.load(path, allow_pickle=False)
        return found

    def compact(self, task: str) -> None:
        """Put the many files of what was served together, each entity once with the number of its answers."""
        served = self._folder / task / _SERVED
        for home in sorted(served.iterdir()) if served.is_dir() else ():
            with _held(home):
                files = _parquet(home)
                if len(files) > _MOST_FILES:
                    whole_batch = _read(files)
                    _write(home / "compacted.parquet", LoggedBatch(*_parts(home.name), _summed(whole_batch.rows)))
                    for path in files:
                        if path.name != "compacted.parquet":
                            path.unlink(missing_ok=True)

    def prune(self, task: str, oldest: int) -> None:
        """Delete what was predicted as of moments before ``oldest`` (microseconds), but for the newest of those."""
        old = [(a, v) for a, v in self.anchors(task) if to_micros(datetime.fromisoformat(a)) < oldest]
        for as_of, version in old[:-1]:
            for path in self._of(task, as_of, version):
                path.unlink(missing_ok=True)
            name = _name(as_of, version)
            (self._folder / task / f"{name}.npy").unlink(missing_ok=True)
            shutil.rmtree(self._folder / task / _SERVED / name, ignore_errors=True)

    def write_counts(self, process: str, counts: LogCounts) -> None:
        """Keep what one process wrote and lost."""
        said = json.dumps({"written": counts.written, "lost": counts.lost})
        write_whole(self._folder / f"counts-{process}.json", said)

    def counts(self, but: str = "") -> LogCounts:
        """Return what all processes wrote and lost; without the one named ``but``."""
        total = LogCounts()
        for path in self._folder.glob("counts-*.json"):
            if path.name == f"counts-{but}.json":
                continue
            try:
                total = total.plus(LogCounts(**json.loads(path.read_text(encoding="utf-8"))))
            except (OSError, ValueError, TypeError):
                continue
        return total

    def _files(self, task: str) -> list[Path]:
        return _parquet(self._folder / task)

    def _of(self, task: str, as_of: str, version: str) -> list[Path]:
        name = _name(as_of, version)
        embedded = self._folder / task / f"{name}.parquet"
        return [*([embedded] if embedded.is_file() else []), *_parquet(self._folder / task / _SERVED / name)]


def _name(as_of: str, version: str) -> str:
    return f"{as_of.replace(':', '')}-{version}"


def _parts(name: str) -> tuple[str, str]:
    """Return the time and the version of a name of :func:`_name`."""
    moment, _, version = name.rpartition("-")
    day, _, clock = moment.partition("T")
    head, dot, rest = clock.partition(".")
    return f"{day}T{':'.join(head[i : i + 2] for i in range(0, len(head), 2))}{dot}{rest}", version


def _parquet(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.parquet") if not is_draft(p)) if folder.is_dir() else []


def is_ranked(path: Path) -> bool:
    """Whether a file of the log holds the largest predictions first."""
    return (pq.read_schema(path).metadata or {}).get(_ORDER.encode()) == _RANKED.encode()


def _write(path: Path, batch: LoggedBatch, more: dict[str, str] | None = None) -> None:
    facts = {"as_of": batch.as_of, "model_version": batch.model_version, **(more or {})}
    with whole(path) as draft:
        pq.write_table(batch.rows.replace_schema_metadata(facts), draft, row_group_size=_GROUP)


def _read(paths: list[Path]) -> LoggedBatch:
    tables = [pq.read_table(p) for p in paths]
    if len({t.schema.field("entity").type for t in tables}) > 1:  # a service may know keys as text only
        tables = [_with_text_keys(t) for t in tables]
    facts = {k.decode(): v.decode() for k, v in (tables[0].schema.metadata or {}).items()}
    shared = [n for n in tables[0].column_names if all(n in t.column_names for t in tables)]
    rows = pa.concat_tables([t.select(shared).replace_schema_metadata() for t in tables], promote_options="permissive")
    return LoggedBatch(facts["as_of"], facts["model_version"], rows)


def _with_text_keys(rows: pa.Table) -> pa.Table:
    place = rows.column_names.index("entity")
    return rows.set_column(place, "entity", rows.column("entity").cast(pa.string()))


def _summed(rows: pa.Table) -> pa.Table:
    """Return the first line of each entity and mode, with how often all its lines say it was answered."""
    keys = ["entity", "mode"] if "mode" in rows.column_names else ["entity"]
    numbered = rows.select([*keys, "answers"]).append_column("line", pa.array(np.arange(len(rows))))
    found = (
        numbered.group_by(keys, use_threads=False).aggregate([("line", "min"), ("answers", "sum")]).sort_by("line_min")
    )
    kept = rows.take(found.column("line_min"))
    return kept.set_column(kept.column_names.index("answers"), "answers", found.column("answers_sum").cast(pa.int64()))


@contextmanager
def _held(home: Path) -> Iterator[Any]:
    with (home / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
