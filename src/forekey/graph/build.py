"""From a source to a snapshot: read rows (all, or only what is new), then derive the graph from them.

Only reading differs between a first build and an update. Everything else is a function of the canonical rows, so an
update that ends with the same rows ends with the same snapshot, to the byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey import __version__
from forekey.errors import SnapshotError
from forekey.graph.clock import from_micros, in_utc, to_micros, utc_now
from forekey.graph.keys import build_index, find, key_numbers
from forekey.graph.pool import FileRef
from forekey.graph.rows import Rows, canonical, count_known, newest_time, read_rows
from forekey.graph.snapshot import FORMAT, Snapshot, SnapshotStore
from forekey.graph.statistics import column_statistics, degree_statistics
from forekey.schema import EdgeType, Schema, TableSchema
from forekey.source import Source

_BATCH_ROWS = 1 << 20
_MAX_ROWS = 2**31 - 1

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Read:
    rows: Rows
    how: str  # "full" or "new rows"


def build_snapshot(
    source: Source,
    schema: Schema,
    store: SnapshotStore,
    *,
    as_of: datetime | None = None,
    full: bool = False,
    progress: Progress = lambda _: None,
) -> Snapshot:
    """Build and publish a snapshot of the source as of a time (default: the newest time that is not in the future).

    Where there is a snapshot of the same schema and source, only rows newer than its newest are read from tables
    with a time column; a count of the source tells whether that was all, and if not, the table is read whole.
    """
    started = time.perf_counter()
    moment = _as_of(source, schema, as_of)
    previous = None if full else _previous(store, schema, source, moment)
    reads: dict[str, _Read] = {}
    for name in schema.names:
        progress(f"reading {name}")
        reads[name] = _read(source, schema, name, moment, previous, store)
    progress("building edges")
    manifest = _assemble(store, schema, {n: r.rows for n, r in reads.items()})
    manifest |= {
        "as_of": moment,
        "source": source.url,
        "created_at": utc_now().isoformat(),
        "tool_version": __version__,
        "parent": previous.id if previous else None,
        "read": {name: r.how for name, r in reads.items()},
        "seconds": round(time.perf_counter() - started, 3),
    }
    return store.publish(manifest)


def _as_of(source: Source, schema: Schema, asked: datetime | None) -> int:
    if asked is not None:
        return to_micros(in_utc(asked))
    now = utc_now().isoformat()
    newest = [newest_time(source, t, now) for t in schema.tables if t.time_column is not None]
    return max((to_micros(t) for t in newest if t is not None), default=0)


def _previous(store: SnapshotStore, schema: Schema, source: Source, as_of: int) -> Snapshot | None:
    """Return the current snapshot if an update may start from it."""
    try:
        current = store.current_or_none()
    except SnapshotError:
        return None
    if current is None or current.schema != schema or current.manifest["source"] != source.url:
        return None
    return current if current.manifest["as_of"] <= as_of else None


def _read(
    source: Source, schema: Schema, name: str, as_of: int, previous: Snapshot | None, store: SnapshotStore
) -> _Read:
    table = schema.table(name)
    until = from_micros(as_of).isoformat(sep=" ")
    workspace = store.folder / "spill"
    if previous is not None and previous.manifest["tables"][name]["watermark"] is not None:
        update = _read_new(source, schema, table, until, previous, store)
        if update is not None:
            return _Read(update, "new rows")
    rows = read_rows(source, schema, name, until, None, workspace)
    if len(rows.table) > _MAX_ROWS:
        raise SnapshotError(f"Table '{name}' has more than {_MAX_ROWS:,} rows, which is more than a node type holds.")
    return _Read(rows, "full")


def _read_new(
    source: Source, schema: Schema, table: TableSchema, until: str, previous: Snapshot, store: SnapshotStore
) -> Rows | None:
    """Read rows newer than any the previous snapshot read; None if counts show that older rows changed too."""
    entry = previous.manifest["tables"][table.name]
    after = from_micros(entry["watermark"]).isoformat(sep=" ")
    undated = entry["quarantined"].get("no time", 0)
    if count_known(source, table, after) != (entry["read"] - undated, undated):
        return None
    new = read_rows(source, schema, table.name, until, after, store.folder / "spill", undated=False)
    old = previous.rows(table.name)
    fresh, repeated = _without_known_keys(new.table, table, previous)
    quarantined = dict(entry["quarantined"])
    for reason, count in [*new.quarantined.items(), ("duplicate key", repeated)]:
        if count:
            quarantined[reason] = quarantined.get(reason, 0) + count
    newest = new.newest if new.newest is not None else entry["watermark"]
    return Rows(canonical(pa.concat_tables([old, fresh])), entry["read"] + new.read, quarantined, newest)


def _without_known_keys(rows: pa.Table, table: TableSchema, previous: Snapshot) -> tuple[pa.Table, int]:
    """Drop rows whose key an older row has: the same choice that a build from scratch makes."""
    if table.primary_key is None or len(rows) == 0:
        return rows, 0
    known = previous.lookup_numbers(table.name, key_numbers(rows.column(table.primary_key))) >= 0
    return rows.filter(pa.array(~known)), int(known.sum())


def _assemble(store: SnapshotStore, schema: Schema, rows: dict[str, Rows]) -> dict[str, Any]:
    """Derive keys, times, edges and statistics from canonical rows, and store them."""
    tables: dict[str, dict[str, Any]] = {}
    index: dict[str, tuple[NDArray[np.int64], NDArray[np.int32]]] = {}
    for table in schema.tables:
        data = rows[table.name]
        arrays: dict[str, NDArray[Any]] = {}
        if table.time_column is not None:
            arrays["times"] = data.table.column(table.time_column).cast(pa.int64()).to_numpy()
        if table.primary_key is not None:
            index[table.name] = build_index(key_numbers(data.table.column(table.primary_key)))
            arrays["key_numbers"], arrays["key_rows"] = index[table.name]
        files = {name: store.pool.put_array(array) for name, array in arrays.items()}
        files["rows"] = store.pool.put_table(data.table, _BATCH_ROWS)
        tables[table.name] = {
            "read": data.read,
            "nodes": len(data.table),
            "quarantined": data.quarantined,
            "watermark": data.newest,
            "newest": int(arrays["times"][-1]) if len(arrays.get("times", ())) else None,
            "columns": column_statistics(data.table, table),
            "files": _to_json(files),
        }
    edges = {str(e): _edge(store, e, rows, index[e.parent]) for e in schema.edge_types}
    return {"format": FORMAT, "schema": schema.to_dict(), "tables": tables, "edges": edges}


def _edge(
    store: SnapshotStore, edge: EdgeType, rows: dict[str, Rows], index: tuple[NDArray[np.int64], NDArray[np.int32]]
) -> dict[str, Any]:
    from forekey.graph.kernels import invert

    keys = rows[edge.child].table.column(edge.column)
    present = pc.is_valid(keys).to_numpy()
    parents = np.where(present, find(*index, key_numbers(keys)), np.int32(-1)).astype(np.int32)
    indptr, indices = invert(parents, len(rows[edge.parent].table))
    files = {
        "parents": store.pool.put_array(parents),
        "indptr": store.pool.put_array(indptr),
        "indices": store.pool.put_array(indices),
    }
    return {
        "edges": len(indices),
        "null_keys": int((~present).sum()),
        "orphans": int((present & (parents < 0)).sum()),
        "degree": degree_statistics(indptr),
        "files": _to_json(files),
    }


def _to_json(files: dict[str, FileRef]) -> dict[str, list[Any]]:
    return {name: ref.to_list() for name, ref in files.items()}
