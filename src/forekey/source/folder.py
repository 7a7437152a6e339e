"""A folder of Parquet or CSV files as a database: one table a file, or a sub-folder of parts."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa
from sqlglot import exp

from forekey.errors import SourceError
from forekey.source.duck import DuckDBSource, first_line
from forekey.source.exports import is_marked
from forekey.source.protocol import TableInfo

_READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".csv.gz": "read_csv", ".tsv": "read_csv"}
_READERS |= {".tsv.gz": "read_csv"}
_SEPARATORS = ",;\t|"
_LONGEST_FIELD = 1 << 30


class FolderSource(DuckDBSource):
    """Files as views of an in-memory DuckDB; nothing is copied."""

    _exported: Sequence[str] = ()

    @classmethod
    def open(cls, url: str, path: Path, *, writable: bool = False) -> Self:
        """Open every .parquet, .csv and .tsv file (gzipped or not) as a table named after it.

        A sub-folder is a table whose parts are the files in it, at any depth (``day=2024-01-01/`` is a column then).
        What is there and is no table, :meth:`tables` names with the reason; names that begin with a dot or an
        underscore are passed over.
        """
        if not path.is_dir():
            raise SourceError(f"'{url}' cannot be opened: there is no folder '{path}'. Check the path.")
        places = sorted(p for p in path.iterdir() if not p.name.startswith((".", "_")))
        if not any(_parts(p) for p in places):
            raise SourceError(f"'{url}' holds no .parquet, .csv or .tsv file. Name the folder that holds the tables.")
        connection, failed = connect_views(places)
        source = cls(url, connection)
        source._failed |= failed
        source._exported = [_table_name(p) for p in places if all(map(is_marked, parts := _parts(p))) and parts]
        return source

    def _exports(self, tables: Sequence[TableInfo]) -> list[str]:
        return [t.name for t in tables if t.name in self._exported]

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Refuse: a folder of files is read-only."""
        raise SourceError(
            f"'{self.url}' is a folder of files and cannot be written to. Use --out FILE.parquet instead."
        )


def connect_views(places: Iterable[Path]) -> tuple[Any, dict[str, str]]:
    """Open an in-memory DuckDB with one view a file or folder of parts; return it with what has none, and why."""
    connection = duckdb.connect()
    failed: dict[str, str] = {}
    known: dict[str, Path] = {}
    for place in places:
        name = _table_name(place)
        try:
            if name.lower() in known:
                raise SourceError(f"'{known[name.lower()].name}' is a table of this name already")
            _make_view(connection, name, place)
            known[name.lower()] = place
        except duckdb.Error as error:
            failed[name] = f"'{place}' cannot be read: {first_line(error)}"
        except SourceError as error:
            failed[place.name if name.lower() in known else name] = f"'{place}' cannot be read: {error}"
    return connection, failed


def _make_view(connection: Any, name: str, place: Path) -> None:
    parts = _parts(place)
    kinds = {ending(p) for p in parts}
    readers = {_READERS[kind] for kind in kinds}
    if len(readers) != 1:
        raise SourceError("its parts are of different kinds" if readers else "it is neither Parquet nor CSV")
    reader = readers.pop()
    files = ", ".join(exp.Literal.string(str(p)).sql(dialect="duckdb") for p in parts)
    options = ", union_by_name = true, hive_partitioning = true" if place.is_dir() else ""
    target = exp.to_identifier(name, quoted=True).sql(dialect="duckdb")
    connection.execute(f"CREATE VIEW {target} AS SELECT * FROM {reader}([{files}]{options})")
    if reader == "read_csv":
        width = len(connection.sql(f"SELECT * FROM {target} LIMIT 0").columns)
        for part in parts:
            if (uneven := _uneven_line(part, width)) is not None:
                connection.execute(f"DROP VIEW {target}")
                raise SourceError(uneven)


def _parts(place: Path) -> list[Path]:
    """Return the files that make a table."""
    if place.is_file():
        return [place] if ending(place) in _READERS else []
    inside = sorted(p for p in place.rglob("*") if p.is_file() and ending(p) in _READERS)
    return [p for p in inside if not any(n.startswith((".", "_")) for n in p.relative_to(place).parts)]


def ending(path: Path) -> str:
    """Return how a file's name ends, in lower case: ``.csv``, ``.csv.gz``."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    return "".join(suffixes) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def _table_name(place: Path) -> str:
    found = ending(place)
    return place.name[: -len(found)] if place.is_file() and found in _READERS else place.name


def _uneven_line(path: Path, width: int) -> str | None:
    """Say which line of a CSV file has not as many fields as the first, unless it was read as it seems to be.

    Where rows differ in length, DuckDB may take whole lines for the values of one column, or the header for none.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    with (gzip.open if ending(path).endswith(".gz") else open)(
        path, "rt", encoding="utf-8", errors="replace"
    ) as handle:
        header = handle.readline()
        separator = max(_SEPARATORS, key=header.count)
        handle.seek(0)
        rows = csv.reader(handle, delimiter=separator)
        expected = len(next(rows, []))
        for row in rows if 1 < expected != width else ():
            if row and len(row) != expected:
                return f"line {rows.line_num} has {len(row)} fields, the first line {expected}; mend that line"
    return None
