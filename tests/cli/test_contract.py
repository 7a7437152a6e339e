"""Commands: JSON by the contract, exit codes, one-line errors, help that loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from forekey.cli.commands import cli
from forekey.errors import SourceError, UnknownTask
from forekey.testing import write_shop
from forekey.workspace import Workspace


def run(*arguments: str, code: int = 0) -> str:
    """Run a command in a process of its own, as a user does; return standard output (or the error, if code is not 0)."""
    done = subprocess.run(
        [sys.executable, "-c", "from forekey.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    if code:
        assert "Traceback" not in done.stderr
    return done.stderr if code not in (0, 1) else done.stdout


def run_json(*arguments: str, code: int = 0) -> dict[str, Any]:
    """Run a command with --json; its whole standard output must be one object."""
    text = run(*arguments, "--json", code=code)
    assert text.count("\n") == 1
    data: dict[str, Any] = json.loads(text)
    return data


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project made by the commands themselves."""
    folder = tmp_path_factory.mktemp("cli")
    write_shop(folder / "shop.duckdb", customers=80, days=300)
    data = run_json("init", str(folder / "shop.duckdb"), "--project", str(folder))
    assert data["source"] == "duckdb:///shop.duckdb"
    assert data["tables"]["orders"]["primary_key"] == "order_id"
    assert data["tables"]["orders"]["foreign_keys"] == {"customer_id": "customers"}
    assert data["tables"]["orders"]["columns"]["amount"] == "numerical"
    assert data["tables"]["customers"]["rows"] == 80
    assert {"table", "column", "what", "reason", "certainty"} == set(data["guesses"][0])
    yaml = folder / "forekey.yaml"
    query = "  spend: PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id\n"
    yaml.write_text(yaml.read_text().replace("tasks: {}", f"tasks:\n{query}"))
    return folder


def test_the_whole_way_by_commands(root: Path) -> None:
    at = ("--project", str(root))
    built = run_json("snapshot", *at)
    assert set(built) == {
        "snapshot",
        "as_of",
        "nodes",
        "edges",
        "orphans",
        "null_keys",
        "quarantined",
        "unreadable",
        "seconds",
        "unchanged",
    }
    assert built["nodes"]["customers"] == 80
    assert set(built["edges"]) == {
        "orders.customer_id->customers", "order_lines.order_id->orders", "order_lines.sku->products"
    }  # fmt: skip
    found = run_json("check", *at)
    assert (found["errors"], found["warnings"]) == ([], [])
    assert found["notes"][0].startswith("No time: customers, products.")
    labels = run_json("sql", "spend", *at, "--out", str(root / "labels.csv"))
    assert labels["task_type"] == "regression"
    assert "SUM" in labels["sql"]
    assert {"rows", "mean"} <= set(labels["splits"]["train"])
    assert set(labels["anchors"]) == {"train", "val", "test"}
    assert len(labels["examples"]) == 5
    for query, says in (
        ("LIST_DISTINCT(orders.channel, 0, 30) CLASSIFY", "an example: "),
        ("LIST_DISTINCT(order_lines.sku, 0, 30) RANK TOP 3", "30 classes"),
        ("SUM(orders.amount, 0, 14) FORECAST 3 TIMEFRAMES", "of each timeframe"),
        ("FIRST(orders.channel, 0, 30)", "3 classes: "),
    ):
        assert says in " ".join(run("sql", f"PREDICT {query} FOR EACH customers.customer_id", *at).split())
    assert (root / "labels.csv").read_text().startswith('"entity","time","target","split"')
    trained = run_json("train", "spend", *at, "--preset", "fast", "--seed", "3")
    assert (trained["task"], trained["task_type"], trained["model_version"]) == ("spend", "regression", "v1")
    assert trained["snapshot"] == built["snapshot"]
    assert trained["metrics"]["test"]["mae"] > 0
    assert set(trained["baselines"]) == {"constant", "last_value", "entity_mean", "lightgbm_columns", "lightgbm"}
    assert run_json("evaluate", "spend", *at)["metrics"]["mae"] == pytest.approx(trained["metrics"]["test"]["mae"])
    embedded = run_json("embed", "spend", *at)
    assert {"task", "version", "entities", "seconds"} <= set(embedded)
    assert embedded["entities"] == 80
    assert run_json("predict", "spend", *at, "--out", str(root / "spend.parquet"))["rows"] == 80
    assert run_json("predict", "spend", *at, "--table", "spend_predictions")["out"] == "spend_predictions"
    assert "the graph is made of" in run("predict", "spend", *at, "--table", "orders", code=2)
    assert "--out FILE or --table NAME" in run("predict", "spend", *at, code=2)
    seen = run_json("monitor", *at)
    assert set(seen) >= {"at", "snapshot", "as_of", "state", "alerts", "quality", "drift", "graph", "latency", "log"}
    assert set(seen["log"]) == {"written", "lost", "waiting", "unscorable"}
    state = run_json("status", *at)
    assert (state["state"], state["monitored_at"]) == (seen["state"], seen["at"])
    assert [t["champion"] for t in state["tasks"] if t["task"] == "spend"] == ["v1"]
    assert "spend" in run("status", *at)
    settings = root / "forekey.yaml"
    before = settings.read_text(encoding="utf-8")
    settings.write_text(f"{before}\nretrain: {{min_gain: 0.9}}\n", encoding="utf-8")  # so much better is no challenger
    challenge = run_json("retrain", "spend", *at, "--preset", "fast", "--seed", "3", code=1)
    assert challenge["verdict"]["promote"] is False
    settings.write_text(before, encoding="utf-8")
    versions = run_json("models", "spend", *at)["models"]
    assert [(v["version"], v["champion"]) for v in versions] == [("v1", True), ("v2", False)]
    run("models", "spend", *at, "--promote", "v2")
    run("models", "spend", *at, "--rollback")
    assert run_json("models", *at)["models"][0]["champion"] is True
    assert "no earlier champion" in run("models", "spend", *at, "--rollback", code=2)
    late = run("predict", "spend", *at, "--out", str(root / "late.csv"), "--as-of", "2031-01-01")
    assert "what happened between then and 2031-01-01 00:00:00 was not seen" in late
    assert "Nothing has changed since snapshot" in run("snapshot", *at)
    assert "Retrain" not in run("monitor", *at)
    with (root / "forekey.yaml").open("a", encoding="utf-8") as settings:
        settings.write("\nretrain: {on_drift: 0.0000001}\n")
    assert "drifted by" in run("monitor", *at)
    assert "drift since training" in run("monitor", *at, "-v")
    assert "Ids are primary keys of 'customers', of type int64, such as 1 and 2" in run(
        "explain", "spend", "x", *at, code=2
    )


def test_who_is_not_predicted_for_is_told(trained_project: Workspace, tmp_path: Path) -> None:
    at = ("--project", str(trained_project.root))
    said = run("predict", "churn", *at, "--out", str(tmp_path / "early.csv"), "--as-of", "1990-01-01")
    assert "0 predictions of churn" in said
    assert "The task speaks of none of those that were there at 1990-01-01 00:00:00." in said


def test_nothing_is_advised_on_where_no_model_is(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop.duckdb", 40, 100)
    at = ("--project", str(tmp_path))
    run("init", str(tmp_path / "shop.duckdb"), *at)
    run("snapshot", *at)
    assert "retrain" not in run("monitor", *at).lower()


def test_tables_for_people_say_what_json_says(root: Path) -> None:
    at = ("--project", str(root))
    assert "orders.customer_id->customers" in run("snapshot", *at)
    shown = run("sql", "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id", *at)
    assert "binary_classification: the target is a condition" in shown
    assert "SELECT" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("snapshot",), 2, "is not a Forekey project"),
        (("init", "duckdb:///missing.duckdb"), 2, "cannot be opened"),
        (("init", "oracle://localhost/x"), 2, "not a source that this version can open"),
        (("nonsense",), 2, "No such command"),
        (("train",), 2, "Missing argument"),
    ],
)
def test_mistakes_are_one_line_and_code_2(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    where = () if arguments == ("nonsense",) else ("--project", str(tmp_path / "p"))
    error = run(*arguments, *where, code=code)
    assert says in error
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "nothing"), "There is no task 'nothing'"),
        (("sql", "PREDICT COUNT(nothing.*, 0, 3) FOR EACH customers.customer_id"), "^"),
        (("predict", "spend", "--out", "x.txt"), "must end in .parquet or .csv"),
        (("predict", "spend", "--out", "/no/such/folder/x.csv"), "does not exist"),
        (("evaluate", "spend", "--model", "v99"), "no model 'spend/v99'"),
        (("serve", "--host", "0.0.0.0", "--port", "65000"), "no API key is set"),
    ],
)
def test_mistakes_in_a_project(root: Path, arguments: tuple[str, ...], says: str) -> None:
    run("snapshot", "--project", str(root))
    if not (root / ".forekey" / "models").exists():
        run("train", "spend", "--project", str(root), "--preset", "fast")
    assert says in run(*arguments, "--project", str(root), code=2)


def test_a_damaged_snapshot_is_reported_and_rebuilt(root: Path) -> None:
    at = ("--project", str(root))
    run("snapshot", *at)
    for file in (root / ".forekey" / "snapshots" / "files").iterdir():
        file.write_bytes(b"")
    assert "The snapshot is damaged" in run("sql", "spend", *at, code=2)
    run("snapshot", *at, "--full")
    run("sql", "spend", *at)


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom forekey.cli.commands import cli\n"
        "print(CliRunner().invoke(cli, ['--help']).output)\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'duckdb', 'numba', 'pydantic', 'fastapi', 'rich', 'lark', 'sqlglot'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "loaded: []" in output
    for command in cli.commands:
        assert command in output


def test_a_query_is_explained_without_loading_torch(root: Path) -> None:
    script = (
        "import sys\nfrom forekey import pipeline\nfrom forekey.workspace import Workspace\n"
        f"pipeline.labels(Workspace.open({str(root)!r}), 'spend')\nprint('torch' in sys.modules)"
    )
    run("snapshot", "--project", str(root))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_is_documented(command: str) -> None:
    reference = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
    assert f"## forekey {command}" in reference.read_text()
    assert CliRunner().invoke(cli, [command, "--help"]).exit_code == 0


def test_every_route_is_documented(trained_project: Workspace) -> None:
    from fastapi.routing import APIRoute

    from forekey.serving import create_app
    from forekey.testing import MemoryStore

    text = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text()
    for route in create_app(trained_project, MemoryStore()).routes:
        if isinstance(route, APIRoute):
            path = route.path.replace(":path", "")
            assert f"`{next(iter(route.methods))} {path}`" in text, path


def test_the_changelog_has_the_packages_version() -> None:
    from forekey import __version__

    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
    assert f"## {__version__}" in changelog


def test_a_mistake_is_told_before_anything_is_read(tmp_path: Path) -> None:
    from forekey.testing import write_shop

    write_shop(tmp_path / "shop.duckdb")
    run("init", str(tmp_path / "shop.duckdb"), "--project", str(tmp_path))
    project = ["--project", str(tmp_path)]
    refused = CliRunner().invoke(cli, ["train", "nothere", *project])
    assert isinstance(refused.exception, UnknownTask)
    assert not (tmp_path / ".forekey" / "snapshots" / "current").exists()
    for name in ("churm", "nothere"):
        assert isinstance(CliRunner().invoke(cli, ["models", name, *project]).exception, UnknownTask)
    said = CliRunner().invoke(cli, ["predict", "nothere", "--out", "x.xlsx", *project])
    assert "must end in .parquet or .csv" in str(said.exception)


def test_a_file_that_only_ends_like_sqlite_is_refused_plainly(tmp_path: Path) -> None:
    (tmp_path / "fake.sqlite").write_text("this is no database, whatever its name says " * 20)
    said = CliRunner().invoke(cli, ["init", str(tmp_path / "fake.sqlite"), "--project", str(tmp_path)])
    assert isinstance(said.exception, SourceError)
    assert "cannot be opened" in str(said.exception)


def test_who_changes_the_champion_is_told_what_is_still_stored(own_project: Workspace) -> None:
    said = CliRunner().invoke(cli, ["models", "churn", "--promote", "v1", "--project", str(own_project.root)])
    assert "Served from now on: v1" in " ".join(said.output.split())
    from forekey import pipeline

    pipeline.train(own_project, "churn", preset="instant")
    said = CliRunner().invoke(cli, ["models", "churn", "--promote", "v2", "--project", str(own_project.root)])
    assert "run `forekey embed churn`" in " ".join(said.output.split())


def test_a_damaged_champion_of_one_task_does_not_keep_the_service_down(own_project: Workspace) -> None:
    from forekey.cli import render

    (own_project.place("models") / "spend" / "champion.json").write_text("{broken")
    assert render.serving(own_project, "127.0.0.1", 8000).data["untrained"] == []


def test_help_lines_are_not_cut_off() -> None:
    told = CliRunner().invoke(cli, ["--help"]).output
    assert "..." not in told.partition("Commands:")[2]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_and_tasks_complete(shell: str, trained_project: Workspace) -> None:
    assert "_FOREKEY_COMPLETE" in CliRunner().invoke(cli, ["completion", shell]).output
    root = str(trained_project.root)
    for words, found in ((["forekey", "tr"], "train"), (["forekey", "train", "--project", root, "chu"], "churn")):
        asked = {"_FOREKEY_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        done = CliRunner().invoke(cli, env=asked, prog_name="forekey")
        assert found in done.output
