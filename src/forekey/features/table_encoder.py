"""How the rows of one table become arrays: the encoders of its columns, side by side."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from forekey import __version__
from forekey.features.columns import ColumnEncoder, Encoded, column_from_dict


@dataclass(frozen=True)
class TableEncoder:
    """The encoders of one table's columns, slow ones last; equal encoders encode equal rows equally."""

    table: str
    columns: tuple[ColumnEncoder, ...]

    @classmethod
    def of(cls, table: str, columns: Iterable[ColumnEncoder]) -> TableEncoder:
        """Return the encoder of a table."""
        return cls(table, tuple(sorted(columns, key=lambda c: c.slow)))

    @property
    def num_values(self) -> int:
        """Return how many numerical features a row has."""
        return sum(c.num_values for c in self.columns)

    @property
    def num_tokens(self) -> int:
        """Return how many tokens a row has at most."""
        return sum(c.num_tokens for c in self.columns)

    @property
    def vocabularies(self) -> tuple[tuple[int, int], ...]:
        """Return how many tokens each column with tokens gives a row, and how many distinct ones there are."""
        return tuple((c.num_tokens, c.vocabulary_size) for c in self.columns if c.num_tokens)

    @property
    def reads(self) -> list[str]:
        """Return the columns that :meth:`encode` reads."""
        return list(dict.fromkeys(name for c in self.columns for name in c.reads))

    def encode(self, rows: pa.Table) -> Encoded:
        """Encode rows: a whole table, a block of it, or a single row that has just arrived."""
        return Encoded.beside([column.encode(rows) for column in self.columns], len(rows))

    def split(self) -> tuple[TableEncoder, ...]:
        """Return what is cached by itself: the quick columns together, and each slow one."""
        quick = tuple(c for c in self.columns if not c.slow)
        slow = (c for c in self.columns if c.slow)
        return (*([TableEncoder(self.table, quick)] if quick else []), *(TableEncoder(self.table, (c,)) for c in slow))

    @cached_property
    def id(self) -> str:
        """Return a hash of all that what is encoded depends on beside the rows."""
        described = json.dumps([__version__, *(c.to_dict() for c in self.columns)])
        return hashlib.blake2b(described.encode(), digest_size=8).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """JSON form; :meth:`from_dict` reads it back to an equal encoder."""
        return {"table": self.table, "columns": [c.to_dict() for c in self.columns]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TableEncoder:
        """Read what :meth:`to_dict` wrote."""
        return cls(data["table"], tuple(column_from_dict(c) for c in data["columns"]))
