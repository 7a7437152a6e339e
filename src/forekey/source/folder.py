"""A folder of Parquet or CSV files as a database, one table a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa
from sqlglot import exp

from forekey.errors import SourceError
from forekey.source.duck import DuckDBSource

_READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".tsv": "read_csv"}


class FolderSource(DuckDBSource):
    """Files as views of an in-memory DuckDB; nothing is copied."""

    @classmethod
    def open(cls, url: str, path: Path, *, writable: bool = False) -> Self:
        """Open every .parquet, .csv and .tsv file of a folder as a table named after the file."""
        if not path.is_dir():
            raise SourceError(f"'{url}' cannot be opened: there is no folder '{path}'. Check the path.")
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in _READERS)
        if not files:
            raise SourceError(f"'{url}' holds no .parquet, .csv or .tsv file. Name the folder that holds the tables.")
        return cls(url, connect_views(url, files))

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Refuse: a folder of files is read-only."""
        raise SourceError(
            f"'{self.url}' is a folder of files and cannot be written to. Use --out FILE.parquet instead."
        )


def connect_views(url: str, files: Iterable[Path]) -> Any:
    """Open an in-memory DuckDB with one view a file."""
    connection = duckdb.connect()
    for file in files:
        name = exp.to_identifier(file.stem, quoted=True).sql(dialect="duckdb")
        location = exp.Literal.string(str(file)).sql(dialect="duckdb")
        try:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {_READERS[file.suffix.lower()]}({location})")
        except duckdb.Error as error:
            raise SourceError(f"'{file}' of '{url}' cannot be read: {str(error).splitlines()[0]}") from error
    return connection
