"""A query as one question in plain English, shown beside its text. Needs no schema."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, time
from enum import Enum

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
    Window,
)

_MOST_LISTED = 5
_LISTED_OF_MANY = 3
_LONGEST_TEXT = 40
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?")
_PLURALS = frozenset({"children", "people"})


class _Tense(Enum):
    """The words for the rows of a window: ``there`` for one, for many and the participle, and how values come."""

    FUTURE = ("will", "will", " be", "will come")
    PERFECT = ("has", "have", " been", "have come")
    PAST = ("was", "were", "", "came")
    PRESENT = ("is", "are", "", "come")


def in_words(query: Query) -> str:
    """Return the question that a query asks, in one line that ends with a question mark.

    Names stay as they are, without backquotes. NOT before a condition is turned into the opposite comparison, which
    has the same truth value, also where it is undefined. Long lists and long texts are shortened.
    """
    assuming = "" if query.assuming is None else f", assuming that {_statement(_without_not(query.assuming))}"
    text = f"{_asked(query.target, query.problem)}, for {_entities(query)}{assuming}?"
    return " ".join((text[0].upper() + text[1:]).splitlines())


def _asked(target: Operand | Condition, problem: Problem | None) -> str:
    if isinstance(target, Aggregation):
        return _value_asked(target, problem)
    asked = f"what is {_column(target)}" if isinstance(target, Column) else _yes_or_no(_without_not(target))
    if problem is not None and problem.kind is ProblemKind.FORECAST:
        return f"{asked}, in each of the next {problem.number} timeframes"
    return asked + _ranked(problem)


def _value_asked(target: Aggregation, problem: Problem | None) -> str:
    forecast = problem is not None and problem.kind is ProblemKind.FORECAST
    frames = problem.number if problem is not None and forecast else None
    when, tense = _when(target.window, frames), _tense(target)
    _, many, participle, come = tense.value
    if target.aggregator is Aggregator.LIST_DISTINCT:
        return _which(_column(target.column), come, f"{when}{_where(target, '')}", problem)
    if target.aggregator in _NOUNS:
        how_many = f"how many {_nouns(target)[1]} {many} there{participle}"
        return f"{how_many}{when}{_where(target, '')}{_ranked(problem)}"
    will_be = "will be" if tense is _Tense.FUTURE else "is"
    return f"what {will_be} {_name(target)}{when}{_where(target, ',')}{_ranked(problem)}"


def _which(column: str, come: str, when: str, problem: Problem | None) -> str:
    if problem is None or problem.kind is not ProblemKind.RANK:
        return f"which values of {column} {come}{when}"
    if problem.number == 1:
        return f"which value of {column} is the likeliest to come{when}"
    number = "" if problem.number is None else f"{problem.number} "
    return f"which {number}values of {column} {come}{when}, likeliest first"


def _ranked(problem: Problem | None) -> str:
    if problem is None or problem.kind is not ProblemKind.RANK:
        return ""
    return ", ranked" if problem.number is None else f", ranked, the top {problem.number}"


def _entities(query: Query) -> str:
    """Name whom the question is about: every row of the entity table or some ids, and what must hold of them."""
    table, key = query.entity.table, query.entity.name
    who = f"{key} {_listed(query.ids)} of {table}" if query.ids is not None else f"each {_of_each(table)}"
    if query.where is None:
        return who
    where = _without_not(query.where)
    if isinstance(where, Comparison) and (rows := _some_rows(where)) is not None and rows[1] is not _Tense.FUTURE:
        return f"{who} with {rows[0].removeprefix('any ')}"
    return f"{who} where {_statement(where)}"


def _of_each(table: str) -> str:
    return f"of the {table}" if _is_plural(table) else f"row of {table}"


def _is_plural(table: str) -> bool:
    name = table.lower()
    return name in _PLURALS or (name.endswith("s") and not name.endswith(("ss", "us", "is")))


# Conditions.


def _without_not(condition: Condition, negated: bool = False) -> Condition:
    """Move every NOT inwards until it meets a comparison, and there into the operator where one has an opposite."""
    match condition:
        case Not(condition=inner):
            return _without_not(inner, not negated)
        case And(conditions=parts) | Or(conditions=parts):
            joined = And if isinstance(condition, And) is not negated else Or
            moved = [_without_not(part, negated) for part in parts]
            return joined(tuple(inner for m in moved for inner in (m.conditions if isinstance(m, joined) else (m,))))
        case Comparison(operator=operator):
            if len(condition.values) == 1:
                operator = _LIST_OF_ONE.get(operator, operator)
            if not negated:
                return replace(condition, operator=operator)
            opposite = _OPPOSITES.get(operator)
            return Not(condition) if opposite is None else replace(condition, operator=opposite)


def _yes_or_no(condition: Condition) -> str:
    if not isinstance(condition, And | Or):
        return _leaf(condition, as_question=True)
    if any(isinstance(part, And | Or) for part in condition.conditions):
        return f"is it true that {_statement(condition)}"
    return _joined([_leaf(part, as_question=True) for part in condition.conditions], condition)


def _statement(condition: Condition) -> str:
    if not isinstance(condition, And | Or):
        return _leaf(condition, as_question=False)
    return _joined([_part(part) for part in condition.conditions], condition)


def _part(condition: Condition) -> str:
    text = _statement(condition)
    if not isinstance(condition, And | Or):
        return text
    if len(condition.conditions) > 2 or _is_long(text):
        return f"({text})"
    return f"both {text}" if isinstance(condition, And) else f"either {text}"


def _is_long(text: str) -> bool:
    return " where " in text or text.startswith(("both ", "either ", "("))


def _joined(parts: list[str], condition: And | Or) -> str:
    """Join clauses by commas and a last AND or OR, which has a comma as well where a clause is long."""
    word = "and" if isinstance(condition, And) else "or"
    comma = "," if any(_is_long(part) for part in parts) else ""
    return f"{', '.join(parts[:-1])}{comma} {word} {parts[-1]}"


def _leaf(condition: Condition, as_question: bool) -> str:
    """Say one comparison, with NOT before it or not: "the sum … will be 3" or "will the sum … be 3"."""
    negated = isinstance(condition, Not)
    comparison = condition.condition if isinstance(condition, Not) else condition
    if not isinstance(comparison, Comparison):
        return _statement(comparison)
    if not negated and (rows := _some_rows(comparison)) is not None:
        return _there(*rows, as_question)
    denied, verb, rest = _predicate(comparison)
    no = " not" if negated or denied else ""
    subject = _subject(comparison.operand)
    if _tense(comparison.operand) is _Tense.FUTURE:
        return f"will {subject}{no} {verb} {rest}" if as_question else f"{subject} will{no} {verb} {rest}"
    if verb == "be":
        return f"is {subject}{no} {rest}" if as_question else f"{subject} is{no} {rest}"
    if as_question:
        return f"does {subject}{no} {verb} {rest}"
    verb = f"does not {verb}" if no else f"{verb}es" if verb == "match" else f"{verb}s"
    return f"{subject} {verb} {rest}"


def _there(rows: str, tense: _Tense, plural: bool, as_question: bool) -> str:
    verb, participle = tense.value[plural], tense.value[2]
    return (
        f"{verb} there{participle} {rows}" if as_question else f"there {verb}{participle} {rows.removeprefix('any ')}"
    )


def _some_rows(comparison: Comparison) -> tuple[str, _Tense, bool] | None:
    """Return the rows that a count is compared for ("no orders in the last 90 days"), their tense, whether many."""
    counted, quantifier = comparison.operand, _quantifier(comparison)
    if not isinstance(counted, Aggregation) or counted.aggregator not in _NOUNS or quantifier is None:
        return None
    plural = not quantifier.endswith(" one")
    noun = _nouns(counted)[plural]
    if quantifier in {"any", "no"}:
        noun = noun.removeprefix("distinct ")
    return f"{quantifier} {noun}{_when(counted.window)}{_where(counted, '')}", _tense(counted), plural


def _quantifier(comparison: Comparison) -> str | None:
    """Return how many a comparison asks for, or None where "the number of … is" has to say it."""
    operator, values = comparison.operator, comparison.values
    if not values or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        return None
    first = values[0]
    if (operator, first) in {(Operator.EQ, 0), (Operator.LT, 1), (Operator.LE, 0)}:
        return "no"
    if (operator, first) in {(Operator.NE, 0), (Operator.GE, 1), (Operator.GT, 0)}:
        return "any"
    if operator is Operator.BETWEEN:
        return f"between {first} and {values[1]}"
    if operator is Operator.IN and len(values) <= _MOST_LISTED:
        return _listed(values, "or")
    return f"{_QUANTIFIERS[operator]} {'one' if first == 1 else first}" if operator in _QUANTIFIERS else None


def _predicate(comparison: Comparison) -> tuple[bool, str, str]:
    """Return what is said of the operand: whether it is denied, the verb in its plain form, and the rest."""
    operator, values = comparison.operator, comparison.values
    if operator in _ORDERS:
        number, date = _ORDERS[operator]
        return False, "be", f"{date if isinstance(values[0], str | datetime) else number} {_constant(values[0])}"
    if operator in _VERBS:
        verb, before = _VERBS[operator]
        return operator in _DENIED, verb, f"{before}{_constant(values[0])}"
    if operator in {Operator.IN, Operator.NOT_IN}:
        return False, "be", f"{'one' if operator is Operator.IN else 'none'} of {_listed(values)}"
    if operator is Operator.BETWEEN:
        return False, "be", f"between {_constant(values[0])} and {_constant(values[1])}"
    return operator in _DENIED, "be", _constant(values[0]) if values else "missing"


# Operands and windows.


def _subject(operand: Operand) -> str:
    if isinstance(operand, Column):
        return _column(operand)
    closed = "" if operand.where is None else ","
    return f"{_name(operand)}{_when(operand.window)}{_where(operand, ',')}{closed}"


def _name(aggregation: Aggregation) -> str:
    if aggregation.aggregator in _NOUNS:
        return f"the number of {_nouns(aggregation)[1]}"
    return f"the {_VALUES[aggregation.aggregator]} {_column(aggregation.column)}"


def _nouns(counted: Aggregation) -> tuple[str, str]:
    """Return what is counted, in the singular and in the plural."""
    column, noun = counted.column, _NOUNS[counted.aggregator]
    if column.name != "*":
        return f"{noun} of {_column(column)}", f"{noun}s of {_column(column)}"
    rows = column.table if _is_plural(column.table) else f"rows of {column.table}"
    return f"row of {column.table}{_via(column)}", f"{rows}{_via(column)}"


def _where(aggregation: Aggregation, comma: str) -> str:
    return "" if aggregation.where is None else f"{comma} where {_statement(_without_not(aggregation.where))}"


def _tense(operand: Operand) -> _Tense:
    window = operand.window if isinstance(operand, Aggregation) else None
    if window is None:
        return _Tense.PRESENT
    return _Tense.FUTURE if window.end > 0 else _Tense.PERFECT if window.end == 0 else _Tense.PAST


def _when(window: Window | None, frames: int | None = None) -> str:
    """Say when, after a blank: of a forecast the window is its first timeframe."""
    if window is None:
        return "" if frames is None else f" in each of the next {frames} timeframes"
    if frames is not None and frames > 1:
        return f" {_in_frames(window, frames)}"
    start, end, unit = window.start, window.end, window.unit
    if start is None:
        return _since_ever(window)
    if start == 0 < end:
        return f" in the next {_length(end, window)}"
    if start < 0 == end:
        return f" in the last {_length(-start, window)}"
    if start > 0 < end:
        return f" from {start} to {end} {unit} ahead"
    if start < 0 > end:
        return f" from {-start} to {-end} {unit} ago"
    return f" from {_moment(start, window)} to {_moment(end, window)}"


def _in_frames(window: Window, frames: int) -> str:
    width = 0 if window.start is None else window.end - window.start
    if width < 1:
        return f"in each of {frames} timeframes, the first{_when(window)}"
    periods = f"{frames} {window.unit if width == 1 else f'periods of {width} {window.unit}'}"
    if window.start == 0:
        return f"in each of the next {periods}"
    return f"in each of {periods}, the first{_when(window)}"


def _since_ever(window: Window) -> str:
    if window.end == 0:
        return " so far"
    if window.end < 0:
        return f" {-window.end} or more {window.unit} ago"
    return f" at any time up to {_moment(window.end, window)}"


def _moment(amount: int, window: Window) -> str:
    if amount == 0:
        return "now"
    unit = window.unit.removesuffix("s") if abs(amount) == 1 else window.unit
    return f"{abs(amount)} {unit} {'ahead' if amount > 0 else 'ago'}"


def _length(amount: int, window: Window) -> str:
    return window.unit.removesuffix("s") if amount == 1 else f"{amount} {window.unit}"


def _column(column: Column) -> str:
    return f"{column}{_via(column)}"


def _via(column: Column) -> str:
    return f" (via {'.'.join(column.via)})" if column.via else ""


# Constants.


def _listed(values: Iterable[Constant], word: str = "and") -> str:
    texts = [_constant(value) for value in values]
    if len(texts) > _MOST_LISTED:
        texts = [*texts[:_LISTED_OF_MANY], f"{len(texts) - _LISTED_OF_MANY} more"]
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}" if len(texts) > 1 else "".join(texts)


def _constant(value: Constant) -> str:
    match value:
        case None:
            return "missing"
        case bool():
            return "true" if value else "false"
        case str():
            if _DATE.fullmatch(value):
                return value
            text = " ".join(value.split())
            return f'"{text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"}"'
        case datetime():
            return str(value.date()) if value.time() == time.min else value.isoformat(sep=" ")
        case _:
            return repr(value)


_NOUNS = {Aggregator.COUNT: "value", Aggregator.COUNT_DISTINCT: "distinct value"}
_VALUES = {
    Aggregator.SUM: "sum of",
    Aggregator.AVG: "average of",
    Aggregator.MIN: "smallest value of",
    Aggregator.MAX: "largest value of",
    Aggregator.FIRST: "first value of",
    Aggregator.LAST: "last value of",
    Aggregator.LIST_DISTINCT: "list of distinct values of",
}
_PAIRS = {
    Operator.EQ: Operator.NE,
    Operator.LT: Operator.GE,
    Operator.GT: Operator.LE,
    Operator.IS_NULL: Operator.IS_NOT_NULL,
    Operator.IN: Operator.NOT_IN,
    Operator.LIKE: Operator.NOT_LIKE,
    Operator.CONTAINS: Operator.NOT_CONTAINS,
}
_OPPOSITES = _PAIRS | {opposite: operator for operator, opposite in _PAIRS.items()}
_LIST_OF_ONE = {Operator.IN: Operator.EQ, Operator.NOT_IN: Operator.NE}
_DENIED = frozenset({Operator.NE, Operator.IS_NOT_NULL, Operator.NOT_LIKE, Operator.NOT_CONTAINS})
_ORDERS = {
    Operator.LT: ("less than", "before"),
    Operator.LE: ("at most", "no later than"),
    Operator.GT: ("more than", "after"),
    Operator.GE: ("at least", "no earlier than"),
}
_QUANTIFIERS = {o: number for o, (number, _) in _ORDERS.items()} | {Operator.EQ: "exactly", Operator.LT: "fewer than"}
_VERBS = {
    Operator.LIKE: ("match", "the pattern "),
    Operator.NOT_LIKE: ("match", "the pattern "),
    Operator.CONTAINS: ("contain", ""),
    Operator.NOT_CONTAINS: ("contain", ""),
    Operator.STARTS_WITH: ("start", "with "),
    Operator.ENDS_WITH: ("end", "with "),
}
