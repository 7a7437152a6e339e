"""From a URL to a connected source.

postgresql://user@host/shop      a PostgreSQL database (whatever libpq understands)
mysql://user@host:3306/shop      a MySQL or MariaDB database
duckdb:///shop.duckdb            a DuckDB file, relative to the project folder (four slashes: absolute)
sqlite:///shop.sqlite            a SQLite file
shop.duckdb, shop.sqlite         the same
relbench:///rel-f1               a RelBench v3 folder (manifest.yaml, db/*.parquet, tasks/*)
files:///exports                 a folder of Parquet or CSV files, one table each
/data/exports                    a folder: RelBench if it has a manifest.yaml, else files
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from forekey.errors import SourceError
from forekey.project import recorded_exports
from forekey.secrets import encoded, remember, without_password
from forekey.source.duck import DuckDBSource
from forekey.source.folder import FolderSource
from forekey.source.on_demand import OnDemandSource
from forekey.source.protocol import Source
from forekey.source.relbench import RelBenchSource, is_relbench

_SERVERS = {"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_FILES = ("duckdb", "sqlite", "relbench", "files")
_SUFFIXES = {
    **dict.fromkeys((".duckdb", ".ddb"), "duckdb"),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db3"), "sqlite"),
}


def open_source(url: str, root: Path, *, writable: bool = False, timeout_seconds: float | None = None) -> Source:
    """Connect to ``url``; relative paths start at ``root``. :class:`SourceError` says what cannot be opened.

    ``timeout_seconds`` is how long a statement may take where the server can limit that; None for its own setting,
    an hour if it has none.
    """
    if writable:
        return _open(url, root, writable, timeout_seconds)
    source = source_on_demand(url, root, timeout_seconds=timeout_seconds)
    source.connect()
    return source


def source_on_demand(url: str, root: Path, *, timeout_seconds: float | None = None) -> OnDemandSource:
    """Return a source that connects when it is first asked something: see :func:`open_source`."""
    holds = _server(url) is not None or _split(url)[0] in {"duckdb", "sqlite"}
    return OnDemandSource(lambda: _open(url, root, writable=False, timeout_seconds=timeout_seconds), holds=holds)


def _open(url: str, root: Path, writable: bool, timeout_seconds: float | None) -> Source:
    remember(url)
    if (server := _server(url)) is not None:
        return _open_server(server, encoded(url), writable, timeout_seconds)
    scheme, path = _split(url)
    place = Path(path) if Path(path).is_absolute() else root / path
    if scheme == "duckdb":
        return DuckDBSource.open(url, place, writable=writable)
    if scheme == "sqlite":
        from forekey.source.attached import SQLiteSource

        return SQLiteSource.open(url, place, writable=writable, recorded=recorded_exports(root))
    return (RelBenchSource if scheme == "relbench" else FolderSource).open(url, place)


def shown_url(url: str) -> str:
    """Return a URL as the source that it opens shows it, without connecting."""
    return without_password(encoded(url)) if _server(url) is not None else url


def normalize_url(url: str, cwd: Path, root: Path) -> str:
    """Turn what a user typed in ``cwd`` into a URL that stays true for a project in ``root``.

    A file or folder inside the project is named relative to it, any other absolutely. The path must exist.
    """
    if _server(url) is not None:
        return url
    scheme, path = _split(url)
    place = (Path(path) if Path(path).is_absolute() else cwd / path).resolve()
    if not place.exists():
        shown = without_password(url)
        where = f"there is no '{place}'. Check the path" if shown == url else "a file has no user and no password"
        raise SourceError(f"'{shown}' cannot be opened: {where}.")
    inside = place.is_relative_to(root.resolve()) and place != root.resolve()
    return f"{scheme}:///{place.relative_to(root.resolve()) if inside else place}"


def _server(url: str) -> str | None:
    return _SERVERS.get(url.split("://", 1)[0]) if "://" in url else None


def _open_server(kind: str, url: str, writable: bool, timeout_seconds: float | None) -> Source:
    if kind == "mysql":
        from forekey.source.attached import MySQLSource

        return MySQLSource.connect(url, writable=writable)
    from forekey.source.postgres import PostgresSource

    return PostgresSource.open(url, writable=writable, timeout_seconds=timeout_seconds)


def _split(url: str) -> tuple[str, str]:
    """Split a URL into its scheme and a path, absolute or relative."""
    if "://" in url:
        scheme, rest = url.split("://", 1)
        if scheme not in _FILES:
            raise SourceError(
                f"'{without_password(url).split('://', 1)[0]}://' is not a source that this version can open. Use "
                "postgresql://, mysql://, duckdb:///FILE, sqlite:///FILE, files:///FOLDER (Parquet or CSV) or "
                "relbench:///FOLDER."
            )
        return scheme, unquote(rest.removeprefix("/"))
    path = Path(url)
    if path.is_dir():
        return ("relbench" if is_relbench(path) else "files"), url
    if path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix], url
    if path.suffix == ".db":
        return ("sqlite" if _is_sqlite(path) else "duckdb"), url
    raise SourceError(
        f"'{without_password(url)}' is neither a folder nor a .duckdb or .sqlite file. Use postgresql://, mysql://, "
        "duckdb:///FILE, sqlite:///FILE, files:///FOLDER or relbench:///FOLDER."
    )


def _is_sqlite(path: Path) -> bool:
    """Whether a file begins as SQLite files do (https://www.sqlite.org/fileformat.html)."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(16) == b"SQLite format 3\0"
