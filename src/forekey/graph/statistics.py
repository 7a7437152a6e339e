"""Figures about a snapshot, taken while it is built: degrees per edge type, emptiness and spread per column.

Each block of rows has a sketch of its own, kept with it; a table's figures are its blocks' put together. So an update
measures only the blocks that are new, and ends with the figures that a build from scratch has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.graph.timestamps import from_micros
from forekey.schema import Stype, TableSchema

Sketch = dict[str, dict[str, Any]]

_TOP = 10
_TOP_PER_BLOCK = 100
_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_POINTS = 65
_SAMPLE = 1 << 14


def degree_statistics(indptr: NDArray[np.int64]) -> dict[str, float]:
    """Return mean, median, p99 and maximum number of children per parent, and how many parents have none."""
    if len(indptr) < 2:
        return {"mean": 0.0, "median": 0.0, "p99": 0.0, "max": 0, "isolated": 0}
    degrees, counts = _histogram(np.diff(indptr))
    reached = np.cumsum(counts)
    median, p99 = (float(degrees[np.searchsorted(reached, q * reached[-1])]) for q in (0.5, 0.99))
    return {
        "mean": round(float(indptr[-1] / reached[-1]), 3),
        "median": median,
        "p99": p99,
        "max": int(degrees[-1]),
        "isolated": int(counts[0]) if degrees[0] == 0 else 0,
    }


def _histogram(degrees: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the degrees there are, ascending, and how many parents have each."""
    if degrees.max() < 1 << 16:
        counts = np.bincount(degrees)
        present = np.flatnonzero(counts)
        return present, counts[present]
    return np.unique(degrees, return_counts=True)


def sketch_rows(rows: pa.Table, table: TableSchema) -> Sketch:
    """Measure one block: per column that is a feature, its NULLs, and quantiles or most frequent values."""
    return {
        c.name: {"rows": len(rows), "nulls": rows.column(c.name).null_count, **_spread(rows.column(c.name), c.stype)}
        for c in table.columns
        if c.name in rows.column_names and c.name not in table.keys
    }


def merge_sketches(sketches: Sequence[Sketch]) -> Sketch:
    """Put blocks together: per column its share of NULLs and its quantiles or most frequent values."""
    merged: Sketch = {}
    for name in sketches[0] if sketches else ():
        parts = [s[name] for s in sketches]
        rows, nulls = sum(p["rows"] for p in parts), sum(p["nulls"] for p in parts)
        merged[name] = {"null_rate": round(nulls / rows, 6) if rows else 0.0}
        if "quantiles" in parts[0]:
            merged[name]["quantiles"] = _merge_quantiles(parts)
        if "top" in parts[0]:
            merged[name]["top"] = _merge_top(parts)
    return merged


def with_moments(columns: Mapping[str, dict[str, Any]], table: TableSchema) -> dict[str, dict[str, Any]]:
    """Return a table's figures as they are shown: the quantiles of moments as ISO 8601 in UTC, not as microseconds."""
    moments = {c.name for c in table.columns if c.stype is Stype.TIMESTAMP}
    return {
        name: {**c, "quantiles": [from_micros(round(v)).isoformat() for v in c["quantiles"]]}
        if name in moments and "quantiles" in c
        else dict(c)
        for name, c in columns.items()
    }


def _spread(column: pa.ChunkedArray, stype: Stype) -> dict[str, Any]:
    if stype in {Stype.NUMERICAL, Stype.TIMESTAMP}:
        return _quantiles(column.drop_null())
    if stype in {Stype.CATEGORICAL, Stype.BOOLEAN}:
        counts = pc.value_counts(column.drop_null())
        order = np.argsort(-counts.field("counts").to_numpy(), kind="stable")[:_TOP_PER_BLOCK]
        top = counts.take(pa.array(order))
        pairs = zip(top.field("values").to_pylist(), top.field("counts").to_pylist(), strict=True)
        return {"top": sorted(([str(v), int(n)] for v, n in pairs), key=lambda pair: (-pair[1], pair[0]))}
    return {}


def _quantiles(column: pa.ChunkedArray) -> dict[str, Any]:
    """Sketch the finite values: least, greatest, and points between them from every so-many-th value."""
    plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    values = plain.to_numpy().astype(np.float64)
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return {"quantiles": [], "finite": 0}
    sample = np.sort(finite[:: max(1, len(finite) // _SAMPLE)])
    points = sample[np.linspace(0, len(sample) - 1, _POINTS).astype(np.int64)]
    points[0], points[-1] = finite.min(), finite.max()
    return {"quantiles": points.tolist(), "finite": len(finite)}


def _merge_quantiles(parts: Sequence[dict[str, Any]]) -> list[float]:
    filled = [p for p in parts if p["finite"]]
    if not filled:
        return []
    points = np.concatenate([p["quantiles"] for p in filled])
    weights = np.concatenate([np.full(len(p["quantiles"]), p["finite"] / len(p["quantiles"])) for p in filled])
    order = np.argsort(points, kind="stable")
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, np.array(_QUANTILES) * reached[-1])
    return [float(v) for v in points[order][np.minimum(at, len(points) - 1)]]


def _merge_top(parts: Sequence[dict[str, Any]]) -> list[list[Any]]:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(dict(part["top"]))
    return [[value, n] for value, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_TOP]]
