"""Parents that no row is there for, made up because a foreign key's setting asks for them (``on_orphan: create``).

A placeholder has a key and nothing else; where its table has times, it appears with the first row that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from forekey.graph.key_index import KeyForm
from forekey.graph.reading import Build, as_draft, moved_rows, numbers_of, staged_again
from forekey.graph.rows import in_order, missing_of
from forekey.graph.table_writer import Draft, Kept, RowWriter, Written, read_rows
from forekey.schema import EdgeType


def add_placeholders(build: Build, drafts: Mapping[str, Draft], name: str) -> Draft:
    """Return a table's draft with a placeholder for every key that is named and not there."""
    draft = drafts[name]
    found = [_missing(build, drafts, edge) for edge in build.created_in(name)]
    missing = pa.concat_tables(found) if found else pa.table({"number": []})
    if len(missing) == 0:
        return draft
    made = _rows(draft, missing)
    numbers = draft.index.numbers(draft.length) if draft.index.runs else np.empty(0, np.int64)
    written = Written(draft.blocks, draft.length, draft.times, numbers, draft.foreign, unreadable=draft.unreadable)
    with in_order(draft.staging, [staged_again(build, draft.staging, written, 0), made], build.engine) as rows:
        again = RowWriter(build.writer, draft.staging, Kept()).write(rows)
    whole = as_draft(build, draft.staging, Kept(), again, draft.read, draft.how)
    whole.undated, whole.dropped, whole.deleted = draft.undated, draft.dropped, draft.deleted
    whole.placeholders, whole.updated_until = len(made), draft.updated_until
    if build.previous is not None and name in build.previous.schema.names:
        whole.moved = moved_rows(build, build.previous, whole, name)
    return whole


def _missing(build: Build, drafts: Mapping[str, Draft], edge: EdgeType) -> pa.Table:
    """Return number, key and first time of the keys that a foreign key names and no row has."""
    child, parent = drafts[edge.child], drafts[edge.parent]
    numbers, there = child.foreign[edge.column]
    if child.kept and build.previous is not None:
        before = numbers_of(build.previous, edge, np.arange(child.kept, dtype=np.int32))
        numbers = np.concatenate([before.fill_null(0).to_numpy(), numbers])
        there = np.concatenate([~missing_of(before), there])
    lost = np.flatnonzero(there & (parent.index.find(numbers) < 0))
    if parent.staging.own_form is KeyForm.INTEGER:
        keys = pa.array(numbers[lost])
    else:
        rows = pa.concat_tables([read_rows(build.writer.pool, b).select([edge.column]) for b in child.blocks])
        keys = rows.column(edge.column).take(pa.array(lost)).combine_chunks()
    times = child.times[lost] if child.times is not None else np.full(len(lost), build.as_of)
    return pa.table({"number": numbers[lost], "key": keys, "time": times})


def _rows(draft: Draft, missing: pa.Table) -> pa.Table:
    """Stage one row per missing key: of several spellings and times, the first."""
    ordered = missing.sort_by([("number", "ascending"), ("time", "ascending"), ("key", "ascending")])
    _, first = np.unique(ordered.column("number").to_numpy(), return_index=True)
    chosen = ordered.take(pa.array(first))
    table = draft.staging.table
    columns: dict[str, Any] = {draft.staging.c(c.name): pa.nulls(len(chosen), pa.string()) for c in draft.staging.kept}
    columns[draft.staging.c(table.primary_key or "")] = chosen.column("key")
    if table.time_column is not None:
        columns[draft.staging.c(table.time_column)] = chosen.column("time").cast(pa.timestamp("us"))
    columns["p"] = chosen.column("number")
    columns |= {draft.staging.f(c): pa.nulls(len(chosen), pa.int64()) for c in draft.staging.forms}
    return pa.table(columns)
