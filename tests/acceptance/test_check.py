"""`forekey check` judges forekey.yaml and the database as they are now, and publishes nothing."""

from __future__ import annotations

import duckdb

from forekey import pipeline
from forekey.project import CONFIG_NAME
from forekey.workspace import Workspace


def rewritten(project: Workspace, old: str, new: str) -> Workspace:
    path = project.root / CONFIG_NAME
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return Workspace.open(project.root)


def change(project: Workspace, statement: str) -> None:
    with duckdb.connect(str(project.root / "shop.duckdb")) as connection:
        connection.execute(statement)


def test_rows_that_went_wrong_since_the_snapshot_are_found(own_project: Workspace) -> None:
    before = own_project.snapshots.current().id
    assert pipeline.check(own_project).errors == ()
    change(own_project, "UPDATE orders SET customer_id = customer_id + 100000 WHERE order_id % 10 <> 0")
    found = {e.where: e.what for e in pipeline.check(own_project).errors}
    assert "are found in no parent row" in found["orders.customer_id->customers"]
    assert own_project.snapshots.current().id == before
    assert len(own_project.snapshots.ids()) == 1


def test_a_key_that_is_none_is_an_error(own_project: Workspace) -> None:
    changed = rewritten(own_project, "primary_key: customer_id", "primary_key: region")
    wrong = {
        e.where: e.what
        for e in pipeline.check(rewritten(changed, "primary_key: region", "primary_key: regionn")).errors
    }
    assert "'customers.regionn', but the table has none" in wrong["customers"]
    fixed = rewritten(own_project, "primary_key: regionn", "primary_key: region")
    found = {e.where: e.what for e in pipeline.check(fixed).errors}
    assert "duplicate key" in found["customers"]


def test_a_column_that_is_gone_is_named(own_project: Workspace) -> None:
    change(own_project, "ALTER TABLE orders DROP COLUMN placed_at")
    found = {e.where: e.what for e in pipeline.check(own_project).errors}
    assert "'orders.placed_at', but the table has none" in found["orders"]
    assert any(where.startswith("tasks.") for where in found)  # those that look at orders
