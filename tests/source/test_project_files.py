"""forekey.yaml: written with reasons, read strictly, overruling what was guessed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from forekey import pipeline
from forekey.errors import ProjectError, SchemaError, UnknownTask
from forekey.project import PQLTask, parse_config
from forekey.schema import Stype
from forekey.source import configured_schema, infer_schema, open_source
from forekey.testing import write_shop
from forekey.workspace import Workspace


@pytest.fixture
def project(tmp_path: Path) -> Workspace:
    write_shop(tmp_path / "shop.duckdb", 40, 100)
    return pipeline.init(str(tmp_path / "shop.duckdb"), tmp_path).workspace


def test_what_init_writes_reads_back_as_what_was_inferred(project: Workspace) -> None:
    with open_source(project.config.source, project.root) as source:
        inferred, configured = infer_schema(source).schema, configured_schema(source, project.config)
    for table in inferred.tables:
        found = configured.table(table.name)
        kept = tuple(c for c in table.columns)
        assert (found.primary_key, found.time_column, found.columns) == (table.primary_key, table.time_column, kept)
        assert set(found.foreign_keys) == set(table.foreign_keys)


def test_guesses_are_marked_with_their_reason(project: Workspace) -> None:
    text = (project.root / "forekey.yaml").read_text()
    assert "order_id: orders  # guessed: named after orders.order_id; 100.0% of all rows' values found" in text
    assert "# guessed: categorical: " in text
    assert " distinct values" in text
    assert text.count(" distinct values") == len(re.findall(r"about [\d,]+ distinct values", text))


def test_init_does_not_overwrite_what_people_edited(project: Workspace) -> None:
    with pytest.raises(ProjectError, match="exists already"):
        pipeline.init(str(project.root / "shop.duckdb"), project.root)


def test_edits_overrule_and_leaving_out_ignores(project: Workspace) -> None:
    path = project.root / "forekey.yaml"
    path.write_text(
        path.read_text().replace("age: numerical", "age: categorical").replace("      gift: boolean", "      #")
    )
    edited = Workspace.open(project.root)
    with open_source(edited.config.source, edited.root) as source:
        schema = configured_schema(source, edited.config)
    assert schema.table("customers").column("age").stype is Stype.CATEGORICAL
    assert "gift" not in schema.table("orders").column_names


def test_a_name_that_the_database_lacks_is_refused_with_the_nearest(project: Workspace) -> None:
    path = project.root / "forekey.yaml"
    path.write_text(path.read_text().replace("      amount: numerical", "      amuont: numerical"))
    with pytest.raises(SchemaError, match=r"orders\.amuont.*did you mean 'amount'"):
        pipeline.snapshot(Workspace.open(project.root))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source: [", "not valid YAML"),
        ("- a\n- b", "must hold settings by name"),
        ("tables: {}", "source: Field required"),
        ("source: x\nsauce: y", "sauce: there is no such setting"),
        ("source: x\ntables: {a: {columns: {b: nonsense}}}", "tables.a.columns.b"),
        ("source: x\ntasks: {'bad/name': PREDICT}", "task name"),
        ("source: ${NOT_SET_ANYWHERE}", "NOT_SET_ANYWHERE"),
    ],
)
def test_a_wrong_file_says_where(text: str, says: str) -> None:
    with pytest.raises(ProjectError) as caught:
        parse_config(text, "forekey.yaml")
    assert says in str(caught.value)


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    assert parse_config("source: duckdb:///${SHOP_PASSWORD}", "x").source == "duckdb:///s3cret"


def test_a_folder_without_forekey_yaml_is_not_a_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="Run `forekey init URL`"):
        Workspace.open(tmp_path)


def test_an_unknown_task_names_the_nearest(project: Workspace) -> None:
    config = project.config.model_copy(update={"tasks": {"churn": PQLTask(query="x")}})
    with pytest.raises(UnknownTask, match="did you mean 'churn'"):
        Workspace(project.root, config).task("chrun")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sorce: x", r"sorce: there is no such setting \(did you mean 'source'\?\)"),
        ("source: x\ntables: {a: {time_colum: t}}", r"tables.a.time_colum: .*\(did you mean 'time_column'\?\)"),
        ("source: x\nretrain: {shedule: '0 3 * * *'}", r"did you mean 'schedule'\?"),
    ],
)
def test_a_setting_that_does_not_exist_is_met_with_the_one_it_looks_like(text: str, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        parse_config(text, "forekey.yaml")
