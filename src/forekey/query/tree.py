"""A predictive query as a tree, as it was written: nothing here knows a schema.

Every node keeps ``position``, the offset in characters where it begins, for carets in errors; positions do not
count when trees are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Constant = bool | int | float | str | datetime | None


class Aggregator(StrEnum):
    """The nine aggregations."""

    SUM = "SUM"
    AVG = "AVG"
    MIN = "MIN"
    MAX = "MAX"
    COUNT = "COUNT"
    COUNT_DISTINCT = "COUNT_DISTINCT"
    FIRST = "FIRST"
    LAST = "LAST"
    LIST_DISTINCT = "LIST_DISTINCT"

    @property
    def zero_when_empty(self) -> bool:
        """Whether a window without rows has a value (0) instead of none."""
        return self in {Aggregator.SUM, Aggregator.COUNT, Aggregator.COUNT_DISTINCT}


class Unit(StrEnum):
    """Units of a window; months and years are those of the calendar."""

    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"


class Operator(StrEnum):
    """What an operand is compared by."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"
    IN = "IN"
    NOT_IN = "NOT IN"
    BETWEEN = "BETWEEN"
    LIKE = "LIKE"
    NOT_LIKE = "NOT LIKE"
    CONTAINS = "CONTAINS"
    NOT_CONTAINS = "NOT CONTAINS"
    STARTS_WITH = "STARTS WITH"
    ENDS_WITH = "ENDS WITH"


@dataclass(frozen=True, slots=True)
class Window:
    """Rows with ``anchor + start < time <= anchor + end``; ``start`` None has no lower bound."""

    start: int | None
    end: int
    unit: Unit = Unit.DAYS


@dataclass(frozen=True, slots=True)
class Column:
    """``table.name``; ``name`` is ``*`` for the rows themselves; ``via`` picks a way by its first foreign keys."""

    table: str
    name: str
    via: tuple[str, ...] = ()
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One aggregation over the rows of a table that belong to the entity, in a window if it has one."""

    aggregator: Aggregator
    column: Column
    where: Condition | None = None
    window: Window | None = None
    position: int = field(default=0, compare=False)


Operand = Column | Aggregation


@dataclass(frozen=True, slots=True)
class Comparison:
    """An operand held against constants: none for IS NULL, one for most, two for BETWEEN, many for IN."""

    operand: Operand
    operator: Operator
    values: tuple[Constant, ...] = ()
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """True where the condition is false; undefined where it is undefined."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class And:
    """True where all conditions are true."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where any condition is true."""

    conditions: tuple[Condition, ...]


Condition = Comparison | Not | And | Or


class ProblemKind(StrEnum):
    """What the words after the target ask for."""

    FORECAST = "FORECAST"
    RANK = "RANK"
    CLASSIFY = "CLASSIFY"


@dataclass(frozen=True, slots=True)
class Problem:
    """``FORECAST number TIMEFRAMES``, ``RANK TOP number`` or ``CLASSIFY``."""

    kind: ProblemKind
    number: int | None = None
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query. ``ids`` is None for FOR EACH, else the entities that are asked for now."""

    text: str = field(compare=False)
    target: Operand | Condition
    problem: Problem | None
    entity: Column
    ids: tuple[Constant, ...] | None
    where: Condition | None
    assuming: Condition | None


def is_condition(node: Operand | Condition) -> bool:
    """Whether a target is a condition (a yes or no) and not a value."""
    return isinstance(node, Comparison | Not | And | Or)


def aggregations(node: Operand | Condition | None) -> list[Aggregation]:
    """Return the aggregations of a condition or operand, left to right, not those nested in another's WHERE."""
    return [operand for operand in operands(node) if isinstance(operand, Aggregation)]


def columns(node: Operand | Condition | None) -> list[Column]:
    """Return the columns that a condition or operand reads directly, outside aggregations."""
    return [operand for operand in operands(node) if isinstance(operand, Column)]


def operands(node: Operand | Condition | None) -> list[Operand]:
    """Return what a condition compares, left to right."""
    match node:
        case None:
            return []
        case Comparison(operand=operand):
            return [operand]
        case Not(condition=condition):
            return operands(condition)
        case And(conditions=parts) | Or(conditions=parts):
            return [o for part in parts for o in operands(part)]
        case _:
            return [node]
