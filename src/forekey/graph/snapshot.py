"""A snapshot: the whole graph as of one time, immutable, opened by mapping files into memory.

    snapshots/current          the id of the snapshot that readers take
    snapshots/<id>.json        the manifest: schema, as-of time, counts, and the files
    snapshots/files/<hash>     blocks of arrays and of rows (Arrow IPC), shared between snapshots that agree on them

The id is a hash of everything the manifest says of the data, so equal graphs have equal ids. Rows of a table are
numbered in the order of time (see :mod:`forekey.graph.rows`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.errors import SnapshotError
from forekey.files import write_whole
from forekey.graph.adjacency import Adjacency, Presence
from forekey.graph.block_store import ArrayRef, BlockStore, FileRef
from forekey.graph.key_index import KeyIndex, key_form, key_numbers, lookup_numbers, spelling_of
from forekey.graph.manifest import SnapshotManifest
from forekey.graph.row_access import take_rows
from forekey.graph.table_writer import ROW_BLOCK, RowBlock
from forekey.graph.timestamps import Micros, from_micros, utc_now
from forekey.graph.versions import Versions
from forekey.notebooks import as_table
from forekey.schema import EdgeType

FORMAT = 4


class Snapshot:
    """A graph on disk. Opening maps every file and reads no row; every array is read-only.

    What is mapped stays readable when a later build prunes the files.
    """

    def __init__(self, manifest: SnapshotManifest, pool: BlockStore) -> None:
        self.manifest = manifest
        self.id = manifest.id
        self.schema = manifest.schema
        self._pool = pool
        self._arrays: dict[tuple[str, str], NDArray[Any]] = {}
        self._blocks: dict[tuple[str, str], list[pa.Buffer]] = {}
        self._rows: dict[tuple[str, str], pa.Table] = {}
        for owner, part in manifest.parts.items():
            for name, ref in part.arrays.items():
                self._arrays[owner, name] = pool.array(ref)
        for owner, table in manifest.tables.items():
            for name, blocks in (("rows", table.rows), ("version_rows", table.version_rows)):
                self._blocks[owner, name] = [pool.buffer(b.rows) for b in blocks]
                for block in blocks:
                    pool.check(block.sketch)

    def __repr__(self) -> str:
        nodes, edges = self.manifest.num_nodes, self.manifest.num_edges
        return f"Snapshot({self.id[:8]}, as of {self.as_of:%Y-%m-%d}, {nodes:,} nodes, {edges:,} edges)"

    def _repr_html_(self) -> str:
        rows = ([name, t.nodes, t.left_out] for name, t in self.manifest.tables.items())
        return as_table(["node type", "nodes", "quarantined"], rows, repr(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """Give another process the place of the files, not their contents."""
        return Snapshot, (self.manifest, self._pool)

    @property
    def as_of(self) -> datetime:
        """The moment the snapshot shows (UTC): the newest time it knows, or 1970 if nothing in it has a time."""
        return from_micros(self.manifest.as_of)

    @cached_property
    def edge_types(self) -> tuple[EdgeType, ...]:
        """Every foreign key, in the schema's order."""
        return self.schema.edge_types

    def num_nodes(self, table: str) -> int:
        """Return the number of rows of a table."""
        return self.manifest.tables[table].nodes

    def num_edges(self, edge: EdgeType) -> int:
        """Return the number of rows that point at a parent that is there."""
        return self.manifest.edges[str(edge)].edges

    def rows(self, table: str) -> pa.Table:
        """Return a table's rows with primary key and time; row number ``i`` of the graph is row ``i`` here.

        Foreign keys are not among the columns: the edges say what they said.
        """
        return self._table(table, "rows")

    def times(self, table: str) -> Micros | None:
        """Return the time of each row, ``[num_nodes] int64`` ascending; None for a table without a time column."""
        return self._arrays.get((table, "times"))

    def dropped(self, table: str) -> dict[str, Micros]:
        """Return the times of rows that were left out though they had one, by reason, ascending."""
        prefix = "dropped: "
        found = {n: a for (owner, n), a in self._arrays.items() if owner == table and n.startswith(prefix)}
        return {name.removeprefix(prefix): times for name, times in found.items()}

    def unreadable(self, table: str) -> dict[str, NDArray[np.int32]]:
        """Return, by column, the rows that hold something which does not read as the column's type (NULL here)."""
        prefix = "unreadable: "
        found = {n: a for (owner, n), a in self._arrays.items() if owner == table and n.startswith(prefix)}
        return {name.removeprefix(prefix): rows for name, rows in found.items()}

    def versions(self, table: str) -> Versions | None:
        """Return what rows without a time looked like before they changed, or None if none ever did."""
        if (table, "version_nodes") not in self._arrays:
            return None
        rows = self._table(table, "version_rows")
        return Versions(rows, self._arrays[table, "version_nodes"], self._arrays[table, "version_until"])

    def contents_at(self, table: str, rows: NDArray[np.int32], moments: Micros) -> NDArray[np.int32]:
        """Return, for each row at each moment, where its contents stand.

        A number below ``num_nodes`` is a row of :meth:`rows`; ``num_nodes + v`` is row ``v`` of :meth:`versions`.
        """
        versions = self.versions(table)
        return rows if versions is None else versions.at(rows, moments, self.num_nodes(table))

    def all_contents(self, table: str) -> pa.Table:
        """Return :meth:`rows`, followed by the former contents of those that changed (see :meth:`contents_at`)."""
        versions = self.versions(table)
        return self.rows(table) if versions is None else pa.concat_tables([self.rows(table), versions.rows])

    def rows_at(self, table: str, moment: int) -> pa.Table:
        """Return the rows visible at a moment (microseconds), with the contents they had."""
        visible = int(self.visible(table, np.array([moment]))[0])
        if self.versions(table) is None:
            return self.rows(table).slice(0, visible)
        contents = self.contents_at(table, np.arange(visible, dtype=np.int32), np.full(visible, moment))
        return take_rows(self.all_contents(table), contents)

    def parents(self, edge: EdgeType) -> NDArray[np.int32]:
        """Return the parent row of each child row, ``[num_children] int32``; -1 for NULL and orphans."""
        return self._arrays[str(edge), "parents"]

    def children(self, edge: EdgeType) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return CSR ``indptr [num_parents + 1] int64`` and ``indices [num_edges] int32``, each row's by time."""
        return self._arrays[str(edge), "indptr"], self._arrays[str(edge), "indices"]

    def adjacency(self, edge: EdgeType) -> Adjacency:
        """Return the children of each parent row, in the order of time."""
        if edge not in self._adjacency:
            times, rows = self.times(edge.child), self.num_nodes(edge.child)
            self._adjacency[edge] = Adjacency(edge.child, self.children(edge), times, rows, numbered=True)
        return self._adjacency[edge]

    @cached_property
    def _adjacency(self) -> dict[EdgeType, Adjacency]:
        return {}

    def presence(self, table: str) -> Presence:
        """Return which rows of a table are there at which moment."""
        rows = self.num_nodes(table)
        return Presence(self.times(table), rows, rows)

    def orphans(self, edge: EdgeType) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the child rows whose key no parent has, ascending, and the numbers of these keys."""
        return self._arrays[str(edge), "orphan_rows"], self._arrays[str(edge), "orphan_numbers"]

    def visible(self, table: str, moments: Micros) -> NDArray[np.int64]:
        """Return, for each moment, how many leading rows are at or before it: row ``r`` is visible if ``r < bound``."""
        return self.presence(table).bounds(moments)

    def lookup(self, table: str, keys: Sequence[Any]) -> NDArray[np.int32]:
        """Return the row of each primary key, ``[len(keys)] int32``; -1 where no row has it."""
        spelling = spelling_of(self.schema, table)
        spelt = keys if spelling.is_plain else [spelling.one(k) if k is not None else None for k in keys]
        numbers, possible = lookup_numbers(spelt, key_form(self.schema, table))
        return np.where(possible, self.index(table).find(numbers), np.int32(-1)).astype(np.int32)

    def lookup_keys(self, table: str, keys: pa.ChunkedArray) -> NDArray[np.int32]:
        """Return the row of each primary key of an Arrow column, -1 where there is none."""
        found = self.index(table).find(self.numbers_of(table, keys))
        return np.where(pc.is_valid(keys).to_numpy(), found, np.int32(-1)).astype(np.int32)

    def numbers_of(self, table: str, keys: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """Return the number of each key of a table, however it is spelled; that of a NULL means nothing."""
        return key_numbers(spelling_of(self.schema, table).many(keys), key_form(self.schema, table))

    def index(self, table: str) -> KeyIndex:
        """Return the rows of a table by their key's number (see :mod:`forekey.graph.key_index`)."""
        if table not in self._indexes:
            runs = range(self.manifest.tables[table].runs)
            self._indexes[table] = KeyIndex(
                tuple((self._arrays[table, f"numbers_{i}"], self._arrays[table, f"rows_{i}"]) for i in runs)
            )
        return self._indexes[table]

    @cached_property
    def _indexes(self) -> dict[str, KeyIndex]:
        return {}

    def keys(self, table: str) -> pa.ChunkedArray:
        """Return the primary key of each row."""
        return self.rows(table).column(self.schema.table(table).primary_key)

    def blocks(self, table: str) -> tuple[RowBlock, ...]:
        """Return the blocks that a table's rows lie in."""
        return self.manifest.tables[table].rows

    def parts(self, table: str) -> list[tuple[str, int]]:
        """Return the blocks that :meth:`all_contents` consists of: the hash of each, and how many rows it has."""
        entry = self.manifest.tables[table]
        former = entry.version_rows if self.versions(table) is not None else ()
        return [(block.rows.digest, block.length) for block in (*entry.rows, *former)]

    def array_refs(self, owner: str) -> dict[str, ArrayRef]:
        """Return where the arrays of a table or edge type lie."""
        return self.manifest.parts[owner].arrays

    def repeated(self, table: str) -> NDArray[np.int64] | None:
        """Return the numbers of keys of which rows were left out as duplicates, ascending; None if not known."""
        return self._arrays.get((table, "repeated keys"))

    def verify(self) -> None:
        """Read every file and compare it with its hash; :class:`SnapshotError` names the first that differs."""
        for ref in self.manifest.files:
            self._pool.verify(ref)

    def verify_structure(self) -> None:
        """Do so for all but the rows of tables with a time: what an update writes again is taken from these."""
        refs: list[FileRef] = []
        for name, part in self.manifest.parts.items():
            timed = (
                self.manifest.tables[name] if name in self.manifest.tables and self.times(name) is not None else None
            )
            rows = {b.rows for b in (*timed.rows, *timed.version_rows)} if timed is not None else set()
            refs += [file for file in part.files if file not in rows]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for _ in threads.map(self._pool.verify, refs):
                pass

    def verify_rows(self, table: str, first: int) -> None:
        """Do so for the blocks of a table from the one that row ``first`` lies in."""
        for block in self.blocks(table)[first // ROW_BLOCK :]:
            self._pool.verify(block.rows)

    def _table(self, table: str, part: str) -> pa.Table:
        if (table, part) not in self._rows:
            try:
                pieces = [pa.ipc.open_file(b).read_all() for b in self._blocks[table, part]]
            except pa.ArrowInvalid as error:
                raise SnapshotError(
                    f"The snapshot is damaged: rows of '{table}' cannot be read. "
                    "Run `forekey snapshot --full` to build it again from the source."
                ) from error
            self._rows[table, part] = pa.concat_tables(pieces)
        return self._rows[table, part]


class SnapshotStore:
    """The snapshots of a project: open, list, publish, prune."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self.folder = folder
        self.clock = clock
        self.pool = BlockStore(folder / "files")
        self._threads = threading.RLock()
        self._building = 0

    def current(self) -> Snapshot:
        """Open the newest published snapshot; :class:`SnapshotError` if there is none."""
        snapshot = self.current_or_none()
        if snapshot is None:
            raise SnapshotError("There is no snapshot yet. Run `forekey snapshot` to build one.")
        return snapshot

    def current_or_none(self) -> Snapshot | None:
        """Open the newest published snapshot, or None if there never was one."""
        pointer = self.folder / "current"
        while pointer.is_file():
            name = pointer.read_text().strip()
            try:
                return self.open(name)
            except SnapshotError:
                if pointer.read_text().strip() == name:
                    raise
                # A build in another process published the next one and pruned this one meanwhile.
        return None

    def current_id(self) -> str | None:
        """Return the id of the newest published snapshot, or None if there never was one."""
        pointer = self.folder / "current"
        return pointer.read_text().strip() if pointer.is_file() else None

    def known_columns(self) -> set[tuple[str, str]]:
        """Return (table, column) of all that the newest snapshot has, or knows to be gone from the source."""
        current = self.current_id()
        manifest = self._manifest_or_none(current) if current is not None else None
        if manifest is None:
            return set()
        return {(t.name, c.name) for t in manifest.schema.tables for c in t.columns} | set(manifest.gone)

    def open(self, snapshot_id: str) -> Snapshot:
        """Open one snapshot; every file it names must be there in full."""
        return Snapshot(self._manifest(snapshot_id), self.pool)

    def parent_of(self, snapshot: Snapshot) -> Snapshot | None:
        """Open the snapshot that this one was updated from, if it is still there."""
        name = snapshot.manifest.parent
        try:
            return self.open(name) if name is not None else None
        except SnapshotError:
            return None

    def newest_id(self) -> str:
        """Return the id of the snapshot that readers take; nothing if there is none yet."""
        pointer = self.folder / "current"
        return pointer.read_text().strip() if pointer.is_file() else ""

    def find(self, prefix: str) -> Snapshot:
        """Open the one snapshot whose id begins so; ``current`` names the newest."""
        if prefix == "current":
            return self.current()
        found = [i for i in self.ids() if i.startswith(prefix)]
        if len(found) != 1:
            raise SnapshotError(
                f"{'No snapshot begins' if not found else f'{len(found)} snapshots begin'} with '{prefix}'. "
                f"There are: {', '.join(self.ids()) or 'none yet; run `forekey snapshot`'}."
            )
        return self.open(found[0])

    def manifests(self) -> list[SnapshotManifest]:
        """Return the manifests of all snapshots, oldest first."""
        return [self._manifest(i) for i in self.ids()]

    def ids(self) -> list[str]:
        """Return the ids of all snapshots, oldest first; damaged manifests are passed over."""
        found = [m for p in self.folder.glob("*.json") if (m := self._manifest_or_none(p.stem)) is not None]
        return [m.id for m in sorted(found, key=lambda m: str(m.created_at))]

    @contextmanager
    def building(self) -> Iterator[None]:
        """Hold the right to build: one thread of one process at a time, others wait; readers are not concerned.

        The thread that holds it may ask for it again. Take it before opening the source: what is read must not be older
        than what another process published meanwhile.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._threads, (self.folder / ".building").open("w") as handle:
            if not self._building:
                fcntl.flock(handle, fcntl.LOCK_EX)
            self._building += 1
            try:
                yield
            finally:
                self._building -= 1

    def publish(self, manifest: SnapshotManifest) -> Snapshot:
        """Make a manifest whose files are in the pool the current snapshot, in one step."""
        manifest = replace(manifest, id=identify(manifest.to_dict()))
        path = self.folder / f"{manifest.id}.json"
        known = self._manifest_or_none(manifest.id)
        if known is not None:
            # The same graph again: it keeps where it came from.
            manifest = replace(manifest, parent=known.parent, created_at=known.created_at)
        self.pool.flush()
        write_whole(path, json.dumps(manifest.to_dict(), indent=1))
        write_whole(self.folder / "current", manifest.id)
        return self.open(manifest.id)

    def unpublished(self, manifest: SnapshotManifest) -> Snapshot:
        """Open a manifest whose files are in the pool for the caller alone; they go with a later pruning."""
        return Snapshot(replace(manifest, id=identify(manifest.to_dict())), self.pool)

    def prune(self, keep: int, min_age_seconds: float = 3600.0, pinned: Collection[str] = ()) -> int:
        """Delete all but the newest ``keep`` snapshots, the current and ``pinned`` ones, and files that none needs.

        Returns how many snapshots are gone. Files younger than ``min_age_seconds`` wait for the next time.
        """
        with self.building():
            return self._prune(keep, min_age_seconds, pinned)

    def _prune(self, keep: int, min_age_seconds: float, pinned: Collection[str]) -> int:
        pointer = self.folder / "current"
        kept = {*self.ids()[-keep:]} if keep else set()
        kept |= {pointer.read_text().strip()} if pointer.is_file() else set()
        kept |= set(pinned) & set(self.ids())
        needed: set[str] = set()
        gone = 0
        for path in self.folder.glob("*.json"):
            if path.stem in kept:
                needed |= {ref.digest for ref in self._manifest(path.stem).files}
            else:
                path.unlink()
                gone += 1
        self.pool.sweep(needed, min_age_seconds)
        return gone

    def _manifest(self, snapshot_id: str) -> SnapshotManifest:
        path = self.folder / f"{snapshot_id}.json"
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT or data["id"] != snapshot_id or identify(data) != snapshot_id:
                raise KeyError("format")
            return SnapshotManifest.from_dict(data)
        except FileNotFoundError:
            raise SnapshotError(f"There is no snapshot '{snapshot_id}'. Run `forekey snapshot` to build one.") from None
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise SnapshotError(
                f"The snapshot is damaged: '{path}' is not a manifest of format {FORMAT}. "
                "Run `forekey snapshot --full` to build it again from the source."
            ) from error

    def _manifest_or_none(self, snapshot_id: str) -> SnapshotManifest | None:
        try:
            return self._manifest(snapshot_id)
        except SnapshotError:
            return None


def identify(manifest: dict[str, Any]) -> str:
    """Hash what a manifest says of the data: schema, as-of time, rows, what was left out, versions and edges.

    The index of keys is left out: it follows from the rows, and its runs depend on how the snapshot came about.
    """
    tables = {
        name: {
            "rows": [b[:3] for b in part["rows"]],
            "versions": [b[:3] for b in part["version_rows"]],
            "books": [part["read"], part["quarantined"], part["placeholders"], part["unreadable"]],
            **{n: a for n, a in part["arrays"].items() if n.startswith("version_")},
        }
        for name, part in manifest["tables"].items()
    }
    edges = {name: {n: part["arrays"][n] for n in _POINTERS} for name, part in manifest["edges"].items()}
    told = {**{n: manifest[n] for n in ("format", "schema", "as_of")}, "tables": tables, "edges": edges}
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()


_POINTERS = ("parents", "orphan_rows", "orphan_numbers")
