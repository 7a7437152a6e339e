"""Tables to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from forekey.errors import ForekeyError
from forekey.files import whole

if TYPE_CHECKING:
    import pyarrow as pa


def check_target(out: Path) -> None:
    """Refuse a file that no table can be written to, before anything is computed for it."""
    if out.suffix not in {".parquet", ".csv"}:
        raise ForekeyError(f"'{out}' must end in .parquet or .csv.")
    if not out.parent.is_dir():
        raise ForekeyError(f"The folder '{out.parent}' does not exist. Make it, or choose another.")


def write_table(table: pa.Table, out: Path) -> None:
    """Write a table as Parquet or CSV by the file's ending, whole or not at all."""
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    from forekey.source.exports import marked

    check_target(out)
    with whole(out) as draft:
        if out.suffix == ".csv":
            pacsv.write_csv(_flat(table), draft)
        else:
            pq.write_table(marked(table), draft)


def _flat(table: pa.Table) -> pa.Table:
    """Return a table whose lists are JSON text: CSV has no lists."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [None if v is None else json.dumps(v, default=str) for v in table.column(i).to_pylist()]
            table = table.set_column(i, field.name, pa.array(texts, pa.string()))
    return table
