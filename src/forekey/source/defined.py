"""Tables that forekey.yaml defines by a query: one SELECT over the source's own tables, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Collection

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from forekey.errors import SchemaError
from forekey.schema import did_you_mean

_ROW_FUNCTIONS = frozenset({"generate_series", "range", "unnest", "json_each", "json_array_elements", "jsonb_each"})
"""Functions that may stand where a table does: they read neither files nor other databases."""


_REACHING = re.compile(r"pg_.*|lo_.*|dblink.*|set_config|query_to_xml.*|database_to_xml.*|read_.*|glob|getenv", re.I)
"""Functions that read files, other databases or the server's own state, or change it."""


def defining_query(name: str, text: str, dialect: str, tables: Collection[str]) -> exp.Query:
    """Parse the query that defines a table; :class:`SchemaError` if it is not one SELECT over the source's tables."""
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
        if isinstance(node, exp.Anonymous) and _REACHING.fullmatch(node.name):
            raise SchemaError(f"{where} calls {node.name}(), which may read more than the source's own tables.")
    named = {cte.alias for cte in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and not table.db and table.name not in {*named, *tables}:
            hint = did_you_mean(table.name, tables)
            raise SchemaError(f"{where} reads from '{table.name}', which is no table of the source{hint}.")
    return query


def _function(table: exp.Table) -> str | None:
    """Return the name of a function that stands in the place of a table, but for those that only make rows."""
    if isinstance(table.this, exp.Identifier):
        return None
    function = table.this
    known = function.name if isinstance(function, exp.Anonymous) else type(function).sql_name()
    return None if known.lower() in _ROW_FUNCTIONS else known.lower()
