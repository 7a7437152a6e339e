"""Label tables: who, when, what, and in which split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey import duckdb_session
from forekey.graph import Micros
from forekey.notebooks import as_table
from forekey.objectives import objective_of
from forekey.query import TaskType

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of one split: entity keys, anchor times in microseconds, labels."""

    keys: pa.ChunkedArray
    times: Micros
    target: NDArray[Any]
    weight: NDArray[np.float64] | None = None
    """How much each example counts in training; None for all alike."""

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Columns ``entity``, ``time`` (timestamp, microseconds, UTC), ``target``, ``split``, maybe ``weight``.

    Rows are in the order of time and entity.

    ``dropped`` counts pairs of entity and time that gave no example, by reason.
    """

    table: pa.Table
    task_type: TaskType
    dropped: dict[str, int]

    def __repr__(self) -> str:
        counts = pc.value_counts(self.table.column("split")).to_pylist()
        parts = ", ".join(f"{c['counts']:,} {c['values']}" for c in counts)
        return f"LabelTable({self.task_type}, {parts or 'no examples'}, {sum(self.dropped.values()):,} dropped)"

    def _repr_html_(self) -> str:
        names = self.table.column_names
        return as_table(names, ([row[n] for n in names] for row in self.table.slice(0, 10).to_pylist()), repr(self))

    def split(self, name: str) -> Examples:
        """Return the examples of one split."""
        part = self.table.filter(pc.equal(self.table.column("split"), name))
        weight = part.column("weight").to_numpy() if "weight" in part.column_names else None
        target = objective_of(self.task_type).read(part.column("target"))
        return Examples(part.column("entity"), micros_of(part.column("time")), target, weight)

    def account(self, what: str = "labels") -> str:
        """Say how many labels (or pairs of entity and anchor time) there were, and what became of them."""
        lost = sum(self.dropped.values())
        why = ", ".join(f"{n:,} {reason}" for reason, n in self.dropped.items() if n)
        reasons = f": {why}" if why else ""
        return f"{len(self.table) + lost:,} {what} = {len(self.table):,} examples + {lost:,} dropped{reasons}."

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return rows, anchors and the spread of the label per split."""
        return {name: self._describe(self.split(name)) for name in SPLITS}

    def _describe(self, examples: Examples) -> dict[str, Any]:
        counts = {"rows": len(examples), "anchors": len(np.unique(examples.times))}
        return counts | objective_of(self.task_type).describe(examples.target) if len(examples) else counts


def sift(table: pa.Table, reasons: Mapping[str, NDArray[np.bool_]]) -> tuple[pa.Table, dict[str, int]]:
    """Leave out the rows that any reason (``[n] bool``) holds for; count each under the first that does."""
    left = np.ones(len(table), bool)
    counts = {}
    for reason, holds in reasons.items():
        counts[reason] = int((left & holds).sum())
        left &= ~holds
    return table.filter(pa.array(left)), {reason: n for reason, n in counts.items() if n}


def micros_of(times: pa.ChunkedArray) -> Micros:
    """Return a column of times as microseconds since 1970, ``[n] int64``."""
    return utc_micros(times).cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]


def utc_micros(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return dates or timestamps, with a zone or without, as timestamps in UTC without one; finer parts are cut off."""
    kind = pa.timestamp("us", tz=getattr(times.type, "tz", None))
    # Arrow keeps zoned moments as UTC inside; dropping the zone by way of integers keeps them so.
    return times.cast(kind, safe=False).cast(pa.int64()).cast(pa.timestamp("us"))


def place_of(examples: Examples, keys: pa.ChunkedArray, times: Micros) -> NDArray[np.int64]:
    """Return where the pair of each example's entity and time stands among others; -1 where it does not."""
    return _matched(examples, keys, times, "LEFT JOIN", "=")


def place_of_latest(examples: Examples, keys: pa.ChunkedArray, times: Micros) -> NDArray[np.int64]:
    """Return where the newest pair with each example's entity at or before its time stands; -1 where there is none."""
    return _matched(examples, keys, times, "ASOF LEFT JOIN", ">=")


def _matched(examples: Examples, keys: pa.ChunkedArray, times: Micros, join: str, comparison: str) -> NDArray[np.int64]:
    with duckdb_session.connect() as engine:
        engine.register(
            "wanted", pa.table({"entity": examples.keys, "time": examples.times, "n": range(len(examples))})
        )
        engine.register("known", pa.table({"entity": keys, "time": times, "place": np.arange(len(times))}))
        found = engine.sql(
            f"SELECT wanted.n, min(known.place) AS place FROM wanted {join} known "
            f"ON wanted.entity = known.entity AND wanted.time {comparison} known.time GROUP BY ALL ORDER BY wanted.n"
        ).to_arrow_table()
    place: NDArray[np.int64] = pc.fill_null(found.column("place"), -1).to_numpy()
    return place
