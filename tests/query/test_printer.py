"""A query is printed so that it parses to the same tree."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forekey.query import parse, to_pql
from forekey.query.tree import (
    Aggregation,
    Aggregator,
    And,
    Column,
    Comparison,
    Condition,
    Constant,
    Not,
    Operand,
    Operator,
    Or,
    Problem,
    ProblemKind,
    Query,
    Unit,
    Window,
)
from tests.query.test_parser import EXAMPLES, PUBLISHED
from tests.support.examples import examples

NAMES = st.one_of(
    st.from_regex(r"[_A-Za-z][_A-Za-z0-9]{0,8}", fullmatch=True),
    st.sampled_from(["where", "COUNT", "for", "null", "order lines", "größe", "a.b", "it's", '"q"']),
    st.text(st.characters(exclude_characters="`\n\r", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1),
)
CONSTANTS: st.SearchStrategy[Constant] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)),
)
WINDOWS = st.builds(Window, st.one_of(st.none(), st.integers(-500, 500)), st.integers(-500, 500), st.sampled_from(Unit))
COLUMNS = st.builds(Column, NAMES, NAMES, st.lists(NAMES, max_size=4).map(tuple))


def comparisons(operands: st.SearchStrategy[Operand]) -> st.SearchStrategy[Condition]:
    """Draw one comparison of each shape."""
    one = st.sampled_from(
        [o for o in Operator if o not in {Operator.IS_NULL, Operator.IS_NOT_NULL, Operator.IN, Operator.NOT_IN}]
    ).filter(lambda o: o is not Operator.BETWEEN)
    return st.one_of(
        st.builds(lambda a, o, v: Comparison(a, o, (v,)), operands, one, CONSTANTS),
        st.builds(lambda a, v, w: Comparison(a, Operator.BETWEEN, (v, w)), operands, CONSTANTS, CONSTANTS),
        st.builds(Comparison, operands, st.sampled_from([Operator.IS_NULL, Operator.IS_NOT_NULL])),
        st.builds(
            lambda a, o, v: Comparison(a, o, tuple(v)),
            operands,
            st.sampled_from([Operator.IN, Operator.NOT_IN]),
            st.lists(CONSTANTS, min_size=1, max_size=4),
        ),
    )


def conditions(operands: st.SearchStrategy[Operand]) -> st.SearchStrategy[Condition]:
    """Draw conditions of conditions."""
    return st.recursive(
        comparisons(operands),
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(lambda parts: And(tuple(parts)), st.lists(inner, min_size=2, max_size=3)),
            st.builds(lambda parts: Or(tuple(parts)), st.lists(inner, min_size=2, max_size=3)),
        ),
        max_leaves=5,
    )


def aggregations(filters: st.SearchStrategy[Condition | None]) -> st.SearchStrategy[Aggregation]:
    column = st.builds(Column, NAMES, st.one_of(NAMES, st.just("*")), st.lists(NAMES, max_size=4).map(tuple))
    return st.builds(Aggregation, st.sampled_from(Aggregator), column, filters, st.one_of(st.none(), WINDOWS))


PLAIN = aggregations(st.one_of(st.none(), comparisons(COLUMNS)))
# Deferred, so that hypothesis does not write out what a strategy is made of.
OPERANDS: st.SearchStrategy[Operand] = st.deferred(
    lambda: st.one_of(COLUMNS, PLAIN, aggregations(st.one_of(st.none(), conditions(st.one_of(COLUMNS, PLAIN)))))
)
PROBLEMS = st.one_of(
    st.none(),
    st.builds(Problem, st.sampled_from([ProblemKind.FORECAST, ProblemKind.RANK]), st.integers(1, 99)),
    st.builds(Problem, st.sampled_from([ProblemKind.RANK, ProblemKind.CLASSIFY])),
)
CONDITIONS: st.SearchStrategy[Condition] = st.deferred(lambda: conditions(OPERANDS))


@st.composite
def queries(draw: st.DrawFn) -> Query:
    return Query(
        "",
        draw(st.one_of(OPERANDS, CONDITIONS)),
        draw(PROBLEMS),
        Column(draw(NAMES), draw(NAMES)),
        draw(st.one_of(st.none(), st.lists(CONSTANTS, min_size=1, max_size=3).map(tuple))),
        draw(st.one_of(st.none(), CONDITIONS)),
        draw(st.one_of(st.none(), CONDITIONS)),
    )


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(max_examples=examples(2000))
@given(queries())
def test_what_is_printed_parses_to_the_same_tree(query: Query) -> None:
    assert parse(to_pql(query)) == query


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_stay_what_they_are(text: str) -> None:
    query = parse(text)
    assert parse(to_pql(query)) == query


def test_published_queries_stay_what_they_are() -> None:
    if not PUBLISHED.is_file():
        pytest.skip("the list of published queries is not on this machine")
    for text in PUBLISHED.read_text().splitlines():
        if text.strip() and not text.startswith("#"):
            assert parse(to_pql(parse(text))) == parse(text)


def test_a_query_is_printed_as_one_would_write_it() -> None:
    text = (
        "predict count(orders.*, 0, 30) = 0 for each users.user_id where not users.`my age` > 3.5 or users.a in ('x');"
    )
    assert to_pql(parse(text)) == (
        "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH users.user_id "
        "WHERE (NOT users.`my age` > 3.5) OR users.a IN ('x')"
    )
