"""How keys of two tables are compared in SQL, whatever their types."""

from __future__ import annotations

import functools
import string

from sqlglot import exp

from forekey.schema import Case, ColumnSchema, DType

_DECIMALS = r"^([+-]?[0-9]+\.[0-9]*[1-9])0+$"
"""A number with zeros at its end: its first group is the number without them."""
_MIDNIGHT = r" 00:00:00$"
_WRITTEN = frozenset({DType.FLOAT, DType.BYTES, DType.TIMESTAMP, DType.BOOLEAN, DType.OTHER})
_NO_KEYS = ("json", "struct", "map", "union", "variant", "row", "record", "xml", "tsvector", "point", "polygon", "line",
            "lseg", "path", "box", "circle", "geometry", "geography", "hstore", "set")  # fmt: skip


def key_sql(column: ColumnSchema, alias: str | None, target: ColumnSchema) -> exp.Expression:
    """Write, in SQL, a key so that it equals the key ``target`` that it refers to, whatever its type.

    7.0 and '7' are the key 7; 7.5 is no key, and must not be rounded to one. Where the database compares the target
    without case, so does this.
    """
    if column.parts:
        own, theirs = column.of_parts, target.of_parts
        theirs = theirs if len(theirs) == len(own) else own
        parts = [_escaped(_part(o, alias, t)) for o, t in zip(own, theirs, strict=True)]
        return functools.reduce(lambda a, b: exp.DPipe(this=exp.DPipe(this=a, expression=_COMMA), expression=b), parts)
    value = exp.column(column.name, table=alias, quoted=True)
    if target.dtype is DType.INTEGER:
        return _whole(value, column.dtype)
    if column.dtype in _WRITTEN:
        return written(value, column.dtype)
    if {DType.UUID, DType.BYTES} & {column.dtype, target.dtype}:
        return bare_uuid(value)
    return _folded(_trimmed(value), column.case, target.case)


def written(value: exp.Expression, dtype: DType) -> exp.Expression:
    """Write a value as the text that it is as a key: bytes in hexadecimal, a moment at midnight as its day."""
    match dtype:
        case DType.BYTES:
            return exp.LowerHex(this=value)
        case DType.FLOAT:
            return _replaced(spelled(value), _DECIMALS, r"\1")
        case DType.TIMESTAMP:
            return _replaced(exp.cast(exp.cast(value, "TIMESTAMP"), "VARCHAR"), _MIDNIGHT, "")
        case _:
            return _trimmed(value)


def is_written(dtype: DType) -> bool:
    """Whether a key of this type is compared as the text that the database writes of it (see :func:`written`)."""
    return dtype in _WRITTEN


def why_no_key(dtype: DType, sql_type: str) -> str | None:
    """Return why a column of a type cannot be a key, or be part of one; None if it can."""
    word = sql_type.lower()
    composed = dtype is DType.LIST or (dtype is DType.OTHER and word.lstrip("_").startswith(_NO_KEYS))
    return f"a key of type {sql_type} cannot be used" if composed else None


def bare_uuid(value: exp.Expression) -> exp.Expression:
    """Write a UUID in the one spelling in which they are compared: lower case, without hyphens and braces."""
    return exp.Lower(this=functools.reduce(_without, "-{}", _trimmed(value)))


WHOLE_NUMBER = r"^([+-]?[0-9]+)\.0*$"
"""A whole number written with decimals: its first group is the number."""


def spelled(value: exp.Expression) -> exp.Expression:
    """Write a value as text, whole numbers without decimals: databases differ in whether 2 is 2.0."""
    return _replaced(_trimmed(value), WHOLE_NUMBER, r"\1")


def _part(column: ColumnSchema, alias: str | None, target: ColumnSchema) -> exp.Expression:
    """Write one column of a composite key."""
    value = exp.column(column.name, table=alias, quoted=True)
    if column.dtype in _WRITTEN:
        return written(value, column.dtype)
    if target.dtype in {DType.UUID, DType.BYTES}:
        return bare_uuid(value)
    return _replaced(_folded(_trimmed(value), column.case, target.case), WHOLE_NUMBER, r"\1")


def _folded(text: exp.Expression, own: Case, case: Case) -> exp.Expression:
    """Write a text in lower case, as far as letters of the key that it refers to count in either case as the same.

    What is left is compared letter by letter, whatever else the column's ``own`` collation disregards.
    """
    if case is Case.ASCII:
        upper, lower = (exp.Literal.string(s) for s in (string.ascii_uppercase, string.ascii_lowercase))
        text = exp.Translate(this=text, from_=upper, to=lower)
    elif case is Case.LETTERS:
        text = exp.Lower(this=text)
    if Case.LETTERS not in {own, case}:
        return text
    return exp.Collate(this=text, expression=exp.to_identifier("C", quoted=True))


def _replaced(text: exp.Expression, pattern: str, replacement: str) -> exp.Expression:
    return exp.RegexpReplace(
        this=text, expression=exp.Literal.string(pattern), replacement=exp.Literal.string(replacement)
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
    text = written(value, dtype)
    digits = exp.RegexpLike(this=text, expression=exp.Literal.string(r"^[+-]?[0-9]{1,18}([.]0*)?$"))
    return exp.Case().when(digits, exp.cast(exp.cast(text.copy(), "DECIMAL(38, 9)"), "BIGINT"))
