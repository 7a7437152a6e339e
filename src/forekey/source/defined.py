"""Tables that forekey.yaml defines by a query: one SELECT over the source's own tables, and nothing else."""

from __future__ import annotations

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from forekey.errors import SchemaError

_ROW_FUNCTIONS = frozenset({"generate_series", "range", "unnest", "json_each", "json_array_elements", "jsonb_each"})
"""Functions that may stand where a table does: they read neither files nor other databases."""


def defining_query(name: str, text: str, dialect: str) -> exp.Query:
    """Parse the query that defines a table; :class:`SchemaError` if it is not one SELECT over tables."""
    where = f"tables.{name}.sql in forekey.yaml"
    try:
        statements = parse(text, dialect=dialect)
    except SqlglotError as error:
        reason = str(error).strip().splitlines()[0].split(". Line")[0]
        raise SchemaError(f"{where} is not valid SQL: {reason}.") from error
    query = statements[0] if len(statements) == 1 else None
    if not isinstance(query, exp.Query):
        raise SchemaError(f"{where} must be one SELECT statement.")
    for node in query.walk():
        if isinstance(node, exp.DML | exp.DDL | exp.Command | exp.Into) and not isinstance(node, exp.Query):
            raise SchemaError(f"{where} must only read: it holds {node.key.upper()}.")
        if isinstance(node, exp.Table) and (function := _function(node)) is not None:
            raise SchemaError(f"{where} reads from {function}(): use the source's own tables.")
    return query


def _function(table: exp.Table) -> str | None:
    """Return the name of a function that stands in the place of a table, but for those that only make rows."""
    if isinstance(table.this, exp.Identifier):
        return None
    function = table.this
    known = function.name if isinstance(function, exp.Anonymous) else function.key
    return None if known.lower() in _ROW_FUNCTIONS else known.lower()
