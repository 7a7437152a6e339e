"""From the text of a predictive query to its tree."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from importlib import resources
from math import isfinite
from typing import Any, NoReturn

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from forekey.errors import PQLError
from forekey.query.hints import UNITS, hint_at
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

_MAX_LENGTH = 100_000
_MAX_DEPTH = 100
_MAX_DIGITS = 18


def parse(text: str) -> Query:
    """Parse a query; :class:`PQLError` with the place where it stops making sense."""
    if len(text) > _MAX_LENGTH:
        raise PQLError(f"A query may have at most {_MAX_LENGTH:,} characters; this one has {len(text):,}.")
    _check_depth(text)
    try:
        tree = _parser().parse(text)
        return _TreeBuilder(text).transform(tree)  # type: ignore[no-any-return]
    except UnexpectedInput as error:
        _refuse(text, error)
    except VisitError as error:
        if isinstance(error.orig_exc, PQLError):
            raise error.orig_exc from None
        raise
    except RecursionError:
        raise PQLError(f"Conditions may be nested at most {_MAX_DEPTH} deep.", text) from None


def _check_depth(text: str) -> None:
    depth = refused = 0
    for found in re.finditer(r"[()]|\b(?:NOT|not|AND|and|OR|or|WHERE|where)\b", text):
        word = found[0].upper()
        depth += (word == "(") - (word == ")")
        refused = refused + 1 if word == "NOT" else 0 if word not in {"(", ")"} else refused
        if depth + refused > _MAX_DEPTH:
            raise PQLError(f"Conditions may be nested at most {_MAX_DEPTH} deep.", text, found.start())


@cache
def _parser() -> Lark:
    grammar = resources.files("forekey.query").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def _refuse(text: str, error: UnexpectedInput) -> NoReturn:
    # Lark's three kinds of error each have a name of their own for what could have stood there.
    allowed = (getattr(error, name, None) for name in ("accepts", "expected", "allowed"))
    tokens = set(next(filter(None, allowed), ()))
    expected = _readable(tokens)
    hint = f"expected {expected}" if expected else "this cannot stand here"
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        raise PQLError(f"The query ends too early: {hint}.", text, len(text)) from None
    position = error.pos_in_stream if error.pos_in_stream is not None else 0
    if (meant := hint_at(text, position, tokens)) is not None:
        raise PQLError(f"{meant[0]}.", text, meant[1]) from None
    if isinstance(error, UnexpectedCharacters):
        word = text[position:].split()[0] if text[position:].split() else ""
    else:
        word = str(getattr(error, "token", ""))
    raise PQLError(f"'{word[:40]}' is not understood here: {hint}.", text, position) from None


_TOKEN_WORDS = {
    "COLUMN": "table.column",
    "AGG": "an aggregation such as COUNT(",
    "INT": "a whole number",
    "DECIMAL": "a number",
    "STRING": "'text'",
    "DATE": "a date",
    "NAME": "a name",
    "UNIT": f"a unit ({UNITS})",
    "MINUS_INF": "-INF",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "EQUAL": "=",
    "__ANON_0": "==",
    "__ANON_1": "!=",
    "LESSTHAN": "<",
    "__ANON_2": "<=",
    "MORETHAN": ">",
    "__ANON_3": ">=",
    "$END": "the end",
}


def _readable(tokens: set[str]) -> str:
    tokens = tokens - {"_SEMICOLON", "__IGNORE_0", "__IGNORE_1"}
    words = sorted({_TOKEN_WORDS.get(t, t.lstrip("_")) for t in tokens}, key=lambda w: (not w.isupper(), w))
    if len(words) > 8:
        words = [*words[:8], "…"]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


class _Nothing:
    """The hole that ``_NULL`` leaves: lark drops the token, but the constant is there."""


_NO_WORD = _Nothing()


@v_args(inline=True)
class _TreeBuilder(Transformer[Token, Any]):
    """Turn lark's tree into ours, bottom up."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def start(self, target: Any, *rest: Any) -> Query:
        problem = rest[0] if isinstance(rest[0], Problem) else None
        (entity, ids, where), assuming = rest[-2], rest[-1]
        return Query(self._text, target, problem, entity, ids, where, assuming)

    def condition_target(self, condition: Condition) -> Condition:
        return condition

    def value_target(self, operand: Operand) -> Operand:
        return operand

    def forecast(self, number: Token) -> Problem:
        return Problem(ProblemKind.FORECAST, self.integer(number), number.start_pos or 0)

    def rank_top(self, number: Token) -> Problem:
        return Problem(ProblemKind.RANK, self.integer(number), number.start_pos or 0)

    def rank(self) -> Problem:
        return Problem(ProblemKind.RANK)

    def classify(self) -> Problem:
        return Problem(ProblemKind.CLASSIFY)

    def entity(
        self, column: Token, ids: tuple[Constant, ...] | None, where: Condition | None
    ) -> tuple[Column, tuple[Constant, ...] | None, Condition | None]:
        return _column(column), ids, where

    def entity_ids(self, ids: Any) -> tuple[Constant, ...]:
        return ids if isinstance(ids, tuple) else (_constant(ids),)

    def disjunction(self, *parts: Condition) -> Condition:
        return parts[0] if len(parts) == 1 else Or(parts)

    def conjunction(self, *parts: Condition) -> Condition:
        return parts[0] if len(parts) == 1 else And(parts)

    def negation(self, condition: Condition) -> Condition:
        return Not(condition)

    def compare(self, operand: Operand, operator: str, value: Any) -> Comparison:
        kind = Operator("=" if operator == "==" else operator)
        if not isinstance(value, tuple):
            return _comparison(operand, kind, value)
        if kind not in {Operator.EQ, Operator.NE}:
            raise PQLError(f"A list cannot be compared by {kind}; use IN.", self._text, operand.position)
        return _comparison(operand, Operator.IN if kind is Operator.EQ else Operator.NOT_IN, *value)

    def is_value(self, operand: Operand, value: Any) -> Comparison:
        if isinstance(value, _Nothing):
            return _comparison(operand, Operator.IS_NULL)
        return _comparison(operand, Operator.EQ, value)

    def is_not_value(self, operand: Operand, value: Any) -> Comparison:
        if isinstance(value, _Nothing):
            return _comparison(operand, Operator.IS_NOT_NULL)
        return _comparison(operand, Operator.NE, value)

    def is_in(self, operand: Operand, values: Any) -> Comparison:
        return _comparison(operand, Operator.IN, *(values if isinstance(values, tuple) else (values,)))

    def not_in(self, operand: Operand, values: tuple[Constant, ...]) -> Comparison:
        return _comparison(operand, Operator.NOT_IN, *values)

    def between(self, operand: Operand, low: Any, high: Any) -> Comparison:
        return _comparison(operand, Operator.BETWEEN, low, high)

    def like(self, operand: Operand, value: Any) -> Comparison:
        return _comparison(operand, Operator.LIKE, value)

    def not_like(self, operand: Operand, value: Any) -> Comparison:
        return _comparison(operand, Operator.NOT_LIKE, value)

    def contains(self, operand: Operand, value: Any) -> Comparison:
        return _comparison(operand, Operator.CONTAINS, value)

    def not_contains(self, operand: Operand, value: Any) -> Comparison:
        return _comparison(operand, Operator.NOT_CONTAINS, value)

    def starts_with(self, operand: Operand, value: Any) -> Comparison:
        return _comparison(operand, Operator.STARTS_WITH, value)

    def ends_with(self, operand: Operand, value: Any) -> Comparison:
        return _comparison(operand, Operator.ENDS_WITH, value)

    def operator(self, token: Token) -> str:
        return str(token)

    def via(self, *names: Token) -> tuple[str, ...]:
        parts = [_split_qualified(str(n)) if n.type == "COLUMN" else (_unquote(n),) for n in names]
        return tuple(name for part in parts for name in part)

    def column(self, token: Token, via: tuple[str, ...] | None) -> Column:
        return _column(token, via or ())

    def aggregation(
        self, name: Token, column: Token, via: tuple[str, ...] | None, where: Condition | None, window: Window | None
    ) -> Aggregation:
        return Aggregation(Aggregator(name.upper()), _column(column, via or ()), where, window, name.start_pos or 0)

    def window(self, start: int | None, end: int | None, unit: Token | None) -> Window:
        if end is None:
            raise PQLError("A window must end somewhere: -INF can only be its start.", self._text)
        return Window(start, end, Unit(unit.lower()) if unit else Unit.DAYS)

    def bound(self, token: Token) -> int | None:
        return None if token.type == "MINUS_INF" else self.integer(token)

    def list(self, *values: Any) -> tuple[Constant, ...]:
        return tuple(_constant(v) for v in values)

    def true(self, _: Token) -> bool:
        return True

    def false(self, _: Token) -> bool:
        return False

    def null(self) -> _Nothing:
        return _NO_WORD

    def integer(self, token: Token) -> int:
        if len(token.lstrip("+-0")) > _MAX_DIGITS:
            raise self._refused(f"A whole number may have at most {_MAX_DIGITS} digits.", token)
        return (
            int(token.lstrip("+").lstrip("0") or 0) if not token.startswith("-") else -int(token[1:].lstrip("0") or 0)
        )

    def decimal(self, token: Token) -> float:
        value = float(token)
        if not isfinite(value):
            raise self._refused("This number is too large.", token)
        return value

    def string(self, token: Token) -> str:
        quote = str(token[0])
        text = re.sub(rf"\\u[0-9a-fA-F]{{4}}|\\.|{quote}{quote}", _unescaped, str(token[1:-1]), flags=re.DOTALL)
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise self._refused("This text holds a character that no database can: NUL, or half of a pair.", token)
        return text

    def _refused(self, reason: str, token: Token) -> PQLError:
        return PQLError(reason, self._text, token.start_pos)

    def date(self, token: Token) -> datetime:
        try:
            return _date(str(token))
        except ValueError:
            raise PQLError(f"'{token}' is not a date of the calendar.", self._text, token.start_pos) from None


_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", **{c: c for c in "'\"\\/"}}


def _unescaped(found: re.Match[str]) -> str:
    """Return what a doubled quote or a backslash and what follows it stand for; other pairs are what they are."""
    text = found[0]
    if text[0] != "\\":
        return text[0]
    return chr(int(text[2:], 16)) if len(text) == 6 else _ESCAPES.get(text[1], text)


def _constant(value: Any) -> Constant:
    return None if isinstance(value, _Nothing) else value


def _comparison(operand: Operand, operator: Operator, *values: Any) -> Comparison:
    return Comparison(operand, operator, tuple(_constant(v) for v in values), operand.position)


def _column(token: Token, via: tuple[str, ...] = ()) -> Column:
    table, name = _split_qualified(str(token))
    return Column(table, name, via, token.start_pos or 0)


def _split_qualified(text: str) -> tuple[str, str]:
    end = text.index("`", 1) + 1 if text.startswith("`") else text.index(".")
    return _unquote(text[:end]), _unquote(text[end:].strip().removeprefix(".").strip())


def _unquote(name: str) -> str:
    return str(name).strip().strip("`")


def _date(text: str) -> datetime:
    clock, _, fraction = text.partition(".") if ":" in text else (text, "", "")
    numbers = [int(part) for part in re.findall(r"\d+", clock)]
    return datetime(*numbers, microsecond=int(fraction.ljust(6, "0"))) if fraction else datetime(*numbers)  # type: ignore[arg-type,misc]
