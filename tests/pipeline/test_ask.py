"""One question, one answer: by command and in Python, from a database, a project, a task."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import forekey as fk
import forekey.api
from forekey import pipeline
from forekey.cli import reply
from forekey.cli.commands import cli
from forekey.errors import ForekeyError, PQLError, ProjectError
from forekey.pipeline import Reply
from forekey.training import TrainReport
from forekey.workspace import Workspace
from tests.support.servers import Postgres, run_all

CHURN = "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR {} WHERE COUNT(orders.*, -60, 0, days) > 0"
SPEND = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id"
QUESTIONS = {
    "yes or no": CHURN.format("EACH customers.customer_id"),
    "number": SPEND,
    "class": "PREDICT FIRST(orders.channel, 0, 30, days) FOR EACH customers.customer_id",
    "classes": "PREDICT LIST_DISTINCT(orders.channel, 0, 30, days) CLASSIFY FOR EACH customers.customer_id",
    "forecast": "PREDICT SUM(orders.amount, 0, 14, days) FORECAST 3 TIMEFRAMES FOR EACH customers.customer_id",
    "ranking": "PREDICT LIST_DISTINCT(order_lines.sku, 0, 30, days) RANK TOP 3 FOR EACH customers.customer_id",
}


@pytest.fixture(scope="module")
def asked(shop_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project that ask made."""
    root = tmp_path_factory.mktemp("asked")
    pipeline.answer(str(shop_database), QUESTIONS["yes or no"], root=root)
    return root


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["ask", *arguments], catch_exceptions=False)


def test_a_database_is_enough(shop_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(str(shop_database), CHURN.format("customers.customer_id IN (1, 2, 3)"), "--json")
    told = json.loads(done.stdout)
    assert (tmp_path / ".forekey-ask" / "forekey.yaml").is_file()
    assert [p["entity_id"] for p in told["predictions"]] == [1, 2, 3]
    assert {"task_type", "predictions", "metrics", "baseline", "model_version", "snapshot", "seconds"} <= set(told)
    assert told["metrics"]["test"]["auroc"] > 0.5
    assert told["baseline"]["name"] in {"constant", "last_value", "entity_mean"}
    for prediction in told["predictions"]:
        assert 0.0 <= prediction["prediction"] <= 1.0
        assert set(prediction["calibration"]) == {"happened", "examples"}
        assert 1 <= len(prediction["drivers"]) <= 3
        assert all(set(d) == {"what", "value", "effect"} for d in prediction["drivers"])


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_kind_of_question_is_answered(asked: Path, question: str) -> None:
    found = fk.open(asked).ask(QUESTIONS[question], top=4)
    assert len(found.predictions) == 4
    assert found.total == found.table.num_rows >= 4
    assert all(p["eligible"] for p in found.predictions)
    assert all(p["drivers"] for p in found.predictions)
    assert json.loads(json.dumps(found.to_dict()))["predictions"] == found.predictions
    shown = reply.answered(found, None)
    assert shown.data["seconds"] == found.seconds


def test_a_second_question_about_the_same_labels_trains_nothing(asked: Path) -> None:
    project = fk.open(asked)
    first = project.ask(QUESTIONS["yes or no"])
    second = project.ask(CHURN.format("customers.customer_id IN (7, 3)"))
    assert (second.task, second.model_version) == (first.task, first.model_version)
    assert [p["entity_id"] for p in second.predictions] == [7, 3]
    stored = dict(
        zip(first.table.column("entity").to_pylist(), first.table.column("prediction").to_pylist(), strict=True)
    )
    assert all(p["prediction"] == stored[p["entity_id"]] for p in second.predictions if p["eligible"])


def test_the_answer_is_what_the_model_predicts(asked: Path) -> None:
    project = Workspace.open(asked)
    found = pipeline.ask(project, SPEND)
    every = pipeline.predict(project, SPEND).table()
    assert found.table.column("entity").to_pylist() == every.column("entity").to_pylist()
    np.testing.assert_array_equal(found.table.column("prediction").to_numpy(), every.column("prediction").to_numpy())
    largest = sorted(every.column("prediction").to_pylist(), reverse=True)[: len(found.predictions)]
    assert [p["prediction"] for p in found.predictions] == largest


def test_numbers_come_with_an_interval_that_holds_its_share(asked: Path) -> None:
    project = Workspace.open(asked)
    found = pipeline.ask(project, SPEND)
    assert all(0.0 <= p["low"] <= p["high"] for p in found.predictions)
    band = project.registry.get(found.task, found.model_version).manifest.error_band
    assert 0.7 <= band["coverage"] <= 0.95


def test_a_driver_is_by_how_much_the_prediction_would_differ(asked: Path) -> None:
    project = Workspace.open(asked)
    found = pipeline.ask(project, QUESTIONS["yes or no"], top=50)
    effects = [abs(d["effect"]) for p in found.predictions for d in p["drivers"]]
    assert max(effects) > 0.02
    assert all(abs(d["effect"]) <= 1.0 for p in found.predictions for d in p["drivers"])
    words = " ".join(d["what"] for p in found.predictions for d in p["drivers"])
    assert "orders" in words
    assert "nan" not in words


def test_new_rows_are_answered_anew(shop_database: Path, tmp_path: Path) -> None:
    import duckdb

    own = tmp_path / "shop.duckdb"
    own.write_bytes(shop_database.read_bytes())
    project = fk.init(str(own), tmp_path / "project")
    before = project.ask(SPEND)
    with duckdb.connect(str(own)) as connection:
        connection.execute(
            "INSERT INTO orders SELECT * REPLACE (order_id + 1000000 AS order_id, placed_at + INTERVAL 5 DAY AS placed_at) "
            "FROM orders WHERE placed_at > (SELECT max(placed_at) - INTERVAL 5 DAY FROM orders)"
        )
    assert project.ask(SPEND).snapshot == before.snapshot  # as every command: the graph is as of its snapshot
    project.snapshot()
    after = project.ask(SPEND)
    assert after.snapshot != before.snapshot
    assert after.as_of > before.as_of
    assert after.model_version != before.model_version


def test_a_task_may_be_asked_by_name_and_answers_by_its_champion(own_project: Workspace) -> None:
    found = pipeline.ask(own_project, "churn", top=2)
    champion = own_project.registry.champion("churn")
    assert found.model_version == champion.version
    assert all(p["drivers"] for p in found.predictions)


def test_all_predictions_are_written_to_a_file(asked: Path, tmp_path: Path) -> None:
    done = run(str(asked), SPEND, "--out", str(tmp_path / "spend.parquet"), "--top", "2")
    table = pq.read_table(tmp_path / "spend.parquet")
    assert {"entity", "prediction", "low", "high", "eligible"} <= set(table.column_names)
    assert f"{table.num_rows:,}" in done.stdout


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (CHURN.format("customers.customer_id IN (1, 999999)"), "no row of 'customers' with the key 999999"),
        ("PREDICT SUM(orders.amonut, 0, 30, days) FOR EACH customers.customer_id", "amount"),
        ("churm", "no task"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(asked: Path, question: str, said: str) -> None:
    with pytest.raises(ForekeyError, match=said):
        pipeline.answer(str(asked), question)


def test_a_folder_about_another_database_is_left_alone(asked: Path, shop_database: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    other.write_bytes(shop_database.read_bytes())
    with pytest.raises(ProjectError, match="another database"):
        pipeline.answer(str(other), SPEND, root=asked)
    with pytest.raises(ProjectError, match="leave out --project"):
        pipeline.answer(str(asked), SPEND, root=tmp_path)


def test_trees_alone_rank(own_project: Workspace, tmp_path: Path) -> None:
    report = pipeline.train(own_project, QUESTIONS["ranking"], preset="instant")
    version = own_project.registry.get(report.task, report.model_version)
    assert version.manifest.networks == {}
    assert version.manifest.embedding == "window features"
    assert report.metrics["test"]["map"] > report.baselines["popular"]["test"]["map"]


def test_a_reply_shows_itself(asked: Path) -> None:
    found: Reply = pipeline.ask(Workspace.open(asked), QUESTIONS["yes or no"], top=3)
    assert repr(found).startswith("Reply(3 of ")
    assert "test auroc 0." in repr(found)
    assert found._repr_html_().count("<tr>") == 4


def test_projects_tasks_and_models_show_themselves(trained_project: Workspace) -> None:
    project = fk.open(trained_project.root)
    assert "tables of duckdb:///" in repr(project)
    assert "tasks: churn, " in repr(project)
    assert "<td>churn</td><td>PREDICT COUNT(orders.*" in project._repr_html_()
    assert repr(project.task("churn")).startswith("Task('churn': PREDICT COUNT(orders.*")
    model = fk.api.Model(TrainReport.from_version(trained_project.registry.champion("churn")))
    assert model._repr_html_().count("<tr>") == 2 + len(model.baselines)
    assert "model v1" in model._repr_html_()
    snapshot = trained_project.snapshots.current()
    assert re.fullmatch(r"Snapshot\([0-9a-f]{8}, as of 2024-\d\d-\d\d, [\d,]+ nodes, [\d,]+ edges\)", repr(snapshot))
    assert "<td>customers</td><td>200</td><td>0</td>" in snapshot._repr_html_()


def test_a_champion_with_a_network_gives_its_reasons_in_words_too(own_project: Workspace) -> None:
    versions = own_project.registry
    assert versions.champion("spend").manifest.trees
    found = pipeline.ask(own_project, "spend", top=5)
    assert found.model_version == versions.champion("spend").version
    words = [d["what"] for p in found.predictions for d in p["drivers"]]
    assert words
    assert not any(re.fullmatch(r"\w+\.\w+", w) for w in words)


def test_a_ranking_says_what_speaks_for_its_first_item(own_project: Workspace) -> None:
    found = pipeline.ask(own_project, "baskets", top=3)
    for prediction in found.predictions:
        assert prediction["drivers"]
        assert all(d["what"].startswith(f"{prediction['prediction'][0]}: ") for d in prediction["drivers"])


def test_checks_monitors_and_challenges_show_themselves(own_project: Workspace) -> None:
    project = fk.open(own_project.root)
    check = project.check()
    assert repr(check) == f"Integrity(0 errors, {len(check.warnings)} warnings)"
    assert check._repr_html_().count("<tr>") == 1 + len(check.warnings)
    report = project.monitor()
    assert repr(report).startswith("MonitorReport(as of 2024-")
    assert "predicted as of" in report._repr_html_()
    state = project.status()
    assert repr(state).startswith(f"ProjectStatus({own_project.root.name}: {report.state}, data as of 2024-")
    assert state._repr_html_().count("<tr>") == 1 + len(own_project.config.tasks)
    challenge = project.task("churn").retrain(preset="instant")
    assert re.match(r"Challenge\(churn: (promoted|kept) v\d; ", repr(challenge))
    assert challenge._repr_html_().count("<tr>") == 3


def versions_of(root: Path, task: str) -> list[str]:
    return [v.version for v in Workspace.open(root).registry.versions(task)]


def test_the_same_question_in_another_spelling_trains_nothing(asked: Path) -> None:
    first = pipeline.ask(Workspace.open(asked), QUESTIONS["yes or no"])
    other = (
        "predict  count(orders.*, 0, 30, days)=0\n  for each customers.customer_id where count(orders.*,-60,0,days) > 0"
    )
    again = pipeline.ask(Workspace.open(asked), other)
    assert (again.task, again.model_version) == (first.task, first.model_version)
    assert versions_of(asked, first.task) == ["v1"]


def test_a_model_trained_by_train_answers_whoever_it_was_asked_about(shop_database: Path, tmp_path: Path) -> None:
    project = fk.init(str(shop_database), tmp_path)
    project.task(pql=CHURN.format("customers.customer_id IN (1, 2)")).train(preset="instant")
    found = project.ask(CHURN.format("customers.customer_id IN (3)"))
    assert versions_of(tmp_path, found.task) == ["v1"]


def test_a_task_whose_champion_is_of_an_older_snapshot_is_trained_once_and_the_champion_stays(
    own_project: Workspace,
) -> None:
    current = own_project.snapshots.current()
    pipeline.snapshot(own_project, as_of=current.as_of.replace(day=20))
    first = pipeline.ask(own_project, "churn", top=2)
    second = pipeline.ask(own_project, "churn", top=2)
    assert first.model_version == second.model_version == "v2"
    assert versions_of(own_project.root, "churn") == ["v1", "v2"]
    assert own_project.registry.champion("churn").version == "v1"


def test_ready_made_labels_may_be_asked_about(shop_database: Path, tmp_path: Path) -> None:
    project = fk.init(str(shop_database), tmp_path)
    labels = project.task(pql=QUESTIONS["yes or no"]).labels()
    pq.write_table(
        labels.select(["entity", "time", "target"]).rename_columns(["customer_id", "time", "target"]),
        tmp_path / "labels.parquet",
    )
    path = tmp_path / "forekey.yaml"
    path.write_text(
        path.read_text().replace("tasks: {}", "")
        + "tasks:\n  leaving: {labels: labels.parquet, entity: {column: customer_id, key: customers.customer_id}, time: time, target: target, "
        "task_type: binary_classification, horizon_days: 30}\n"
    )
    first = fk.open(tmp_path).ask("leaving", top=3)
    assert len(first.predictions) == 3
    assert fk.open(tmp_path).ask("leaving", top=3).predictions == first.predictions
    assert versions_of(tmp_path, "leaving") == ["v1"]


def test_a_database_with_a_password_is_asked_again_in_another_process(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = postgres.database()
    run_all(
        plain,
        (
            "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, age INTEGER)",
            "INSERT INTO customers SELECT i, 20 + i % 50 FROM generate_series(1, 150) s(i)",
            "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers, "
            "amount DOUBLE PRECISION, placed_at TIMESTAMP)",
            "INSERT INTO orders SELECT i, 1 + (i * i) % 150, 5 + i % 40, TIMESTAMP '2024-01-01' + i * INTERVAL '1 hour' "
            "FROM generate_series(1, 6000) s(i)",
        ),
    )
    monkeypatch.delenv("FOREKEY_PASSWORD", raising=False)
    url = re.sub(r"//([^@/:]*)(:[^@/]*)?@", r"//\1:p%40ss%3Aw%2Frd%251@", plain)
    first = pipeline.answer(url, SPEND, root=tmp_path)
    written = (tmp_path / "forekey.yaml").read_text()
    assert "p@ss" not in written
    assert "p%40ss" not in written
    monkeypatch.delenv("FOREKEY_PASSWORD", raising=False)  # as a new process finds it
    second = pipeline.answer(url, SPEND, root=tmp_path)
    assert second.model_version == first.model_version
    monkeypatch.delenv("FOREKEY_PASSWORD", raising=False)
    with pytest.raises(ProjectError, match="another database"):
        pipeline.answer(url.replace("/test_", "/other_"), SPEND, root=tmp_path)


@pytest.mark.parametrize("verb", [pipeline.ask, pipeline.train])
def test_a_question_in_other_words_is_shown_how_to_begin(asked: Path, verb: Any) -> None:
    with pytest.raises(PQLError, match=r"begins with PREDICT, such as PREDICT COUNT.*FOR EACH"):
        verb(Workspace.open(asked), "how many orders next month?")


def test_drivers_stand_in_the_order_of_their_effects(asked: Path) -> None:
    found = pipeline.ask(Workspace.open(asked), QUESTIONS["yes or no"], top=20)
    for prediction in found.predictions:
        sizes = [abs(driver["effect"]) for driver in prediction["drivers"]]
        assert sizes == sorted(sizes, reverse=True)
