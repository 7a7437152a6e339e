"""Where the time of a table's rows stands: in a column of theirs, in a computed one, or in a row that they refer to.

A computed or inherited time is one more column of the table (:mod:`forekey.source.configured` writes it). A row whose
parent is not there inherits no time.
"""

from __future__ import annotations

from dataclasses import dataclass

from forekey.errors import SchemaError
from forekey.project import Config, TableConfig, TimeConfig
from forekey.schema import did_you_mean


@dataclass(frozen=True, slots=True)
class Inherited:
    """``column`` of a table, found through its foreign key ``via``: the time that ``parent`` has in ``time``."""

    column: str
    via: str
    parent: str
    time: str


def inherited_times(config: Config) -> dict[str, Inherited]:
    """Return, by table, the time that is taken from a parent by forekey.yaml (``time_from``)."""
    return {name: _inherited(config, name, ()) for name, t in config.tables.items() if t.time_from is not None}


def _inherited(config: Config, name: str, below: tuple[str, ...]) -> Inherited:
    entry = config.tables[name]
    via = entry.time_from or ""
    where = f"time_from of '{name}' in forekey.yaml"
    if name in below:
        raise SchemaError(f"{where} leads back to '{name}' itself. Give one of {', '.join(below)} a time_column.")
    if entry.time_column is not None:
        raise SchemaError(f"'{name}' has a time_column and a time_from in forekey.yaml. Remove one of the two.")
    if via not in entry.foreign_keys:
        raise SchemaError(
            f"{where} must name one of its foreign keys; '{via}' is none{did_you_mean(via, entry.foreign_keys)}."
        )
    parent = entry.foreign_keys[via].table
    known = config.tables.get(parent)
    if known is None or (known.time_column is None and known.time_from is None):
        raise SchemaError(f"{where}: '{parent}' has no time itself. Give it a time_column, or remove time_from.")
    time = time_column_name(known) or _inherited(config, parent, (*below, name)).column
    return Inherited(f"{via}.{time}", via, parent, time)


def time_column_name(table: TableConfig) -> str | None:
    """Return the column of the graph that holds a table's time: one of the table's own, or a computed one."""
    time = table.time
    if time is None or (time.column is not None and _in_place(time, table)):
        return time.column if time is not None else None
    return f"{', '.join(time.columns)} ({time.end} of {time.period})"


def is_end_of_period(time_column: str) -> bool:
    """Whether a computed time is the first moment after the period that its row names."""
    return " (end of " in time_column


def _in_place(time: TimeConfig, table: TableConfig) -> bool:
    """Whether a time takes the place of the column that it is read from: not of a year, a month, or a key."""
    key_columns = {part.strip() for key in (table.primary_key or "", *table.foreign_keys) for part in key.split(",")}
    return time.is_plain or (time.period == "day" and time.at is None and time.column not in key_columns)
