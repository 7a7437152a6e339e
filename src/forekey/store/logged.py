"""Questions about what was predicted, answered from the files of the log: who comes first, what was said of whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forekey.duckdb_session import connect
from forekey.store.log import PredictionLog


@dataclass(frozen=True, slots=True)
class PredictionPage:
    """Some entities with what was predicted for them, and how many there are in all."""

    rows: tuple[tuple[Any, Any], ...]
    total: int
    offset: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How many predictions lie between each two of ``edges [bins + 1]``."""

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


class LoggedPredictions:
    """What the log of one task holds. Nothing is kept in memory; tens of millions of lines are read in a moment."""

    def __init__(self, log: PredictionLog, task: str) -> None:
        self._log, self._task = log, task

    def page(
        self, as_of: str, version: str, *, begins: str = "", offset: int = 0, size: int = 50, lowest: bool = False
    ) -> PredictionPage:
        """Return ``size`` entities from the ``offset``-th on, those with the largest prediction first.

        What is no number is in the order of keys. ``begins`` keeps keys that begin so.
        """
        files = self._log.embedded(self._task, as_of, version)
        if not files:
            return PredictionPage((), 0, offset)
        kind = pq.read_schema(files[0]).field("prediction").type
        order = f"prediction {'ASC' if lowest else 'DESC'}, entity" if _is_number(kind) else "entity"
        where = "WHERE starts_with(CAST(entity AS VARCHAR), $begins)" if begins else ""
        known = {"begins": begins} if begins else {}
        rows = self._ask(
            f"SELECT entity, prediction FROM read_parquet($files) {where} ORDER BY {order} LIMIT $size OFFSET $offset",
            files,
            {**known, "size": size, "offset": offset},
        )
        if begins:
            total = self._ask(f"SELECT count(*) FROM read_parquet($files) {where}", files, known)[0][0]
        else:
            total = sum(pq.read_metadata(f).num_rows for f in files)
        return PredictionPage(tuple((r[0], r[1]) for r in rows), int(total), offset)

    def of_entity(self, key: Any) -> list[tuple[str, str, Any]]:
        """Return what was predicted for one entity: as of when, by which version, and what, oldest first."""
        files = {p: anchor for anchor in self._log.anchors(self._task) for p in self._log.embedded(self._task, *anchor)}
        if not files:
            return []
        rows = self._ask(
            "SELECT filename, prediction FROM read_parquet($files, filename = true, union_by_name = true) "
            "WHERE CAST(entity AS VARCHAR) = $key",
            list(files),
            {"key": str(key)},
        )
        by_name = {str(path): anchor for path, anchor in files.items()}
        return sorted((*by_name[name], prediction) for name, prediction in rows if name in by_name)

    def spread(self, as_of: str, version: str, low: float, high: float, bins: int) -> Spread | None:
        """Count predictions that are numbers in bins from ``low`` to ``high``; the outer ones hold what is beyond."""
        files = self._log.embedded(self._task, as_of, version)
        if not files or not _is_number(pq.read_schema(files[0]).field("prediction").type) or high <= low:
            return None
        rows = self._ask(
            "SELECT least(greatest(CAST(floor((prediction - $low) / $width) AS INTEGER), 0), $last) AS bin, count(*) "
            "FROM read_parquet($files) WHERE isfinite(prediction) GROUP BY bin",
            files,
            {"low": low, "width": (high - low) / bins, "last": bins - 1},
        )
        counts = np.zeros(bins, np.int64)
        for place, count in rows:
            counts[place] = count
        return Spread(np.linspace(low, high, bins + 1), counts)

    def _ask(self, statement: str, files: list[Path], values: dict[str, Any]) -> list[tuple[Any, ...]]:
        with connect() as session:
            try:
                found: list[tuple[Any, ...]] = session.execute(
                    statement, {**values, "files": [str(f) for f in files]}
                ).fetchall()
            except duckdb.IOException:  # pruned since it was listed
                return [(0,)] if "count(*) FROM" in statement else []
        return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
