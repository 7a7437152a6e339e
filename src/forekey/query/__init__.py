"""The predictive query language: text to tree to typed query to SQL."""

from forekey.query.binder import bind
from forekey.query.bound import BoundColumn, BoundQuery, TaskType
from forekey.query.calendar import shift
from forekey.query.parser import parse
from forekey.query.printer import quoted, to_pql
from forekey.query.shortened import shortened
from forekey.query.sql import dropped_sql, label_sql, population_sql
from forekey.query.tree import Query, Unit, Window, aggregations
from forekey.query.words import in_words

__all__ = [
    "BoundColumn",
    "BoundQuery",
    "Query",
    "TaskType",
    "Unit",
    "Window",
    "aggregations",
    "bind",
    "dropped_sql",
    "in_words",
    "label_sql",
    "parse",
    "population_sql",
    "quoted",
    "shift",
    "shortened",
    "to_pql",
]
