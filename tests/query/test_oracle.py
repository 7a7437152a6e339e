"""What the published parser of the language accepts, ours accepts too."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forekey.errors import PQLError
from forekey.query import parse
from tests.query.test_parser import EXAMPLES
from tests.support.examples import examples

oracle = pytest.importorskip("predictive_query")


def accepted_by_oracle(text: str) -> bool:
    """Whether the published parser takes the text in any of its modes."""
    for mode in oracle.Mode:
        try:
            oracle.PQLParser(mode=mode).to_parsed_predictive_query(text)
        except Exception:  # noqa: BLE001 - whatever it raises, it did not accept
            continue
        return True
    return False


def accepted(text: str) -> bool:
    try:
        parse(text)
    except PQLError:
        return False
    return True


def spaced(parts: list[str], blanks: list[str]) -> str:
    return "".join(part + blanks[i % len(blanks)] for i, part in enumerate(parts))


NAMES = st.sampled_from(["orders.price", "users.user_id", "Orders._x1", "`a b`.`c`", "count.sum"])
CONSTANTS = st.sampled_from(
    [
        "1",
        "-2",
        "0.5",
        "-.5",
        "1e3",
        "'x'",
        '"y"',
        "''",
        "TRUE",
        "false",
        "NULL",
        "1990-01-01",
        "1990/01/02",
        "2020-01-01 10:11:12",
        "1990.01.02",
        r"'it\'s'",
        r'"a\\b"',
    ]
)
OPERATORS = st.sampled_from(
    ["=", "==", "!=", "<", "<=", ">", ">=", "LIKE", "NOT LIKE", "CONTAINS", "NOT CONTAINS", "STARTS WITH"]
)


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.integers(0, 5 if depth else 2))
    operand = draw(st.one_of(NAMES, aggregations(depth=0)))
    if kind <= 1:
        return f"{operand} {draw(OPERATORS)} {draw(CONSTANTS)}"
    if kind == 2:
        return f"{operand} {draw(st.sampled_from(['IS NULL', 'IS NOT NULL', 'IN (1, 2)', 'is null', 'IS 5', 'IS NOT 5', 'is in (1, 2)', '= (1, 2)', '!= (1, 2)', 'IN 1']))}"
    left, right = draw(conditions(depth - 1)), draw(conditions(depth - 1))
    return {3: f"({left}) AND {right}", 4: f"{left} OR ({right})", 5: f"NOT ({left})"}[kind]


@st.composite
def aggregations(draw: st.DrawFn, depth: int = 1) -> str:
    name = draw(
        st.sampled_from(
            ["SUM", "AVG", "MIN", "MAX", "COUNT", "COUNT_DISTINCT", "FIRST", "LAST", "LIST_DISTINCT", "sum"]
        )
    )
    column = draw(st.one_of(NAMES, st.just("orders.*")))
    where = f" WHERE {draw(conditions(depth - 1))}" if depth and draw(st.booleans()) else ""
    window = draw(
        st.sampled_from(
            ["", ", 0, 30", ", 0, 30, days", ", -INF, 0, months", ", -INFINITY, 0", ", -7,0,hours", ",1,2,WEEKS"]
        )
    )
    return f"{name}({column}{where}{window})"


@st.composite
def queries(draw: st.DrawFn) -> str:
    target = draw(st.one_of(aggregations(), conditions(), NAMES))
    problem = draw(st.sampled_from(["", "", " RANK TOP 10", " CLASSIFY", " FORECAST 4 TIMEFRAMES", " RANK"]))
    entity = draw(
        st.sampled_from(
            [
                " FOR EACH users.id",
                " FOR users.id = 5",
                " FOR users.id IN (1, 2)",
                " FOR users.id = (1, 2)",
                " FOR EACH users.id=1",
            ]
        )
    )
    where = draw(st.one_of(st.just(""), conditions().map(lambda c: f" WHERE {c}")))
    assuming = draw(st.one_of(st.just(""), conditions().map(lambda c: f" ASSUMING {c}")))
    return f"PREDICT {target}{problem}{entity}{where}{assuming}"


@pytest.mark.parametrize("text", EXAMPLES)
def test_published_forms(text: str) -> None:
    assert accepted(text) or not accepted_by_oracle(text)


@settings(max_examples=examples(300))
@given(queries())
def test_generated_queries(text: str) -> None:
    if accepted_by_oracle(text):
        parse(text)


@settings(max_examples=examples(200))
@given(
    queries(),
    st.integers(0, 300),
    st.sampled_from(["", " ", "(", ")", ",", "0", "'", "=", " NOT ", "\n"]),
    st.integers(0, 3),
)
def test_mangled_queries(text: str, place: int, inserted: str, removed: int) -> None:
    at = place % len(text)
    mangled = text[:at] + inserted + text[at + removed :]
    if accepted_by_oracle(mangled):
        parse(mangled)
