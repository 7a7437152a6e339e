"""From a source to a snapshot: read rows (all, or only what is new), then derive the graph from them.

An update keeps the leading rows that a table has in common with the last snapshot and writes what comes behind them;
a first build keeps none. Everything else follows from the rows, so that an update which ends with the same rows ends
with the same snapshot, to the byte (but for the versions of rows that changed, which only an update can know).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey import __version__
from forekey.errors import SnapshotError
from forekey.graph.block_store import ArrayRef, BlockStore, writer
from forekey.graph.change_detection import newest_time
from forekey.graph.changes import late_columns, retyped, schema_changes, unnamed
from forekey.graph.edges import put_edge
from forekey.graph.manifest import EdgeManifest, SnapshotManifest, TableManifest
from forekey.graph.placeholders import add_placeholders
from forekey.graph.reading import Build, ReadSettings, moved_rows, read_table
from forekey.graph.rows import sorting_engine
from forekey.graph.snapshot import FORMAT, Snapshot, SnapshotStore
from forekey.graph.statistics import merge_sketches
from forekey.graph.table_writer import ROW_BLOCK, Draft, RowBlock, put_rows, read_rows, read_sketch
from forekey.graph.timestamps import in_utc, to_micros
from forekey.graph.versions import carry
from forekey.schema import EdgeType, OnOrphan, Schema
from forekey.source import Source

Progress = Callable[[str], None]


def build_snapshot(
    source: Source,
    schema: Schema,
    store: SnapshotStore,
    *,
    as_of: datetime | None = None,
    full: bool = False,
    settings: Mapping[str, ReadSettings] | None = None,
    configured: Mapping[str, str] | None = None,
    gone: Sequence[tuple[str, str]] = (),
    progress: Progress = lambda _: None,
    publish: bool = True,
) -> Snapshot:
    """Build and publish a snapshot of the source as of a time (default: the newest time that is not in the future).

    Where there is a snapshot of the same source, only rows newer than its newest are read from tables with a time
    column; a count in the source shows whether that was all, and if not, the table is read whole. ``full`` reads
    every table whole, whatever the counts say. ``configured`` holds a hash of each table's settings: where they have
    changed, the table is read whole. ``gone`` is noted: columns (by table) that the source has no longer.
    Without ``publish`` nobody else sees the snapshot: it is for looking at, as a check does.
    """
    started = time.perf_counter()
    pool = BlockStore(store.pool.folder, rewrite=full and publish)
    with store.building(), writer(pool) as pen, sorting_engine(store.folder / "spill") as engine:
        history = _history(store, source, full)
        moment = _as_of(source, schema, as_of, None if full else history, store.clock())
        previous = history if history is not None and history.manifest.as_of <= moment else None
        there = [t for t in source.tables() if not t.export or t.name in schema.names]
        columns = {t.name: sorted(c.name for c in t.columns) for t in there}
        types = {t.name: {c.name: c.sql_type for c in t.columns} for t in there}
        late = late_columns(history.manifest if history else None, columns)
        hashes = dict(configured or {})
        build = Build(source, schema, previous, history, full, moment, settings or {}, pen, engine, late, hashes)
        drafts: dict[str, Draft] = {}
        for name in schema.names:
            progress(f"reading {name}")
            drafts[name] = read_table(build, name)
        source.release()  # all was read as of one moment; what follows is computed
        for name in schema.names:
            drafts[name] = add_placeholders(build, drafts, name)
        progress("building edges")
        tables, edges = _written(build, drafts)
        manifest = SnapshotManifest(
            FORMAT,
            build.as_of,
            schema,
            tables,
            edges,
            source=source.url,
            created_at=store.clock().isoformat(),
            asked=as_of is not None,
            parent=history.id if history is not None else None,
            schema_hash=_hash(schema),
            configured=hashes,
            tool_version=__version__,
            changes=_changes(build, columns, types),
            columns=columns,
            types=types,
            late={table: sorted(names) for table, names in late.items()},
            gone=list(gone),
            read={name: d.how for name, d in drafts.items()},
            seconds=round(time.perf_counter() - started, 3),
        )
        return store.publish(manifest) if publish else store.unpublished(manifest)


def _hash(schema: Schema) -> str:
    return hashlib.blake2b(json.dumps(schema.to_dict(), sort_keys=True).encode(), digest_size=8).hexdigest()


def _changes(build: Build, columns: dict[str, list[str]], types: dict[str, dict[str, str]]) -> list[str]:
    """Return what has changed since the snapshot before."""
    if build.history is None:
        return []
    before = build.history.manifest
    unknown = unnamed(before.columns, columns, build.schema)
    changes = schema_changes(before.schema, build.schema, *unknown)
    return [*changes, *retyped(before.schema, build.schema, before.types, types)]


def _as_of(source: Source, schema: Schema, asked: datetime | None, history: Snapshot | None, now: datetime) -> int:
    """Return the moment asked for, or the newest time there is; that of the last snapshot if its newest rows are gone.

    A last snapshot that was asked for some moment, or reaches into the future, does not hold the next ones there.
    """
    if asked is not None:
        return to_micros(in_utc(asked))
    newest = [newest_time(source, t, now.isoformat()) for t in schema.tables if t.time_column is not None]
    seen = [to_micros(t) for t in newest if t is not None]
    carried = history is not None and not history.manifest.asked
    before = [min(history.manifest.as_of, to_micros(now))] if history is not None and carried else []
    return max([*seen, *before], default=0)


def _history(store: SnapshotStore, source: Source, full: bool) -> Snapshot | None:
    """Return the current snapshot if it is of the same source and can be read.

    What an update takes from it must be undamaged, or the damage is carried on; a full build does without it then.
    """
    try:
        current = store.current_or_none()
    except SnapshotError:
        return None
    if current is None or current.manifest.source != source.url:
        return None
    try:
        current.verify_structure()
    except SnapshotError:
        if not full:
            raise
        return None
    return current


def _written(build: Build, drafts: dict[str, Draft]) -> tuple[dict[str, TableManifest], dict[str, EdgeManifest]]:
    """Store times, keys, versions and edges; return what a manifest says of tables and edges."""
    waiting = {name: _put_table(build, name, draft) for name, draft in drafts.items()}
    edges = {}
    for edge in build.schema.edge_types:
        old = build.previous if drafts[edge.child].kept else None
        edges[str(edge)] = put_edge(build.writer, edge, drafts[edge.child], drafts[edge.parent], old)
        _refuse_orphans(build, edge, edges[str(edge)]())
    return {name: entry() for name, entry in waiting.items()}, {name: entry() for name, entry in edges.items()}


def _refuse_orphans(build: Build, edge: EdgeType, entry: EdgeManifest) -> None:
    """Stop a build where forekey.yaml says that every key must be found."""
    if entry.orphans and build.schema.on_orphan(edge) is OnOrphan.FAIL:
        raise SnapshotError(
            f"{edge.child}.{edge.column}: {entry.orphans:,} keys are found in no row of '{edge.parent}', and "
            "forekey.yaml says to fail then. Load the missing rows, or set on_orphan: drop or create."
        )


def _put_table(build: Build, name: str, draft: Draft) -> Callable[[], TableManifest]:
    pen, old = build.writer, build.previous if draft.kept else None
    refs = old.array_refs(name) if old is not None else {}
    jobs: dict[str, Future[ArrayRef]] = {}
    if draft.times is not None:
        jobs["times"] = pen.submit(pen.pool.put_array, draft.times, refs.get("times"), draft.kept)
    for reason, times in draft.dropped.items():
        jobs[f"dropped: {reason}"] = pen.submit(pen.pool.put_array, times)
    for column, rows in draft.unreadable.items():
        jobs[f"unreadable: {column}"] = pen.submit(pen.pool.put_array, rows)
    if len(draft.repeated):
        jobs["repeated keys"] = pen.submit(pen.pool.put_array, draft.repeated)
    known = old.index(name).runs if old is not None and draft.index.runs else ()
    for i, run in enumerate(draft.index.runs):
        same = i < len(known) and run[0] is known[i][0]
        parts: dict[str, NDArray[Any]] = {f"numbers_{i}": run[0], f"rows_{i}": run[1]}
        for part, array in parts.items():
            ref = refs[part] if same else None
            jobs[part] = pen.submit(pen.pool.put_array, array, ref, len(array) if same else 0)
    versions = _put_versions(build, name, draft)
    entry = TableManifest(
        read=draft.read,
        nodes=draft.length,
        quarantined=draft.quarantined,
        placeholders=draft.placeholders,
        unreadable={column: len(rows) for column, rows in draft.unreadable.items()},
        watermark=draft.watermark,
        updated_until=draft.updated_until,
        seen=draft.seen,
        newest=int(draft.times[-1]) if draft.times is not None and len(draft.times) else None,
        runs=len(draft.index.runs),
        columns=merge_sketches([read_sketch(pen.pool, b) for b in draft.blocks]),
        rows=tuple(draft.blocks),
        version_rows=tuple(versions[0]),
    )
    jobs |= versions[1]
    return lambda: replace(entry, arrays={n: job.result() for n, job in jobs.items()})


def _put_versions(build: Build, name: str, draft: Draft) -> tuple[list[RowBlock], dict[str, Future[ArrayRef]]]:
    """Keep what rows without a time were before this update found them changed."""
    old, table, pen = build.history, draft.staging.table, build.writer
    if old is None or name not in old.schema.names or table.time_column is not None or table.primary_key is None:
        return [], {}
    before = old.versions(name)
    if tuple(draft.blocks) == old.blocks(name) and before is None:
        return [], {}  # nothing changed
    count = old.num_nodes(name)
    moved = draft.moved if build.previous is not None else moved_rows(build, old, draft, name)
    moved = moved if moved is not None else np.arange(count, dtype=np.int32)
    now = pa.concat_tables([read_rows(pen.pool, b) for b in draft.blocks])
    versions = carry(before, old.rows(name), now, moved, build.as_of, build.late.get(name, frozenset()))
    if len(versions) == 0:
        return [], {}
    starts = range(0, len(versions), ROW_BLOCK)
    blocks = [put_rows(pen.pool, versions.rows.slice(i, ROW_BLOCK), draft.staging) for i in starts]
    arrays = {"version_nodes": versions.nodes, "version_until": versions.until}
    return blocks, {n: pen.submit(pen.pool.put_array, a) for n, a in arrays.items()}
