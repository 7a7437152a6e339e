"""Building the graph, keeping it as forekey.yaml says, comparing what was built."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from forekey.pipeline.parts import SILENT, Listener, schema_of
from forekey.project import CONFIG_NAME, graph_settings
from forekey.workspace import Workspace

if TYPE_CHECKING:
    from forekey.graph import Difference, Snapshot


KEPT_SNAPSHOTS = 5
"""How many snapshots a project keeps beside the files that they share."""


def snapshot(
    workspace: Workspace, *, full: bool = False, as_of: datetime | None = None, listener: Listener = SILENT
) -> Snapshot:
    """Build or update the graph, and publish it."""
    from forekey.features import sweep_encoded

    built = build(workspace, full=full, as_of=as_of, listener=listener)
    store = workspace.snapshots
    store.prune(KEPT_SNAPSHOTS, pinned=_of_champions(workspace))
    sweep_encoded(workspace.place("encoded"), store.pool.folder)
    return built


def _of_champions(workspace: Workspace) -> list[str]:
    """Return the snapshots that champions were trained on: the monitors compare with them."""
    models = workspace.registry
    champions = (models.champion_or_none(t) for t in models.tasks() if t in workspace.config.tasks)
    return [c.manifest.snapshot for c in champions if c is not None]


def build(
    workspace: Workspace,
    *,
    full: bool = False,
    as_of: datetime | None = None,
    publish: bool = True,
    listener: Listener = SILENT,
) -> Snapshot:
    """Build or update the graph; without ``publish``, for the caller alone."""
    from forekey.graph import ReadSettings, build_snapshot

    store = workspace.snapshots
    with store.building(), workspace.source() as source:
        known = store.known_columns()
        schema = schema_of(workspace, source, known)
        gone = sorted(known - {(t.name, c.name) for t in schema.tables for c in t.columns})
        moment = as_of or workspace.config.as_of
        settings = {
            name: ReadSettings(table.lookback_days, table.updated_at, table.deleted_at, table.watermark)
            for name, table in workspace.config.tables.items()
        }
        return build_snapshot(
            source,
            schema,
            store,
            as_of=moment,
            full=full,
            settings=settings,
            configured=graph_settings(workspace.config),
            gone=gone,
            progress=listener.step,
            publish=publish,
        )


def current_graph(workspace: Workspace, listener: Listener = SILENT) -> Snapshot:
    """Return the newest snapshot; built if there is none, updated if forekey.yaml has changed since, saying so."""
    newest = workspace.snapshots.current_or_none()
    if newest is None:
        listener.step("building the graph: there is no snapshot yet")
        return snapshot(workspace, listener=listener)
    changed = _changed_settings(workspace, newest)
    if not changed:
        return newest
    listener.step(f"updating the graph: {changed} since snapshot {newest.id}")
    # A moment that was asked for is kept: rows after it stay unseen.
    asked = newest.as_of if newest.manifest.asked and workspace.config.as_of is None else None
    kept = asked if (newest.manifest.configured or {}).get("", "None") == "None" else None
    return snapshot(workspace, as_of=kept, listener=listener)


def _changed_settings(workspace: Workspace, built: Snapshot) -> str:
    """Say what forekey.yaml says otherwise than when a snapshot was built; nothing if that is not so."""
    from forekey.source import shown_url

    if built.manifest.source != shown_url(workspace.config.source):
        return f"source: has changed in {CONFIG_NAME}"
    before, now = built.manifest.configured, graph_settings(workspace.config)
    if before is None:
        return "an earlier version built it"
    names = sorted(n for n in {*before, *now} if before.get(n) != now.get(n))
    tables = [f"'{n}'" for n in names if n][:4]
    more = ", …" if len(names) > len(tables) + ("" in names) else ""
    if tables:
        return f"the settings of {', '.join(tables)}{more} have changed in {CONFIG_NAME}"
    return f"as_of: has changed in {CONFIG_NAME}" if names else ""


def compare_snapshots(workspace: Workspace, before: str, after: str) -> Difference:
    """Say what is different between two snapshots of a project; ids may be cut short."""
    from forekey.graph import compare

    store = workspace.snapshots
    return compare(store.find(before), store.find(after))
