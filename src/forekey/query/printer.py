"""From a tree back to text: what is printed parses to the same tree."""

from __future__ import annotations

import re
from datetime import datetime

from forekey.query.tree import (
    And,
    Column,
    Comparison,
    Condition,
    Constant,
    Not,
    Operand,
    Operator,
    Or,
    ProblemKind,
    Query,
    Window,
    is_condition,
)

_PLAIN = re.compile(r"[_A-Za-z][_A-Za-z0-9]*")
_WITHOUT_VALUE = frozenset({Operator.IS_NULL, Operator.IS_NOT_NULL})
_WITH_LIST = frozenset({Operator.IN, Operator.NOT_IN})


def to_pql(query: Query) -> str:
    """Write a query in one line, keywords in capitals, every window with its unit."""
    words = ["PREDICT", _target(query.target)]
    if query.problem is not None:
        number = query.problem.number
        words += {
            ProblemKind.FORECAST: [f"FORECAST {number} TIMEFRAMES"],
            ProblemKind.RANK: ["RANK" if number is None else f"RANK TOP {number}"],
            ProblemKind.CLASSIFY: ["CLASSIFY"],
        }[query.problem.kind]
    words.append(f"FOR EACH {_column(query.entity)}" if query.ids is None else f"FOR {_column(query.entity)}")
    if query.ids is not None:
        words.append(f"IN {_list(query.ids)}")
    if query.where is not None:
        words.append(f"WHERE {_condition(query.where)}")
    if query.assuming is not None:
        words.append(f"ASSUMING {_condition(query.assuming)}")
    return " ".join(words)


def _target(target: Operand | Condition) -> str:
    return _condition(target) if is_condition(target) else _operand(target)  # type: ignore[arg-type]


def _condition(condition: Condition) -> str:
    match condition:
        case Comparison():
            return _comparison(condition)
        case Not(condition=inner):
            return f"NOT {_inside(inner)}"
        case And(conditions=parts):
            return " AND ".join(_inside(p) for p in parts)
        case Or(conditions=parts):
            return " OR ".join(_inside(p) for p in parts)


def _inside(condition: Condition) -> str:
    text = _condition(condition)
    return text if isinstance(condition, Comparison) else f"({text})"


def _comparison(comparison: Comparison) -> str:
    left, operator, values = _operand(comparison.operand), comparison.operator, comparison.values
    if operator in _WITHOUT_VALUE:
        return f"{left} {operator}"
    if operator in _WITH_LIST:
        return f"{left} {operator} {_list(values)}"
    return f"{left} {operator} {' AND '.join(_constant(v) for v in values)}"


def _operand(operand: Operand) -> str:
    if isinstance(operand, Column):
        return _column(operand) + _via(operand)
    where = f" WHERE {_condition(operand.where)}" if operand.where is not None else ""
    window = _window(operand.window) if operand.window is not None else ""
    return f"{operand.aggregator}({_column(operand.column)}{_via(operand.column)}{where}{window})"


def _window(window: Window) -> str:
    return f", {'-INF' if window.start is None else window.start}, {window.end}, {window.unit}"


def _column(column: Column) -> str:
    name = "*" if column.name == "*" else quoted(column.name)
    return f"{quoted(column.table)}.{name}"


def _via(column: Column) -> str:
    return f" VIA {'.'.join(map(quoted, column.via))}" if column.via else ""


def quoted(name: str) -> str:
    """Return a name as it stands in a query: between backquotes where it is no plain one."""
    return name if _PLAIN.fullmatch(name) else f"`{name}`"


def _list(values: tuple[Constant, ...]) -> str:
    return f"({', '.join(_constant(v) for v in values)})"


def _constant(value: Constant) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            quoted = value.replace("\\", "\\\\").replace("'", "''")
            return f"'{quoted}'"
        case datetime():
            return value.isoformat(sep=" ")
        case _:
            return repr(value)
