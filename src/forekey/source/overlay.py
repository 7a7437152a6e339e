"""The schema that a project means: what the database declares, as forekey.yaml overrules it."""

from __future__ import annotations

from forekey.errors import SchemaError
from forekey.project import Config, TableConfig
from forekey.schema import ColumnSchema, ForeignKey, Schema, Stype, TableSchema, did_you_mean
from forekey.source.protocol import Source, TableInfo


def configured_schema(source: Source, config: Config) -> Schema:
    """Return the schema of the configured tables with the types that the database has today.

    Only what stands in forekey.yaml takes part: a table or column that is not named there is ignored, so that a
    project keeps its meaning when the database grows.
    """
    found = {t.name: t for t in source.tables()}
    for name in config.tables:
        if name not in found:
            raise SchemaError(
                f"forekey.yaml names the table '{name}', but the source has none{did_you_mean(name, found)}. "
                "Remove it from tables:, or check source:."
            )
    return Schema(tuple(_table(found[name], entry) for name, entry in config.tables.items()))


def _table(info: TableInfo, entry: TableConfig) -> TableSchema:
    dtypes = {c.name: c.dtype for c in info.columns}
    named = [*entry.columns, *entry.foreign_keys, *filter(None, (entry.primary_key, entry.time_column))]
    for column in named:
        if column not in dtypes:
            raise SchemaError(
                f"forekey.yaml names the column '{info.name}.{column}', but the table has none"
                f"{did_you_mean(column, dtypes)}. Remove it, or check the table."
            )
    keys = {entry.primary_key, *entry.foreign_keys}
    stypes = dict(entry.columns)
    if entry.time_column is not None:
        stypes.setdefault(entry.time_column, Stype.TIMESTAMP)
    return TableSchema(
        name=info.name,
        columns=tuple(
            ColumnSchema(c.name, c.dtype, Stype.ID if c.name in keys else stypes[c.name])
            for c in info.columns
            if c.name in keys or c.name in stypes
        ),
        primary_key=entry.primary_key,
        time_column=entry.time_column,
        foreign_keys=tuple(ForeignKey(column, parent) for column, parent in entry.foreign_keys.items()),
    )
