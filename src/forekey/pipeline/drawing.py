"""The schema as a drawing: an entity-relationship diagram in Mermaid, which editors and code hosts show."""

from __future__ import annotations

import re

from forekey.schema import Schema, TableSchema


def mermaid(schema: Schema) -> str:
    """Return a Markdown page with the tables, their keys and times, and the foreign keys as lines."""
    lines = ["# Schema", "", "```mermaid", "erDiagram"]
    for table in schema.tables:
        lines += [f"    {_quoted(table.name)} {{", *(f"        {line}" for line in _columns(table)), "    }"]
    for table in schema.tables:
        lines += [
            f"    {_quoted(fk.parent)} ||--o{{ {_quoted(table.name)} : {_quoted(fk.column)}"
            for fk in table.foreign_keys
        ]
    return "\n".join([*lines, "```", ""])


def _columns(table: TableSchema) -> list[str]:
    """Return a line for each column; a key of several columns is named as a comment on each of its parts."""
    found = []
    for column in table.columns:
        marks = [
            m for m, is_so in (("PK", column.name == table.primary_key), ("FK", _refers(table, column.name))) if is_so
        ]
        note = ' "time"' if column.name == table.time_column else ""
        found.append(f"{column.dtype} {_plain(column.name)} {', '.join(marks)}".rstrip() + note)
    return found


def _refers(table: TableSchema, column: str) -> bool:
    return any(fk.column == column for fk in table.foreign_keys)


def _quoted(name: str) -> str:
    """Return a name as Mermaid reads it whole: in quotes, without what would end it."""
    return '"' + re.sub(r'["\n\r`%]', "'", name) + '"'


def _plain(name: str) -> str:
    """Return a column's name in the letters that Mermaid takes for one, beginning with a letter."""
    plain = re.sub(r"[^\w-]", "_", name, flags=re.ASCII)
    return plain if plain[:1].isalpha() else f"_{plain}"
