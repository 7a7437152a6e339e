"""Everything a model must know to encode rows and compute window features; saved with it, applied alike everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.features.measures import Measure
from forekey.features.statistics import ColumnFeature, TableFeatures, fit_column, robust_scale
from forekey.features.window_spec import Focus, ListFeatures, WindowSpec
from forekey.graph import Snapshot
from forekey.schema import EdgeType, Stype


@dataclass(frozen=True, slots=True)
class HistoryScale:
    """How a network reads window features: ``center`` and ``scale`` of each, learnt from training examples."""

    names: tuple[str, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, history: NDArray[np.float32], names: Iterable[str]) -> HistoryScale:
        """Learn median and interquartile range of each column of ``history [examples, features]``."""
        pairs = [robust_scale(history[:, i].astype(np.float64)) for i in range(history.shape[1])]
        return cls(tuple(names), tuple(c for c, _ in pairs), tuple(s for _, s in pairs))

    def apply(self, history: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``[n, 2 * features] float32``: ``asinh((x - center) / scale)``, 0 if missing, then missing flags."""
        missing = ~np.isfinite(history)
        with np.errstate(over="ignore"):
            values = np.where(missing, 0.0, history - np.array(self.center, np.float32))
            most = np.finfo(np.float32).max
            scaled = np.arcsinh(np.clip(values / np.array(self.scale, np.float32), -most, most))
        return np.concatenate([np.where(missing, 0.0, scaled), missing], axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """The features of every table, and of an entity's past; equal specs encode equal rows equally."""

    tables: tuple[TableFeatures, ...]
    history: WindowSpec | None = None
    scale: HistoryScale | None = None

    def table(self, name: str) -> TableFeatures:
        """Return the features of one table."""
        return next(t for t in self.tables if t.table == name)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; :meth:`from_dict` reads it back to an equal spec."""
        return {
            "tables": [{"table": t.table, "columns": [asdict(c) for c in t.columns]} for t in self.tables],
            "history": asdict(self.history) if self.history is not None else None,
            "scale": asdict(self.scale) if self.scale is not None else None,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FeatureSpec:
        """Read what :meth:`to_dict` wrote."""
        scale = data.get("scale")
        return cls(
            tuple(TableFeatures(t["table"], tuple(_column(c) for c in t["columns"])) for t in data["tables"]),
            history_from_dict(data["history"]) if data.get("history") is not None else None,
            _scale(scale) if scale is not None else None,
        )


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
            if column.stype not in {Stype.ID, Stype.IGNORE} and (table.name, column.name) not in left_out
        ]
        tables.append(TableFeatures(table.name, tuple(columns)))
    return FeatureSpec(tuple(tables))


def _scale(data: dict[str, Any]) -> HistoryScale:
    return HistoryScale(tuple(data["names"]), tuple(data["center"]), tuple(data["scale"]))


def _column(data: dict[str, Any]) -> ColumnFeature:
    return ColumnFeature(**{**data, "stype": Stype(data["stype"]), "vocabulary": tuple(data["vocabulary"])})


def history_from_dict(data: dict[str, Any]) -> WindowSpec:
    """Read the JSON form of a :class:`WindowSpec`."""
    return WindowSpec(
        data["entity"],
        data["window_days"],
        tuple(
            Focus(
                EdgeType(**f["down"]) if f["down"] is not None else None,
                EdgeType(**f["up"]) if f["up"] is not None else None,
                f["table"],
                tuple(_column(c) for c in f["columns"]),
                tuple(_listed(entry) for entry in f["lists"]),
            )
            for f in data["foci"]
        ),
        tuple(data["seasons"]),
        data["lagged_labels"],
        tuple(data["kept"]) if data.get("kept") is not None else None,
    )


def _listed(data: dict[str, Any]) -> ListFeatures:
    return ListFeatures(
        tuple(EdgeType(**e) for e in data["path"]),
        tuple(Measure(m["column"], Stype(m["stype"]), m["value"]) for m in data["measures"]),
        tuple(data["windows"]),
        tuple(data["half_lives"]),
        data["detailed"],
        data.get("timed", bool(data["windows"])),
    )
