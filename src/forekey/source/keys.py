"""How keys of two tables are compared in SQL, whatever their types."""

from __future__ import annotations

import functools

from sqlglot import exp

from forekey.schema import ColumnSchema, DType


def key_sql(column: ColumnSchema, alias: str | None, target: ColumnSchema) -> exp.Expression:
    """Write, in SQL, a key so that it equals the key ``target`` that it refers to, whatever its type.

    7.0 and '7' are the key 7; 7.5 is no key, and must not be rounded to one.
    """
    if column.parts:
        parts = [_escaped(spelled(exp.column(p, table=alias, quoted=True))) for p in column.parts]
        return functools.reduce(lambda a, b: exp.DPipe(this=exp.DPipe(this=a, expression=_COMMA), expression=b), parts)
    value = exp.column(column.name, table=alias, quoted=True)
    if target.dtype is DType.INTEGER:
        return _whole(value, column.dtype)
    if column.dtype is DType.FLOAT:
        return spelled(value)
    if DType.UUID in {column.dtype, target.dtype}:
        return bare_uuid(value)
    return _trimmed(value)


def bare_uuid(value: exp.Expression) -> exp.Expression:
    """Write a UUID in the one spelling in which they are compared: lower case, without hyphens and braces."""
    return exp.Lower(this=functools.reduce(_without, "-{}", _trimmed(value)))


WHOLE_NUMBER = r"^([+-]?[0-9]+)\.0*$"
"""A whole number written with decimals: its first group is the number."""


def spelled(value: exp.Expression) -> exp.Expression:
    """Write a value as text, whole numbers without decimals: databases differ in whether 2 is 2.0."""
    return exp.RegexpReplace(
        this=_trimmed(value), expression=exp.Literal.string(WHOLE_NUMBER), replacement=exp.Literal.string(r"\1")
    )


def _escaped(text: exp.Expression) -> exp.Expression:
    """Mark commas that are in a value: ('a,b', 'c') and ('a', 'b,c') are two keys."""
    for found, put in (("\\", "\\\\"), (",", "\\,")):
        text = exp.Anonymous(this="replace", expressions=[text, exp.Literal.string(found), exp.Literal.string(put)])
    return text


_COMMA = exp.Literal.string(",")


def _trimmed(value: exp.Expression) -> exp.Expression:
    return exp.Trim(this=exp.cast(value, "VARCHAR"))


def _without(text: exp.Expression, character: str) -> exp.Expression:
    return exp.Anonymous(this="replace", expressions=[text, exp.Literal.string(character), exp.Literal.string("")])


def _whole(value: exp.Expression, dtype: DType) -> exp.Expression:
    if dtype is DType.INTEGER:
        return exp.TryCast(this=value, to=exp.DataType.build("BIGINT"))
    if dtype is DType.FLOAT:
        fits = exp.Abs(this=value.copy()) < exp.Literal.number("9e18")
        whole = exp.and_(fits, exp.EQ(this=value.copy(), expression=exp.func("floor", value.copy())))
        return exp.Case().when(whole, exp.cast(value, "BIGINT"))
    text = _trimmed(value)
    digits = exp.RegexpLike(this=text, expression=exp.Literal.string(r"^[+-]?[0-9]{1,18}([.]0*)?$"))
    return exp.Case().when(digits, exp.cast(exp.cast(text.copy(), "DECIMAL(38, 9)"), "BIGINT"))
