"""Months that arrive in the generated shop."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import numpy as np
import pyarrow as pa

from forekey import pipeline
from forekey.graph import MICROS_PER_DAY, to_micros
from forekey.testing import append_rows
from forekey.workspace import Workspace


def add_month(project: Workspace, amount: float = 30.0, days: int = 33) -> None:
    """Let one more month of orders arrive, of the given amount."""
    newest = project.snapshots.current().as_of
    n = 12 * days
    rows = pa.table(
        {
            "order_id": np.arange(n) + 10_000_000 + to_micros(newest) // MICROS_PER_DAY * 10_000,
            "customer_id": np.arange(n) % 100 + 1,
            "placed_at": pa.array([newest + timedelta(hours=2 * (i + 1)) for i in range(n)], pa.timestamp("us")),
            "amount": np.full(n, amount) * np.linspace(0.9, 1.1, n),
            "channel": ["web"] * n,
            "gift": [False] * n,
        }
    )
    with duckdb.connect(str(project.root / "shop.duckdb")) as connection:
        append_rows(connection, "orders", rows)
    pipeline.snapshot(project)
