"""What is different between two snapshots."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from forekey.graph.changes import schema_changes
from forekey.graph.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Difference:
    """Counts before and after: nodes and rows left out per table, edges and orphans per edge type; None if not there.

    ``null_rates`` holds the columns whose share of NULLs changed, as ``(before, after)``.
    """

    before: str
    after: str
    as_of: tuple[str, str]
    schema: list[str]
    nodes: dict[str, tuple[int | None, int | None]]
    quarantined: dict[str, tuple[int | None, int | None]]
    edges: dict[str, tuple[int | None, int | None]]
    orphans: dict[str, tuple[int | None, int | None]]
    null_rates: dict[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def compare(before: Snapshot, after: Snapshot) -> Difference:
    """Hold two snapshots against each other, by what their manifests say."""
    tables, edges = (before.manifest.tables, after.manifest.tables), (before.manifest.edges, after.manifest.edges)
    return Difference(
        before.id,
        after.id,
        (before.as_of.isoformat(), after.as_of.isoformat()),
        schema_changes(before.schema, after.schema),
        _pairs(*({n: t.nodes for n, t in part.items()} for part in tables)),
        _pairs(*({n: t.left_out for n, t in part.items()} for part in tables)),
        _pairs(*({n: e.edges for n, e in part.items()} for part in edges)),
        _pairs(*({n: e.orphans for n, e in part.items()} for part in edges)),
        {
            f"{name}.{column}": (was["null_rate"], now["null_rate"])
            for name in tables[0].keys() & tables[1].keys()
            for column, was in tables[0][name].columns.items()
            if (now := tables[1][name].columns.get(column)) is not None and now["null_rate"] != was["null_rate"]
        },
    )


def _pairs(one: dict[str, int], two: dict[str, int]) -> dict[str, tuple[int | None, int | None]]:
    return {name: (one.get(name), two.get(name)) for name in dict.fromkeys([*one, *two])}
