"""What `forekey init` shows: one table, guesses marked by how sure they are, those to look at first, a drawing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from forekey import pipeline
from forekey.cli.commands import cli
from forekey.pipeline.drawing import mermaid
from forekey.schema import Schema
from forekey.workspace import Workspace
from tests.support.servers import run_all


@pytest.fixture(scope="module")
def undeclared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flights whose keys nobody declared: found by name, by values, and a table of three rows."""
    root = tmp_path_factory.mktemp("undeclared")
    run_all(
        str(root / "flights.duckdb"),
        (
            "CREATE TABLE airports AS SELECT 'A' || lpad(i::VARCHAR, 3, '0') AS faa, 'Port ' || i AS name FROM range(200) t(i)",
            "CREATE TABLE carriers AS SELECT i AS carrier_id, 'Line ' || i AS name FROM range(3) t(i)",
            "CREATE TABLE flights AS SELECT i AS flight_id, (i % 3) AS carrier_id, 'A' || lpad((i * 7 % 200)::VARCHAR, 3, '0') AS origin, "
            "TIMESTAMP '2024-01-01' + i * INTERVAL 1 HOUR AS departed FROM range(4000) t(i)",
        ),
    )
    return root / "flights.duckdb"


def test_guesses_are_marked_by_how_sure_they_are(undeclared: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli, ["init", str(undeclared), "--project", str(tmp_path)]).output
    rows = {line.split()[0]: line for line in shown.splitlines() if line}
    assert "faa ?" in rows["airports"]  # by its values and who refers to it
    assert "carrier_id ?" in rows["carriers"]  # of three rows
    assert "flight_id  " in rows["flights"]  # by its name, and 4,000 values differ
    assert "carrier_id → carriers" in shown
    assert "origin → airports ?" in shown
    assert "? guessed, probably right" in shown
    assert "Look at these three first:" in shown
    assert "airports.faa: primary key; all 200 values differ" in shown
    assert max(len(line) for line in shown.splitlines()) <= 120


def test_json_says_how_sure_each_guess_is(undeclared: Path, tmp_path: Path) -> None:
    told = json.loads(CliRunner().invoke(cli, ["init", str(undeclared), "--project", str(tmp_path), "--json"]).stdout)
    sure = {(g["table"], g["column"], g["what"]): g["certainty"] for g in told["guesses"]}
    assert all(0.0 < s <= 1.0 for s in sure.values())
    assert sure["flights", "flight_id", "primary_key"] > sure["airports", "faa", "primary_key"]
    assert sure["flights", "carrier_id", "foreign_key"] > sure["flights", "origin", "foreign_key"]


def test_nothing_is_doubted_where_all_is_declared(tmp_path: Path) -> None:
    run_all(
        str(tmp_path / "shop.duckdb"),
        (
            "CREATE TABLE customers (id INTEGER PRIMARY KEY)",
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers (id), placed TIMESTAMP)",
        ),
    )
    shown = CliRunner().invoke(cli, ["init", str(tmp_path / "shop.duckdb"), "--project", str(tmp_path / "p")]).output
    assert "?" not in shown
    assert "first:" not in shown


def test_the_schema_is_drawn(undeclared: Path, tmp_path: Path) -> None:
    CliRunner().invoke(cli, ["init", str(undeclared), "--project", str(tmp_path)])
    page = (tmp_path / "schema.md").read_text()
    assert page.startswith("# Schema\n\n```mermaid\nerDiagram\n")
    assert (
        '        integer flight_id PK\n        integer carrier_id FK\n        text origin FK\n        timestamp departed "time"'
        in page
    )
    assert '    "airports" ||--o{ "flights" : "origin"' in page
    assert 'aria-label="3 tables and 2 foreign keys"' in (tmp_path / "schema.svg").read_text()


def test_a_drawing_survives_any_name(shop_project: Workspace) -> None:
    shop = shop_project.snapshots.current().schema.to_dict()
    text = json.dumps(shop).replace("customers", 'cu%st`om\\"ers').replace("region", "1 größe, \u2192")
    drawn = mermaid(Schema.from_dict(json.loads(text)))
    assert "\"cu'st'om'ers\" {" in drawn
    assert "_1_gr__e___" in drawn


def test_a_review_asks_about_what_is_not_sure_and_leaves_out_what_is_refused(undeclared: Path, tmp_path: Path) -> None:
    def reviewed(root: Path, answers: str) -> tuple[str, Workspace]:
        done = CliRunner().invoke(cli, ["init", str(undeclared), "--project", str(root), "--review"], input=answers)
        return done.output, Workspace.open(root)

    said, project = reviewed(tmp_path / "all", "y\n" * 9)
    assert said.count("Right?") == 3  # airports.faa, carriers.carrier_id, flights.origin
    assert project.config.tables["flights"].foreign_keys.keys() == {"carrier_id", "origin"}
    said, project = reviewed(tmp_path / "none", "n\n" * 9)
    tables = project.config.tables
    assert (tables["airports"].primary_key, tables["carriers"].primary_key) == (None, None)
    assert tables["flights"].foreign_keys == {}
    assert tables["flights"].columns["origin"] == "categorical"
    assert tables["flights"].primary_key == "flight_id"
    assert "??" not in said
    pipeline.snapshot(project)


def test_a_review_and_json_exclude_each_other(undeclared: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["init", str(undeclared), "--project", str(tmp_path), "--review", "--json"])
    assert done.exit_code == 2
