"""The label statement that is shown fits a screen, whatever the number of anchor times; --json keeps the whole."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner

from forekey.cli.commands import cli
from forekey.query import bind, label_sql, parse, shortened
from forekey.workspace import Workspace

QUERIES = [
    "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id",
    "PREDICT SUM(orders.amount, 0, 30) FOR EACH customers.customer_id WHERE COUNT(orders.*, -90, 0) > 0",
    "PREDICT FIRST(orders.channel, 0, 30) FOR EACH customers.customer_id",
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
@pytest.mark.parametrize("anchors", [24, 250])
def test_what_repeats_for_each_anchor_time_is_shown_for_the_first_and_the_last(
    shop_project: Workspace, query: str, dialect: str, anchors: int
) -> None:
    bound = bind(parse(query), shop_project.snapshots.current().schema)
    times = [datetime(2022, 1, 1) + i * timedelta(days=1) for i in range(anchors)]
    whole = label_sql(bound, times)
    text = shortened(whole).sql(dialect=dialect, pretty=True)
    assert len(text.splitlines()) < 100
    assert len(text.splitlines()) <= len(whole.sql(dialect=dialect, pretty=True).splitlines())
    assert f"… {anchors - 2} more anchor times …" in text
    for shown in (times[0], times[-1]):
        assert str(shown) in text
    assert text.count("more anchor times") >= (1 if "FIRST" in query or anchors == 250 else 2)


def test_a_statement_of_few_anchor_times_is_shown_whole(shop_project: Workspace) -> None:
    bound = bind(parse(QUERIES[0]), shop_project.snapshots.current().schema)
    whole = label_sql(bound, [datetime(2024, 1, i) for i in (1, 2, 3)])
    assert shortened(whole).sql() == whole.sql()


def test_the_command_prints_a_screen_and_all_of_it_when_asked_to(shop_project: Workspace) -> None:
    def printed(*options: str) -> str:
        done = CliRunner().invoke(cli, ["sql", "churn", "--project", str(shop_project.root), *options])
        assert done.exit_code == 0, done.output
        return done.stdout

    short, full, data = printed(), printed("--full"), json.loads(printed("--json"))
    assert len(short.splitlines()) < 110 < len(full.splitlines())
    assert "--full shows it whole" in short
    assert "more anchor times" not in full
    for anchor in data["anchors"]["train"]:
        assert anchor.replace("T", " ") in data["sql"]
