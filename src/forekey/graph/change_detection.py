"""What an update asks of a table before it reads any row: what is there, what is new, what is gone.

Whether the rows up to a mark (a moment, or a key) are still those that were read is decided by their number and by a
checksum: the sum of a hash of each row's time and key (but for keys of text), taken by the database itself. It is
compared with the one of the rows that were read, whose hashes the same database gave; if it differs, the table is read
whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlglot import exp

from forekey.graph.key_index import Spelling
from forekey.graph.rows import (
    alive,
    key_values,
    quoted,
    row_hash,
    sql_moment,
    time_of,
    timestamp,
    total,
    written_keys,
)
from forekey.graph.timestamps import to_micros
from forekey.schema import TableSchema
from forekey.source import Source


@dataclass(frozen=True, slots=True)
class Survey:
    """Rows at or before a mark, deleted or not, with their checksum; and counts of rows by what becomes of them."""

    rows: int
    checksum: int
    dated: int
    """Rows at or before the mark that are not deleted."""
    undated: int
    """Rows without a time (without a key, where the mark is one), not deleted."""
    deleted: int

    def plus(self, later: Survey) -> Survey:
        """Return the survey of both stretches of a table together."""
        return replace(
            later,
            rows=self.rows + later.rows,
            checksum=self.checksum + later.checksum,
            dated=self.dated + later.dated,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """How a table stood, up to a mark, when it was read: microseconds, or a key in a table without times."""

    mark: int
    rows: int
    checksum: int

    def still(self, now: Survey, late: NDArray[np.int64] | None = None) -> bool:
        """Whether the rows up to the mark are those that were read, and others with the hashes ``late``."""
        if late is None:
            return (now.rows, now.checksum) == (self.rows, self.checksum)
        return (now.rows, now.checksum) == (self.rows + len(late), self.checksum + total(late))

    def to_list(self) -> list[Any]:
        """JSON form; the checksum may be beyond what JSON numbers hold."""
        return [self.mark, self.rows, str(self.checksum)]

    @classmethod
    def from_list(cls, data: list[Any] | None) -> Seen | None:
        """Read what :meth:`to_list` wrote."""
        return cls(data[0], data[1], int(data[2])) if data else None


def survey(
    source: Source,
    table: TableSchema,
    mark: int,
    deleted: tuple[str, str] | None = None,
    *,
    after: int | None = None,
    timed: bool = True,
) -> Survey:
    """Ask for the rows at or before a mark (and after another); ``timed``: their times are part of the checksum."""
    position = time_of(table) if table.time_column is not None else _key(table)
    inside: list[exp.Expression] = [position <= _bound(table, mark)]
    if after is not None:
        inside.append(position.copy() > _bound(table, after))
    there = alive(deleted)
    checksum = exp.Sum(this=exp.Case().when(exp.and_(*inside), row_hash(source, table, timed=timed)))
    gone = exp.not_(exp.paren(there[0].copy())) if there else exp.false()
    answers = {
        "rows": _count_if(exp.and_(*(c.copy() for c in inside))),
        "checksum": exp.cast(exp.Coalesce(this=checksum, expressions=[exp.Literal.number(0)]), "VARCHAR"),
        "dated": _count_if(exp.and_(*(c.copy() for c in inside), *(a.copy() for a in there))),
        "undated": _count_if(exp.and_(position.copy().is_(exp.null()), *(a.copy() for a in there))),
        "deleted": _count_if(gone),
    }
    found = _ask(source, table, answers)
    return Survey(found["rows"], int(found["checksum"]), found["dated"], found["undated"], found["deleted"])


def count_deleted(source: Source, table: TableSchema, deleted: tuple[str, str]) -> int:
    """Count the rows that were deleted by a moment."""
    return int(_ask(source, table, {"rows": _count_if(exp.not_(exp.paren(alive(deleted)[0])))})["rows"])


def count_future(source: Source, table: TableSchema, now: str) -> int:
    """Count the rows whose time has not come yet."""
    if table.time_column is None:
        return 0
    return int(_ask(source, table, {"rows": _count_if(time_of(table) > timestamp(now))})["rows"])


def newest_time(source: Source, table: TableSchema, now: str) -> Any:
    """Return the newest time of a table's rows that is not in the future, or None."""
    time = time_of(table)
    within = [time <= timestamp(now), time.copy() >= timestamp("0001-01-01")]
    return _ask(source, table, {"newest": exp.Max(this=time.copy())}, *within)["newest"]


def newest_update(source: Source, table: TableSchema, updated_at: str, until: str) -> int | None:
    """Return the newest moment at which a row changed, in microseconds."""
    moment = exp.cast(exp.column(updated_at, quoted=True), "TIMESTAMP")
    newest = _ask(source, table, {"newest": exp.Max(this=moment)}, moment.copy() <= timestamp(until))["newest"]
    return to_micros(newest) if newest is not None else None


def read_deleted_keys(source: Source, table: TableSchema, deleted_at: str, after: str, until: str) -> pa.ChunkedArray:
    """Return the primary keys of rows deleted with ``after < deleted_at <= until``."""
    key = table.column(table.primary_key or "")
    names = key.parts or (key.name,)
    moment = exp.cast(exp.column(deleted_at, quoted=True), "TIMESTAMP")
    columns = [source.column(table.name, n).as_(n, quoted=True) for n in names]
    statement = exp.select(*columns, *written_keys(key.of_parts or (key,))).from_(quoted(table.name))
    statement = statement.where(moment > timestamp(after), moment.copy() <= timestamp(until))
    batches = [key_values(b, key, Spelling.of(key)) for b in source.query(statement)]
    return pa.chunked_array(batches) if batches else pa.chunked_array([[]], pa.string())


def _key(table: TableSchema) -> exp.Expression:
    return exp.column(table.primary_key or "", quoted=True)


def _bound(table: TableSchema, mark: int) -> exp.Expression:
    if table.time_column is None:
        return exp.Literal.number(mark)
    return timestamp(sql_moment(mark))


def _ask(source: Source, table: TableSchema, answers: dict[str, exp.Expression], *within: Any) -> dict[str, Any]:
    statement = exp.select(*(a.as_(n) for n, a in answers.items())).from_(quoted(table.name))
    found: dict[str, Any] = source.query(statement.where(*within)).read_all().to_pylist()[0]
    return found


def _count_if(condition: Any) -> exp.Expression:
    return exp.Count(this=exp.Case().when(condition, exp.Literal.number(1)))
