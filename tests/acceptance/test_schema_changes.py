"""A database that changes under a trained project: absorbed where it can be, refused by name where not."""

from __future__ import annotations

import json

import duckdb
import pytest
from click.testing import CliRunner

from forekey import pipeline
from forekey.cli.commands import cli
from forekey.errors import ModelError, SchemaError
from forekey.project import CONFIG_NAME
from forekey.workspace import Workspace


def alter(project: Workspace, *statements: str) -> None:
    with duckdb.connect(str(project.root / "shop.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_column_that_is_gone_is_named_by_the_snapshot_and_by_the_models_that_need_it(own_project: Workspace) -> None:
    alter(own_project, "ALTER TABLE customers DROP COLUMN age", "ALTER TABLE orders DROP COLUMN gift")
    built = pipeline.snapshot(own_project)
    assert built.manifest.changes == ["customers: column 'age' dropped", "orders: column 'gift' dropped"]
    with pytest.raises(
        ModelError, match=r"needs customers.age as numerical, orders.gift as boolean, which the snapshot"
    ):
        pipeline.predict(own_project, "spend")
    assert pipeline.snapshot(own_project).id == built.id


def test_a_wider_type_is_named_and_models_go_on(own_project: Workspace) -> None:
    before = pipeline.predict(own_project, "spend").predictions.values.tolist()
    alter(own_project, "ALTER TABLE customers ALTER COLUMN age TYPE DOUBLE")
    assert pipeline.snapshot(own_project).manifest.changes == ["customers: column 'age' was integer, is float"]
    assert pipeline.predict(own_project, "spend").predictions.values.tolist() == before


def test_a_new_column_changes_nothing_until_it_is_named(own_project: Workspace) -> None:
    before = pipeline.snapshot(own_project).id
    alter(own_project, "ALTER TABLE customers ADD COLUMN vip BOOLEAN")
    assert pipeline.snapshot(own_project).id == before
    said = {f.where: f.what for f in pipeline.check(own_project).warnings}
    assert said["customers"] == "forekey.yaml does not name the columns vip"


def test_a_key_or_a_table_that_is_gone_is_refused_and_the_last_snapshot_stays(own_project: Workspace) -> None:
    before = own_project.snapshots.current().id
    alter(own_project, "ALTER TABLE order_lines DROP COLUMN sku")
    with pytest.raises(SchemaError, match=r"order_lines.sku"):
        pipeline.snapshot(own_project)
    alter(own_project, "DROP TABLE order_lines")
    with pytest.raises(SchemaError, match="order_lines"):
        pipeline.snapshot(own_project)
    assert own_project.snapshots.current().id == before


def test_a_column_that_never_was_is_a_mistake(own_project: Workspace) -> None:
    path = own_project.root / CONFIG_NAME
    path.write_text(path.read_text().replace("age: numerical", "agee: numerical"))
    with pytest.raises(SchemaError, match=r"customers.agee.*did you mean 'age'"):
        pipeline.snapshot(Workspace.open(own_project.root))


def run(project: Workspace, *arguments: str) -> dict[str, object]:
    done = CliRunner().invoke(cli, ["snapshot", *arguments, "--json", "--project", str(project.root)])
    assert done.exit_code == 0, done.output
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_snapshots_can_be_listed_compared_looked_into_and_pruned(own_project: Workspace) -> None:
    first = own_project.snapshots.current()
    alter(own_project, "INSERT INTO orders VALUES (900001, 1, '2026-01-01', 5, NULL, false)")
    second = run(own_project)
    listed = run(own_project, "--list")["snapshots"]
    assert [s["snapshot"] for s in listed] == [first.id, second["snapshot"]]  # type: ignore[attr-defined]
    assert listed[1]["parent"] == first.id  # type: ignore[index]
    found = run(own_project, "--diff", first.id[:8], "current")
    before, after = found["nodes"]["orders"]  # type: ignore[index]
    assert after == before + 1
    assert "orders.channel" in found["null_rates"]  # type: ignore[operator]
    stats = run(own_project, "--stats")
    assert stats["edges"]["orders.customer_id->customers"]["degree"]["max"] > 1  # type: ignore[index]
    assert stats["tables"]["orders"]["growth"] == 1  # type: ignore[index]
    assert stats["tables"]["customers"]["columns"]["age"]["quantiles"][0] >= 18  # type: ignore[index]
    assert [s["snapshot"] for s in run(own_project, "--prune", "1")["snapshots"]] == [second["snapshot"]]  # type: ignore[attr-defined]
    done = CliRunner().invoke(cli, ["snapshot", "--diff", "zz", "current", "--project", str(own_project.root)])
    assert "No snapshot begins with 'zz'" in str(done.exception)
