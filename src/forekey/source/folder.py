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

from forekey import duckdb_session
from forekey.errors import SourceError
from forekey.project import MomentConfig
from forekey.schema import DType
from forekey.source.duck import DuckDBSource, first_line
from forekey.source.exports import is_marked
from forekey.source.protocol import TableInfo
from forekey.source.readings import read_moment

_READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".csv.gz": "read_csv", ".tsv": "read_csv"}
_READERS |= {".tsv.gz": "read_csv"}
_SEPARATORS = ",;\t|"
_LONGEST_FIELD = 1 << 30
_LOOKED_AT = 2_000
_ISO_COLUMNS: dict[tuple[tuple[str, int, int], ...], tuple[str, ...]] = {}
"""What was found of files, by their paths, sizes and times: a command opens its source more than once."""


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
    connection = duckdb_session.connect()
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
    if reader == "read_csv":
        # What a column holds is decided by all of its values; what its dates mean, by all parts together, not here.
        options += ", sample_size = -1, auto_type_candidates = ['BOOLEAN', 'BIGINT', 'DOUBLE', 'VARCHAR']"
    target = exp.to_identifier(name, quoted=True).sql(dialect="duckdb")
    rows = f"{reader}([{files}]{options})"
    try:
        connection.execute(f"CREATE VIEW {target} AS SELECT * FROM {rows}")
    except duckdb.Error:
        wrong = [said for part in parts if reader == "read_csv" and (said := _uneven_line(part, None)) is not None]
        if not wrong:
            raise
        raise SourceError(wrong[0]) from None
    if reader == "read_csv":
        width = len(connection.sql(f"SELECT * FROM {target} LIMIT 0").columns)
        for part in parts:
            if (uneven := _uneven_line(part, width)) is not None:
                connection.execute(f"DROP VIEW {target}")
                raise SourceError(uneven)
        if dated := _iso_columns(connection, target, parts):
            read = {c: read_moment(exp.column(c, quoted=True), DType.TEXT, MomentConfig(), "duckdb") for c in dated}
            put = ", ".join(m.as_(c, quoted=True).sql(dialect="duckdb") for c, m in read.items())
            connection.execute(f"CREATE OR REPLACE VIEW {target} AS SELECT * REPLACE ({put}) FROM {rows}")


def _iso_columns(connection: Any, target: str, parts: Iterable[Path]) -> tuple[str, ...]:
    """Return the text columns of a CSV table of which every value is a date or timestamp in ISO 8601.

    Any other way to write a date is left to forekey.yaml: it has to be the same for all values and all parts.
    """
    known = tuple((str(p), (told := p.stat()).st_size, told.st_mtime_ns) for p in parts)
    if known not in _ISO_COLUMNS:
        shown = connection.sql(f"SELECT * FROM {target} LIMIT {_LOOKED_AT}")
        texts = [c for c, kind in zip(shown.columns, shown.types, strict=True) if str(kind) == "VARCHAR"]
        likely = _all_iso(connection, f"(SELECT * FROM {target} LIMIT {_LOOKED_AT})", texts)
        _ISO_COLUMNS[known] = tuple(_all_iso(connection, target, likely))
    return _ISO_COLUMNS[known]


def _all_iso(connection: Any, rows: str, columns: list[str]) -> list[str]:
    counts = []
    for name in columns:
        value = exp.column(name, quoted=True)
        read = read_moment(value.copy(), DType.TEXT, MomentConfig(), "duckdb")
        counts += [exp.Count(this=value).sql(dialect="duckdb"), exp.Count(this=read).sql(dialect="duckdb")]
    found = connection.execute(f"SELECT {', '.join(counts)} FROM {rows}").fetchall()[0] if counts else ()
    return [c for i, c in enumerate(columns) if found[2 * i] and found[2 * i] == found[2 * i + 1]]


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


def _uneven_line(path: Path, width: int | None) -> str | None:
    """Say which line of which CSV file has not as many fields as the first, unless it was read as it seems to be.

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
                where = f"line {rows.line_num} of '{path.name}'"
                return f"{where} has {len(row)} fields, the first line {expected}; mend that line"
    return None
