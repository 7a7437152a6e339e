"""What is different between two schemas, and between a schema and what the source has, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from forekey.schema import Schema, TableSchema

if TYPE_CHECKING:
    from forekey.graph.manifest import SnapshotManifest


def late_columns(before: SnapshotManifest | None, columns: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """Return, by table, the columns that the source got after the first snapshot; ``before`` is the last manifest."""
    if before is None:
        return {}
    found = {}
    for table, names in columns.items():
        known, late = before.columns.get(table, ()), before.late.get(table, ())
        kept = (set(names) - set(known)) | (set(late) & set(names))
        if kept:
            found[table] = frozenset(kept)
    return found


def unnamed(
    before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]], schema: Schema
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the tables and the columns that the source got since the last snapshot and the schema does not have.

    ``before`` and ``now`` are the columns of all tables of the source. Of a table that is new, or had no columns that
    could be read, only the table is named.
    """
    have = {t.name: {c.name for c in t.columns} for t in schema.tables}
    columns = [(t, c) for t in have if before.get(t) for c in set(now.get(t, ())) - set(before[t]) - have[t]]
    return sorted(t for t, names in now.items() if names and t not in have and not before.get(t)), sorted(columns)


def schema_changes(
    old: Schema, new: Schema, tables: Sequence[str] = (), columns: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """Name every difference: tables and columns added, dropped, of another type or meaning, keys that changed.

    A column that was renamed shows as one dropped and one added. ``tables`` and ``columns`` are those that the source
    got and forekey.yaml does not name.
    """
    found = [f"table '{n}' dropped" for n in old.names if n not in new.names]
    for table in new.tables:
        if table.name not in old.names:
            found.append(f"table '{table.name}' added")
        else:
            found += [f"{table.name}: {what}" for what in _table_changes(old.table(table.name), table)]
    found += [f"{t}: column '{c}' added in the source; forekey.yaml does not name it" for t, c in columns]
    return [*found, *(f"table '{t}' added in the source; forekey.yaml does not name it" for t in tables)]


def retyped(old: Schema, new: Schema, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name the columns that the database stores otherwise than before, though the family is the same: wider, longer.

    ``before`` and ``now`` hold the database's own words for its types, by table and column.
    """
    found = []
    for table in (t for t in new.tables if t.name in old.names):
        was, is_ = before.get(table.name, {}), now.get(table.name, {})
        known = {c.name: c.dtype for c in old.table(table.name).columns}
        for column in table.columns:
            one, two = was.get(column.name), is_.get(column.name)
            if one and two and one != two and known.get(column.name) == column.dtype:
                found.append(f"{table.name}: column '{column.name}' was stored as {one}, is stored as {two}")
    return found


def _table_changes(old: TableSchema, new: TableSchema) -> list[str]:
    before, now = ({c.name: c for c in t.columns} for t in (old, new))
    found = [f"column '{n}' dropped" for n in before if n not in now]
    found += [f"column '{n}' added" for n in now if n not in before]
    for name in before.keys() & now.keys():
        for what in ("dtype", "stype"):
            was, is_ = getattr(before[name], what), getattr(now[name], what)
            if was != is_:
                found.append(f"column '{name}' was {was}, is {is_}")
    for role in ("primary_key", "time_column"):
        if getattr(old, role) != getattr(new, role):
            found.append(f"{role} was {getattr(old, role)}, is {getattr(new, role)}")
    keys = {fk.column: fk.parent for fk in old.foreign_keys}, {fk.column: fk.parent for fk in new.foreign_keys}
    found += [f"foreign key '{c}' -> '{p}' dropped" for c, p in keys[0].items() if keys[1].get(c) != p]
    found += [f"foreign key '{c}' -> '{p}' added" for c, p in keys[1].items() if keys[0].get(c) != p]
    return sorted(found)
