"""A task of a project: a value, with the maker of its labels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from forekey.errors import SchemaError, TaskError
from forekey.objectives import Objective, objective_of
from forekey.project import LabelTask, Project, TaskConfig
from forekey.query import BoundQuery, TaskType, bind, parse
from forekey.schema import Schema, TableSchema
from forekey.task.label_maker import LabelMaker
from forekey.task.query_labels import QueryLabels
from forekey.task.ready_made_labels import ReadyMadeLabels

_DEFAULT_WINDOW_DAYS = 30.0
_DEFAULT_TOP = 10


@dataclass(frozen=True)
class Task:
    """One prediction task, bound to the schema: what is predicted for which entities, and where labels come from.

    ``hidden`` names ``(table, column)`` pairs that must not be features. For a ranking, ``items`` is the table whose
    rows are ranked and ``top`` how many are asked for.
    """

    name: str
    task_type: TaskType
    reason: str
    entity: TableSchema
    config: TaskConfig
    labels: LabelMaker
    hidden: tuple[tuple[str, str], ...]
    project: Project
    items: TableSchema | None = None
    top: int = _DEFAULT_TOP

    def __repr__(self) -> str:
        return f"Task({self.name!r}, {self.task_type} of {self.entity.name})"

    @property
    def kind(self) -> type[Objective]:
        """Return what tasks of this kind have in common."""
        return objective_of(self.task_type)

    @property
    def bound(self) -> BoundQuery | None:
        """Return the query that labels are made by; None where they are ready-made."""
        return self.labels.bound

    @property
    def window_days(self) -> float:
        """The length of what a label covers, in days: the natural unit to look back in; a month if nothing says."""
        start = datetime(2001, 1, 1)
        end = self.bound.horizon_end(start) if self.bound is not None else self.labels.horizon_end(start)
        days = (end - start) / timedelta(days=1) if end is not None else 0.0
        return days if days > 0 else _DEFAULT_WINDOW_DAYS


def define_task(name: str, project: Project, schema: Schema, config: TaskConfig | None = None) -> Task:
    """Resolve a task of forekey.yaml (or the given configuration) against the schema."""
    config = config or project.task(name)
    if isinstance(config, LabelTask):
        return _ready_made(name, project, schema, config)
    bound = bind(parse(config.query), schema)
    labels = QueryLabels(name, bound.task_type, bound.entity, bound, config.max_anchors, config.step_days)
    top = (bound.query.problem.number if bound.query.problem is not None else None) or _DEFAULT_TOP
    return Task(
        name,
        bound.task_type,
        bound.reason,
        bound.entity,
        config,
        labels,
        bound.target_columns,
        project,
        bound.ranked_items,
        top,
    )


def _ready_made(name: str, project: Project, schema: Schema, config: LabelTask) -> Task:
    table, _, column = config.entity.key.rpartition(".")
    try:
        entity = schema.table(table)
    except SchemaError as error:
        raise TaskError(f"Task '{name}' cannot be made: {error}") from error
    if entity.primary_key != column:
        raise TaskError(
            f"Task '{name}': entity key '{config.entity.key}' must be the primary key of its table"
            + (f", {table}.{entity.primary_key}." if entity.primary_key else f", but '{table}' has none.")
        )
    kind = TaskType(config.task_type)
    items = _items(name, schema, config) if objective_of(kind).ranks_items else None
    labels = ReadyMadeLabels(name, kind, entity, config, project.root)
    return Task(name, kind, "labels are ready-made", entity, config, labels, (), project, items, config.top)


def _items(name: str, schema: Schema, config: LabelTask) -> TableSchema:
    table, _, column = (config.items or "").rpartition(".")
    if table not in schema.names or schema.table(table).primary_key != column:
        raise TaskError(
            f"Task '{name}' ranks rows of a table: items: must name its primary key, for example products.sku"
            f"{f', not {config.items}' if config.items else ''}."
        )
    return schema.table(table)
