"""Questions about what was predicted, answered from the files of the log: who comes first, what was said of whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forekey.duckdb_session import connect
from forekey.errors import StoreError
from forekey.store.log import PredictionLog, is_ranked

_MOST_DIGITS = 19
"""Of a key that is a number of 64 bits."""


@dataclass(frozen=True, slots=True)
class PredictionPage:
    """Some entities with what was predicted for them, and how many there are in all."""

    rows: tuple[tuple[Any, Any], ...]
    total: int
    offset: int
    is_ordered: bool
    """Whether they stand in the order of predictions; what is no number has none."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How many predictions lie between each two of ``edges [bins + 1]``."""

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


class LoggedPredictions:
    """What the log of one task holds. Tens of millions of lines are read in place; nothing is kept in memory.

    Every question raises :class:`StoreError` where a file of the log is damaged or gone.
    """

    def __init__(self, log: PredictionLog, task: str) -> None:
        self._log, self._task = log, task

    def page(
        self, as_of: str, version: str, *, begins: str = "", offset: int = 0, size: int = 50, lowest: bool = False
    ) -> PredictionPage:
        """Return ``size`` entities from the ``offset``-th on, those with the largest prediction first.

        What is no number stays in the order in which it was written. ``begins`` keeps keys that begin so.
        """
        files = self._log.embedded(self._task, as_of, version)
        if not files:
            return PredictionPage((), 0, offset, False)
        with self._readable():
            is_ordered = _is_number(_kind(files[0], "prediction"))
            lowest = lowest and is_ordered
            if not begins and len(files) == 1 and (is_ranked(files[0]) or not is_ordered):
                rows, total = _slice(files[0], offset, size, lowest)
            else:
                rows, total = _found(files, begins, (offset, size, lowest, is_ordered))
        return PredictionPage(tuple(rows), total, offset, is_ordered)

    def of_entity(self, key: Any) -> list[tuple[str, str, Any]]:
        """Return what was predicted for one entity: as of when, by which version, and what, oldest first."""
        found = []
        with self._readable():
            for anchor in self._log.anchors(self._task):
                files = self._log.embedded(self._task, *anchor)
                where, value = _is_key(_kind(files[0], "entity"), key) if files else ("", None)
                statement = f"SELECT prediction FROM {_FILES} WHERE {where} LIMIT 1"
                found += [(*anchor, row[0]) for row in _ask(statement, files, {"key": value})] if files else []
        return found

    def spread(self, as_of: str, version: str, low: float, high: float, bins: int) -> Spread | None:
        """Count predictions that are numbers in bins from ``low`` to ``high``; the outer ones hold what is beyond."""
        files = self._log.embedded(self._task, as_of, version)
        with self._readable():
            if not files or high <= low or not _is_number(_kind(files[0], "prediction")):
                return None
            edges = np.linspace(low, high, bins + 1)
            if len(files) == 1 and is_ranked(files[0]):
                beyond = [_lines_from(files[0], edge) for edge in (-np.inf, *edges[1:-1])]
                from_edges = np.array([*beyond, 0], np.int64)
                return Spread(edges, from_edges[:-1] - from_edges[1:])
            rows = _ask(
                "SELECT CAST(least(greatest(floor((prediction - $low) / $width), 0), $last) AS INTEGER) AS bin, "
                f"count(*) FROM {_source(files)} WHERE isfinite(prediction) GROUP BY bin",
                files,
                {"low": low, "width": (high - low) / bins, "last": bins - 1},
            )
        counts = np.zeros(bins, np.int64)
        for place, count in rows:
            counts[place] = count
        return Spread(edges, counts)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException, duckdb.Error) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(
                f"What was predicted for '{self._task}' cannot be read: {reason}. Run `forekey embed {self._task}`."
            ) from error


_FILES = "read_parquet($files, file_row_number = true, hive_partitioning = false)"


def _source(files: list[Path]) -> str:
    """Return where rows come from: of what was served, each entity once."""
    if len(files) == 1:
        return _FILES
    first = "first(prediction) AS prediction, min(file_row_number) AS file_row_number"
    return f"(SELECT entity, {first} FROM {_FILES} GROUP BY entity)"


def _slice(path: Path, offset: int, size: int, lowest: bool) -> tuple[list[tuple[Any, Any]], int]:
    """Return lines of a file that is in order already, and how many there are."""
    total = pq.read_metadata(path).num_rows
    if not lowest:
        return _rows(path, offset, size), total
    start = max(total - offset - size, 0)
    return _rows(path, start, max(total - offset - start, 0))[::-1], total


def _found(files: list[Path], begins: str, how: tuple[int, int, bool, bool]) -> tuple[list[tuple[Any, Any]], int]:
    """Return lines that are searched, or in no order yet, and how many there are."""
    offset, size, lowest, is_ordered = how
    where, known = _begins(_kind(files[0], "entity"), begins, _largest(files)) if begins else ("true", {})
    order = "file_row_number DESC" if lowest else "file_row_number"
    if is_ordered and not (len(files) == 1 and is_ranked(files[0])):
        order = f"prediction {'ASC' if lowest else 'DESC'}, entity"
    some = f"FROM {_source(files)} WHERE {where}"
    statement = f"SELECT entity, prediction {some} ORDER BY {order} LIMIT $size OFFSET $offset"
    rows = _ask(statement, files, {**known, "size": size, "offset": offset})
    return [(r[0], r[1]) for r in rows], int(_ask(f"SELECT count(*) {some}", files, known)[0][0])


def _rows(path: Path, start: int, count: int) -> list[tuple[Any, Any]]:
    """Return some lines of a file, of which only the groups that hold them are read."""
    found: list[tuple[Any, Any]] = []
    with pq.ParquetFile(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            begin, end = max(start - first, 0), min(start + count - first, rows)
            if begin < end:
                part = file.read_row_group(group, ["entity", "prediction"]).slice(begin, end - begin)
                found += zip(part.column("entity").to_pylist(), part.column("prediction").to_pylist(), strict=True)
            first += rows
    return found


def _lines_from(path: Path, edge: float) -> int:
    """Return how many predictions of a ranked file are numbers from ``edge`` on; one group is looked into."""
    with pq.ParquetFile(path) as file:
        place = file.schema_arrow.names.index("prediction")
        total = 0
        for group, statistics in _groups(file, place):
            if statistics is not None and statistics.min >= edge:
                total += statistics.num_values
            elif statistics is None or statistics.max >= edge:
                values = file.read_row_group(group, ["prediction"]).column("prediction").to_numpy()
                total += int((values >= edge).sum())
    return total


def _largest(files: list[Path]) -> float:
    """Return the largest key by the statistics of the files; infinity where they have none."""
    found = -np.inf
    for path in files:
        with pq.ParquetFile(path) as file:
            for _, known in _groups(file, file.schema_arrow.names.index("entity")):
                if known is None or not isinstance(known.max, int):
                    return float("inf")
                found = max(found, known.max)
    return float(found)


def _groups(file: pq.ParquetFile, place: int) -> Iterator[tuple[int, Any]]:
    """Yield each group with the statistics of a column; None where it has none."""
    for group in range(file.num_row_groups):
        column = file.metadata.row_group(group).column(place)
        known = column.statistics if column.is_stats_set and column.statistics.has_min_max else None
        yield group, known


def _kind(path: Path, column: str) -> pa.DataType:
    return pq.read_schema(path).field(column).type


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _is_key(kind: pa.DataType, key: Any) -> tuple[str, Any]:
    """Return the condition that finds a key, and the key as it compares fastest."""
    if isinstance(key, bool | datetime | date):
        return "entity = $key", key
    text = str(key)
    if pa.types.is_integer(kind) and text.lstrip("-").isdecimal() and len(text) <= _MOST_DIGITS:
        return "entity = $key", int(text)
    return "CAST(entity AS VARCHAR) = $key", text


def _begins(kind: pa.DataType, begins: str, largest: float) -> tuple[str, dict[str, Any]]:
    """Return the condition that a key begins so: of numbers, a range for each number of digits that may follow.

    ``largest`` is the largest of them.
    """
    if not (pa.types.is_integer(kind) and begins.isdecimal() and begins.isascii() and len(begins) < _MOST_DIGITS):
        return "starts_with(CAST(entity AS VARCHAR), $begins)", {"begins": begins}
    if begins[0] == "0":
        return ("entity = 0", {}) if begins == "0" else ("false", {})
    ranges = []
    for more in range(_MOST_DIGITS - len(begins)):
        low = int(begins) * 10**more
        if low > largest:
            break
        ranges.append(f"entity BETWEEN {low} AND {low + 10**more - 1}")
    return f"({' OR '.join(ranges) or 'false'})", {}


def _ask(statement: str, files: list[Path], values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connect() as session:
        known = {**values, "files": [str(f) for f in files]}
        found: list[tuple[Any, ...]] = session.execute(statement, known).fetchall()
    return found
