"""What a snapshot's manifest says, as values: where it comes from, its tables and edges, and the files they lie in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from forekey.graph.block_store import ArrayRef, FileRef
from forekey.graph.change_detection import Seen
from forekey.graph.table_writer import RowBlock
from forekey.schema import Schema


@dataclass(frozen=True, slots=True)
class TableManifest:
    """One table: ``read`` rows are ``nodes`` and those ``quarantined``, by reason, less ``placeholders``.

    ``unreadable`` counts, by column, values that do not read as its type. ``watermark`` is up to when the table is
    known, ``updated_until`` the newest ``updated_at``, ``newest`` the newest time (all microseconds); ``seen`` is how
    the table stood when it was read. ``columns`` are statistics by column, ``runs`` the parts of the index of keys,
    ``version_rows`` former contents.
    """

    read: int
    nodes: int
    quarantined: dict[str, int]
    placeholders: int
    unreadable: dict[str, int]
    watermark: int | None
    updated_until: int | None
    seen: Seen | None
    newest: int | None
    runs: int
    columns: dict[str, dict[str, Any]]
    rows: tuple[RowBlock, ...]
    version_rows: tuple[RowBlock, ...]
    arrays: dict[str, ArrayRef] = field(default_factory=dict)

    @property
    def left_out(self) -> int:
        """Return how many rows were quarantined."""
        return sum(self.quarantined.values())

    @property
    def files(self) -> list[FileRef]:
        """Return every file that the table lies in."""
        blocks = [*self.rows, *self.version_rows]
        return [*_files(self.arrays), *(file for block in blocks for file in (block.rows, block.sketch))]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "read": self.read,
            "nodes": self.nodes,
            "quarantined": self.quarantined,
            "placeholders": self.placeholders,
            "unreadable": self.unreadable,
            "watermark": self.watermark,
            "updated_until": self.updated_until,
            "seen": self.seen.to_list() if self.seen is not None else None,
            "newest": self.newest,
            "runs": self.runs,
            "columns": self.columns,
            "rows": [b.to_list() for b in self.rows],
            "version_rows": [b.to_list() for b in self.version_rows],
            "arrays": _arrays_to_dict(self.arrays),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TableManifest:
        """Read what :meth:`to_dict` wrote."""
        rows, versions = (tuple(RowBlock.from_list(b) for b in data[part]) for part in ("rows", "version_rows"))
        read = {"seen": Seen.from_list(data["seen"]), "rows": rows, "version_rows": versions}
        return cls(**{**data, **read, "arrays": _arrays_from_dict(data["arrays"])})


@dataclass(frozen=True, slots=True)
class EdgeManifest:
    """One foreign key: how many rows it connects, how many are NULL or found nowhere, and statistics of degrees."""

    edges: int
    null_keys: int
    orphans: int
    degree: dict[str, Any]
    arrays: dict[str, ArrayRef] = field(default_factory=dict)

    @property
    def orphan_share(self) -> float:
        """Return the share of keys that are found nowhere."""
        keys = self.edges + self.orphans
        return self.orphans / keys if keys else 0.0

    @property
    def files(self) -> list[FileRef]:
        """Return every file that the edges lie in."""
        return _files(self.arrays)

    def figures(self) -> dict[str, Any]:
        """Return all but the files, as JSON has it."""
        counts = {"edges": self.edges, "null_keys": self.null_keys, "orphans": self.orphans}
        return {**counts, "degree": self.degree}

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**self.figures(), "arrays": _arrays_to_dict(self.arrays)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EdgeManifest:
        """Read what :meth:`to_dict` wrote."""
        return cls(**{**data, "arrays": _arrays_from_dict(data["arrays"])})


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    """All that is known of a snapshot; ``as_of`` is the moment it shows (microseconds).

    ``asked`` says whether that moment was asked for. ``columns`` and ``types`` are those of all tables of the source,
    ``late`` the columns that came after the first snapshot, ``gone`` those that the source has no longer. ``changes``
    is what is different from ``parent``, the snapshot before; ``read`` how each table was read; ``configured`` holds a
    hash of each table's settings (None in snapshots of the first versions).
    """

    format: int
    as_of: int
    schema: Schema
    tables: dict[str, TableManifest]
    edges: dict[str, EdgeManifest]
    source: str
    created_at: str
    asked: bool
    parent: str | None
    schema_hash: str
    configured: dict[str, str] | None
    tool_version: str
    changes: list[str]
    columns: dict[str, list[str]]
    types: dict[str, dict[str, str]]
    late: dict[str, list[str]]
    gone: list[tuple[str, str]]
    read: dict[str, str]
    seconds: float
    id: str = ""

    @property
    def parts(self) -> Mapping[str, TableManifest | EdgeManifest]:
        """Return tables and edge types by name."""
        return {**self.tables, **self.edges}

    @property
    def files(self) -> list[FileRef]:
        """Return every file of the snapshot."""
        return [file for part in self.parts.values() for file in part.files]

    @property
    def num_nodes(self) -> int:
        """Return the number of nodes of all types."""
        return sum(table.nodes for table in self.tables.values())

    @property
    def num_edges(self) -> int:
        """Return the number of edges of all types."""
        return sum(edge.edges for edge in self.edges.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        nested = {"schema", "tables", "edges", "gone"}
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in nested}
        return {
            **plain,
            "schema": self.schema.to_dict(),
            "gone": [list(pair) for pair in self.gone],
            "tables": {name: table.to_dict() for name, table in self.tables.items()},
            "edges": {name: edge.to_dict() for name, edge in self.edges.items()},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SnapshotManifest:
        """Read what :meth:`to_dict` wrote; ``KeyError`` or ``TypeError`` where that is something else."""
        read = {
            "configured": data.get("configured"),
            "schema": Schema.from_dict(data["schema"]),
            "gone": [(table, column) for table, column in data["gone"]],
            "tables": {name: TableManifest.from_dict(t) for name, t in data["tables"].items()},
            "edges": {name: EdgeManifest.from_dict(e) for name, e in data["edges"].items()},
        }
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        return cls(**{**known, **read})


def _files(arrays: Mapping[str, ArrayRef]) -> list[FileRef]:
    return [block for array in arrays.values() for block in array.blocks]


def _arrays_to_dict(arrays: Mapping[str, ArrayRef]) -> dict[str, Any]:
    return {name: ref.to_dict() for name, ref in arrays.items()}


def _arrays_from_dict(data: Mapping[str, Any]) -> dict[str, ArrayRef]:
    return {name: ArrayRef.from_dict(ref) for name, ref in data.items()}
