"""Databases in: connect, introspect, infer what is not declared, read Arrow batches."""

from forekey.source.connect import (
    PASSWORD_VARIABLE,
    normalize_url,
    open_source,
    password_of,
    source_on_demand,
    without_secret,
)
from forekey.source.infer import Guess, Inference, infer_schema
from forekey.source.inherited import with_inherited_times
from forekey.source.keys import WHOLE_NUMBER, bare_uuid, is_written, key_sql, spelled, why_no_key, written
from forekey.source.overlay import configured_schema, unnamed_columns
from forekey.source.protocol import ColumnInfo, Source, TableInfo
from forekey.source.relbench import read_manifest, relbench_project, relbench_tasks

__all__ = [
    "PASSWORD_VARIABLE",
    "WHOLE_NUMBER",
    "ColumnInfo",
    "Guess",
    "Inference",
    "Source",
    "TableInfo",
    "bare_uuid",
    "configured_schema",
    "infer_schema",
    "is_written",
    "key_sql",
    "normalize_url",
    "open_source",
    "password_of",
    "read_manifest",
    "relbench_project",
    "relbench_tasks",
    "source_on_demand",
    "spelled",
    "unnamed_columns",
    "why_no_key",
    "with_inherited_times",
    "without_secret",
    "written",
]
