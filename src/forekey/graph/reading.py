"""Reading one table: whole, or only what is new, changed or gone since the last snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.errors import SnapshotError
from forekey.graph.block_store import Writer
from forekey.graph.change_detection import Seen, Survey, count_deleted, newest_update, read_deleted_keys, survey
from forekey.graph.key_index import KeyForm, KeyIndex, key_form, key_numbers, spelling_of
from forekey.graph.rows import Intake, Period, Staging, in_order, open_source, sql_moment
from forekey.graph.snapshot import Snapshot
from forekey.graph.table_writer import ROW_BLOCK, Draft, Kept, RowWriter, Written, read_rows
from forekey.graph.timestamps import MICROS_PER_DAY
from forekey.schema import EdgeType, OnOrphan, Schema
from forekey.source import Source

_MAX_ROWS = 2**31 - 1
_LONG_AGO = "0001-01-01 00:00:00"


@dataclass(frozen=True)
class ReadSettings:
    """How one table is read.

    ``lookback_days``: an update reads again what is newer than the newest row (and the newest change) less that.
    ``updated_at`` names the column with the time of a row's last change, ``deleted_at`` of its deletion. ``watermark``
    names the integer key of a table without times whose keys only grow and whose rows do not change: what is above the
    last is new.
    """

    lookback_days: float = 0.0
    updated_at: str | None = None
    deleted_at: str | None = None
    watermark: str | None = None

    @property
    def lookback(self) -> int:
        """The look-back in microseconds."""
        return int(self.lookback_days * MICROS_PER_DAY)


@dataclass(frozen=True)
class Build:
    """What every step of one build needs."""

    source: Source
    schema: Schema
    previous: Snapshot | None
    """The last snapshot, if rows may be taken from it: it does not reach beyond the moment to build for."""
    history: Snapshot | None
    """The last snapshot in any case: it knows what rows without a time were before."""
    full: bool
    as_of: int
    settings: Mapping[str, ReadSettings]
    writer: Writer
    engine: Any
    """The DuckDB that sorts (see :func:`forekey.graph.rows.sorting_engine`)."""
    late: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By table, the columns that the source got since the first snapshot: before, they were NULL."""
    configured: Mapping[str, str] = field(default_factory=dict)
    """By table, a hash of the settings on which it depends what is read."""

    @property
    def until(self) -> str:
        """The as-of time as SQL has it."""
        return sql_moment(self.as_of)

    def of(self, table: str) -> ReadSettings:
        """Return the settings of a table."""
        return self.settings.get(table, ReadSettings())

    def deleted(self, table: str) -> tuple[str, str] | None:
        """Return the column with the time at which rows were deleted, and the moment that counts."""
        column = self.of(table).deleted_at
        return (column, self.until) if column is not None else None

    def survey(self, table: str, mark: int, *, after: int | None = None) -> Survey:
        """Ask how a table stands up to a mark. That a row changed its time is known from ``updated_at``, if at all."""
        timed = self.of(table).updated_at is None
        return survey(self.source, self.schema.table(table), mark, self.deleted(table), after=after, timed=timed)

    def hashed(self, table: str) -> Literal["timed", "untimed"] | None:
        """Return how rows that are read now are hashed, so that the next update knows them again.

        Not at all where it could not, or where deleted rows count too, which are not read.
        """
        settings = self.of(table)
        placed = self.schema.table(table).time_column is not None or settings.watermark is not None
        if not placed or settings.deleted_at is not None:
            return None
        return "timed" if settings.updated_at is None else "untimed"

    def before(self, table: str) -> Snapshot | None:
        """Return the previous snapshot if it has this table, read as it is read now."""
        old = self.previous
        if old is None or table not in old.schema.names:
            return None
        same = Staging.of(old.schema, table) == Staging.of(self.schema, table)
        same = same and (old.manifest.configured or {}).get(table) == self.configured.get(table)
        parents = {fk.parent for fk in self.schema.table(table).foreign_keys}
        return old if same and all(same_key(old.schema, self.schema, p) for p in parents) else None

    def created_in(self, table: str) -> list[EdgeType]:
        """Return the foreign keys that make placeholders in a table."""
        return [e for e in self.schema.edge_types if e.parent == table and self.schema.on_orphan(e) is OnOrphan.CREATE]


def read_table(build: Build, name: str) -> Draft:
    """Read a table as it is now, from the source or, as far as it is known to be the same, from the last snapshot."""
    old = None if build.full or build.created_in(name) else build.before(name)
    draft = _read_new(build, name, old) if old is not None else None
    draft = draft if draft is not None else _read_whole(build, name)
    if draft.length > _MAX_ROWS:
        raise SnapshotError(f"Table '{name}' has more than {_MAX_ROWS:,} rows, which is more than a node type holds.")
    updated_at = build.of(name).updated_at
    if updated_at is not None:
        draft.updated_until = newest_update(build.source, build.schema.table(name), updated_at, build.until)
    draft.seen = _as_seen(build, draft)
    return draft


def same_key(old: Schema, new: Schema, table: str) -> bool:
    """Whether keys of a table mean in one schema what they mean in the other."""
    if table not in old.names or table not in new.names:
        return False
    key = old.table(table).primary_key
    if key is None or key != new.table(table).primary_key:
        return False
    return key_form(old, table) == key_form(new, table) and spelling_of(old, table) == spelling_of(new, table)


def moved_rows(build: Build, old: Snapshot, draft: Draft, name: str) -> NDArray[np.int32] | None:
    """Return where each old row stands now, -1 where it is gone; None if every one is in its place."""
    count = old.num_nodes(name)
    moved = np.full(count, -1, np.int32)
    moved[: draft.kept] = np.arange(draft.kept)
    table = build.schema.table(name)
    if same_key(old.schema, build.schema, name):
        moved[draft.kept :] = draft.index.find(old.index(name).numbers(count)[draft.kept :])
    elif table.primary_key is not None and table.primary_key == old.schema.table(name).primary_key:
        # The key's type changed: the rows are found again by how it is written.
        keys = spelling_of(build.schema, name).many(old.keys(name))
        numbers = key_numbers(keys, key_form(build.schema, name))
        moved[draft.kept :] = draft.index.find(numbers[draft.kept :])
    return None if np.array_equal(moved, np.arange(count)) else moved


def _read_whole(build: Build, name: str) -> Draft:
    staging, deleted = Staging.of(build.schema, name), build.deleted(name)
    draft = _write(build, staging, Period(build.until, deleted=deleted, hashed=build.hashed(name)), Kept(), "full")
    if deleted is not None:
        draft.deleted = count_deleted(build.source, staging.table, deleted)
        draft.read += draft.deleted
    old = build.previous
    if old is not None and name in old.schema.names:
        draft.moved = moved_rows(build, old, draft, name)
    return draft


@dataclass(frozen=True)
class _Changes:
    """What became of rows that the last snapshot has: those to leave out, and staged rows to put in."""

    removed: NDArray[np.int32]
    added: pa.Table | None = None
    late: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Hashes of added rows that the last snapshot had not seen at all, or had beyond the mark."""


def _read_new(build: Build, name: str, old: Snapshot) -> Draft | None:
    """Read rows that are new or changed; None if there is no telling, or others came or went."""
    table, settings = build.schema.table(name), build.of(name)
    if table.time_column is None:
        return _read_later_keys(build, name, old) if settings.watermark is not None else None
    entry = old.manifest.tables[name]
    seen = entry.seen
    if seen is None or entry.watermark is None or seen.mark != entry.watermark - settings.lookback:
        return None
    now = build.survey(name, seen.mark)
    length = int(old.visible(name, np.array([seen.mark]))[0])
    left_out = {reason: times[times <= seen.mark] for reason, times in old.dropped(name).items()}
    changes = _changes(build, name, old, seen.mark, length)
    if changes is not None and len(left_out.get("duplicate key", ())) and _touch_repeated(old, name, changes):
        return None  # one of the repeated rows may now be the first of its key
    expected = length + sum(map(len, left_out.values()))
    if changes is not None:
        expected += (len(changes.added) if changes.added is not None else 0) - len(changes.removed)
    if now.dated != expected or not seen.still(now, changes.late if changes is not None else None):
        return None
    draft = _merge(build, name, old, seen.mark, length, changes)
    _account(draft, now, left_out, old.repeated(name))
    draft.survey = (seen.mark, now)
    if draft.kept < old.num_nodes(name):
        draft.moved = moved_rows(build, old, draft, name)
    return draft


def _touch_repeated(old: Snapshot, name: str, changes: _Changes) -> bool:
    """Whether any row that changed has a key of which other rows were left out."""
    repeated = old.repeated(name)
    if repeated is None:
        return True
    touched = [old.index(name).numbers(old.num_nodes(name))[changes.removed]]
    if changes.added is not None:
        touched.append(changes.added.column("p").drop_null().to_numpy())
    return bool(np.isin(np.concatenate(touched), repeated).any())


def _read_later_keys(build: Build, name: str, old: Snapshot) -> Draft | None:
    """Read the rows above the last key; None if others came or went."""
    table, count = build.schema.table(name), old.num_nodes(name)
    seen = old.manifest.tables[name].seen
    if seen is None or table.primary_key is None:
        return None
    deleted = build.deleted(name)
    now = build.survey(name, seen.mark)
    repeated = old.dropped(name).get("duplicate key", np.empty(0, np.int64))
    if now.dated != count + len(repeated) or not seen.still(now):
        return None
    later = (table.primary_key, seen.mark)
    period = Period(build.until, deleted=deleted, later_keys=later, hashed=build.hashed(name))
    draft = _write(build, Staging.of(build.schema, name), period, _keep(old, name, count), "new rows")
    no_key = {"no key": np.zeros(now.undated, np.int64)} if now.undated else {}
    books = {"duplicate key": repeated, **no_key} if len(repeated) else no_key
    _account(draft, replace(now, undated=0), books, old.repeated(name))
    draft.read += now.undated
    draft.survey = (seen.mark, now)
    return draft


def _account(
    draft: Draft, known: Survey, left_out: dict[str, NDArray[np.int64]], repeated: NDArray[np.int64] | None
) -> None:
    """Add to the books of the new rows those of the rows that were known."""
    if repeated is not None:
        draft.repeated = np.union1d(draft.repeated, repeated)
    draft.read += known.dated + known.undated + known.deleted
    draft.undated, draft.deleted = known.undated, known.deleted
    for reason, times in left_out.items():
        draft.dropped[reason] = np.sort(np.concatenate([times, draft.dropped.get(reason, times[:0])]))


def _as_seen(build: Build, draft: Draft) -> Seen | None:
    """Ask how the table stands up to where the next update will begin, to know then whether it still stands so.

    None if that is not the way this table is updated, or if rows came or went while they were read.
    """
    table, mark = draft.staging.table, _mark(build, draft)
    if mark is None:
        return None
    known = draft.survey
    if draft.hashed is not None and build.of(table.name).lookback == 0:
        rows, checksum = draft.hashed
        return (
            Seen(mark, rows, checksum)
            if known is None
            else Seen(mark, known[1].rows + rows, known[1].checksum + checksum)
        )
    now = build.survey(table.name, mark, after=known[0] if known is not None else None)
    now = now if known is None else known[1].plus(now)
    return Seen(mark, now.rows, now.checksum) if now.dated == draft.rows_read_until(mark) else None


def _mark(build: Build, draft: Draft) -> int | None:
    """Return where the next update of a table will begin: at a moment, or above a key."""
    table = draft.staging.table
    settings = build.of(table.name)
    if table.time_column is not None:
        return draft.watermark - settings.lookback if draft.watermark is not None else None
    if settings.watermark is None or draft.length == 0 or draft.staging.own_form is not KeyForm.INTEGER:
        return None
    return int(read_rows(build.writer.pool, draft.blocks[-1]).column(table.primary_key)[-1].as_py())


def _changes(build: Build, name: str, old: Snapshot, mark: int, length: int) -> _Changes | None:
    """Ask the source, by its columns for that, which of the kept rows changed or were deleted; None if none did."""
    settings, table = build.of(name), build.schema.table(name)
    if table.primary_key is None or (settings.updated_at is None and settings.deleted_at is None):
        return None
    gone = []
    added, late = None, np.empty(0, np.int64)
    if settings.updated_at is not None:
        added = _read_changed(build, name, old, mark)
        rows = old.index(name).find(added.column("p").fill_null(0).to_numpy())
        rows[added.column("p").is_null().to_numpy()] = -1
        late = added.column("h").to_numpy()[(rows < 0) | (rows >= length)]
        gone.append(rows)
    if settings.deleted_at is not None:
        seen = sql_moment(old.manifest.as_of)
        keys = read_deleted_keys(build.source, table, settings.deleted_at, seen, build.until).drop_null()
        gone.append(old.index(name).find(key_numbers(keys, key_form(build.schema, name))))
    rows = np.unique(np.concatenate(gone))
    removed = rows[(rows >= 0) & (rows < length)].astype(np.int32)
    return _Changes(removed, added, late) if len(removed) or (added is not None and len(added)) else None


def _read_changed(build: Build, name: str, old: Snapshot, mark: int) -> pa.Table:
    """Read the rows up to the mark that say they changed since the last snapshot, or shortly before."""
    settings = build.of(name)
    since = old.manifest.tables[name].updated_until
    after = sql_moment(since - settings.lookback) if since is not None else _LONG_AGO  # nobody had asked yet
    period = Period(
        sql_moment(mark), None, False, build.deleted(name), (settings.updated_at or "", after), hashed="untimed"
    )
    return open_source(build.source, Staging.of(build.schema, name), period, Intake()).read_all()


def _merge(build: Build, name: str, old: Snapshot, edge: int, length: int, changes: _Changes | None) -> Draft:
    """Keep the rows before the first change; write the others again, changed, and the new ones behind them."""
    staging = Staging.of(build.schema, name)
    period = Period(build.until, sql_moment(edge), False, build.deleted(name), hashed=build.hashed(name))
    if changes is None:
        if length % ROW_BLOCK:
            old.verify_rows(name, length)  # the last block is written again: damage must not be
        return _write(build, staging, period, _keep(old, name, length), "new rows")
    first = int(changes.removed[0]) if len(changes.removed) else length
    if changes.added is not None and len(changes.added):
        old_times = old.times(name)
        assert old_times is not None
        earliest = staged_times(changes.added, staging).min()
        first = min(first, int(np.searchsorted(old_times[:length], earliest, "left")))
    old.verify_rows(name, first)  # these are written again: damage must not be
    still = np.setdiff1d(np.arange(first, length, dtype=np.int32), changes.removed)
    again = [staged_rows(old, staging, still), *([changes.added] if changes.added is not None else [])]
    draft = _write(build, staging, period, _keep(old, name, first), "new and changed rows", again)
    draft.read -= sum(map(len, again))
    return draft


def staged_times(rows: pa.Table, staging: Staging) -> NDArray[np.int64]:
    """Return the times of staged rows, all of which have one, in microseconds."""
    column = rows.column(staging.c(staging.table.time_column or ""))
    times: NDArray[np.int64] = column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    return times


def staged_rows(old: Snapshot, staging: Staging, rows: NDArray[np.int32]) -> pa.Table:
    """Return rows of a snapshot as they were staged, the numbers of their keys found again."""
    name = staging.table.name
    columns: dict[str, Any] = {
        staging.c(n): old.rows(name).column(n).take(pa.array(rows)) for n in old.rows(name).column_names
    }
    columns |= {staging.u(c): pa.array(np.isin(rows, unread)) for c, unread in old.unreadable(name).items()}
    if staging.table.primary_key is not None:
        columns["p"] = pa.array(old.index(name).numbers(old.num_nodes(name))[rows])
    for edge in old.edge_types:
        if edge.child == name:
            columns[staging.f(edge.column)] = numbers_of(old, edge, rows)
    return pa.table(columns)


def numbers_of(old: Snapshot, edge: EdgeType, rows: NDArray[np.int32]) -> pa.Array:
    """Return the numbers that a foreign key had in some rows: those of the parents, or kept for the orphans."""
    numbers = np.zeros(old.num_nodes(edge.child), np.int64)
    there = np.zeros(len(numbers), bool)
    parents = old.parents(edge)
    linked = parents >= 0
    numbers[linked] = old.index(edge.parent).numbers(old.num_nodes(edge.parent))[parents[linked]]
    orphan_rows, orphan_numbers = old.orphans(edge)
    numbers[orphan_rows] = orphan_numbers
    there[linked] = True
    there[orphan_rows] = True
    return pa.array(numbers[rows], mask=~there[rows])


def _keep(old: Snapshot, name: str, length: int) -> Kept:
    whole = length // ROW_BLOCK
    index = KeyIndex()
    if old.schema.table(name).primary_key is not None:
        every = length == old.num_nodes(name)
        index = old.index(name) if every else KeyIndex.build(old.index(name).numbers(old.num_nodes(name))[:length])
    rest = old.rows(name).slice(whole * ROW_BLOCK, length % ROW_BLOCK) if length % ROW_BLOCK else None
    times = old.times(name)
    unreadable = {c: kept for c, rows in old.unreadable(name).items() if len(kept := rows[rows < length])}
    return Kept(
        length,
        tuple(old.blocks(name)[:whole]),
        rest,
        index,
        times[:length] if times is not None else None,
        unreadable,
    )


def _write(
    build: Build, staging: Staging, period: Period, kept: Kept, how: str, again: Sequence[pa.Table] = ()
) -> Draft:
    """Write rows of the source, and others ``again``, behind those kept."""
    intake = Intake(read=sum(map(len, again)))
    incoming = [open_source(build.source, staging, period, intake), *again]
    try:
        with in_order(staging, incoming, build.engine) as rows:
            written = RowWriter(build.writer, staging, kept).write(rows)
    except (duckdb.Error, pa.ArrowException) as error:
        # What the source said came through DuckDB as text only.
        reason = str(error).strip().splitlines()[0]
        raise intake.error or SnapshotError(f"Table '{staging.table.name}' cannot be read: {reason}") from error
    draft = as_draft(build, staging, kept, written, intake.read, how)
    draft.hashed = (intake.rows, intake.checksum) if period.hashed is not None else None
    return draft


def as_draft(build: Build, staging: Staging, kept: Kept, written: Written, read: int, how: str) -> Draft:
    """Index what was written; rows that share a key are sorted out."""
    further = KeyIndex.build(written.numbers, kept.length) if written.numbers is not None else KeyIndex()
    if further.repeats:
        written = _first_of_each_key(build, staging, kept, written)
        further = KeyIndex.build(written.numbers, kept.length)  # type: ignore[arg-type]
    times = written.times
    if times is not None and kept.times is not None:
        times = np.concatenate([kept.times, times])
    return Draft(
        staging,
        written.blocks,
        kept.length + written.length,
        kept.length,
        times,
        kept.index.extend(further),
        written.foreign,
        None,
        read,
        written.undated,
        {reason: np.sort(t) for reason, t in written.dropped.items()},
        how,
        {
            c: np.concatenate([part[c] for part in (kept.unreadable, written.unreadable) if c in part])
            for c in sorted({*kept.unreadable, *written.unreadable})
        },
        written.repeated,
    )


def staged_again(build: Build, staging: Staging, written: Written, skip: int) -> pa.Table:
    """Return the rows just written (after ``skip`` blocks) as they were staged."""
    rows = pa.concat_tables([read_rows(build.writer.pool, b) for b in written.blocks[skip:]])
    rows = rows.slice(len(rows) - written.length)
    columns = {staging.c(n): rows.column(n) for n in rows.column_names}
    if written.numbers is not None:
        columns["p"] = pa.array(written.numbers)
    columns |= {staging.f(n): pa.array(numbers, mask=~there) for n, (numbers, there) in written.foreign.items()}
    first = sum(b.length for b in written.blocks) - written.length
    every = np.arange(first, first + written.length)
    columns |= {staging.u(c): pa.array(np.isin(every, unread)) for c, unread in written.unreadable.items()}
    return pa.table(columns)


def _first_of_each_key(build: Build, staging: Staging, kept: Kept, written: Written) -> Written:
    """Write rows again with only the earliest of each key; the others are counted as left out."""
    rows = staged_again(build, staging, written, len(kept.blocks))
    with in_order(staging, [rows], build.engine, first_of_key=True) as ordered:
        again = RowWriter(build.writer, staging, kept).write(ordered)
    gone = np.zeros(written.length - again.length, np.int64)
    if written.times is not None and again.times is not None:
        moments, before = np.unique(written.times, return_counts=True)
        after = np.searchsorted(again.times, moments, "right") - np.searchsorted(again.times, moments, "left")
        gone = np.repeat(moments, before - after)
    earlier = written.dropped.get("duplicate key", gone[:0])
    dropped = {**written.dropped, "duplicate key": np.concatenate([earlier, gone])}
    different, counts = np.unique(np.asarray(written.numbers), return_counts=True)
    repeated = np.union1d(written.repeated, different[counts > 1])
    return replace(again, undated=written.undated, dropped=dropped, repeated=repeated)
