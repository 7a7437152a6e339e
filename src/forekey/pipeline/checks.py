"""Judging the database and forekey.yaml before anything is learnt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from forekey.errors import (
    DefinedTableError,
    ForekeyError,
    PQLError,
    SchemaError,
    SourceError,
    SourceUnavailable,
    TaskError,
)
from forekey.pipeline.graphs import build
from forekey.pipeline.parts import find_task
from forekey.project import TableConfig, idle_settings
from forekey.workspace import Workspace

if TYPE_CHECKING:
    from forekey.graph import Finding, Integrity, Snapshot
    from forekey.source import Source
    from forekey.task import Task


def check(workspace: Workspace) -> Integrity:
    """Judge keys, foreign keys, times and leak risks of the database as it is now, by what forekey.yaml says.

    The files of the newest snapshot are held against their hashes; then every row is read again, and the snapshot that
    this would give is judged. Nothing is published.
    """
    from forekey.graph import (
        Finding,
        Integrity,
        check_integrity,
        check_readings,
        check_times,
        untimed_note,
    )
    from forekey.source import unnamed_columns

    newest = workspace.snapshots.current_or_none()
    if newest is not None:
        newest.verify()
    workspace, broken = _without_broken_tables(workspace)
    workspace, current, more_broken = _built(workspace)
    broken += more_broken
    found = check_integrity(current)
    errors, more = [*broken, *found.errors], list(found.warnings)
    more += [Finding(s.where, f"the setting does nothing: {s.why}", s.how) for s in idle_settings(workspace.config)]
    with workspace.source() as source:
        more += check_times(source, current.schema, workspace.clock())
        more += check_readings(source, workspace.config, current.schema)
        more += _unnamed(unnamed_columns(source, workspace.config))
        for name in workspace.config.tasks:
            wrong, doubtful = _check_task(workspace, source, current, name, {f.where for f in broken})
            errors += wrong
            more += doubtful
    note = untimed_note(current.schema)
    return Integrity(tuple(errors), tuple(more), (note,) if note is not None else ())


def _check_task(
    workspace: Workspace, source: Source, current: Snapshot, name: str, broken: set[str]
) -> tuple[list[Finding], list[Finding]]:
    """Return what keeps a task from having labels, and what is doubtful about it; nothing keeps the others from it."""
    from forekey.graph import Finding
    from forekey.task import leaking_target_columns

    try:
        task = find_task(workspace, current.schema, name)
    except (PQLError, TaskError, SchemaError) as error:
        return [_of_task(name, error, broken)], []
    idle = _idle_in_static_tasks(task)
    try:
        examples = task.labels.make(source, current).split("train")
    except SourceUnavailable:
        raise
    except (TaskError, SourceError) as error:
        found = Finding(f"tasks.{name}", str(error).splitlines()[0], "Until then it has no labels.")
        return ([], [*idle, found]) if isinstance(error, TaskError) else ([found], idle)
    finally:
        source.release()
    return [], [*idle, *leaking_target_columns(task, current, examples)]


def _built(workspace: Workspace) -> tuple[Workspace, Snapshot, list[Finding]]:
    """Build the graph, without the tables whose queries fail on their rows; name these."""
    from forekey.graph import Finding

    found: list[Finding] = []
    while True:
        try:
            return workspace, build(workspace, full=True, publish=False), found
        except DefinedTableError as error:
            found.append(Finding(error.table, str(error).splitlines()[0], "Mend its query."))
            kept = _referring_to(workspace.config.tables, set(workspace.config.tables) - {error.table})
            if not kept:
                raise
            workspace = replace(workspace, config=workspace.config.model_copy(update={"tables": kept}))


def _of_task(name: str, error: ForekeyError, broken: set[str]) -> Finding:
    """Say what is wrong with a task: it may be one of the tables that cannot be read."""
    from forekey.graph import Finding

    said = str(error).splitlines()[0]
    out = next((table for table in sorted(broken) if f"'{table}'" in said), None)
    if out is not None:
        return Finding(f"tasks.{name}", f"it uses '{out}', which cannot be read", f"Mend {out} first.")
    return Finding(f"tasks.{name}", said, "Mend the task in forekey.yaml.")


def _unnamed(columns: Iterable[tuple[str, str]]) -> list[Finding]:
    """Name the columns that forekey.yaml leaves out, those of a table together."""
    from forekey.graph import Finding

    of_table: dict[str, list[str]] = {}
    for table, column in columns:
        of_table.setdefault(table, []).append(column)
    how = "Name them under columns: to learn from them."
    return [Finding(t, f"forekey.yaml does not name the columns {', '.join(c)}", how) for t, c in of_table.items()]


def _idle_in_static_tasks(task: Task) -> list[Finding]:
    """Name the settings for anchor times of a query that has none of its own."""
    from forekey.graph import Finding

    if task.bound is None or not task.bound.is_static:
        return []
    given = [s for s in ("max_anchors", "step_days") if getattr(task.config, s) is not None]
    why = "the setting does nothing: the target looks at no window, so there are no anchor times to choose"
    return [Finding(f"tasks.{task.name}.{setting}", why, "Remove it.") for setting in given]


def _without_broken_tables(workspace: Workspace) -> tuple[Workspace, list[Finding]]:
    """Return the project without the tables that cannot be read as forekey.yaml says, and what is wrong with these.

    Each table is tried by itself, and only where they cannot all be read together. Where none can be blamed, the error
    of the whole stands.
    """
    from forekey.graph import Finding
    from forekey.source import configured_schema

    def readable(tables: dict[str, TableConfig]) -> ForekeyError | None:
        part = replace(workspace, config=workspace.config.model_copy(update={"tables": tables}))
        try:
            with part.source() as source:
                configured_schema(source, part.config, workspace.snapshots.known_columns())
        except SourceUnavailable:
            raise
        except (SchemaError, SourceError) as error:
            return error
        return None

    tables = workspace.config.tables
    if (whole := readable(tables)) is None or len(tables) < 2:
        return workspace, []
    alone = {n: t.model_copy(update={"foreign_keys": {}, "time_from": None}) for n, t in tables.items()}
    wrong = {name: error for name, entry in alone.items() if (error := readable({name: entry})) is not None}
    kept = _referring_to(tables, set(tables) - set(wrong))
    if not wrong or readable(kept) is not None:
        raise whole
    found = [Finding(n, str(error).splitlines()[0], "Mend the table, or its entry.") for n, error in wrong.items()]
    return replace(workspace, config=workspace.config.model_copy(update={"tables": kept})), found


def _referring_to(tables: dict[str, TableConfig], there: set[str]) -> dict[str, TableConfig]:
    """Return those tables that are there, without references to others."""
    kept = {}
    for name in (n for n in tables if n in there):
        foreign = {c: fk for c, fk in tables[name].foreign_keys.items() if fk.table in there}
        time_from = tables[name].time_from if tables[name].time_from in foreign else None
        kept[name] = tables[name].model_copy(update={"foreign_keys": foreign, "time_from": time_from})
    return kept
