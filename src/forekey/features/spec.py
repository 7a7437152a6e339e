"""Everything a model must know to encode rows and compute window features; saved with it, applied alike everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from forekey.features.columns import COLUMN_TYPES, fit_column
from forekey.features.table_encoder import TableEncoder
from forekey.features.window_spec import WindowSpec
from forekey.graph import Snapshot


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """The encoders of every table, and the window features of an entity; equal specs encode equal rows equally."""

    tables: tuple[TableEncoder, ...]
    windows: WindowSpec | None = None

    def table(self, name: str) -> TableEncoder:
        """Return the encoder of one table."""
        return next(t for t in self.tables if t.table == name)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; :meth:`from_dict` reads it back to an equal spec."""
        windows = self.windows.to_dict() if self.windows is not None else None
        return {"tables": [t.to_dict() for t in self.tables], "windows": windows}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FeatureSpec:
        """Read what :meth:`to_dict` wrote."""
        windows = WindowSpec.from_dict(data["windows"]) if data["windows"] is not None else None
        return cls(tuple(TableEncoder.from_dict(t) for t in data["tables"]), windows)


def fit_features(
    snapshot: Snapshot, cutoff: int, hidden: Iterable[tuple[str, str]] = (), text_width: int = 0
) -> FeatureSpec:
    """Learn the statistics of every column from rows at or before ``cutoff`` (microseconds since 1970).

    ``hidden`` names ``(table, column)`` pairs that must not be features, such as what a static target reads.
    Tables without a time column count whole. Texts become vectors of ``text_width``, or hashed words if that is 0.
    """
    left_out = set(hidden)
    tables = []
    for table in snapshot.schema.tables:
        rows = snapshot.rows_at(table.name, cutoff)
        columns = [
            fit_column(rows, column, table, text_width)
            for column in table.columns
            if column.stype in COLUMN_TYPES and (table.name, column.name) not in left_out
        ]
        tables.append(TableEncoder.of(table.name, columns))
    return FeatureSpec(tuple(tables))
