"""From a URL to a connected source.

duckdb:///shop.duckdb      a DuckDB file, relative to the project folder (four slashes: absolute)
shop.duckdb                the same
relbench:///rel-f1         a RelBench v3 folder (manifest.yaml, db/*.parquet, tasks/*)
files:///exports           a folder of Parquet or CSV files, one table each
/data/exports              a folder: RelBench if it has a manifest.yaml, else files
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from forekey.errors import SourceError
from forekey.source.duck import DuckDBSource
from forekey.source.folder import FolderSource
from forekey.source.protocol import Source
from forekey.source.relbench import RelBenchSource, is_relbench

_SCHEMES = ("duckdb", "relbench", "files")


def open_source(url: str, root: Path, *, writable: bool = False) -> Source:
    """Connect to ``url``; relative paths start at ``root``. :class:`SourceError` says what cannot be opened."""
    scheme, path = _split(url)
    place = Path(path) if Path(path).is_absolute() else root / path
    if scheme == "duckdb":
        return DuckDBSource.open(url, place, writable=writable)
    return (RelBenchSource if scheme == "relbench" else FolderSource).open(url, place)


def normalize_url(url: str, cwd: Path, root: Path) -> str:
    """Turn what a user typed in ``cwd`` into a URL that stays true for a project in ``root``.

    A file or folder inside the project is named relative to it, any other absolutely. The path must exist.
    """
    scheme, path = _split(url)
    place = (Path(path) if Path(path).is_absolute() else cwd / path).resolve()
    if not place.exists():
        raise SourceError(f"'{url}' cannot be opened: there is no '{place}'. Check the path.")
    inside = place.is_relative_to(root.resolve()) and place != root.resolve()
    return f"{scheme}:///{place.relative_to(root.resolve()) if inside else place}"


def _split(url: str) -> tuple[str, str]:
    """Split a URL into its scheme and a path, absolute or relative."""
    if "://" in url:
        scheme, rest = url.split("://", 1)
        if scheme not in _SCHEMES:
            raise SourceError(
                f"'{scheme}://' is not a source that this version can open. "
                "Use duckdb:///FILE, files:///FOLDER (Parquet or CSV) or relbench:///FOLDER."
            )
        return scheme, unquote(rest.removeprefix("/"))
    path = Path(url)
    if path.is_dir():
        return ("relbench" if is_relbench(path) else "files"), url
    if path.suffix in {".duckdb", ".db", ".ddb"}:
        return "duckdb", url
    raise SourceError(
        f"'{url}' is neither a folder nor a .duckdb file. Use duckdb:///FILE, files:///FOLDER or relbench:///FOLDER."
    )
