"""Where the labels of a task come from: what every maker of labels can be asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlglot import exp

from forekey.errors import TaskError
from forekey.graph import Snapshot
from forekey.objectives import Objective, objective_of
from forekey.query import BoundQuery, TaskType
from forekey.schema import TableSchema
from forekey.source import Source
from forekey.task.labels import SPLITS, Examples, LabelTable, micros_of, sift
from forekey.task.splits import AnchorPlan


@dataclass(frozen=True)
class LabelMaker(ABC):
    """Makes or reads the labels of one task; a value: the source and the snapshot are given to each method."""

    name: str
    task_type: TaskType
    entity: TableSchema

    @property
    def kind(self) -> type[Objective]:
        """Return what tasks of this kind have in common."""
        return objective_of(self.task_type)

    @property
    def bound(self) -> BoundQuery | None:
        """Return the query that labels are made by; None where they are ready-made."""
        return None

    @property
    def target_tables(self) -> tuple[str, ...]:
        """Return the tables that a target over time aggregates."""
        return ()

    @abstractmethod
    def make(self, source: Source, snapshot: Snapshot) -> LabelTable:
        """Make or read all labels. Nothing later than the snapshot's as-of time enters a label that is made."""

    @abstractmethod
    def at(self, source: Source, snapshot: Snapshot, anchors: Sequence[datetime], *, filtered: bool = True) -> Examples:
        """Make the labels at given anchors, whatever split they would belong to; ``filtered`` by WHERE and ASSUMING."""

    @abstractmethod
    def horizon_end(self, anchor: datetime) -> datetime | None:
        """Return the last moment (inclusive) that an example at this anchor covers; None if the task does not say."""

    @abstractmethod
    def previous(
        self, source: Source, snapshot: Snapshot, examples: Examples, known_until: int
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return labels, and per example the place among them of the same target one window earlier, or -1.

        The earlier label's window ends at or before the example's anchor time, and at or before ``known_until``
        (microseconds): it was known.
        """

    def plan(self, snapshot: Snapshot) -> AnchorPlan | None:
        """Return the anchors of a temporal query; None for static targets and ready-made labels."""
        return None

    def known_until(self, snapshot: Snapshot) -> datetime:
        """Return up to when labels are known."""
        return snapshot.as_of

    def known_since(self, snapshot: Snapshot) -> datetime | None:
        """Return when all had begun that labels depend on; None if there is no row."""
        return None

    def period_notes(self, snapshot: Snapshot) -> list[str]:
        """Say which rows anchors leave aside since they lie far from all others, and which table begins last."""
        return []

    def statement(self, snapshot: Snapshot) -> exp.Expression | None:
        """Return the SQL that makes the labels; None for ready-made ones."""
        return None

    def population(self, source: Source, snapshot: Snapshot, anchor: datetime) -> pa.ChunkedArray | None:
        """Return the keys of the entities that the task is about at a time; None if that is everyone."""
        return None

    def check_ids(self, snapshot: Snapshot) -> None:
        """Refuse a query about entities that are not there."""
        ids = self.bound.query.ids if self.bound is not None else None
        rows = snapshot.lookup(self.entity.name, list(ids)) if ids is not None else np.zeros(0)
        for unknown in (i for i, row in zip(ids or (), rows, strict=True) if row < 0):
            raise TaskError(f"There is no row of '{self.entity.name}' with the key {unknown!r} in the snapshot.")

    def complete_at(self, source: Source, snapshot: Snapshot, anchor: datetime) -> Examples:
        """Make the labels at one anchor; :class:`TaskError` if their window is not over yet."""
        end, known = self.horizon_end(anchor), self.known_until(snapshot)
        if self.bound is not None and end is not None and end > known:
            raise TaskError(
                f"The labels of '{self.name}' at {anchor} reach to {end}, but the data to {known} only. "
                "Choose an earlier time, or wait."
            )
        return self.at(source, snapshot, [anchor])

    def _not_in(self, snapshot: Snapshot, table: pa.Table) -> dict[str, NDArray[np.bool_]]:
        """Say of each label, by reason, whether its entity is no row of the graph, or none yet at its time."""
        rows = snapshot.lookup_keys(self.entity.name, table.column("entity"))
        there = snapshot.visible(self.entity.name, micros_of(table.column("time")))
        return {"unknown entity": rows < 0, "not there yet at the anchor": rows >= there}

    def _examples(self, table: pa.Table) -> Examples:
        """Return entity, time and target of a table as examples."""
        target = self.kind.read(table.column("target"))
        return Examples(table.column("entity"), micros_of(table.column("time")), target)

    def _finished(
        self, table: pa.Table, splits: NDArray[np.str_], dropped: dict[str, int], unsplit: str = "no split"
    ) -> LabelTable:
        """Sort examples into a fixed order, leaving out those that belong to no split, for the reason ``unsplit``."""
        table = table.append_column("split", pa.array(splits.tolist(), pa.string()))
        table, lost = sift(table, {unsplit: ~np.isin(splits, SPLITS)})
        ordered = table.sort_by([("time", "ascending"), ("entity", "ascending")])
        return LabelTable(ordered, self.task_type, dropped | lost)
