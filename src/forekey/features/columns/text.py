"""Texts: hashed words, or vectors of their meaning. Nothing is learnt of them, and they are slow to encode."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.features.columns.column import RESERVED_TOKENS, ColumnEncoder, Encoded, mark_missing, padded
from forekey.features.embedder import embed_texts
from forekey.schema import ColumnSchema, Stype, TableSchema

BUCKETS = 4_096
MAX_WORDS = 12


@dataclass(frozen=True, slots=True)
class TextEncoder(ColumnEncoder):
    """``width`` is the length of the vectors; 0 where words are hashed."""

    stype: ClassVar[Stype] = Stype.TEXT
    slow: ClassVar[bool] = True

    width: int = 0

    @property
    def num_values(self) -> int:
        """Return the length of the vectors."""
        return self.width

    @property
    def num_tokens(self) -> int:
        """Return how many words of a text are read."""
        return 0 if self.width else MAX_WORDS

    @property
    def vocabulary_size(self) -> int:
        """Return the number of buckets that words are hashed into, and two more."""
        return 0 if self.width else RESERVED_TOKENS + BUCKETS

    @classmethod
    def fit(cls, rows: pa.Table, column: ColumnSchema, table: TableSchema, text_width: int = 0) -> Self:
        """Return the encoder of a column."""
        return cls(column.name, text_width)

    def encode(self, rows: pa.Table) -> Encoded:
        """Return vectors, or a token per word."""
        texts = rows.column(self.name)
        return Encoded.of_values(embed_texts(texts)) if self.width else Encoded.of_tokens(word_tokens(texts))


def word_tokens(values: pa.ChunkedArray) -> NDArray[np.int32]:
    """Return a token per word by hashing, ``[n, MAX_WORDS] int32``; words beyond are left out."""
    words = pc.split_pattern_regex(pc.utf8_lower(values.combine_chunks()), r"[^\p{L}\p{N}]+")
    flat = pc.list_flatten(words)
    distinct = flat.dictionary_encode()
    hashed = np.array([_bucket(w) for w in distinct.dictionary.to_pylist()], np.int32)
    tokens = hashed[distinct.indices.to_numpy()] if len(flat) else np.empty(0, np.int32)
    lengths = pc.fill_null(pc.list_value_length(words), 0).to_numpy()
    found = padded(1 + RESERVED_TOKENS + tokens, lengths, MAX_WORDS)
    mark_missing(found, values)
    return found


@lru_cache(maxsize=1 << 16)
def _bucket(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big") % BUCKETS
