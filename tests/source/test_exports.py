"""What Forekey wrote itself is no data: not for init, nor for a snapshot, nor for a check."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from forekey import pipeline
from forekey.cli import files
from forekey.cli.commands import cli
from forekey.errors import SourceError
from forekey.project import CONFIG_NAME, TableConfig
from forekey.schema import Stype
from forekey.source import infer_schema, open_source
from forekey.workspace import Workspace
from tests.support.servers import Postgres, run_all, running_mariadb

PREDICTIONS = pa.table(
    {
        "entity": pa.array([1, 2, 3]),
        "as_of": pa.array([datetime(2024, 1, 9, tzinfo=UTC)] * 3, pa.timestamp("us")),
        "prediction": pa.array([0.1, 0.2, 0.3]),
        "model_version": pa.array(["v1"] * 3),
    }
)
OTHERWISE_NAMED = PREDICTIONS.rename_columns(["person_id", "told_at", "score", "by"])
PEOPLE = (
    "CREATE TABLE people (id INTEGER PRIMARY KEY, since TIMESTAMP)",
    "INSERT INTO people VALUES (1, '2024-01-01'), (2, '2024-01-02'), (3, '2024-01-03')",
)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    with running_mariadb() as url:
        yield url


@pytest.fixture(params=["duckdb", "sqlite", "postgres", "mysql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind with one table of people."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database()
    elif request.param == "mysql":
        url = request.getfixturevalue("mariadb")
        run_all(url, ("DROP DATABASE shop", "CREATE DATABASE shop"))
    else:
        url = str(tmp_path / f"people.{request.param}")
    run_all(url, PEOPLE)
    return url


@pytest.mark.parametrize("name", ["scores", 'Sco"res'])
@pytest.mark.parametrize("rows", [PREDICTIONS, OTHERWISE_NAMED], ids=["predictions", "rows of any shape"])
def test_a_table_that_was_written_back_is_not_read_as_data(
    database: str, name: str, rows: pa.Table, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    project = pipeline.init(database, root).workspace
    before = pipeline.snapshot(project)
    pipeline.write_back(project, name, rows)
    pipeline.write_back(project, name, rows)
    assert pipeline.snapshot(project, full=True).id == before.id
    assert not any("scores" in change for change in pipeline.snapshot(project).manifest.changes)
    assert not any("scores" in f.where for f in pipeline.check(project).warnings)
    again = pipeline.init(database, root, force=True)
    assert again.inference.schema.names == ("people",)
    assert list(again.inference.exports) == [name]


def test_the_mark_outlives_the_projects_own_record(database: str, tmp_path: Path) -> None:
    project = pipeline.init(database, tmp_path / "project").workspace
    pipeline.write_back(project, "scores", PREDICTIONS)
    shutil.rmtree(project.machine)
    assert pipeline.init(database, tmp_path / "another").inference.schema.names == ("people",)


def test_a_table_of_the_same_name_that_someone_else_made_is_data(database: str, tmp_path: Path) -> None:
    if database.endswith(".sqlite"):
        pytest.skip("SQLite has no comments: the name that the project wrote counts")
    project = pipeline.init(database, tmp_path / "project").workspace
    pipeline.write_back(project, "scores", PREDICTIONS)
    run_all(database, ("DROP TABLE scores", "CREATE TABLE scores (id INTEGER PRIMARY KEY, score FLOAT)"))
    with open_source(database, project.root) as source:
        assert {t.name: t.export for t in source.tables()} == {"people": False, "scores": False}


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize(
    "names",
    [
        ("entity", "as_of", "prediction", "model_version"),
        ("entity", "time", "target", "split"),
    ],
)
def test_a_file_that_was_written_into_the_sources_folder_is_not_read_as_data(
    tmp_path: Path, ending: str, names: tuple[str, ...]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "people.csv").write_text("id,since\n1,2024-01-01\n2,2024-01-02\n3,2024-01-03\n")
    project = pipeline.init(str(folder), tmp_path / "project").workspace
    before = pipeline.snapshot(project)
    files.write_table(PREDICTIONS.rename_columns(names), folder / f"export.{ending}")
    assert pipeline.snapshot(project, full=True).id == before.id
    done = CliRunner().invoke(cli, ["init", str(folder), "--project", str(tmp_path / "new")])
    assert "Left out: export. Forekey wrote it" in " ".join(done.output.split())
    assert list(Workspace.open(tmp_path / "new").config.tables) == ["people"]
    assert "# Left out: export." in (tmp_path / "new" / CONFIG_NAME).read_text()


def test_a_parquet_file_says_that_it_is_an_export_whatever_its_columns(tmp_path: Path) -> None:
    files.write_table(OTHERWISE_NAMED, tmp_path / "export.parquet")
    files.write_table(OTHERWISE_NAMED, tmp_path / "copied.csv")
    with open_source(str(tmp_path), tmp_path) as source:
        assert {t.name: t.export for t in source.tables()} == {"export": True, "copied": False}


def test_an_export_that_forekey_yaml_names_is_read(database: str, tmp_path: Path) -> None:
    project = pipeline.init(database, tmp_path / "project").workspace
    pipeline.write_back(project, "scores", PREDICTIONS)
    named = {**project.config.tables, "scores": TableConfig(columns={"prediction": Stype.NUMERICAL})}
    config = project.config.model_copy(update={"tables": named})
    built = pipeline.snapshot(Workspace(project.root, config))
    assert built.num_nodes("scores") == 3


def test_a_source_of_exports_alone_has_nothing_to_learn_from(tmp_path: Path) -> None:
    files.write_table(PREDICTIONS, tmp_path / "scores.parquet")
    with pytest.raises(SourceError, match=r"no tables that can be read.*Forekey wrote it"):
        pipeline.init(str(tmp_path), tmp_path / "project")
    with open_source(str(tmp_path), tmp_path) as source:
        assert infer_schema(source).exports
