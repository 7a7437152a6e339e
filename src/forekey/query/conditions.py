"""Conditions and constants of a query as SQL. What a user wrote is never pasted in: it becomes literals."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlglot import exp

from forekey.graph import Spelling
from forekey.query.tree import And, Comparison, Condition, Constant, Not, Operand, Operator, Or
from forekey.schema import Case, ColumnSchema, DType
from forekey.source import bare_uuid

_LARGEST = "1e300"
"""A sum of any number of rows of this size is a number still."""


class Written(NamedTuple):
    """What a condition compares: its SQL, its type, and, where it is written as keys are, the key that it refers to."""

    sql: exp.Expression
    dtype: DType
    key: ColumnSchema | None = None


def render(condition: Condition, operand: Callable[[Operand], Written]) -> exp.Expression:
    """Write a condition; ``operand`` writes what is compared."""
    match condition:
        case Not(condition=inner):
            return exp.not_(exp.paren(render(inner, operand)))
        case And(conditions=parts):
            return exp.paren(exp.and_(*(render(p, operand) for p in parts)))
        case Or(conditions=parts):
            return exp.paren(exp.or_(*(render(p, operand) for p in parts)))
        case Comparison():
            return _comparison(condition, operand(condition.operand))


def _comparison(comparison: Comparison, written: Written) -> exp.Expression:
    operator, values, dtype = comparison.operator, comparison.values, written.dtype
    operand = written.sql if written.key is not None else _comparable(written.sql, dtype, values)
    if operator in {Operator.IS_NULL, Operator.IS_NOT_NULL} or values == (None,):
        absent = operand.is_(exp.null())
        return absent if operator in {Operator.IS_NULL, Operator.EQ} else absent.not_()
    literals = [literal(v, dtype) if written.key is None else key_literal(v, written.key) for v in values]
    simple: dict[Operator, type[exp.Expression]] = {
        Operator.EQ: exp.EQ, Operator.NE: exp.NEQ, Operator.LT: exp.LT, Operator.LE: exp.LTE, Operator.GT: exp.GT,
        Operator.GE: exp.GTE,
    }  # fmt: skip
    if operator in simple:
        return simple[operator](this=operand, expression=literals[0])
    match operator:
        case Operator.LIKE:
            return _like(operand, literals[0])
        case Operator.NOT_LIKE:
            return _like(operand, literals[0]).not_()
        case Operator.IN:
            return operand.isin(*literals)
        case Operator.NOT_IN:
            return operand.isin(*literals).not_()
        case Operator.BETWEEN:
            return operand.between(literals[0], literals[1])
        case _:
            return _text_comparison(operator, operand, str(values[0]))


def _comparable(operand: exp.Expression, dtype: DType, values: tuple[Constant, ...]) -> exp.Expression:
    """Write what is compared so that every database compares it alike."""
    match dtype:
        case DType.TIMESTAMP:
            return moment(operand)
        case DType.UUID:
            return bare_uuid(operand)
        case DType.BYTES:
            return exp.LowerHex(this=operand)
        case DType.TEXT | DType.OTHER:
            return exp.cast(operand, "TEXT")  # enumerations are texts, and CHAR(n) is not padded
        case DType.FLOAT if isinstance(operand, exp.Column | exp.Case) and not all(map(_is_single, values)):
            # 0.1 in single precision is not 0.1 in double: both are what they are written as.
            return exp.cast(exp.cast(operand, "TEXT"), "DOUBLE")
        case _:
            return operand


def read_value(column: ColumnSchema, alias: str) -> exp.Expression:
    """Read a column of a table; NaN, infinity and what is beyond 1e300 are NULL, as databases differ in each.

    Postgres has NaN equal itself and greater than all numbers, and ends a query whose sum overflows.
    """
    value = exp.column(column.name, table=alias, quoted=True)
    if column.dtype is not DType.FLOAT:
        return value
    limit = exp.Literal.number(_LARGEST)
    return exp.Case().when(exp.Between(this=value.copy(), low=exp.Neg(this=limit), high=limit.copy()), value)


def _is_single(value: Constant) -> bool:
    """Whether a number is the same in single precision."""
    if not isinstance(value, float):
        return True
    return abs(value) < 1e38 and struct.unpack("f", struct.pack("f", value)) == (value,)


def _like(operand: exp.Expression, pattern: exp.Expression) -> exp.Expression:
    """Match a pattern in which nothing escapes % and _ (by default, a backslash does in Postgres)."""
    return exp.paren(exp.Escape(this=exp.Like(this=operand, expression=pattern), expression=exp.Literal.string("")))


def _text_comparison(operator: Operator, operand: exp.Expression, text: str) -> exp.Expression:
    literal, length = exp.Literal.string(text), exp.Literal.number(len(text))
    match operator:
        case Operator.STARTS_WITH:
            return exp.EQ(this=exp.Left(this=operand, expression=length), expression=literal)
        case Operator.ENDS_WITH:
            return exp.EQ(this=exp.Right(this=operand, expression=length), expression=literal)
        case _:
            found = exp.StrPosition(this=operand, substr=literal)
            zero = exp.Literal.number(0)
            compare = exp.GT if operator is Operator.CONTAINS else exp.EQ
            return compare(this=found, expression=zero)


def literal(value: Constant, dtype: DType) -> exp.Expression:
    """Write a constant as a literal of the type it is compared with."""
    match value:
        case bool():
            return exp.Boolean(this=value)
        case datetime():
            return timestamp(value)
        case str() if dtype is DType.TIMESTAMP:
            told = datetime.fromisoformat(value)
            return timestamp(told.astimezone(UTC).replace(tzinfo=None) if told.tzinfo is not None else told)
        case str() if dtype is DType.UUID:
            return exp.Literal.string(UUID(value).hex)
        case str() if dtype is DType.BYTES:
            return exp.Literal.string(str(Spelling(DType.BYTES, Case.ASCII).one(value)))
        case int() | float() if dtype is DType.BOOLEAN:
            return exp.Boolean(this=bool(value))
        case int() | float():
            return exp.Literal.number(repr(value)) if value >= 0 else exp.Neg(this=exp.Literal.number(repr(-value)))
        case None:
            return exp.null()
        case _:
            return exp.Literal.string(value)


def key_literal(value: Constant, key: ColumnSchema) -> exp.Expression:
    """Write the key of an entity as :func:`forekey.source.key_sql` writes keys."""
    if key.dtype in {DType.INTEGER, DType.UUID} or value is None:
        return literal(value.strip() if isinstance(value, str) else value, key.dtype)
    spelt = int(value) if isinstance(value, float) and value.is_integer() else Spelling.of(key).one(value)
    return exp.Literal.string(str(spelt).strip())


def timestamp(at: datetime) -> exp.Expression:
    """Write a moment."""
    return exp.cast(exp.Literal.string(at.isoformat(sep=" ")), "TIMESTAMP")


def moment(column: exp.Expression) -> exp.Expression:
    """Return a date or timestamp as a timestamp without zone, in UTC (sources set their session's zone to UTC)."""
    return exp.cast(column, "TIMESTAMP")
