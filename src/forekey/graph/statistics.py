"""Figures about a snapshot, taken while it is built: degrees per edge type, emptiness and spread per column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.schema import Stype, TableSchema

_TOP = 10
_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def degree_statistics(indptr: NDArray[np.int64]) -> dict[str, float]:
    """Return mean, median, p99 and maximum number of children per parent, and how many parents have none."""
    degrees = np.diff(indptr)
    if len(degrees) == 0:
        return {"mean": 0.0, "median": 0.0, "p99": 0.0, "max": 0, "isolated": 0}
    return {
        "mean": round(float(degrees.mean()), 3),
        "median": float(np.median(degrees)),
        "p99": float(np.percentile(degrees, 99)),
        "max": int(degrees.max()),
        "isolated": int((degrees == 0).sum()),
    }


def column_statistics(rows: pa.Table, table: TableSchema) -> dict[str, dict[str, Any]]:
    """Return, per column that is a feature, its share of NULLs and its quantiles or most frequent values."""
    return {
        c.name: _describe(rows.column(c.name), c.stype)
        for c in table.columns
        if c.name in rows.column_names and c.name not in table.keys
    }


def _describe(column: pa.ChunkedArray, stype: Stype) -> dict[str, Any]:
    nulls = round(column.null_count / len(column), 6) if len(column) else 0.0
    if stype is Stype.NUMERICAL:
        values = column.drop_null().to_numpy()
        finite = values[np.isfinite(values)]
        quantiles = [float(q) for q in np.quantile(finite, _QUANTILES)] if len(finite) else []
        return {"null_rate": nulls, "quantiles": quantiles}
    if stype in {Stype.CATEGORICAL, Stype.BOOLEAN}:
        counts = pc.value_counts(column.drop_null())
        order = np.argsort(-counts.field("counts").to_numpy(), kind="stable")[:_TOP]
        top = counts.take(pa.array(order))
        pairs = zip(top.field("values").to_pylist(), top.field("counts").to_pylist(), strict=True)
        return {"null_rate": nulls, "top": [[str(v), int(n)] for v, n in pairs]}
    return {"null_rate": nulls}
