"""Labels to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forekey.pipeline.graphs import current_graph
from forekey.pipeline.parts import SILENT, Listener, check_name, find_task
from forekey.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from forekey.task import Task


@dataclass(frozen=True)
class Labelled:
    """The labels of a task: its type and why, the SQL, anchors, statistics, and the table itself.

    ``shown`` is the SQL without what it repeats for each anchor time; ``account`` says what became of the labels.
    """

    task: Task
    sql: str | None
    shown: str | None
    anchors: dict[str, list[str]]
    statistics: dict[str, dict[str, Any]]
    dropped: dict[str, int]
    account: str
    table: pa.Table
    warnings: tuple[str, ...] = ()
    """What is doubtful about them: rows far off in time, splits whose labels are alike or far from the others'."""
    notes: tuple[str, ...] = ()
    """What a reader should know: which tables have no time."""


def labels(workspace: Workspace, name_or_pql: str, *, listener: Listener = SILENT) -> Labelled:
    """Make the label table of a task, or of a query given on the spot."""
    from forekey.graph import untimed_note
    from forekey.query import shortened
    from forekey.task import task_doubts

    check_name(workspace, name_or_pql)
    current = current_graph(workspace, listener)
    with workspace.source() as source:
        task = find_task(workspace, current.schema, name_or_pql)
        made = task.labels.make(source, current)
        statement, plan = task.labels.statement(current), task.labels.plan(current)
        sql = source.sql(statement) if statement is not None else None
        shown = source.sql(shortened(statement)) if statement is not None else None
    account = made.account("labels" if task.bound is None else "pairs of entity and anchor time")
    anchors = {s: [a.isoformat() for a in getattr(plan, s)] for s in ("train", "val", "test")} if plan else {}
    doubts = (*task.labels.period_notes(current), *task_doubts(task, made))
    note = untimed_note(current.schema)
    return Labelled(
        task,
        sql,
        shown,
        anchors,
        made.statistics(),
        made.dropped,
        account,
        made.table,
        doubts,
        (note,) if note is not None else (),
    )
