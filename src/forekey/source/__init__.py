"""Databases in: connect, introspect, infer what is not declared, read Arrow batches."""

from forekey.source.connect import normalize_url, open_source
from forekey.source.infer import Guess, Inference, infer_schema
from forekey.source.inherited import with_inherited_times
from forekey.source.keys import WHOLE_NUMBER, bare_uuid, key_sql, spelled
from forekey.source.overlay import configured_schema, unnamed_columns
from forekey.source.protocol import ColumnInfo, Source, TableInfo
from forekey.source.relbench import read_manifest, relbench_project, relbench_tasks

__all__ = [
    "WHOLE_NUMBER",
    "ColumnInfo",
    "Guess",
    "Inference",
    "Source",
    "TableInfo",
    "bare_uuid",
    "configured_schema",
    "infer_schema",
    "key_sql",
    "normalize_url",
    "open_source",
    "read_manifest",
    "relbench_project",
    "relbench_tasks",
    "spelled",
    "unnamed_columns",
    "with_inherited_times",
]
