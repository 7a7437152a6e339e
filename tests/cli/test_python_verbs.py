"""Python has the same verbs as the command line."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import forekey as fk
from forekey import pipeline
from forekey.errors import ProjectError
from forekey.testing import write_shop
from forekey.workspace import Workspace


def test_the_story_in_python(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop.duckdb", customers=80, days=300)
    project = fk.init(str(tmp_path / "shop.duckdb"), tmp_path)
    task = project.task(pql="PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id")
    model = task.train(preset="fast")
    assert model.metrics["test"]["mae"] == task.evaluate()["mae"]
    assert set(model.baselines) == {"constant", "last_value", "entity_mean", "lightgbm_columns", "lightgbm"}
    assert task.embed().entities == 80
    assert task.predict(as_of="2024-07-01").num_rows == 80
    assert task.labels().column_names == ["entity", "time", "target", "split"]
    assert project.snapshot().num_nodes("customers") == 80
    assert project.check().errors == ()


def test_names_that_are_not_there_are_errors_of_ours(trained_project: Workspace) -> None:
    project = fk.open(trained_project.root)
    assert "duckdb:///shop.duckdb" in repr(project)
    with pytest.raises(fk.ForekeyError, match="did you mean 'churn'"):
        project.task("chrun")
    with pytest.raises(fk.ForekeyError, match="one of the two"):
        project.task()
    with pytest.raises(fk.ForekeyError, match="is not a time"):
        project.task("churn").predict(as_of="yesterday")
    with pytest.raises(AttributeError):
        fk.nothing  # noqa: B018


def test_importing_the_package_costs_nothing() -> None:
    import subprocess
    import sys

    script = "import sys, forekey; print(sorted({'torch', 'numpy', 'duckdb'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_export_replaces_an_earlier_one_and_no_other_table(own_project: Workspace) -> None:
    import duckdb

    rows = pa.table({"entity": [1], "prediction": [0.5]})
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE invoices AS SELECT 1 AS precious")
    with pytest.raises(ProjectError, match="no export of this project made it"):
        pipeline.write_back(own_project, "invoices", rows)
    pipeline.write_back(own_project, "scores", rows)
    pipeline.write_back(own_project, "scores", rows.slice(0, 0))
    with duckdb.connect(str(own_project.root / "shop.duckdb")) as connection:
        assert connection.execute("SELECT precious FROM invoices").fetchall() == [(1,)]
        assert connection.execute("SELECT count(*) FROM scores").fetchall() == [(0,)]
