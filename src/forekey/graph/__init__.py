"""Snapshots: tables become node types, foreign keys edge types, rows nodes."""

from forekey.graph.adjacency import Adjacency, Presence
from forekey.graph.build import build_snapshot
from forekey.graph.changes import schema_changes
from forekey.graph.compare import Difference, compare
from forekey.graph.density import Dense, dense_period
from forekey.graph.doubts import check_readings
from forekey.graph.findings import Finding
from forekey.graph.integrity import Integrity, check_integrity, check_times, untimed_note
from forekey.graph.key_index import Spelling
from forekey.graph.leakage_checks import leakage_risks
from forekey.graph.manifest import EdgeManifest, SnapshotManifest, TableManifest
from forekey.graph.reading import ReadSettings
from forekey.graph.row_access import take_rows, take_values
from forekey.graph.rows import key_values
from forekey.graph.seeds import Seeds
from forekey.graph.snapshot import Snapshot, SnapshotStore
from forekey.graph.statistics import with_moments
from forekey.graph.timestamps import MICROS_PER_DAY, Micros, from_micros, in_utc, to_micros, utc_now
from forekey.graph.view import GraphView

__all__ = [
    "MICROS_PER_DAY",
    "Adjacency",
    "Dense",
    "Difference",
    "EdgeManifest",
    "Finding",
    "GraphView",
    "Integrity",
    "Micros",
    "Presence",
    "ReadSettings",
    "Seeds",
    "Snapshot",
    "SnapshotManifest",
    "SnapshotStore",
    "Spelling",
    "TableManifest",
    "build_snapshot",
    "check_integrity",
    "check_readings",
    "check_times",
    "compare",
    "dense_period",
    "from_micros",
    "in_utc",
    "key_values",
    "leakage_risks",
    "schema_changes",
    "take_rows",
    "take_values",
    "to_micros",
    "untimed_note",
    "utc_now",
    "with_moments",
]
