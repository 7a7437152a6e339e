"""A query is held against the schema before any data is read; what does not fit is pointed at."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import pytest

from forekey.errors import PQLError
from forekey.query import TaskType, Unit, bind, parse, shift
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from tests.support.databases import SHOP_SCHEMA

FOR = "FOR EACH customers.customer_id"


@pytest.mark.parametrize(
    ("text", "task_type"),
    [
        (f"PREDICT COUNT(orders.*, 0, 7) = 0 {FOR}", TaskType.BINARY_CLASSIFICATION),
        (f"PREDICT SUM(orders.amount, 0, 7) {FOR}", TaskType.REGRESSION),
        (f"PREDICT MAX(orders.amount, 0, 7) {FOR}", TaskType.REGRESSION),
        (f"PREDICT LAST(orders.kind, 0, 7) {FOR}", TaskType.MULTICLASS_CLASSIFICATION),
        (f"PREDICT FIRST(orders.amount, 0, 7) {FOR}", TaskType.REGRESSION),
        (f"PREDICT customers.region {FOR}", TaskType.MULTICLASS_CLASSIFICATION),
        (f"PREDICT customers.age {FOR}", TaskType.REGRESSION),
        (f"PREDICT customers.age > 40 {FOR}", TaskType.BINARY_CLASSIFICATION),
        (f"PREDICT LIST_DISTINCT(orders.kind, 0, 7) CLASSIFY {FOR}", TaskType.MULTILABEL_CLASSIFICATION),
        (f"PREDICT LIST_DISTINCT(orders.kind, 0, 7) RANK TOP 3 {FOR}", TaskType.LINK_PREDICTION),
        (f"PREDICT SUM(orders.amount, 0, 7) FORECAST 4 TIMEFRAMES {FOR}", TaskType.FORECASTING),
    ],
)
def test_the_target_decides_the_task_type(text: str, task_type: TaskType) -> None:
    bound = bind(parse(text), SHOP_SCHEMA)
    assert bound.task_type is task_type
    assert bound.reason


@pytest.mark.parametrize(
    ("text", "reason", "caret_under"),
    [
        (f"PREDICT COUNT(oders.*, 0, 7) = 0 {FOR}", "did you mean 'orders'", "oders"),
        (f"PREDICT SUM(orders.Amount, 0, 7) {FOR}", "did you mean 'amount'", "orders.Amount"),
        (f"PREDICT SUM(orders.customer_id, 0, 7) {FOR}", "is a key", "orders.customer_id"),
        (f"PREDICT SUM(orders.kind, 0, 7) {FOR}", "SUM needs numbers", "orders.kind"),
        (f"PREDICT MAX(orders.kind, 0, 7) {FOR}", "MAX needs an order", "orders.kind"),
        (f"PREDICT SUM(orders.*, 0, 7) {FOR}", "'*' can only be counted", "orders.*"),
        (f"PREDICT COUNT(orders.*) {FOR}", "A target needs a window", "COUNT"),
        (f"PREDICT COUNT(orders.*, -7, 0) {FOR}", "A target looks ahead", "COUNT"),
        (f"PREDICT COUNT(orders.*, 7, 7) {FOR}", "The window is empty", "COUNT"),
        (f"PREDICT COUNT(orders.*, 0, 7) {FOR} WHERE COUNT(orders.*, 0, 7) > 0", "use ASSUMING", "COUNT"),
        (f"PREDICT COUNT(orders.*, 0, 7) {FOR} ASSUMING COUNT(orders.*, -7, 0) > 0", "about the future", "COUNT"),
        (f"PREDICT COUNT(orders.*, 0, 7) > 'many' {FOR}", "'many' is not", "COUNT"),
        (f"PREDICT COUNT(orders.* WHERE orders.kind > 'a', 0, 7) {FOR}", "> needs an order", "orders.kind"),
        (f"PREDICT COUNT(orders.* WHERE orders.amount LIKE 'a', 0, 7) {FOR}", "is for text", "orders.amount"),
        (f"PREDICT COUNT(orders.* WHERE orders.placed_at > 'soon', 0, 7) {FOR}", "'soon' is not", "orders.placed_at"),
        (f"PREDICT COUNT(customers.*, 0, 7) {FOR}", "has no time column", "COUNT"),
        (f"PREDICT LIST_DISTINCT(orders.kind, 0, 7) {FOR}", "needs CLASSIFY or RANK", "LIST_DISTINCT"),
        (f"PREDICT customers.customer_id {FOR}", "cannot be predicted", "customers.customer_id"),
        ("PREDICT COUNT(orders.*, 0, 7) FOR EACH customers.region", "must name the primary key", "customers.region"),
        ("PREDICT COUNT(orders.*, 0, 7) FOR EACH lines.order_id", "has no primary key", "lines.order_id"),
        ("PREDICT COUNT(customers.*) FOR EACH orders.order_id", "No foreign keys lead from 'customers'", "customers.*"),
    ],
)
def test_what_does_not_fit_is_pointed_at(text: str, reason: str, caret_under: str) -> None:
    with pytest.raises(PQLError) as caught:
        bind(parse(text), SHOP_SCHEMA)
    assert reason in str(caught.value)
    line, caret = caught.value.with_caret().split("\n")[-2:]
    assert line[caret.index("^") :].startswith(caret_under)


def games() -> Schema:
    ids = lambda *names: tuple(ColumnSchema(n, DType.INTEGER, Stype.ID) for n in names)  # noqa: E731
    played = ColumnSchema("played_at", DType.TIMESTAMP, Stype.TIMESTAMP)
    return Schema(
        (
            TableSchema("teams", ids("team_id"), "team_id"),
            TableSchema(
                "games",
                (*ids("game_id", "home_id", "away_id"), played),
                "game_id",
                "played_at",
                (ForeignKey("home_id", "teams"), ForeignKey("away_id", "teams")),
            ),
        )
    )


def test_two_ways_to_the_entity_must_be_told_apart_by_via() -> None:
    with pytest.raises(PQLError, match=r"Several ways.*VIA home_id"):
        bind(parse("PREDICT COUNT(games.*, 0, 7) FOR EACH teams.team_id"), games())
    bound = bind(parse("PREDICT COUNT(games.* VIA away_id, 0, 7) FOR EACH teams.team_id"), games())
    assert [str(e) for a in bound.aggregations.values() for e in a.path] == ["games.away_id->teams"]


def test_a_unique_way_over_several_tables_is_followed() -> None:
    bound = bind(parse(f"PREDICT SUM(lines.quantity, 0, 7) {FOR}"), SHOP_SCHEMA)
    (aggregation,) = bound.aggregations.values()
    assert [str(e) for e in aggregation.path] == ["lines.order_id->orders", "orders.customer_id->customers"]


@pytest.mark.parametrize(
    ("moment", "amount", "unit", "result"),
    [
        (datetime(2024, 1, 31), 1, Unit.MONTHS, datetime(2024, 2, 29)),
        (datetime(2023, 1, 31), 1, Unit.MONTHS, datetime(2023, 2, 28)),
        (datetime(2024, 3, 31), -1, Unit.MONTHS, datetime(2024, 2, 29)),
        (datetime(2024, 1, 15), -13, Unit.MONTHS, datetime(2022, 12, 15)),
        (datetime(2024, 2, 29), 1, Unit.YEARS, datetime(2025, 2, 28)),
        (datetime(2024, 2, 29), -4, Unit.YEARS, datetime(2020, 2, 29)),
        (datetime(2024, 1, 1), 10**4, Unit.YEARS, datetime.max),
        (datetime(2024, 2, 28), 2, Unit.DAYS, datetime(2024, 3, 1)),
        (datetime(2024, 1, 1), -1, Unit.HOURS, datetime(2023, 12, 31, 23)),
        (datetime(2024, 1, 1), 10**9, Unit.DAYS, datetime.max),
        (datetime(2024, 1, 1), -(10**9), Unit.MONTHS, datetime.min),
    ],
)
def test_time_is_moved_by_the_calendar(moment: datetime, amount: int, unit: Unit, result: datetime) -> None:
    assert shift(moment, amount, unit) == result


def goals() -> Schema:
    """Goals fall in games, which two teams play."""
    ids = lambda *names: tuple(ColumnSchema(n, DType.INTEGER, Stype.ID) for n in names)  # noqa: E731
    scored = ColumnSchema("scored_at", DType.TIMESTAMP, Stype.TIMESTAMP)
    goal = TableSchema(
        "goals", (*ids("goal_id", "game_id"), scored), "goal_id", "scored_at", (ForeignKey("game_id", "games"),)
    )
    return Schema((*games().tables, goal))


@pytest.mark.parametrize("side", ["home_id", "away_id"])
def test_via_may_name_as_many_foreign_keys_as_it_takes(side: str) -> None:
    with pytest.raises(PQLError, match=r"Pick one, for example goals\.\* VIA game_id\.home_id\."):
        bind(parse("PREDICT COUNT(goals.*, 0, 7) FOR EACH teams.team_id"), goals())
    bound = bind(parse(f"PREDICT COUNT(goals.* VIA game_id.{side}, 0, 7) FOR EACH teams.team_id"), goals())
    (aggregation,) = bound.aggregations.values()
    assert [str(e) for e in aggregation.path] == ["goals.game_id->games", f"games.{side}->teams"]


def test_a_column_of_two_possible_parents_is_told_how_to_be_named() -> None:
    named = replace(
        goals().table("teams"),
        columns=(*goals().table("teams").columns, ColumnSchema("city", DType.TEXT, Stype.CATEGORICAL)),
    )
    schema = Schema(tuple(named if t.name == "teams" else t for t in goals().tables))
    text = "PREDICT COUNT(goals.* WHERE teams.city{via} = 'x', 0, 7) FOR EACH games.game_id"
    with pytest.raises(PQLError) as caught:
        bind(parse(text.format(via="")), schema)
    hint = re.search(r"for example (.*)\.$", str(caught.value))
    assert hint is not None
    assert hint[1] == "teams.city VIA game_id.home_id"
    bind(parse(text.format(via=hint[1].removeprefix("teams.city"))), schema)


def test_a_misspelt_via_is_told_the_right_one() -> None:
    with pytest.raises(PQLError, match=r"'games' has none called 'home' \(did you mean 'home_id'\?\)"):
        bind(parse("PREDICT COUNT(goals.* VIA game_id.home, 0, 7) FOR EACH teams.team_id"), goals())
