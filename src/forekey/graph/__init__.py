"""Snapshots: tables become node types, foreign keys edge types, rows nodes."""

from forekey.graph.build import build_snapshot
from forekey.graph.clock import MICROS_PER_DAY, Micros, from_micros, in_utc, to_micros, utc_now
from forekey.graph.integrity import Finding, Integrity, check_integrity
from forekey.graph.keys import stored_key
from forekey.graph.snapshot import Snapshot, SnapshotStore

__all__ = [
    "MICROS_PER_DAY",
    "Finding",
    "Integrity",
    "Micros",
    "Snapshot",
    "SnapshotStore",
    "build_snapshot",
    "check_integrity",
    "from_micros",
    "in_utc",
    "stored_key",
    "to_micros",
    "utc_now",
]
