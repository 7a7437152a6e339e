"""What a champion reads, and how much each column counts for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forekey.features import CALENDAR, LABELS, FeatureSpec, Origin
from forekey.graph import to_micros
from forekey.registry import ModelVersion
from forekey.sampling import NeighborPlan


@dataclass(frozen=True)
class Watched:
    """One task's champion as the monitors need it.

    ``columns`` are those that it reads, by (table, column), each with how much it counts as a share of the strongest;
    None where that was not measured. ``tables`` are all whose rows it reads or counts, or that its labels are made of.
    ``trained_until`` is the moment of its snapshot (microseconds).
    """

    task: str
    version: ModelVersion
    trained_until: int
    columns: dict[tuple[str, str], float | None]
    tables: frozenset[str]
    plan: NeighborPlan

    @classmethod
    def of(cls, version: ModelVersion, targets: Iterable[str] = ()) -> Watched:
        """Read what a champion's folder and manifest say; ``targets`` are the tables that its labels are made of."""
        facts = version.manifest
        strengths = _strengths(facts.explanation.get("column", ()))
        specs = _specs(version)
        columns = {c: strengths.get(c, 0.0) if strengths else None for c in sorted(_columns(version, specs))}
        tables = {table for table, _ in columns} | _counted(version, specs) | set(targets)
        until = to_micros(datetime.fromisoformat(facts.snapshot_as_of))
        return cls(version.task, version, until, columns, frozenset(tables), NeighborPlan.from_dict(facts.neighbors))


def _strengths(effects: Any) -> dict[tuple[str, str], float]:
    found = {(e["table"], e["column"]): abs(float(e["effect"])) for e in effects if "column" in e and "table" in e}
    most = max(found.values(), default=0.0)
    return {name: round(size / most, 4) for name, size in found.items()} if most > 0 else {}


def _specs(version: ModelVersion) -> list[FeatureSpec]:
    features = version.features()
    data = [features] if "tables" in features else [features["entities"], features["items"]]
    return [FeatureSpec.from_dict(d) for d in data]


def _columns(version: ModelVersion, specs: list[FeatureSpec]) -> set[tuple[str, str]]:
    """Return the columns that a network encodes, and those that window features are computed of."""
    found = {(o.table, o.column) for o in _origins(version, specs) if o.column is not None}
    for spec in specs:
        if version.manifest.networks or spec.windows is None:
            found |= {(t.table, c.name) for t in spec.tables for c in t.columns}
    return found


def _counted(version: ModelVersion, specs: list[FeatureSpec]) -> set[str]:
    """Return the tables whose rows window features count, and those on the way to them."""
    found = {t for o in _origins(version, specs) for t in (o.table, *o.through)}
    return found - {CALENDAR, LABELS}


def _origins(version: ModelVersion, specs: list[FeatureSpec]) -> list[Origin]:
    classes = version.manifest.output.get("class_names") or (None,)
    return [f.origin for s in specs if s.windows is not None for f in s.windows.features(classes)]
