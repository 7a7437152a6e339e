"""The parts of a project that every step opens: its source, snapshots, models, logs and tasks."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forekey.errors import PQLError, ProjectError
from forekey.progress import SILENT, Listener
from forekey.project import CONFIG_NAME, PQLTask
from forekey.schema import Schema
from forekey.workspace import Workspace

__all__ = ["SILENT", "Listener"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forekey.graph import Snapshot
    from forekey.inference import AnyPredictor
    from forekey.registry import ModelVersion
    from forekey.source import Source
    from forekey.task import Task


def schema_of(workspace: Workspace, source: Source, known: set[tuple[str, str]]) -> Schema:
    """Return the schema of the configured tables; ``known`` columns may be gone from the source."""
    from forekey.source import configured_schema

    if not workspace.config.tables:
        raise ProjectError(f"{CONFIG_NAME} lists no tables. Name those to use under tables:, or run `forekey init`.")
    return configured_schema(source, workspace.config, known)


def find_task(workspace: Workspace, schema: Schema, name_or_pql: str) -> Task:
    """Return a task of forekey.yaml by name, or the task that a query states."""
    from forekey.query import parse, to_pql
    from forekey.task import define_task

    if name_or_pql not in workspace.config.tasks and is_query(name_or_pql):
        # A query given on the spot keeps its models under a name that follows from what it asks, whoever of.
        general = to_pql(replace(parse(name_or_pql), ids=None))
        own = hashlib.blake2b(general.encode(), digest_size=4).hexdigest()
        return define_task(f"query-{own}", workspace, schema, PQLTask(query=name_or_pql))
    return define_task(name_or_pql, workspace, schema)


def check_name(workspace: Workspace, name_or_pql: str) -> None:
    """Refuse a name that is no task's before anything is read."""
    if is_query(name_or_pql):
        return
    if name_or_pql not in workspace.config.tasks and len(name_or_pql.split()) > 1:
        names = ", ".join(workspace.config.tasks)
        known = f", or name a task of forekey.yaml ({names})" if names else ""
        raise PQLError(
            "A question begins with PREDICT, such as PREDICT COUNT(orders.*, 0, 30, days) FOR EACH "
            f"customers.customer_id: write yours so{known}."
        )
    workspace.task(name_or_pql)


def is_query(name_or_pql: str) -> bool:
    """Whether a text states a task rather than naming one."""
    return re.match(r"(\s|#.*\n)*predict\s", name_or_pql, re.IGNORECASE) is not None


def predictor_of(
    workspace: Workspace, version: ModelVersion, task: Task, current: Snapshot, moments: NDArray[np.int64]
) -> AnyPredictor:
    """Bind a version to a snapshot, with the labels that were known at the moments it will be asked about."""
    from forekey.inference import lagged_labels_for, load_predictor

    asked = np.unique(moments).tolist()
    past = lagged_labels_for(version, task, lambda: workspace.source(), current, asked, workspace.place("past"))
    return load_predictor(version, current, past, workspace.place("encoded"))
