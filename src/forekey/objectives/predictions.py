"""What models predict, by kind: arrays to compute with, and one codec for the store, Parquet, HTTP and the log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.graph import take_values

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reply:
    """The prediction for one entity, as JSON has it.

    ``prediction`` is a number, a class, or a list: of numbers (a forecast), classes (a set), or keys (a ranking).
    """

    prediction: Any
    probabilities: dict[str, float] | None = None
    scores: list[float] | None = None


class Predictions(ABC):
    """Predictions for ``n`` entities, in the order in which they were asked for.

    :attr:`values` is what metrics compare with labels. :meth:`columns` and :meth:`from_columns` are the Arrow form
    (tables, Parquet, the log), :meth:`reply` is the JSON form, :meth:`pack` and :meth:`unpack` are the bytes of the
    store, for which :attr:`names` must be kept beside them.
    """

    @property
    @abstractmethod
    def values(self) -> NDArray[Any]:
        """Return the predictions as metrics take them, ``[n]`` or ``[n, width]``."""

    @classmethod
    @abstractmethod
    def from_values(cls, values: NDArray[Any], names: tuple[str, ...]) -> Self:
        """Return predictions of which :attr:`values` are the given ones."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return what outputs or stored numbers stand for: the classes, or the keys of items as text."""
        return ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """Return how many numbers there are for each entity."""
        values = self.values
        return int(values.shape[1]) if values.ndim == 2 else 1

    @abstractmethod
    def take(self, rows: NDArray[Any]) -> Self:
        """Return the predictions of some entities, by position or mask."""

    @abstractmethod
    def sizes(self) -> Values:
        """Return by what predictions are sorted where the largest come first, ``[n]``."""

    @abstractmethod
    def columns(self) -> dict[str, pa.Array]:
        """Return the predictions as Arrow columns, ``prediction`` first."""

    @classmethod
    @abstractmethod
    def from_columns(cls, table: pa.Table, names: tuple[str, ...]) -> Self:
        """Read what :meth:`columns` wrote."""

    @abstractmethod
    def reply(self, row: int) -> Reply:
        """Return the prediction for one of the entities as JSON has it."""

    def compact(self) -> Predictions:
        """Return the predictions with no more names than they need."""
        return self

    @classmethod
    def dtype(cls, width: int) -> np.dtype[Any]:
        """Return how one prediction lies in the store."""
        return np.dtype([("values", "<f8", (width,))])

    def pack(self) -> NDArray[Any]:
        """Return the predictions as the store keeps them, ``[n]`` of :meth:`dtype`."""
        out = np.zeros(len(self), self.dtype(self.width))
        out["values"] = self.values.reshape(len(self), self.width)
        return out

    @classmethod
    @abstractmethod
    def unpack(cls, packed: NDArray[Any], names: Sequence[Any]) -> Self:
        """Read what :meth:`pack` wrote; ``names`` are those that were kept beside it."""


@dataclass(frozen=True, slots=True)
class Numbers(Predictions):
    """One number each, ``[n] float64``: an amount, or the probability of yes."""

    numbers: Values

    @property
    def values(self) -> Values:
        """Return the numbers."""
        return self.numbers

    @classmethod
    def from_values(cls, values: NDArray[Any], names: tuple[str, ...]) -> Numbers:
        """Return the numbers."""
        return cls(values)

    def take(self, rows: NDArray[Any]) -> Numbers:
        """Return those of some entities."""
        return Numbers(self.numbers[rows])

    def sizes(self) -> Values:
        """Return the numbers."""
        return self.numbers

    def columns(self) -> dict[str, pa.Array]:
        """Return ``prediction``, a number."""
        return {"prediction": pa.array(self.numbers, pa.float64())}

    @classmethod
    def from_columns(cls, table: pa.Table, names: tuple[str, ...]) -> Numbers:
        """Read ``prediction``."""
        return cls(table.column("prediction").to_numpy())

    def reply(self, row: int) -> Reply:
        """Return the number."""
        return Reply(float(self.numbers[row]))

    @classmethod
    def unpack(cls, packed: NDArray[Any], names: Sequence[Any]) -> Numbers:
        """Read the numbers."""
        return cls(packed["values"][:, 0])


@dataclass(frozen=True, slots=True)
class Forecast(Predictions):
    """One number for each of several timeframes, ``[n, frames] float64``."""

    frames: Values

    @property
    def values(self) -> Values:
        """Return the numbers."""
        return self.frames

    @classmethod
    def from_values(cls, values: NDArray[Any], names: tuple[str, ...]) -> Forecast:
        """Return the numbers."""
        return cls(values)

    def take(self, rows: NDArray[Any]) -> Forecast:
        """Return those of some entities."""
        return Forecast(self.frames[rows])

    def sizes(self) -> Values:
        """Return the sums over the timeframes."""
        return np.asarray(self.frames.sum(axis=1))

    def columns(self) -> dict[str, pa.Array]:
        """Return ``prediction``, a list with a number for each timeframe."""
        return {"prediction": _lists(self.frames)}

    @classmethod
    def from_columns(cls, table: pa.Table, names: tuple[str, ...]) -> Forecast:
        """Read ``prediction``."""
        return cls(_matrix(table.column("prediction")))

    def reply(self, row: int) -> Reply:
        """Return the numbers."""
        return Reply(self.frames[row].tolist())

    @classmethod
    def unpack(cls, packed: NDArray[Any], names: Sequence[Any]) -> Forecast:
        """Read the numbers."""
        return cls(packed["values"])


@dataclass(frozen=True, slots=True)
class _PerClass(Predictions):
    """A probability for each class, ``[n, classes] float64``."""

    probabilities: Values
    classes: tuple[str, ...]

    @property
    def values(self) -> Values:
        """Return the probabilities."""
        return self.probabilities

    @property
    def names(self) -> tuple[str, ...]:
        """Return the classes."""
        return self.classes

    def take(self, rows: NDArray[Any]) -> Self:
        """Return those of some entities."""
        return type(self)(self.probabilities[rows], self.classes)

    @classmethod
    def from_values(cls, values: NDArray[Any], names: tuple[str, ...]) -> Self:
        """Return the probabilities of the classes."""
        return cls(values, names)

    def sizes(self) -> Values:
        """Return the probability of the likeliest class."""
        return np.asarray(self.probabilities.max(axis=1))

    def columns(self) -> dict[str, pa.Array]:
        """Return ``prediction``, what is chosen, and ``probabilities`` in the order of the classes."""
        return {"prediction": self._chosen(), "probabilities": _lists(self.probabilities)}

    @classmethod
    def from_columns(cls, table: pa.Table, names: tuple[str, ...]) -> Self:
        """Read ``probabilities``."""
        return cls(_matrix(table.column("probabilities")), names)

    def reply(self, row: int) -> Reply:
        """Return what is chosen, and the probability of each class."""
        one = self.take(np.array([row]))
        shares = dict(zip(self.classes, one.probabilities[0].tolist(), strict=True))
        return Reply(one._chosen()[0].as_py(), shares)

    @classmethod
    def unpack(cls, packed: NDArray[Any], names: Sequence[Any]) -> Self:
        """Read the probabilities."""
        return cls(packed["values"], tuple(names))

    @abstractmethod
    def _chosen(self) -> pa.Array:
        """Return what is predicted, by the probabilities."""


@dataclass(frozen=True, slots=True)
class Classes(_PerClass):
    """Of several classes one is the case: the likeliest is predicted."""

    def _chosen(self) -> pa.Array:
        return pa.array(self.classes, pa.string()).take(pa.array(self.probabilities.argmax(axis=1)))


@dataclass(frozen=True, slots=True)
class LabelSets(_PerClass):
    """Of several classes any number is the case: those likelier than not are predicted, the likeliest first."""

    def _chosen(self) -> pa.Array:
        order = np.argsort(-self.probabilities, axis=1, kind="stable")
        chosen = np.take_along_axis(self.probabilities, order, axis=1) >= 0.5
        ends = pa.array(np.concatenate([[0], np.cumsum(chosen.sum(axis=1))]), pa.int32())
        return pa.ListArray.from_arrays(ends, pa.array(self.classes, pa.string()).take(pa.array(order[chosen])))


@dataclass(frozen=True, slots=True)
class Ranking(Predictions):
    """Items from the best on: ``items [n, k] int32`` are positions in ``keys``, -1 where there are fewer than ``k``.

    ``scores [n, k] float64`` is NaN there.
    """

    items: NDArray[np.int32]
    scores: Values
    keys: Sequence[Any]
    """The primary keys that items stand for: an Arrow array, or Python values."""

    @property
    def values(self) -> NDArray[np.int32]:
        """Return the items."""
        return self.items

    @property
    def names(self) -> tuple[str, ...]:
        """Return the keys as text."""
        return tuple(str(key) for key in _python(self.keys))

    @classmethod
    def from_values(cls, values: NDArray[Any], names: tuple[str, ...]) -> Ranking:
        """Return rankings of items that have these keys, without scores."""
        return cls(values, np.full(values.shape, np.nan), names)

    def take(self, rows: NDArray[Any]) -> Ranking:
        """Return those of some entities."""
        return Ranking(self.items[rows], self.scores[rows], self.keys)

    def compact(self) -> Ranking:
        """Return the same rankings with the keys of those items alone that stand in any of them."""
        used = np.unique(self.items[self.items >= 0])
        place = np.searchsorted(used, self.items).astype(np.int32)
        keys = _python(_taken(self.keys, used))
        return Ranking(np.where(self.items >= 0, place, np.int32(-1)), self.scores, keys)

    def sizes(self) -> Values:
        """Return the score of the best item."""
        return np.nan_to_num(self.scores[:, 0], nan=-np.inf)

    def columns(self) -> dict[str, pa.Array]:
        """Return ``prediction``, a list of keys, and ``scores``, from the best on."""
        there = self.items >= 0
        ends = pa.array(np.concatenate([[0], np.cumsum(there.sum(axis=1))]), pa.int32())
        keys = _taken(self.keys, self.items[there])
        flat = keys if isinstance(keys, pa.Array) else pa.array(keys)
        return {
            "prediction": pa.ListArray.from_arrays(ends, flat),
            "scores": pa.ListArray.from_arrays(ends, pa.array(self.scores[there], pa.float64())),
        }

    @classmethod
    def from_columns(cls, table: pa.Table, names: tuple[str, ...]) -> Ranking:
        """Read ``prediction`` and ``scores``; the keys are those that occur."""
        lists, scores = table.column("prediction").to_pylist(), table.column("scores").to_pylist()
        keys = list(dict.fromkeys(key for own in lists for key in own))
        place, k = {key: i for i, key in enumerate(keys)}, max(map(len, lists), default=0)
        items, found = np.full((len(lists), k), -1, np.int32), np.full((len(lists), k), np.nan)
        for row, (own, given) in enumerate(zip(lists, scores, strict=True)):
            items[row, : len(own)], found[row, : len(own)] = [place[key] for key in own], given
        return cls(items, found, keys)

    def reply(self, row: int) -> Reply:
        """Return the keys from the best on, and what each scored."""
        own = self.items[row]
        own = own[own >= 0]
        return Reply(_python(_taken(self.keys, own)), None, self.scores[row, : len(own)].tolist())

    @classmethod
    def dtype(cls, width: int) -> np.dtype[Any]:
        """Return how one ranking lies in the store."""
        return np.dtype([("items", "<i4", (width,)), ("scores", "<f8", (width,))])

    def pack(self) -> NDArray[Any]:
        """Return the rankings as the store keeps them."""
        out = np.zeros(len(self), self.dtype(self.width))
        out["items"], out["scores"] = self.items, self.scores
        return out

    @classmethod
    def unpack(cls, packed: NDArray[Any], names: Sequence[Any]) -> Ranking:
        """Read the rankings; ``names`` are the keys, as text or of their own type."""
        return cls(packed["items"], packed["scores"], names)


def _taken(keys: Sequence[Any], places: NDArray[Any]) -> Any:
    """Return some keys, as an Arrow array where they are in one."""
    if isinstance(keys, pa.ChunkedArray):
        return take_values(keys, places)
    if isinstance(keys, pa.Array):
        return keys.take(pa.array(places.astype(np.int64)))
    return [keys[place] for place in places.tolist()]


def _python(keys: Any) -> list[Any]:
    return keys.to_pylist() if isinstance(keys, pa.Array | pa.ChunkedArray) else list(keys)


def _lists(matrix: Values) -> pa.Array:
    """Return a matrix as Arrow lists, one a row."""
    ends = pa.array(np.arange(len(matrix) + 1) * matrix.shape[1], pa.int32())
    return pa.ListArray.from_arrays(ends, pa.array(np.ascontiguousarray(matrix).ravel(), pa.float64()))


def _matrix(lists: pa.ChunkedArray) -> Values:
    """Return Arrow lists of one length as a matrix."""
    flat: Values = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(lists), -1) if len(lists) else np.zeros((0, 0))
