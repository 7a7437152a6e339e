"""DuckDB connections that draw nothing.

In an interactive Python DuckDB draws a progress bar for long statements, over whatever else is printed; in a notebook
without ipywidgets it refuses even the setting not to.
"""

from __future__ import annotations

from pathlib import Path

import duckdb


def connect(
    database: str | Path = ":memory:", *, read_only: bool = False, threads: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a database file, or one in memory, without a progress bar; ``threads`` limits those of a statement."""
    connection = duckdb.connect(str(database), read_only=read_only)
    if threads is not None:
        connection.execute(f"SET threads = {threads:d}")
    if connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()[0][0]:
        connection.execute("SET enable_progress_bar = false")
    return connection
