"""What a champion reads, and how much each column counts for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forekey.features import FeatureSpec
from forekey.graph import to_micros
from forekey.registry import ModelVersion
from forekey.sampling import NeighborPlan


@dataclass(frozen=True)
class Watched:
    """One task's champion as the monitors need it.

    ``columns`` are those that it reads, by (table, column), each with how much it counts as a share of the strongest;
    None where that was not measured. ``trained_until`` is the moment of its snapshot (microseconds).
    """

    task: str
    version: ModelVersion
    trained_until: int
    columns: dict[tuple[str, str], float | None]
    plan: NeighborPlan

    @classmethod
    def of(cls, version: ModelVersion) -> Watched:
        """Read what a champion's folder and manifest say."""
        facts = version.manifest
        strengths = _strengths(facts.explanation.get("column", ()))
        columns = {c: strengths.get(c, 0.0) if strengths else None for c in sorted(_columns(version))}
        until = to_micros(datetime.fromisoformat(facts.snapshot_as_of))
        return cls(version.task, version, until, columns, NeighborPlan.from_dict(facts.neighbors))

    @property
    def tables(self) -> set[str]:
        """Return the tables of which it reads a column."""
        return {table for table, _ in self.columns}


def _strengths(effects: Any) -> dict[tuple[str, str], float]:
    found = {(e["table"], e["column"]): abs(float(e["effect"])) for e in effects if "column" in e and "table" in e}
    most = max(found.values(), default=0.0)
    return {name: round(size / most, 4) for name, size in found.items()} if most > 0 else {}


def _columns(version: ModelVersion) -> set[tuple[str, str]]:
    """Return the columns that a network encodes, and those that window features are computed of."""
    features, facts = version.features(), version.manifest
    specs = [features] if "tables" in features else [features["entities"], features["items"]]
    found: set[tuple[str, str]] = set()
    for data in specs:
        spec = FeatureSpec.from_dict(data)
        if facts.networks or spec.windows is None:
            found |= {(t.table, c.name) for t in spec.tables for c in t.columns}
        if spec.windows is not None:
            origins = [f.origin for f in spec.windows.features(facts.output.get("class_names") or (None,))]
            found |= {(o.table, o.column) for o in origins if o.column is not None}
    return found
