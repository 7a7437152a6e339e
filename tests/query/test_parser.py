"""Text becomes a tree, or an error with a caret under the place."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.errors import PQLError
from forekey.query import parse
from forekey.query.tree import (
    Aggregation,
    Aggregator,
    And,
    Column,
    Comparison,
    Not,
    Operator,
    Or,
    Problem,
    ProblemKind,
    Unit,
    Window,
)

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "pql_examples.txt"

EXAMPLES = [
    "PREDICT SUM(orders.price, 0, 30, days) FOR items.item_id=42",
    "PREDICT LIST_DISTINCT(orders.item_id, 0, 30, days) RANK TOP 10 FOR users.user_id=123",
    "PREDICT LIST_DISTINCT(orders.item_id, 0, 30) CLASSIFY FOR EACH users.user_id",
    "PREDICT games.discount FOR games.app_id = 113020",
    "PREDICT COUNT(review.*, 0, 91, days)=0 FOR product.product_id IN (1, 2) WHERE COUNT(review.*, -91, 0, days)>0",
    "PREDICT AVG(s.IsClick, 0, 4, days) FOR ads.AdID IN (1, 2) ASSUMING SUM(s.IsClick, 0, 4, days)>0",
    "PREDICT SUM(orders.amount, 0, 7, days) FORECAST 8 TIMEFRAMES FOR accounts.account_id=42",
    "PREDICT users.birthday>1990-01-01 FOR EACH users.user_id",
    "predict count(orders.*, 0, 30) = 0 for each users.user_id;",
    "PREDICT COUNT(`order lines`.`é`, 0, 30) FOR EACH users.id  # a comment",
    "PREDICT count.sum = 'x' FOR EACH count.where",
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_parse(text: str) -> None:
    assert parse(text).text == text


def test_every_published_query_parses() -> None:
    if not PUBLISHED.is_file():
        pytest.skip("the list of published queries is not on this machine")
    texts = [t for t in PUBLISHED.read_text().splitlines() if t.strip() and not t.startswith("#")]
    assert len(texts) > 30
    for text in texts:
        parse(text)


def test_a_query_becomes_the_tree_that_it_says() -> None:
    query = parse(
        "PREDICT COUNT(orders.* WHERE orders.total >= 2.5, -INF, 7, weeks) = 0 FOR EACH users.id "
        "WHERE NOT users.vip = TRUE OR users.name LIKE 'a%' AND users.born BETWEEN 1990-1-2 AND '2000-01-01'"
    )
    target = query.target
    assert isinstance(target, Comparison)
    assert target.operand == Aggregation(
        Aggregator.COUNT,
        Column("orders", "*"),
        Comparison(Column("orders", "total"), Operator.GE, (2.5,)),
        Window(None, 7, Unit.WEEKS),
    )
    assert query.where == Or(
        (
            Not(Comparison(Column("users", "vip"), Operator.EQ, (True,))),
            And(
                (
                    Comparison(Column("users", "name"), Operator.LIKE, ("a%",)),
                    Comparison(Column("users", "born"), Operator.BETWEEN, (datetime(1990, 1, 2), "2000-01-01")),
                )
            ),
        )
    )


def test_problem_ids_and_via_are_kept() -> None:
    query = parse("PREDICT LIST_DISTINCT(orders.item VIA buyer, 0, 3) RANK TOP 4 FOR users.id IN (7, 'x', NULL)")
    assert query.problem == Problem(ProblemKind.RANK, 4)
    assert query.ids == (7, "x", None)
    assert isinstance(query.target, Aggregation)
    assert query.target.column.via == ("buyer",)


@pytest.mark.parametrize(
    ("text", "reason", "caret_under"),
    [
        ("PREDICT COUNT(a.*, 0, 3 days)>0 FOR EACH a.b", "'days' is not understood here", "days"),
        ("PREDICT a.b = ? FOR EACH a.b", "'?' is not understood here", "?"),
        ("PREDICT a.b = 2020-13-44 FOR EACH a.c", "not a date of the calendar", "2020-13-44"),
        ("SELECT 1", "expected PREDICT", "SELECT"),
        ("PREDICT COUNT(a.*, 0, 3) = 0 FOR EACH a", "expected table.column", "a"),
    ],
)
def test_an_error_points_at_what_is_wrong(text: str, reason: str, caret_under: str) -> None:
    with pytest.raises(PQLError) as caught:
        parse(text)
    assert reason in str(caught.value)
    line, caret = caught.value.with_caret().split("\n")[-2:]
    assert line[caret.index("^") :].startswith(caret_under)


NAMES = [
    ("SUM(batting.2B, 0, 30)", "batting.2B", "do not begin with a letter need backquotes: batting.`2B`."),
    ("SUM(batting.2B + 1, 0, 30)", "batting.2B", "batting.`2B`."),
    ("SUM(2batting.HR, 0, 30)", "2batting.HR", "`2batting`.HR."),
    ("SUM(batting.home runs, 0, 30)", "batting.home runs", "names with blanks need backquotes: batting.`home runs`."),
    ("SUM(my table.2B VIA x, 0, 30)", "my table.2B", "`my table`.`2B`."),
    ("SUM(batting.home-runs, 0, 30)", "batting.home-runs", "names with hyphens need backquotes: batting.`home-runs`."),
    ("SUM(batting.größe, 0, 30)", "batting.größe", "names with 'ö' need backquotes: batting.`größe`."),
    ("SUM(表.x, 0, 30)", "表.x", "`表`.x."),
    ("SUM(batting.a.b, 0, 30)", "batting.a.b", "names with dots need backquotes: batting.`a.b`."),
    ("SUM(batting.$x, 0, 30)", "batting.$x", "batting.`$x`."),
    ('SUM("batting"."2B", 0, 30)', '"batting"."2B"', "backquotes, not in quotation marks or brackets: batting.`2B`."),
    ("SUM([batting].x, 0, 30)", "[batting].x", "batting.x."),
    ("COUNT(batting.* VIA 2nd, 0, 30)", "2nd", "`2nd`."),
    ("COUNT(batting.* WHERE batting.2B > 3, 0, 30)", "batting.2B", "batting.`2B`."),
    ("batting.2B > 3", "batting.2B", "batting.`2B`."),
]


@pytest.mark.parametrize(("target", "name", "says"), NAMES)
def test_a_name_that_needs_backquotes_is_pointed_at_with_the_right_spelling(target: str, name: str, says: str) -> None:
    with pytest.raises(PQLError) as caught:
        parse(f"PREDICT {target} FOR EACH people.id")
    assert f"'{name}' is not understood here" in str(caught.value)
    assert str(caught.value).endswith(says)
    line, caret = caught.value.with_caret().split("\n")[-2:]
    assert line[caret.index("^") :].startswith(name)


def test_a_key_of_the_entity_that_needs_backquotes_is_pointed_at() -> None:
    with pytest.raises(PQLError, match=r"people\.`player-id`"):
        parse("PREDICT COUNT(a.*, 0, 3) FOR EACH people.player-id")


@pytest.mark.parametrize(
    "query", ["PREDICT COUNT(a.*, 0, 3) FOR EACH p.id WHER p.x = 1", "PREDICT p.a FOR EACH p.id x"]
)
def test_a_word_too_many_is_no_name_with_blanks(query: str) -> None:
    with pytest.raises(PQLError, match=r"expected ASSUMING, IN, WHERE, = or the end"):
        parse(query)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(("day", "days"), ("dayz", "days"), ("Day", "days"), ("Days", "days"), ("YEAR", "years"), ("yr", "years")),
        *(("month", "months"), ("hrs", "hours"), ("second", "seconds"), ("d", "days"), ("mins", "minutes")),
    ],
)
def test_a_misspelt_unit_is_named_with_the_right_one(written: str, meant: str) -> None:
    with pytest.raises(PQLError) as caught:
        parse(f"PREDICT COUNT(a.*, 0, 3, {written}) FOR EACH a.b")
    assert f"'{written}' is not a unit (did you mean '{meant}'?)" in str(caught.value)
    assert "seconds, minutes, hours, days, weeks, months or years" in str(caught.value)
    line, caret = caught.value.with_caret().split("\n")[-2:]
    assert line[caret.index("^") :].startswith(written)


@pytest.mark.parametrize("written", ["fortnights", "5", ")"])
def test_what_is_no_unit_gets_the_list_of_them(written: str) -> None:
    with pytest.raises(PQLError, match="is not a unit: expected seconds, minutes, hours, days, weeks, months or years"):
        parse(f"PREDICT COUNT(a.*, 0, 3, {written}) FOR EACH a.b")


@pytest.mark.parametrize("unit", ["years", "YEARS"])
def test_years_are_a_unit(unit: str) -> None:
    target = parse(f"PREDICT COUNT(a.*, 0, 2, {unit}) FOR EACH a.b").target
    assert isinstance(target, Aggregation)
    assert target.window == Window(0, 2, Unit.YEARS)


def test_an_unfinished_query_says_so() -> None:
    with pytest.raises(PQLError, match="ends too early"):
        parse("PREDICT COUNT(a.*, 0, 3, days) FOR EACH")


@given(st.text(max_size=200))
def test_any_text_is_a_query_or_a_query_error(text: str) -> None:
    try:
        parse(text)
    except PQLError as error:
        assert error.with_caret()


@given(st.sampled_from(EXAMPLES), st.integers(0, 100), st.text(max_size=4), st.integers(0, 6))
def test_a_mangled_query_is_a_query_or_a_query_error(text: str, place: int, inserted: str, removed: int) -> None:
    at = place % len(text)
    try:
        parse(text[:at] + inserted + text[at + removed :])
    except PQLError as error:
        assert "\n" not in error.reason


def test_deep_nesting_is_refused_not_a_crash() -> None:
    with pytest.raises(PQLError, match="nested"):
        parse("PREDICT " + "(" * 5000 + "a.b = 1" + ")" * 5000 + " FOR EACH a.b")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("u.a IS 5", "u.a = 5"),
        ("u.a IS NOT 5", "u.a != 5"),
        ("u.a IS IN (1, 2)", "u.a IN (1, 2)"),
        ("u.a = (1, 2)", "u.a IN (1, 2)"),
        ("u.a != (1, 2)", "u.a NOT IN (1, 2)"),
        ("u.a IN 1", "u.a IN (1)"),
        ("u.a > 1990.01.02", "u.a > 1990-01-02"),
        (r"u.a = 'it\'s'", "u.a = 'it''s'"),
        (r"u.a = 'C:\\d'", r"u.a = 'C:\d'"),
        (r"u.a = 'a\u0062'", "u.a = 'ab'"),
        ("COUNT(o.*, -INFINITY, 0) = 1", "COUNT(o.*, -INF, 0, days) = 1"),
    ],
)
def test_other_ways_to_write_the_same(written: str, meant: str) -> None:
    assert parse(f"PREDICT {written} FOR EACH u.id") == parse(f"PREDICT {meant} FOR EACH u.id")


def test_a_list_cannot_be_compared_by_order() -> None:
    with pytest.raises(PQLError, match="A list cannot be compared by <; use IN"):
        parse("PREDICT u.a < (1, 2) FOR EACH u.id")
