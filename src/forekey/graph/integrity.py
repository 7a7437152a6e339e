"""What is doubtful about a graph: keys, foreign keys, times. Read from a snapshot's own counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from forekey.graph.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should look at: where it is, what was seen, how to mend it."""

    where: str
    what: str
    how: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Integrity:
    """Errors make a graph unfit to learn from; warnings are worth a look."""

    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


_MEND = {
    "no key": "Rows without a primary key are left out. Mend them, or choose another primary_key.",
    "duplicate key": "Only the earliest row of each key is kept. Mend the table, or choose another primary_key.",
    "no time": "Rows without a time cannot be placed in time and are left out. Fill them, or remove time_column.",
}
_MAX_QUARANTINED = 0.5
_MAX_ORPHANS = 0.5


def check_integrity(snapshot: Snapshot) -> Integrity:
    """List what the build of a snapshot quarantined or could not connect."""
    errors: list[Finding] = []
    warnings: list[Finding] = []
    for name, entry in snapshot.manifest["tables"].items():
        if entry["read"] == 0:
            warnings.append(Finding(name, "the table is empty", "Load rows, or remove it from forekey.yaml."))
        for reason, count in entry["quarantined"].items():
            severe = count > _MAX_QUARANTINED * entry["read"]
            (errors if severe else warnings).append(
                Finding(name, f"{reason}: {count:,} of {entry['read']:,} rows", _MEND[reason])
            )
        for column, facts in entry["columns"].items():
            if entry["nodes"] and facts["null_rate"] == 1.0:
                warnings.append(Finding(f"{name}.{column}", "all values are NULL", "Set it to ignore in forekey.yaml."))
    for name, edge in snapshot.manifest["edges"].items():
        keys = edge["edges"] + edge["orphans"]
        if edge["orphans"]:
            severe = edge["orphans"] > _MAX_ORPHANS * keys
            (errors if severe else warnings).append(
                Finding(
                    name,
                    f"{edge['orphans']:,} of {keys:,} keys are found in no parent row",
                    "Load the missing parents, or check that the foreign key names the right table.",
                )
            )
    return Integrity(tuple(errors), tuple(warnings))
