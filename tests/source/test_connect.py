"""URLs become sources; what cannot be opened says why in one line."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from forekey.errors import ForekeyError, SourceError, SourceUnavailable
from forekey.source import normalize_url, open_source

ROWS = pa.table({"id": [1, 2, 3], "name": ["a", "b", None]})


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("oracle://localhost/shop", "not a source that this version can open"),
        ("postgresql://localhost:1/shop", "does not answer"),
        ("mysql://localhost:1/shop", "does not answer"),
        ("mysql://localhost:1", "names no database"),
        ("sqlite:///missing.sqlite", "there is no file"),
        ("duckdb:///missing.duckdb", "there is no file"),
        ("files:///missing", "there is no folder"),
        ("relbench:///missing", "manifest.yaml"),
        ("nonsense", "neither a folder nor a .duckdb or .sqlite file"),
    ],
)
def test_a_url_that_cannot_be_opened_says_why(tmp_path: Path, url: str, says: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(url, tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.duckdb").write_text("not a database at all" * 1000)
    with pytest.raises(SourceError, match="cannot be opened"):
        open_source("duckdb:///x.duckdb", tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no \.parquet, \.csv or \.tsv"):
        open_source(f"files:///{tmp_path}", tmp_path)


def test_a_folder_of_parquet_and_csv_is_a_database(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "one.parquet")
    pacsv.write_csv(ROWS, tmp_path / "two.csv")
    with open_source(str(tmp_path), tmp_path) as source:
        assert {t.name: t.rows for t in source.tables()} == {"one": 3, "two": 3}
        found = source.query(exp.select("name").from_("one")).read_all()
        assert found.column("name").to_pylist() == ["a", "b", None]
        with pytest.raises(SourceError, match="cannot be written"):
            source.write_table("three", ROWS)


def test_a_table_can_be_written_back_to_a_duckdb_file(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "x.duckdb")).close()
    with open_source("duckdb:///x.duckdb", tmp_path, writable=True) as source:
        source.write_table('odd "name"', ROWS)
        source.write_table('odd "name"', ROWS.slice(0, 2))
    with open_source("duckdb:///x.duckdb", tmp_path) as source:
        assert [(t.name, t.rows) for t in source.tables()] == [('odd "name"', 2)]


def test_a_query_that_the_database_refuses_is_an_error_of_ours(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "one.parquet")
    with open_source(str(tmp_path), tmp_path) as source, pytest.raises(ForekeyError, match="refused a query"):
        source.query(exp.select("missing").from_("one"))


def test_urls_stay_true_inside_the_project_and_absolute_outside(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    for place in (root, elsewhere):
        duckdb.connect(str(place / "x.duckdb")).close()
    assert normalize_url(str(root / "x.duckdb"), tmp_path, root) == "duckdb:///x.duckdb"
    assert normalize_url("duckdb:///elsewhere/x.duckdb", tmp_path, root) == f"duckdb:///{elsewhere}/x.duckdb"
    with open_source(normalize_url(str(elsewhere / "x.duckdb"), tmp_path, root), root):
        pass
    with pytest.raises(SourceError, match="there is no"):
        normalize_url("duckdb:///nowhere.duckdb", tmp_path, root)


def test_a_database_held_by_a_writer_is_not_available(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = tmp_path / "x.duckdb"
    script = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(SourceUnavailable) as caught:
            open_source("duckdb:///x.duckdb", tmp_path)
        assert caught.value.exit_code == 3
    finally:
        holder.communicate(b"")
