"""Rows to arrays: the same code for a whole table, a batch and a single row that has just arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.features.embedder import embed_texts
from forekey.features.feature import Feature
from forekey.features.spec import FeatureSpec, HistoryScale
from forekey.features.statistics import RESERVED_CODES, TEXT_BUCKETS, ColumnFeature, TableFeatures, days_of
from forekey.features.texts import TextCache
from forekey.features.window_features import WindowFeatures
from forekey.graph import GraphView, Seeds
from forekey.schema import Stype
from forekey.task import LaggedLabels

_MISSING, _UNKNOWN = 0, 1
_MOST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Encoded rows: ``numbers [rows, numbers] float32`` (always finite) and ``codes [rows, slots] int32``."""

    numbers: NDArray[np.float32]
    codes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: NDArray[Any]) -> Encoded:
        """Return some of the rows."""
        # "clip" spares a copy of the outcome; no row is out of bounds. Other threads may run meanwhile.
        return Encoded(self.numbers.take(rows, axis=0, mode="clip"), self.codes.take(rows, axis=0, mode="clip"))


class FeatureStore:
    """The encoded tables of one snapshot under one spec; a table is encoded when it is first asked for.

    ``past`` holds the labels that entities had before, for specs that ask for them. ``beside`` is a store whose encoded
    tables are shared: of the same snapshot, with the same features of every table. ``cache`` is a folder in which the
    codes of texts are kept.
    """

    def __init__(
        self,
        view: GraphView,
        spec: FeatureSpec,
        past: LaggedLabels | None = None,
        beside: FeatureStore | None = None,
        cache: Path | None = None,
    ) -> None:
        self.view = view
        self.spec = spec
        self._texts = TextCache(cache) if cache is not None else None
        self._tables: dict[str, Encoded] = beside._tables if beside is not None else {}
        self._history = WindowFeatures(view, spec.history, past) if spec.history is not None else None

    @property
    def features(self) -> tuple[Feature, ...]:
        """Return what each column of :meth:`history` is."""
        return self._history.features if self._history is not None else ()

    def history(self, seeds: Seeds) -> NDArray[np.float32] | None:
        """Return the window features of some entities (see :class:`WindowFeatures`); None if the spec has none."""
        return self._history.compute(seeds) if self._history is not None else None

    def learn_scale(self, history: NDArray[np.float32]) -> None:
        """Fit the scales by which a network reads window features on those of training examples."""
        assert self._history is not None
        names = (feature.name for feature in self._history.features)
        self.spec = replace(self.spec, scale=HistoryScale.fit(history, names))

    def table(self, name: str) -> Encoded:
        """Return all rows of a table, encoded, and after them their former contents.

        :meth:`forekey.graph.GraphView.contents_at` returns which of them a row had at a moment.
        """
        if name not in self._tables:
            time_column, cache = self.view.schema.table(name).time_column, self._texts
            texts = partial(_remembered, cache, self.view, name) if cache is not None else None
            contents = self.view.all_contents(name)
            self._tables[name] = encode_rows(contents, self.spec.table(name), time_column, texts)
        return self._tables[name]


def _remembered(cache: TextCache, view: GraphView, table: str, column: ColumnFeature) -> NDArray[Any]:
    if column.width:
        return cache.vectors(view, table, column.name)
    return cache.codes(view, table, column.name, column.slots)


def encode_rows(
    rows: pa.Table,
    features: TableFeatures,
    time_column: str | None,
    texts: Callable[[ColumnFeature], NDArray[Any]] | None = None,
) -> Encoded:
    """Encode rows by statistics fitted before. Missing, unseen and infinite values have outcomes of their own.

    ``texts`` returns what was made before of a column of texts: its codes, the first being 1, or its vectors.
    """
    numbers = np.zeros((len(rows), features.numbers), np.float32)
    codes = np.zeros((len(rows), features.slots), np.int32)
    at, slot, first_code = 0, 0, 1
    for column in features.columns:
        if column.numbers:
            kept = texts is not None and column.stype is Stype.TEXT
            made = texts(column) if kept and texts is not None else _numbers(rows, column, time_column)
            numbers[:, at : at + column.numbers] = made
        if column.slots:
            if texts is not None and column.stype is Stype.TEXT:
                own = texts(column)
                own = np.where(own > 0, own + (first_code - 1), 0)
            else:
                own = _codes(rows.column(column.name), column, first_code)
            codes[:, slot : slot + column.slots] = own
        at, slot, first_code = at + column.numbers, slot + column.slots, first_code + column.num_codes
    return Encoded(numbers, codes)


def _numbers(rows: pa.Table, column: ColumnFeature, time_column: str | None) -> NDArray[np.float32]:
    if column.stype is Stype.NUMERICAL:
        values = rows.column(column.name).to_numpy().astype(np.float64)
        return _scaled(values, column)
    if column.stype is Stype.TEXT:
        return embed_texts(rows.column(column.name))
    if column.stype is Stype.EMBEDDING:
        return _embeddings(rows.column(column.name), column.width)
    days = days_of(rows, column.name, time_column if column.relative else None)
    since_epoch = days_of(rows, column.name, None) if column.relative else days
    scaled = _scaled(days, column)
    if column.name == time_column:
        # How long ago a row happened is told by the model's clock; its date alone would be new at every prediction.
        scaled[:, 0] = 0.0
    return np.hstack([scaled, _cycles(since_epoch)])


def _scaled(values: NDArray[np.float64], column: ColumnFeature) -> NDArray[np.float32]:
    """Return ``asinh((x - center) / scale)`` (linear near 0, logarithmic in the tails) and a missing flag."""
    missing = ~np.isfinite(values)
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = (np.where(missing, column.center, values) - column.center) / column.scale
        scaled = np.arcsinh(np.clip(ratio, -_MOST, _MOST))  # of a finite value, the ratio may be infinite
    return np.stack([scaled, missing], axis=1).astype(np.float32)


def _cycles(days: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return sine and cosine of the time of day, of the week and of the year; zero where missing."""
    periods = np.array([1.0, 7.0, 365.2425])
    with np.errstate(invalid="ignore"):
        angle = np.nan_to_num((days[:, None] / periods) % 1.0) * (2 * np.pi)
    waves = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    return np.where(np.isfinite(days)[:, None], waves, 0.0).astype(np.float32)


def _embeddings(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    out = np.zeros((len(column), width), np.float32)
    lists = column.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    usable = lengths == width
    if width and usable.any():
        flat = pc.list_flatten(lists.filter(pa.array(usable))).to_numpy(zero_copy_only=False)
        out[usable] = np.nan_to_num(flat.reshape(-1, width), posinf=0.0, neginf=0.0)
    return out


def _codes(values: pa.ChunkedArray, column: ColumnFeature, first_code: int) -> NDArray[np.int32]:
    if column.stype is Stype.TEXT:
        return text_codes(values, column.slots, first_code)
    if column.stype is Stype.MULTICATEGORICAL:
        lists = values.combine_chunks()
        flat = first_code + _looked_up(pc.list_flatten(lists), column.vocabulary)
        return _padded(flat, pc.fill_null(pc.list_value_length(lists), 0).to_numpy(), column.slots)
    texts = values.cast(pa.string()) if column.stype is Stype.BOOLEAN else values
    return (first_code + _looked_up(texts, column.vocabulary))[:, None]


def _looked_up(values: Any, vocabulary: tuple[str, ...]) -> NDArray[np.int32]:
    """Return 0 for missing, 1 for a value without a code, 2 and up for the vocabulary."""
    found = pc.add(pc.index_in(values, value_set=pa.array(vocabulary, pa.string())), RESERVED_CODES)
    codes = pc.if_else(pc.is_null(values), _MISSING, pc.fill_null(found, _UNKNOWN))
    numbers: NDArray[np.int32] = np.asarray(codes).astype(np.int32)
    return numbers


def text_codes(values: pa.ChunkedArray, slots: int, first_code: int) -> NDArray[np.int32]:
    """Return a code per word by hashing; words beyond the slots are left out."""
    words = pc.split_pattern_regex(pc.utf8_lower(values.combine_chunks()), r"[^\p{L}\p{N}]+")
    flat = pc.list_flatten(words)
    distinct = flat.dictionary_encode()
    hashed = np.array([_bucket(w) for w in distinct.dictionary.to_pylist()], np.int32)
    codes = hashed[distinct.indices.to_numpy()] if len(flat) else np.empty(0, np.int32)
    padded = _padded(
        first_code + RESERVED_CODES + codes, pc.fill_null(pc.list_value_length(words), 0).to_numpy(), slots
    )
    padded[values.is_null().to_numpy(), 0] = first_code + _MISSING
    return padded


@lru_cache(maxsize=1 << 16)
def _bucket(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big") % TEXT_BUCKETS


def _padded(flat: NDArray[np.int32], lengths: NDArray[Any], slots: int) -> NDArray[np.int32]:
    """Lay lists of codes out in rows of ``slots``; 0 ("nothing here") fills what is left."""
    out = np.zeros((len(lengths), slots), np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(lengths) else np.empty(0, np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(flat)) - np.repeat(starts, lengths)
    fits = place < slots
    out[row[fits], place[fits]] = flat[fits]
    return out
