"""A registered version bound to a snapshot, ready to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from forekey.errors import ModelError
from forekey.features import COLUMN_TYPES
from forekey.graph import GraphView, Snapshot
from forekey.inference.trained_model import AnyPredictor, load_model
from forekey.objectives import objective_from
from forekey.registry import ModelVersion
from forekey.schema import Schema, TableSchema
from forekey.source import Source
from forekey.task import LaggedLabels, Task, stored_lagged_labels


def load_predictor(
    version: ModelVersion, view: GraphView, past: LaggedLabels | None = None, cache: Path | None = None
) -> AnyPredictor:
    """Load a model version onto a graph; :class:`ModelError` says what the graph lacks for it.

    ``past`` holds the labels that entities had before, for models that read them (see :func:`lagged_labels_for`);
    ``cache`` is a folder of encoded blocks.
    """
    model = load_model(version)
    check_signature(version, view.schema)
    return model.bind(view, past, cache)


def lagged_labels_for(
    version: ModelVersion,
    task: Task,
    open_source: Callable[[], AbstractContextManager[Source]],
    snapshot: Snapshot,
    moments: Iterable[int],
    folder: Path,
) -> LaggedLabels | None:
    """Return the labels known at some moments, for a model that looks at them; gathered once, kept in ``folder``."""
    windows = version.features().get("windows")
    if windows is None or not windows["lagged_labels"]:
        return None
    objective = objective_from(version.manifest.output)
    return stored_lagged_labels(task, open_source, snapshot, moments, objective, folder)


def check_signature(version: ModelVersion, found: Schema) -> None:
    """Compare what a model was trained on with what a snapshot has; :class:`ModelError` names all that is missing.

    Columns count by name and meaning: an integer that became a decimal is the same number to a model.
    """
    try:
        needed = Schema.from_dict(version.manifest.signature)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{version.name} does not say which tables it needs. Train the task again.") from error
    missing = [part for table in needed.tables for part in _missing_of(table, found)]
    missing += [f"the foreign key {e}" for e in needed.edge_types if e not in found.edge_types]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise ModelError(f"{version.name} needs {shown}, which the snapshot lacks. Run `forekey train {version.task}`.")


def _missing_of(table: TableSchema, found: Schema) -> list[str]:
    if table.name not in found.names:
        return [f"the table '{table.name}'"]
    have = {c.name: c.stype for c in found.table(table.name).columns}
    used = [c for c in table.columns if c.stype in COLUMN_TYPES]
    return [f"{table.name}.{c.name} as {c.stype}" for c in used if have.get(c.name) != c.stype]
