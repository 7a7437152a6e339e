"""Databases in: connect, introspect, infer what is not declared, read Arrow batches."""

from forekey.source.configured import ConfiguredSource
from forekey.source.connect import normalize_url, open_source, shown_url, source_on_demand
from forekey.source.dates import exchanged as exchanged_format
from forekey.source.guess_leaks import FEWEST_ROWS, MOST_LATER, TOGETHER, YEARS
from forekey.source.guess_times import MOST_PARTS
from forekey.source.guesses import LIKELY, SURE, Guess
from forekey.source.infer import Inference, infer_schema
from forekey.source.key_sql import WHOLE_NUMBER, bare_uuid, is_written, key_sql, spelled, why_no_key, written
from forekey.source.names import names_own_time, names_parts, names_plan, names_year, one_of
from forekey.source.overlay import configured_schema, unnamed_columns
from forekey.source.protocol import ColumnInfo, Source, TableInfo
from forekey.source.readings import read_boolean, read_moment, read_number
from forekey.source.relbench import read_manifest, relbench_project, relbench_tasks
from forekey.source.times import is_end_of_period

__all__ = [
    "FEWEST_ROWS",
    "LIKELY",
    "MOST_LATER",
    "MOST_PARTS",
    "SURE",
    "TOGETHER",
    "WHOLE_NUMBER",
    "YEARS",
    "ColumnInfo",
    "ConfiguredSource",
    "Guess",
    "Inference",
    "Source",
    "TableInfo",
    "bare_uuid",
    "configured_schema",
    "exchanged_format",
    "infer_schema",
    "is_end_of_period",
    "is_written",
    "key_sql",
    "names_own_time",
    "names_parts",
    "names_plan",
    "names_year",
    "normalize_url",
    "one_of",
    "open_source",
    "read_boolean",
    "read_manifest",
    "read_moment",
    "read_number",
    "relbench_project",
    "relbench_tasks",
    "shown_url",
    "source_on_demand",
    "spelled",
    "unnamed_columns",
    "why_no_key",
    "written",
]
