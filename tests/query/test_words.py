"""A query is said as one question that a person would ask."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from forekey.query import in_words, parse
from forekey.query.tree import Query
from tests.query.test_parser import EXAMPLES, PUBLISHED
from tests.query.test_printer import queries
from tests.support.examples import examples

TARGETS = [
    ("COUNT(orders.*, 0, 90, days) = 0", "Will there be no orders in the next 90 days"),
    ("COUNT(orders.*, 0, 1, days) > 3", "Will there be more than 3 orders in the next day"),
    ("COUNT(orders.*, 0, 2, weeks) = 1", "Will there be exactly one row of orders in the next 2 weeks"),
    ("COUNT(orders.*, 0, 9) BETWEEN 2 AND 5", "Will there be between 2 and 5 orders in the next 9 days"),
    ("COUNT(orders.*, 0, 9) IN (1, 2, 3)", "Will there be 1, 2 or 3 orders in the next 9 days"),
    ("COUNT(orders.*, 0, 9) != 3", "Will the number of orders in the next 9 days not be 3"),
    ("COUNT(orders.total, 0, 3, months) > 0", "Will there be any values of orders.total in the next 3 months"),
    ("COUNT(review.* VIA buyer, 0, 9) > 0", "Will there be any rows of review (via buyer) in the next 9 days"),
    ("COUNT_DISTINCT(orders.kind, 0, 9) >= 2", "Will there be at least 2 distinct values of orders.kind in the next 9 days"),
    ("COUNT_DISTINCT(orders.kind, 0, 9)", "How many distinct values of orders.kind will there be in the next 9 days"),
    ("SUM(orders.total, 0, 30, days)", "What will be the sum of orders.total in the next 30 days"),
    ("AVG(orders.total, 0, 1, years)", "What will be the average of orders.total in the next year"),
    ("MAX(orders.total, 30, 60)", "What will be the largest value of orders.total from 30 to 60 days ahead"),
    ("FIRST(`my orders`.`é`, 0, 36, hours)", "What will be the first value of my orders.é in the next 36 hours"),
    ("SUM(orders.total, 0, 30) > 100", "Will the sum of orders.total in the next 30 days be more than 100"),
    ("MIN(orders.at, 0, 30) <= '2024-01-01'", "Will the smallest value of orders.at in the next 30 days be no later than 2024-01-01"),
    ("LAST(orders.kind, 0, 30) NOT LIKE 'a%'", 'Will the last value of orders.kind in the next 30 days not match the pattern "a%"'),
    (
        "SUM(orders.total WHERE orders.kind IN ('a', 'b', 'c', 'd', 'e', 'f', 'g'), 0, 30) >= 2.5",
        'Will the sum of orders.total in the next 30 days, where orders.kind is one of "a", "b", "c" and 4 more, be at least 2.5',
    ),
    (
        "COUNT(orders.* WHERE orders.total > 10 AND NOT orders.gift = TRUE, 0, 7)",
        "How many orders will there be in the next 7 days where orders.total is more than 10 and orders.gift is not true",
    ),
    ("SUM(orders.total, 0, 7) FORECAST 8 TIMEFRAMES", "What will be the sum of orders.total in each of the next 8 periods of 7 days"),
    ("COUNT(orders.*, 0, 1) FORECAST 4 TIMEFRAMES", "How many orders will there be in each of the next 4 days"),
    (
        "SUM(orders.total, 7, 14) FORECAST 4 TIMEFRAMES",
        "What will be the sum of orders.total in each of 4 periods of 7 days, the first from 7 to 14 days ahead",
    ),
    (
        "LIST_DISTINCT(orders.product_id, 0, 7) RANK TOP 10",
        "Which 10 values of orders.product_id will come in the next 7 days, likeliest first",
    ),
    ("LIST_DISTINCT(orders.product_id, 0, 7) RANK TOP 1", "Which value of orders.product_id is the likeliest to come in the next 7 days"),
    ("LIST_DISTINCT(orders.kind, 0, 7) CLASSIFY", "Which values of orders.kind will come in the next 7 days"),
    ("customers.age", "What is customers.age"),
    ("customers.born > 1990-01-01", "Is customers.born after 1990-01-01"),
    ("customers.region IS NULL", "Is customers.region missing"),
    ("customers.name STARTS WITH 'a'", 'Does customers.name start with "a"'),
    ("customers.age NOT IN (1, 2)", "Is customers.age none of 1 and 2"),
    (
        "COUNT(orders.*, 0, 7) > 1 AND SUM(orders.total, 0, 7) > 9",
        "Will there be more than one row of orders in the next 7 days and will the sum of orders.total in the next 7 days be more than 9",
    ),
    (
        "NOT (customers.age > 40 AND NOT customers.name CONTAINS 'a' AND customers.name ENDS WITH 'b')",
        'Is customers.age at most 40, does customers.name contain "a" or does customers.name not end with "b"',
    ),
    (
        "customers.age > 40 OR customers.vip = TRUE AND customers.born IS NOT NULL",
        "Is it true that customers.age is more than 40, or both customers.vip is true and customers.born is not missing",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("target", "asked"), TARGETS)
def test_what_is_predicted_is_asked_for(target: str, asked: str) -> None:
    assert in_words(parse(f"PREDICT {target} FOR EACH customers.id")) == f"{asked}, for each of the customers?"


ENTITIES = [
    ("EACH customers.id", "each of the customers"),
    ("EACH product.id", "each row of product"),
    ("users.id = 42", "id 42 of users"),
    ("leads.id IN ('a', 'b')", 'id "a" and "b" of leads'),
    ("users.id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)", "id 1, 2, 3 and 7 more of users"),
    ("EACH users.id WHERE COUNT(orders.*, -90, 0) > 0", "each of the users with orders in the last 90 days"),
    ("EACH users.id WHERE NOT COUNT(orders.*, -1, 0) > 2", "each of the users with at most 2 orders in the last day"),
    ("EACH users.id WHERE COUNT(orders.*, -INF, -30) = 0", "each of the users with no orders 30 or more days ago"),
    ("EACH users.id WHERE SUM(orders.total, -2, 0, months) > 0.05", "each of the users where the sum of orders.total in the last 2 months is more than 0.05"),
    (
        "EACH users.id WHERE COUNT(orders.*, -INF, 0) > 2 AND users.age BETWEEN 20 AND 60",
        "each of the users where there have been more than 2 orders so far and users.age is between 20 and 60",
    ),
    (
        "EACH users.id WHERE (COUNT(orders.*, -90, -30) > 0 OR users.age > 9) AND NOT users.name LIKE 'a%'",
        'each of the users where either there were orders from 90 to 30 days ago or users.age is more than 9, and users.name does not match the pattern "a%"',
    ),
    (
        "EACH users.id ASSUMING COUNT(mails.* WHERE mails.kind = 'offer', 0, 7) > 0",
        'each of the users, assuming that there will be mails in the next 7 days where mails.kind is "offer"',
    ),
    (
        "users.id = 1 WHERE users.vip = TRUE ASSUMING SUM(ads.spend, 0, 7) >= 1000",
        "id 1 of users where users.vip is true, assuming that the sum of ads.spend in the next 7 days will be at least 1000",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("entity", "whom"), ENTITIES)
def test_it_is_said_for_whom(entity: str, whom: str) -> None:
    assert in_words(parse(f"PREDICT SUM(orders.total, 0, 7) FOR {entity}")) == (
        f"What will be the sum of orders.total in the next 7 days, for {whom}?"
    )


@pytest.mark.parametrize(
    ("window", "when"),
    [
        ("", "are there"),
        (", 0, 0", "have there been from now to now"),
        (", -30, 30", "will there be from 30 days ago to 30 days ahead"),
        (", -INF, 1", "will there be at any time up to 1 day ahead"),
        (", 30, -1", "were there from 30 days ahead to 1 day ago"),
    ],
)
def test_a_window_that_cannot_be_predicted_is_said_too(window: str, when: str) -> None:
    said = in_words(parse(f"PREDICT COUNT(orders.*{window}) FOR EACH customers.id"))
    assert said == f"How many orders {when}, for each of the customers?"


def test_a_text_stays_in_one_line_and_short() -> None:
    said = in_words(parse(f"PREDICT users.a = 'first\nsecond' OR users.b = '{'x' * 500}' FOR EACH users.id"))
    assert said == f'Is users.a "first second" or is users.b "{"x" * 39}…", for each of the users?'


def is_one_question(query: Query) -> bool:
    said = in_words(query)
    return len(said.splitlines()) == 1 and said[0].isupper() and said.endswith("?") and "  " not in said


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_one_question_about_its_entities(text: str) -> None:
    query = parse(text)
    assert is_one_question(query)
    assert query.entity.table in in_words(query)
    assert "None" not in in_words(query)


def test_every_published_query_is_one_question_about_its_entities() -> None:
    if not PUBLISHED.is_file():
        pytest.skip("the list of published queries is not on this machine")
    for query in [parse(t) for t in PUBLISHED.read_text().splitlines() if t.strip() and not t.startswith("#")]:
        assert is_one_question(query)
        assert query.entity.table in in_words(query)
        assert "None" not in in_words(query)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(max_examples=examples(400))
@given(queries())
def test_every_query_has_words(query: Query) -> None:
    said = in_words(query)
    assert len(said.splitlines()) == 1
    assert said.endswith("?")
