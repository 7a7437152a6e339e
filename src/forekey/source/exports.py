"""Which tables Forekey itself wrote: predictions and labels are no data to learn from.

A table in Postgres, MySQL or DuckDB carries a comment, a Parquet file an entry in its metadata. SQLite tables and CSV
files can carry neither; whatever carries none is known by its columns: those of an export, and no others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from forekey.source.protocol import TableInfo

MARK = "written by forekey"
COMMENT = f"{MARK}: an export, which is not read as data"
_METADATA = b"forekey"
_PREDICTIONS = frozenset({"entity", "as_of", "prediction", "model_version"})
_LABELS = frozenset({"entity", "time", "target", "split"})
_MORE = frozenset({"probabilities", "scores", "weight"})


def marked(rows: pa.Table) -> pa.Table:
    """Return a table that says of itself, once it is a Parquet file, that Forekey wrote it."""
    return rows.replace_schema_metadata({**(rows.schema.metadata or {}), _METADATA: COMMENT.encode()})


def with_exports(tables: Iterable[TableInfo], names: Collection[str]) -> list[TableInfo]:
    """Say which tables are exports: those of the ``names``, which carry a mark, and those that look like one."""
    return [replace(t, export=t.name in names or _looks_like_one([c.name for c in t.columns])) for t in tables]


def is_marked(path: Path) -> bool:
    """Whether a file is Parquet and has the mark of an export."""
    try:
        found = pq.read_schema(path).metadata if path.suffix.lower() == ".parquet" else None
    except (pa.ArrowInvalid, OSError):
        return False  # why it cannot be read is said where its rows are
    return found is not None and bytes(found.get(_METADATA, b"")).startswith(MARK.encode())


def _looks_like_one(columns: Collection[str]) -> bool:
    return any(shape <= set(columns) <= shape | _MORE for shape in (_PREDICTIONS, _LABELS))
