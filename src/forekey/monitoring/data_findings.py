"""What drift of columns, edges and arrivals means: findings in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from forekey.monitoring.arrivals import DEVIATIONS, RATIO, Arrivals, LeftOut, Silence
from forekey.monitoring.columns import ColumnDrift
from forekey.monitoring.connections import EdgeDrift
from forekey.monitoring.finding import Finding
from forekey.monitoring.series import Expected
from forekey.monitoring.shift import Shift, discover

_WORSE = 2.5
_COUNTS = 0.1
"""The weight from which on a column that moved is critical; the strongest column has 1."""
_HARDLY = 0.005
"""A column of less weight must move twice as far to be worth a warning."""
_MUCH = 0.2
_CHANGE = 0.25


def discovered(
    columns: Sequence[ColumnDrift], edges: Sequence[EdgeDrift], left_out: Sequence[LeftOut]
) -> tuple[list[ColumnDrift], list[EdgeDrift], list[LeftOut]]:
    """Mark the shifts of one look that are significant among all of them."""
    every = [s for measured in (columns, edges) for one in measured for s in one.shifts]
    marked = iter(discover([*every, *(r.shift for r in left_out)]))
    new_columns = [replace(c, shape=next(marked), nulls=next(marked), unseen=next(marked)) for c in columns]
    new_edges = [replace(e, orphans=next(marked), null_keys=next(marked), degrees=next(marked)) for e in edges]
    return new_columns, new_edges, [replace(r, shift=next(marked)) for r in left_out]


def of_column(drift: ColumnDrift, tasks: tuple[str, ...]) -> Iterator[Finding]:
    """Return what moved in a column: the shape of its values, its NULLs, values never seen before."""
    weight = drift.weight
    strict = 2.0 if weight is not None and weight < _HARDLY else 1.0
    matters = weight is None or weight >= _COUNTS
    again = f"`forekey retrain {tasks[0]}`" if tasks else "train again"
    cause = f"Look at what writes {drift.name}; if this is how things are now, {again}."
    counted = "" if weight is None else f"; {_in_model(weight)}"
    days = f" in the last {drift.days} days" if drift.days else ""

    def finding(monitor: str, kind: str, shift: Shift, critical: float) -> Finding:
        what = (
            f"{drift.what[kind]}{days}{counted}" if kind != "shape" else f"{drift.what[kind]}{days} ({index}{counted})"
        )
        return Finding(
            monitor, drift.name, shift.size, shift.allowed * strict, critical if matters else None, shift.significant,
            what, drift.since[kind], cause, tasks,
        )  # fmt: skip

    index = f"stability index {drift.shape.size:.2f}, {drift.shape.allowed * strict:.2g} is allowed"
    worst = _WORSE * strict
    yield finding("column drift", "shape", drift.shape, worst * drift.shape.allowed)
    yield finding("missing values", "nulls", drift.nulls, max(_MUCH, worst * drift.nulls.allowed))
    yield finding("new values", "unseen", drift.unseen, max(_MUCH, worst * drift.unseen.allowed))


def _in_model(weight: float) -> str:
    return f"counts {weight:.0%} as much as the strongest column"


def of_edge(drift: EdgeDrift, child: str, column: str, parent: str, tasks: tuple[str, ...]) -> Iterator[Finding]:
    """Return what moved along a foreign key."""
    name, days = f"{child}.{column}", f"in the last {drift.days} days"
    lost, empty = drift.orphan_rate, drift.null_rate
    for monitor, shift, what, since, todo in (
        (
            "orphans", drift.orphans,
            f"{lost[1]:.1%} of the rows {days} name no row of {parent}; {lost[0]:.1%} did before",
            drift.since[0], f"Look at the load of {parent}: `forekey check` lists keys that it lacks.",
        ),
        (
            "missing keys", drift.null_keys,
            f"{empty[1]:.1%} of the rows {days} have no {column}; {empty[0]:.1%} had none before",
            drift.since[1], f"Look at what writes {name}: these rows belong to no {parent}.",
        ),
    ):  # fmt: skip
        critical = max(0.1, _WORSE * shift.allowed)
        yield Finding(monitor, name, shift.size, shift.allowed, critical, shift.significant, what, since, todo, tasks)
    before, now = drift.mean_degree
    yield Finding(
        "degree", drift.edge_type, drift.degrees.size, drift.degrees.allowed, None, drift.degrees.significant,
        f"{now:.3g} rows of {child} for each of {parent} that has any, {days}; {before:.3g} before", None,
        f"Look at what loads {child}: rows may be doubled, or missing.", tasks,
    )  # fmt: skip
    for monitor, expected, what in (
        ("idle entities", drift.idle, f"of {parent} got no row of {child}"),
        ("new entities", drift.new_parents, f"of {parent} that got a row of {child} had none before"),
        ("cut neighbourhoods", drift.cut, f"of {parent} have more rows of {child} by now than the model samples"),
    ):
        if expected is not None:
            # Whose neighbourhoods are cut is a state, not something of a period.
            said = what if monitor == "cut neighbourhoods" else f"{what} {days}"
            yield _of_series(monitor, drift.edge_type, expected, said, tasks)


def _of_series(monitor: str, subject: str, found: Expected, what: str, tasks: tuple[str, ...]) -> Finding:
    counts = found.is_extreme and abs(found.change) > _CHANGE and abs(found.value - found.expected) > 0.02
    said = f"{found.value:.1%} {what}; {max(found.expected, 0.0):.1%} was expected"
    todo = f"Look at who {subject.split('->')[-1]} are now; a model trained before knows less of them."
    return Finding(monitor, subject, abs(found.deviations), DEVIATIONS, None, counts, said, None, todo, tasks)


def of_arrivals(found: Arrivals, tasks: tuple[str, ...]) -> Finding:
    """Return whether rows came as they usually do."""
    unit = "day" if found.days == 1 else f"{found.days} days"
    counts = not 1 / RATIO <= found.ratio <= RATIO
    what = f"{found.rows:,} rows in the {unit} from {found.begins[:10]}, {found.usual:,.0f} are usual"
    todo = f"Look at the load of {found.table} on that day: " + (
        "rows may have been loaded twice." if found.ratio > 1 else "rows may be missing."
    )
    critical = 4 * DEVIATIONS if found.is_newest else None
    return Finding(
        "rows per day", found.table, abs(found.deviations), DEVIATIONS, critical, counts, what, found.since,
        todo, tasks,
    )  # fmt: skip


def of_silence(found: Silence, tasks: tuple[str, ...]) -> Finding:
    """Return whether a table has been without a new row for too long."""
    what = f"no row for {found.days:.1f} days; in the year before, the longest such time was {found.longest_before:.1f}"
    return Finding(
        "age of newest row", found.table, found.days, round(found.allowed, 3), round(_WORSE * found.allowed, 3), True,
        what, found.newest, f"Look at what loads {found.table}: it seems to have stopped.", tasks,
    )  # fmt: skip


def of_left_out(found: LeftOut, tasks: tuple[str, ...]) -> Finding:
    """Return whether more rows than usual could not become nodes."""
    table, shift, rate = found.table, found.shift, (found.before, found.now)
    return Finding(
        "rows left out", table, shift.size, shift.allowed, max(0.1, _WORSE * shift.allowed), shift.significant,
        f"{rate[1]:.1%} of the new rows have no usable key; {rate[0]:.1%} had none before", None,
        f"`forekey check` says which keys of {table} are doubled or missing.", tasks,
    )  # fmt: skip


def of_schema(changes: Iterable[str], tasks: tuple[str, ...]) -> Finding:
    """Return what is different in the schema from the one that models were trained on."""
    found = list(changes)
    return Finding(
        "schema", "schema", float(len(found)), 1.0, None, True, "; ".join(found[:5]), None,
        "See `forekey snapshot --diff`; train again where new columns should count.", tasks,
    )  # fmt: skip
