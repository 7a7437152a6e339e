"""What is doubtful about a graph: keys, foreign keys, times. Read from a snapshot's own counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forekey.graph.change_detection import count_future
from forekey.graph.density import dense_period
from forekey.graph.findings import Finding
from forekey.graph.leakage_checks import leakage_risks
from forekey.graph.snapshot import Snapshot
from forekey.graph.timestamps import to_micros
from forekey.notebooks import as_table
from forekey.schema import Schema, Stype
from forekey.source import Source, names_own_time


@dataclass(frozen=True, slots=True)
class Integrity:
    """Errors make a graph unfit to learn from; warnings are worth a look; notes say what is so by choice."""

    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Integrity({len(self.errors)} errors, {len(self.warnings)} warnings)"

    def _repr_html_(self) -> str:
        found = [("error", f) for f in self.errors] + [("warning", f) for f in self.warnings]
        rows = ([level, f.where, f.what, f.how] for level, f in found)
        return as_table(["", "where", "what", "how to mend it"], rows, " ".join([repr(self), *self.notes]))


_MEND = {
    "deleted": "Rows that deleted_at marks as deleted are left out. This is as it should be.",
    "no key": "Rows without a primary key are left out. Mend them, or choose another primary_key.",
    "duplicate key": "Only the earliest row of each key is kept. Mend the table, or choose another primary_key.",
    "no time": "Rows whose time is missing or does not read as one are left out. Mend them, or remove time_column.",
}
_MAX_QUARANTINED = 0.5
_MAX_ORPHANS = 0.5
_MOST_NAMED = 8


def check_times(source: Source, schema: Schema, now: datetime) -> Iterator[Finding]:
    """List tables of the source that have rows from the future."""
    for table in schema.tables:
        rows = count_future(source, table, now.isoformat(sep=" "))
        if rows:
            yield Finding(
                f"{table.name}.{table.time_column}",
                f"{rows:,} rows are later than now",
                "They stay out until their time comes. Mend them if they are mistakes.",
            )


def untimed_note(schema: Schema) -> str | None:
    """Say which tables have no time and what that means; None if all have one."""
    names = [t.name for t in schema.tables if t.time_column is None]
    if not names:
        return None
    dated = [
        f"{t.name}.{c.name}"
        for t in schema.tables
        if t.name in names
        for c in t.columns
        if c.stype is not Stype.ID and names_own_time(t.name, c.name)
    ]
    more = f" and {len(dated) - _MOST_NAMED} more" if len(dated) > _MOST_NAMED else ""
    hint = f" These may say when: {', '.join(dated[:_MOST_NAMED])}{more}." if dated else ""
    return (
        f"No time: {', '.join(names)}. Their rows count as known at every moment, also before they came to be. That is "
        f"right for lists that do not change; else set time_column (a year will do) in forekey.yaml.{hint}"
    )


def check_integrity(snapshot: Snapshot) -> Integrity:
    """List what the build of a snapshot quarantined or could not connect."""
    errors: list[Finding] = []
    warnings: list[Finding] = []
    for name, entry in snapshot.manifest.tables.items():
        if entry.read == 0:
            warnings.append(Finding(name, "the table is empty", "Load rows, or remove it from forekey.yaml."))
        for reason, count in entry.quarantined.items():
            severe = count > _MAX_QUARANTINED * entry.read
            (errors if severe else warnings).append(
                Finding(name, f"{reason}: {count:,} of {entry.read:,} rows", _MEND[reason])
            )
        if entry.placeholders:
            what = f"{entry.placeholders:,} placeholders stand for rows that are not there"
            warnings.append(Finding(name, what, "Load the missing rows."))
        for column, count in entry.unreadable.items():
            stype = snapshot.schema.table(name).column(column).stype
            what = f"{count:,} values do not read as {stype}; they are NULL in the graph"
            warnings.append(Finding(f"{name}.{column}", what, "Mend them, or set another type in forekey.yaml."))
        if entry.nodes:
            warnings += [
                Finding(f"{name}.{column}", said, "Set another type, or ignore, in forekey.yaml.")
                for column, facts in entry.columns.items()
                if (said := _says_nothing(facts, entry.nodes)) is not None
            ]
    for name, edge in snapshot.manifest.edges.items():
        keys = edge.edges + edge.orphans
        if edge.orphans:
            severe = edge.orphans > _MAX_ORPHANS * keys
            (errors if severe else warnings).append(
                Finding(
                    name,
                    f"{edge.orphans:,} of {keys:,} keys are found in no parent row",
                    "Load the missing parents, or check that the foreign key names the right table.",
                )
            )
    return Integrity(tuple(errors), (*warnings, *_stray_rows(snapshot), *leakage_risks(snapshot)))


def _stray_rows(snapshot: Snapshot) -> Iterator[Finding]:
    """List rows whose time lies far from that of all others in their table."""
    for table in snapshot.schema.tables:
        times = snapshot.times(table.name)
        dense = dense_period(times) if times is not None else None
        if dense is None:
            continue
        for said in dense.strays():
            how = "Mend them if they are mistakes: tasks leave the time between out."
            if dense.after and int(dense.after[-1]) == to_micros(snapshot.as_of) and said.endswith("after all others"):
                how = "Mend them if they are mistakes, or set as_of in forekey.yaml: predictions are as of them."
            yield Finding(f"{table.name}.{table.time_column}", said, how)


def _says_nothing(facts: dict[str, Any], nodes: int) -> str | None:
    """Return what is wrong with a column that has one value only."""
    if facts["null_rate"] == 1.0:
        return "all values are NULL, or none reads as its column type"
    if nodes < 2 or facts["null_rate"] > 0:
        return None
    quantiles, top = facts.get("quantiles"), facts.get("top")
    alike = (quantiles and quantiles[0] == quantiles[-1]) or (top and len(top) == 1)
    return "all values are the same" if alike else None
