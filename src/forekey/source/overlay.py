"""The schema that a project means: what the database declares, as forekey.yaml overrules it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from forekey.errors import SchemaError, SourceError
from forekey.project import Config, TableConfig
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema, did_you_mean, key_parts
from forekey.source.key_sql import why_no_key
from forekey.source.protocol import Source, TableInfo
from forekey.source.times import inherited_times, time_column_name


def configured_schema(source: Source, config: Config, known: Collection[tuple[str, str]] = ()) -> Schema:
    """Return the schema of the configured tables with the types that the database has today.

    Only what stands in forekey.yaml takes part: a table or column that is not named there is ignored, so that a
    project keeps its meaning when the database grows. A column that is no key and no time, and that was there once
    (``known``, as table and column), may be gone: it is left out. Anything else that is missing is an error.
    """
    found = {t.name: t for t in source.tables()}
    for name in config.tables:
        if name in found and (why := found[name].unreadable) is not None:
            raise SourceError(f"{why.rstrip('.')}. Mend that, or remove '{name}' from tables: in forekey.yaml.")
        if name not in found:
            raise SchemaError(
                f"forekey.yaml names the table '{name}', but the source has none{did_you_mean(name, found)}. "
                "Remove it from tables:, or check source:."
            )
    times = inherited_times(config)
    tables = []
    for name, entry in config.tables.items():
        columns = {c.name for c in found[name].columns}
        kept = {c: s for c, s in entry.columns.items() if c in columns or (name, c) not in known}
        time = times[name].column if name in times else time_column_name(entry)
        tables.append(_table(found[name], entry.model_copy(update={"columns": kept}), time))
    return Schema(tuple(tables))


def unnamed_columns(source: Source, config: Config) -> list[tuple[str, str]]:
    """Return the columns that configured tables have in the database and not in forekey.yaml."""
    times = inherited_times(config)
    return [
        (table.name, column.name)
        for table in source.tables()
        if (entry := config.tables.get(table.name)) is not None
        for column in table.columns
        if column.name
        not in {
            *entry.columns,
            entry.primary_key,
            time_column_name(entry),
            *(entry.time.columns if entry.time is not None else ()),
            *_key_parts(entry, [c.name for c in table.columns]),
        }
        and (table.name not in times or column.name != times[table.name].column)
    ]


def _key_parts(entry: TableConfig, columns: Collection[str]) -> set[str]:
    keys = (*entry.foreign_keys, entry.primary_key or "", entry.updated_at or "", entry.deleted_at or "")
    return {part for key in keys for part in key_parts(key, columns) or ()}


def _table(info: TableInfo, entry: TableConfig, time: str | None) -> TableSchema:
    dtypes = {c.name: c.dtype for c in info.columns}
    keys = {k for k in (entry.primary_key, *entry.foreign_keys) if k is not None}
    composite = {k: key_parts(k, dtypes) or tuple(p.strip() for p in k.split(",")) for k in keys if k not in dtypes}
    told = entry.time.columns if entry.time is not None else ()
    roles = (*entry.foreign_keys, entry.primary_key, *told, entry.updated_at, entry.deleted_at)
    simple = [k for k in roles if k and k not in composite]
    for column in [*entry.columns, *simple, *(p for parts in composite.values() for p in parts)]:
        if column not in dtypes:
            raise SchemaError(
                f"forekey.yaml names the column '{info.name}.{column}', but the table has none"
                f"{did_you_mean(column, dtypes)}. Remove it, or check the table."
            )
    if entry.watermark is not None and (
        entry.watermark != entry.primary_key or dtypes[entry.watermark] is not DType.INTEGER or time
    ):
        raise SchemaError(
            f"watermark of '{info.name}' must name the table's integer primary key, and the table have no time_column. "
            "Remove it from forekey.yaml."
        )
    if entry.updated_at is not None and entry.primary_key is None:
        raise SchemaError(
            f"'{info.name}' has an updated_at and no primary_key in forekey.yaml: which row changed, only a key tells. "
            "Name the key, or remove updated_at."
        )
    kinds = {c.name: (c.dtype, c.sql_type) for c in info.columns}
    for column in (part for k in sorted(keys) for part in composite.get(k, (k,))):
        if (why := why_no_key(*kinds[column])) is not None:
            raise SchemaError(f"'{info.name}.{column}': {why}. Remove that key from forekey.yaml.")
    stypes = {column: told.type for column, told in entry.readings.items()}
    for column, stype in stypes.items():
        if stype is Stype.TIMESTAMP and dtypes[column] in {DType.INTEGER, DType.FLOAT}:
            raise SchemaError(
                f"'{info.name}.{column}' is stored as {dtypes[column]}; as a timestamp, say what its numbers count: "
                f"{column}: {{type: timestamp, unit: s}} (or ms, us, ns, yyyymmdd, year, julian) in forekey.yaml."
            )
    if time is not None:
        stypes[time] = Stype.TIMESTAMP
    typed = {c.name: ColumnSchema(c.name, c.dtype, Stype.ID, case=c.case) for c in info.columns}
    return TableSchema(
        name=info.name,
        columns=tuple(
            ColumnSchema(c.name, c.dtype, Stype.ID if c.name in keys else stypes[c.name], case=c.case)
            for c in info.columns
            if c.name in keys or c.name in stypes
        )
        + tuple(replace(ColumnSchema.composite(parts, typed), name=name) for name, parts in composite.items()),
        primary_key=entry.primary_key,
        time_column=time,
        foreign_keys=tuple(ForeignKey(c, fk.table, fk.on_orphan) for c, fk in entry.foreign_keys.items()),
    )
