"""What is different between two schemas, in words."""

from __future__ import annotations

from forekey.schema import Schema, TableSchema


def schema_changes(old: Schema, new: Schema) -> list[str]:
    """Name every difference: tables and columns added, dropped, of another type or meaning, keys that changed.

    A column that was renamed shows as one dropped and one added.
    """
    found = [f"table '{n}' dropped" for n in old.names if n not in new.names]
    for table in new.tables:
        if table.name not in old.names:
            found.append(f"table '{table.name}' added")
        else:
            found += [f"{table.name}: {what}" for what in _table_changes(old.table(table.name), table)]
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
