"""A query that fits a schema: every name resolved, every type checked, the join paths known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from forekey.query.calendar import shift
from forekey.query.tree import Aggregation, Column, Query, Window, aggregations
from forekey.schema import ColumnSchema, EdgeType, Schema, TableSchema


class TaskType(StrEnum):
    """What is predicted, and with that which loss, metrics and baselines apply."""

    BINARY_CLASSIFICATION = "binary_classification"
    MULTICLASS_CLASSIFICATION = "multiclass_classification"
    MULTILABEL_CLASSIFICATION = "multilabel_classification"
    REGRESSION = "regression"
    LINK_PREDICTION = "link_prediction"
    FORECASTING = "forecasting"


@dataclass(frozen=True, slots=True)
class BoundColumn:
    """A column reached from some row by following foreign keys upwards; an empty path is the row itself."""

    column: ColumnSchema
    table: TableSchema
    path: tuple[EdgeType, ...]


@dataclass(frozen=True, slots=True)
class BoundAggregation:
    """An aggregation over the rows of ``table`` that reach the entity through ``path`` (child first).

    ``value`` is None for ``COUNT(table.*)``. ``filters`` resolves each column in the aggregation's own WHERE, and
    ``nested`` each aggregation there: over the rows that belong to the row that is filtered, at the same anchor time.
    """

    aggregation: Aggregation
    table: TableSchema
    value: ColumnSchema | None
    path: tuple[EdgeType, ...]
    window: Window | None
    filters: dict[Column, BoundColumn]
    nested: dict[Aggregation, BoundAggregation] = field(default_factory=dict)


@dataclass(frozen=True)
class BoundQuery:
    """A query with its task type and the meaning of each operand.

    ``target_window`` spans every window of the target (None for a static target): a label at anchor time ``t``
    covers events in ``(t + start, t + end]``.
    """

    query: Query
    schema: Schema
    entity: TableSchema
    task_type: TaskType
    reason: str
    target_window: Window | None
    aggregations: dict[Aggregation, BoundAggregation]
    columns: dict[Column, BoundColumn]
    frames: tuple[Aggregation, ...] = ()
    """For FORECAST n TIMEFRAMES: the target over each of the n windows that follow one another."""

    @property
    def entity_key(self) -> ColumnSchema:
        """The primary key of the entity table."""
        return self.entity.column(self.entity.primary_key or "")

    @property
    def is_static(self) -> bool:
        """Whether the target has no window: it predicts missing cells rather than the future."""
        return self.target_window is None

    def horizon_end(self, anchor: datetime) -> datetime:
        """Return the last moment that the label at this anchor time covers (inclusive)."""
        return shift(anchor, self.target_window.end, self.target_window.unit) if self.target_window else anchor

    def complete_at(self, anchor: datetime) -> datetime:
        """Return when the example at this anchor time is known: its label is, and whether ASSUMING held."""
        ends = [shift(anchor, w.end, w.unit) for a in aggregations(self.query.assuming) if (w := a.window) is not None]
        return max([self.horizon_end(anchor), *ends])

    def newest_anchor(self, known_until: datetime) -> datetime:
        """Return the newest anchor time whose example is known by a moment."""
        windows = [self.target_window, *(a.window for a in aggregations(self.query.assuming))]
        return min((shift(known_until, -w.end, w.unit) for w in windows if w is not None), default=known_until)

    @property
    def step(self) -> Window | None:
        """The window whose width lies between two anchors: the target's, or one frame of a forecast."""
        return self.frames[0].window if self.frames else self.target_window

    def previous_anchor(self, anchor: datetime, steps: int = 1) -> datetime:
        """Return the anchor ``steps`` target windows earlier."""
        window = self.step
        if window is None:
            return anchor
        return shift(anchor, -steps * (window.end - (window.start or 0)), window.unit)

    @property
    def ranked_items(self) -> TableSchema | None:
        """The table whose rows a ranking ranks: the one that the listed foreign key refers to; None if it is none."""
        found = self.ranked
        return self.schema.table(found[1].parent) if found is not None else None

    @property
    def ranked(self) -> tuple[BoundAggregation, EdgeType] | None:
        """The aggregation of a ranking, and the foreign key that it lists."""
        target = self.query.target
        bound = self.aggregations.get(target) if isinstance(target, Aggregation) else None
        if self.task_type is not TaskType.LINK_PREDICTION or bound is None or bound.value is None:
            return None
        column = bound.value.name
        return next(
            ((bound, e) for e in self.schema.edge_types if (e.child, e.column) == (bound.table.name, column)), None
        )

    @property
    def target_columns(self) -> tuple[tuple[str, str], ...]:
        """``(table, column)`` pairs that a static target reads: they must not be features."""
        if not self.is_static:
            return ()
        from forekey.query.tree import columns

        return tuple((c.table, c.name) for c in columns(self.query.target))
