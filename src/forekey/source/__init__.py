"""Databases in: connect, introspect, infer what is not declared, read Arrow batches."""

from forekey.source.connect import normalize_url, open_source
from forekey.source.infer import Guess, Inference, infer_schema
from forekey.source.overlay import configured_schema
from forekey.source.protocol import ColumnInfo, Source, TableInfo
from forekey.source.relbench import relbench_project, relbench_tasks

__all__ = [
    "ColumnInfo",
    "Guess",
    "Inference",
    "Source",
    "TableInfo",
    "configured_schema",
    "infer_schema",
    "normalize_url",
    "open_source",
    "relbench_project",
    "relbench_tasks",
]
