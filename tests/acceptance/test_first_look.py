"""What init, check and sql say of a database that nobody prepared, and that their advice is safe to follow."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forekey import pipeline
from forekey.errors import SchemaError, TaskError
from forekey.graph import Integrity
from forekey.project import CONFIG_NAME, LabelTask, PQLTask
from forekey.workspace import Workspace

ACCOUNTS = (
    "CREATE TABLE acct (acct_id INT PRIMARY KEY, opened DATE)",
    "INSERT INTO acct SELECT i, DATE '2019-01-01' + i::INT FROM range(1, 201) t(i)",
)
USAGE = "range(1, 201) a(acct), range(2020, 2024) y(year), range(1, 13) m(month)"


def project_on(folder: Path, *statements: str, tasks: dict[str, PQLTask | LabelTask] | None = None) -> Workspace:
    with duckdb.connect(str(folder / "d.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)
    return pipeline.init(str(folder / "d.duckdb"), folder, tasks=tasks).workspace


def edit(project: Workspace, old: str, new: str) -> Workspace:
    path = project.root / CONFIG_NAME
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return Workspace.open(project.root)


def said_of(found: Integrity, where: str) -> list[tuple[str, str]]:
    return [(f.what, f.how) for f in (*found.errors, *found.warnings) if f.where == where]


def test_no_advice_leads_to_the_time_of_the_parent_where_rows_are_no_parts(tmp_path: Path) -> None:
    project = project_on(
        tmp_path,
        *ACCOUNTS,
        f"CREATE TABLE use1 AS SELECT acct AS acct_id, 'FY' || year AS fy, month AS n FROM {USAGE}",
        "CREATE TABLE acct_items AS SELECT i % 200 + 1 AS acct_id, 'thing ' || i % 5 AS thing FROM range(900) t(i)",
    )
    project = edit(project, "    time_from: acct_id", "")
    found = pipeline.check(project)
    (what, how), *_ = said_of(found, "use1.acct_id->acct")
    assert "are seen before the acct they refer to" in what
    assert how == "Set time_column of 'use1' in forekey.yaml: fy may say when its rows came to be."
    assert [h for _, h in said_of(found, "acct_items.acct_id->acct")] == [
        "Give 'acct_items' a time_column, or, as parts of acct, time_from: acct_id."
    ]
    assert "These may say when: use1.fy." in found.notes[0]


@pytest.mark.parametrize(
    ("columns", "said"),
    [("2020 + i // 2000 AS yr", "yr may say when"), ("i % 7 AS n", "225 rows each")],
)
def test_a_time_taken_from_a_parent_by_hand_is_doubted_without_evidence(
    tmp_path: Path, columns: str, said: str
) -> None:
    project = project_on(
        tmp_path, *ACCOUNTS, f"CREATE TABLE use1 AS SELECT i % 40 + 1 AS acct_id, {columns} FROM range(9000) t(i)"
    )
    text = (tmp_path / CONFIG_NAME).read_text()
    kept = [line for line in text.splitlines() if "time_column: {column: yr" not in line]
    (tmp_path / CONFIG_NAME).write_text("\n".join(kept).replace("  use1:", "  use1:\n    time_from: acct_id"))
    (what, _), *_ = said_of(pipeline.check(Workspace.open(project.root)), "use1.time_from")
    assert what.startswith("leak risk")
    assert said in what


def test_a_month_written_as_text_is_not_held_against_itself(tmp_path: Path) -> None:
    month = "year || '-' || lpad(month::VARCHAR, 2, '0')"
    project = project_on(
        tmp_path,
        *ACCOUNTS,
        f"CREATE TABLE use2 AS SELECT acct AS acct_id, {month} AS month, acct % 9 AS n FROM {USAGE}",
    )
    found = pipeline.check(project)
    assert [f for f in found.warnings if f.where.startswith("use2")] == []


def test_anchors_begin_where_there_are_entities(tmp_path: Path) -> None:
    project = project_on(
        tmp_path,
        *ACCOUNTS,
        "CREATE TABLE use7 AS SELECT acct AS acct_id, year AS yr, (acct * year) % 13 AS kwh "
        "FROM range(1, 201) a(acct), range(2000, 2024) y(year)",
    )
    made = pipeline.labels(project, "PREDICT SUM(use7.kwh, 0, 1, years) FOR EACH acct.acct_id")
    anchors = [a for split in made.anchors.values() for a in split]
    assert min(anchors) >= "2019-01-02"
    assert all(s["rows"] > 0 for s in made.statistics.values())
    assert any("where acct begins" in said for said in made.warnings)


def test_a_window_shorter_than_the_periods_of_the_target_is_a_warning(tmp_path: Path) -> None:
    project = project_on(
        tmp_path,
        *ACCOUNTS,
        "CREATE TABLE use5 AS SELECT acct AS acct_id, year AS yr, month AS qtr "
        "FROM range(1, 201) a(acct), range(2016, 2024) y(year), range(1, 13) m(month)",
    )
    short = pipeline.labels(project, "PREDICT COUNT(use5.*, 0, 1, months) FOR EACH acct.acct_id").warnings
    assert any(
        "A label covers less than a year, but rows of use5 are dated to the end of a year (yr)" in s for s in short
    )
    whole = pipeline.labels(project, "PREDICT COUNT(use5.*, 0, 1, years) FOR EACH acct.acct_id").warnings
    assert not any("covers less than" in said for said in whole)


def test_a_check_goes_on_past_tables_whose_queries_fail(tmp_path: Path) -> None:
    project = project_on(
        tmp_path,
        *ACCOUNTS,
        tasks={
            "spend": PQLTask(query="PREDICT COUNT(late.*, 0, 30, days) FOR EACH acct.acct_id"),
            "gone": PQLTask(query="PREDICT COUNT(wrong.*, 0, 30, days) FOR EACH acct.acct_id"),
        },
    )
    project = edit(
        project,
        "tables:",
        "tables:\n"
        "  wrong:\n    sql: select nope from acct\n"
        "  late:\n    sql: \"select acct_id, strptime(acct_id::text, '%Y-%m-%d') as day from acct\"\n"
        "    time_column: day\n    foreign_keys: {acct_id: acct}",
    )
    found = pipeline.check(project)
    errors = {f.where: f.what for f in found.errors}
    assert errors["wrong"].startswith("The query of 'wrong' (tables.wrong.sql in forekey.yaml) fails: ")
    assert errors["late"].startswith("The query of 'late' (tables.late.sql in forekey.yaml) fails on its rows: ")
    assert errors["tasks.spend"] == "it uses 'late', which cannot be read"
    assert errors["tasks.gone"] == "it uses 'wrong', which cannot be read"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select * from '/etc/passwd'", "which is no table of the source"),
        ("select * from read_csv('/etc/passwd')", "reads from read_csv\\(\\)"),
        ("select pg_read_file('/etc/passwd') as acct_id", "pg_read_file\\(\\), which may read more"),
        ("select * from acc", "no table of the source \\(did you mean 'acct'"),
    ],
)
def test_a_defining_query_reads_the_tables_of_the_source_only(tmp_path: Path, query: str, said: str) -> None:
    project = edit(project_on(tmp_path, *ACCOUNTS), "tables:", f'tables:\n  bad:\n    sql: "{query}"')
    with pytest.raises(SchemaError, match=said):
        pipeline.snapshot(project)


def labels_of(column: str, values: list[object], kind: str) -> LabelTask:
    return LabelTask.model_validate(
        {
            "labels": "labels.parquet",
            "entity": {"column": "who", "key": "acct.acct_id"},
            "time": "as_of",
            "target": column,
            "task_type": kind,
        }
    )


@pytest.mark.parametrize(
    ("values", "kind", "numbers"),
    [
        (["Y", "n", "yes", "NO"], "binary_classification", [1.0, 0.0, 1.0, 0.0]),
        (["t", "f", "1", "0"], "binary_classification", [1.0, 0.0, 1.0, 0.0]),
        (["$1,100.50", "12", "(5)", " 7 "], "regression", [1100.5, 12.0, -5.0, 7.0]),
    ],
)
def test_ready_made_labels_may_be_written_as_text(
    tmp_path: Path, values: list[object], kind: str, numbers: list[float]
) -> None:
    times = ["2019-09-01", "2019-10-01T12:00:00", "2019-11-01", "2019-12-01"]
    pq.write_table(pa.table({"who": [1, 2, 3, 4], "as_of": times, "told": values}), tmp_path / "labels.parquet")
    project = project_on(tmp_path, *ACCOUNTS, tasks={"ready": labels_of("told", values, kind)})
    made = pipeline.labels(project, "ready").table.sort_by("time")
    assert made.column("target").to_pylist() == numbers
    assert made.column("time").to_pylist()[1] == datetime(2019, 10, 1, 12)


def test_a_word_that_is_no_answer_is_named(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"who": [1, 2], "as_of": ["2019-09-01"] * 2, "told": ["yes", "maybe"]}), tmp_path / "labels.parquet"
    )
    project = project_on(tmp_path, *ACCOUNTS, tasks={"ready": labels_of("told", [], "binary_classification")})
    with pytest.raises(TaskError, match="'maybe', which does not read as a word for yes or no"):
        pipeline.labels(project, "ready")


def test_a_snapshot_as_of_a_moment_stays_so_when_forekey_yaml_changes(tmp_path: Path) -> None:
    project = project_on(tmp_path, *ACCOUNTS)
    pipeline.snapshot(project, as_of=datetime(2019, 3, 1))
    project = edit(project, "opened: timestamp", "opened: ignore")
    made = pipeline.current_graph(project)
    assert made.as_of == datetime(2019, 3, 1)
    assert made.num_nodes("acct") < 200


def test_amounts_of_money_in_postgres_are_summed_and_compared(tmp_path: Path, postgres: object) -> None:
    from tests.support.servers import Postgres, run_all

    assert isinstance(postgres, Postgres)
    url = postgres.database()
    run_all(
        url,
        (
            "CREATE TABLE people (id INT PRIMARY KEY, size INT)",
            "INSERT INTO people SELECT i, i FROM generate_series(1, 20) i",
            "CREATE TABLE spent (spent_id INT PRIMARY KEY, person INT REFERENCES people, at TIMESTAMP, amount MONEY)",
            "INSERT INTO spent SELECT i, 1 + i % 20, TIMESTAMP '2024-01-01' + i * INTERVAL '4 hours', (i % 10)::MONEY "
            "FROM generate_series(1, 1200) i",
        ),
    )
    project = pipeline.init(url, tmp_path).workspace
    query = "PREDICT SUM(spent.amount, 0, 10, days) FOR EACH people.id WHERE MAX(spent.amount, -30, 0, days) > 2"
    made = pipeline.labels(project, query).table
    assert len(made)
    assert all(v == int(v) for v in made.column("target").to_pylist())
