"""A snapshot: the whole graph as of one time, immutable, opened by mapping files into memory.

    snapshots/current          the id of the snapshot that readers take
    snapshots/<id>.json        the manifest: schema, as-of time, counts, and the files
    snapshots/files/<hash>     arrays (.npy) and rows (Arrow IPC), shared between snapshots that agree on them

The id is a hash of everything the manifest says of the data, so equal graphs have equal ids. Rows of a table are
numbered in the order of time (see :mod:`forekey.graph.rows`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.errors import SnapshotError
from forekey.graph.clock import Micros, from_micros
from forekey.graph.keys import as_keys, find, key_number, key_numbers, key_type
from forekey.graph.pool import FileRef, Pool
from forekey.project import write_atomically
from forekey.schema import EdgeType, Schema

FORMAT = 1


class Snapshot:
    """A graph on disk. Opening maps every file and reads no row; every array is read-only.

    What is mapped stays readable when a later build prunes the files.
    """

    def __init__(self, manifest: dict[str, Any], pool: Pool) -> None:
        self.manifest = manifest
        self.id: str = manifest["id"]
        self.schema = Schema.from_dict(manifest["schema"])
        self._pool = pool
        self._arrays: dict[tuple[str, str], NDArray[Any]] = {}
        self._rows: dict[str, pa.Table] = {}
        for owner, part in [*manifest["tables"].items(), *manifest["edges"].items()]:
            for name, ref in part["files"].items():
                if name == "rows":
                    self._rows[owner] = pool.table(FileRef(*ref))
                else:
                    self._arrays[owner, name] = np.asarray(pool.array(FileRef(*ref)))

    @property
    def as_of(self) -> datetime:
        """The moment the snapshot shows (UTC): the newest time it knows, or 1970 if nothing in it has a time."""
        return from_micros(self.manifest["as_of"])

    @cached_property
    def edge_types(self) -> tuple[EdgeType, ...]:
        """Every foreign key, in the schema's order."""
        return self.schema.edge_types

    def num_nodes(self, table: str) -> int:
        """Return the number of rows of a table."""
        return int(self.manifest["tables"][table]["nodes"])

    def num_edges(self, edge: EdgeType) -> int:
        """Return the number of rows that point at a parent that is there."""
        return int(self.manifest["edges"][str(edge)]["edges"])

    def rows(self, table: str) -> pa.Table:
        """Return a table's rows, keys and time included; row number ``i`` of the graph is row ``i`` here."""
        return self._rows[table]

    def times(self, table: str) -> Micros | None:
        """Return the time of each row, ``[num_nodes] int64`` ascending; None for a table without a time column."""
        return self._arrays.get((table, "times"))

    def parents(self, edge: EdgeType) -> NDArray[np.int32]:
        """Return the parent row of each child row, ``[num_children] int32``; -1 for NULL and orphans."""
        return self._arrays[str(edge), "parents"]

    def children(self, edge: EdgeType) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return CSR ``indptr [num_parents + 1] int64`` and ``indices [num_edges] int32``, each row's by time."""
        return self._arrays[str(edge), "indptr"], self._arrays[str(edge), "indices"]

    def visible(self, table: str, moments: Micros) -> NDArray[np.int64]:
        """Return, for each moment, how many leading rows are at or before it: row ``r`` is visible if ``r < bound``."""
        times = self.times(table)
        if times is None:
            return np.full(len(moments), self.num_nodes(table), np.int64)
        return np.searchsorted(times, moments, side="right").astype(np.int64)

    def lookup(self, table: str, keys: Sequence[Any]) -> NDArray[np.int32]:
        """Return the row of each primary key, ``[len(keys)] int32``; -1 where no row has it."""
        own = self.schema.table(table)
        dtype = own.column(own.primary_key or "").dtype
        typed = as_keys(keys, dtype)
        numbers = np.array([0 if k is None else key_number(k) for k in typed], np.int64)
        found = self.lookup_numbers(table, numbers)
        known = np.array([k is not None for k in typed], bool)
        return np.where(known, found, np.int32(-1)).astype(np.int32)

    def lookup_keys(self, table: str, keys: pa.ChunkedArray) -> NDArray[np.int32]:
        """Return the row of each primary key of an Arrow column, -1 where there is none."""
        own = self.schema.table(table)
        typed = keys.cast(key_type(own.column(own.primary_key or "").dtype))
        found = self.lookup_numbers(table, key_numbers(typed))
        return np.where(pc.is_valid(typed).to_numpy(), found, np.int32(-1)).astype(np.int32)

    def lookup_numbers(self, table: str, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the row of each key number (see :mod:`forekey.graph.keys`), -1 where no row has it."""
        return find(self._arrays[table, "key_numbers"], self._arrays[table, "key_rows"], numbers)

    def keys(self, table: str) -> pa.ChunkedArray:
        """Return the primary key of each row."""
        return self.rows(table).column(self.schema.table(table).primary_key)

    def verify(self) -> None:
        """Read every file and compare it with its hash; :class:`SnapshotError` names the first that differs."""
        for ref in file_refs(self.manifest):
            self._pool.verify(ref)


class SnapshotStore:
    """The snapshots of a project: open, list, publish, prune."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pool = Pool(folder / "files")

    def current(self) -> Snapshot:
        """Open the newest published snapshot; :class:`SnapshotError` if there is none."""
        snapshot = self.current_or_none()
        if snapshot is None:
            raise SnapshotError("There is no snapshot yet. Run `forekey snapshot` to build one.")
        return snapshot

    def current_or_none(self) -> Snapshot | None:
        """Open the newest published snapshot, or None if there never was one."""
        pointer = self.folder / "current"
        return self.open(pointer.read_text().strip()) if pointer.is_file() else None

    def open(self, snapshot_id: str) -> Snapshot:
        """Open one snapshot; every file it names must be there in full."""
        return Snapshot(self._manifest(snapshot_id), self.pool)

    def ids(self) -> list[str]:
        """Return the ids of all snapshots, oldest first; damaged manifests are passed over."""
        found = [m for p in self.folder.glob("*.json") if (m := self._manifest_or_none(p.stem)) is not None]
        return [m["id"] for m in sorted(found, key=lambda m: str(m["created_at"]))]

    def publish(self, manifest: dict[str, Any]) -> Snapshot:
        """Make a manifest whose files are in the pool the current snapshot, in one step."""
        manifest = {**manifest, "id": identify(manifest)}
        path = self.folder / f"{manifest['id']}.json"
        known = self._manifest_or_none(manifest["id"])
        if known is not None:
            # The same graph again: it keeps where it came from.
            manifest |= {name: known[name] for name in ("parent", "created_at")}
        write_atomically(path, json.dumps(manifest, indent=1))
        write_atomically(self.folder / "current", manifest["id"])
        return self.open(manifest["id"])

    def prune(self, keep: int, min_age_seconds: float = 3600.0) -> int:
        """Delete all but the newest ``keep`` snapshots (the current one stays) and files that no snapshot needs.

        Returns how many snapshots are gone. Files younger than ``min_age_seconds`` wait for the next time.
        """
        pointer = self.folder / "current"
        kept = {*self.ids()[-keep:]} if keep else set()
        kept |= {pointer.read_text().strip()} if pointer.is_file() else set()
        needed: set[str] = set()
        gone = 0
        for path in self.folder.glob("*.json"):
            if path.stem in kept:
                needed |= {ref.digest for ref in file_refs(json.loads(path.read_text(encoding="utf-8")))}
            else:
                path.unlink()
                gone += 1
        self.pool.sweep(needed, min_age_seconds)
        return gone

    def _manifest(self, snapshot_id: str) -> dict[str, Any]:
        path = self.folder / f"{snapshot_id}.json"
        try:
            manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if manifest["format"] != FORMAT or manifest["id"] != snapshot_id or identify(manifest) != snapshot_id:
                raise KeyError("format")
        except FileNotFoundError:
            raise SnapshotError(f"There is no snapshot '{snapshot_id}'. Run `forekey snapshot` to build one.") from None
        except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise SnapshotError(
                f"The snapshot is damaged: '{path}' is not a manifest of format {FORMAT}. "
                "Run `forekey snapshot --full` to build it again from the source."
            ) from error
        return manifest

    def _manifest_or_none(self, snapshot_id: str) -> dict[str, Any] | None:
        try:
            return self._manifest(snapshot_id)
        except SnapshotError:
            return None


def file_refs(manifest: dict[str, Any]) -> list[FileRef]:
    """Return every file that a manifest names."""
    parts = [*manifest["tables"].values(), *manifest["edges"].values()]
    return [FileRef(*ref) for part in parts for ref in part["files"].values()]


def identify(manifest: dict[str, Any]) -> str:
    """Hash what a manifest says of the data: schema, as-of time, and the contents of every file."""
    told = {
        "format": manifest["format"],
        "schema": manifest["schema"],
        "as_of": manifest["as_of"],
        "files": [
            (name, sorted(part["files"].items()))
            for kind in ("tables", "edges")
            for name, part in sorted(manifest[kind].items())
        ],
    }
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()
