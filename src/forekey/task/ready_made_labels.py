"""Labels that are there already: Parquet files, or a table of the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlglot import exp

from forekey.errors import TaskError
from forekey.graph import Snapshot, Spelling, from_micros, key_values, to_micros
from forekey.objectives import finite, read_times
from forekey.project import LabelTask
from forekey.schema import ColumnSchema, DType, key_parts
from forekey.source import Source
from forekey.task.label_maker import LabelMaker
from forekey.task.labels import SPLITS, Examples, LabelTable, micros_of, place_of_latest, sift, utc_micros
from forekey.task.splits import split_by_time


@dataclass(frozen=True)
class ReadyMadeLabels(LabelMaker):
    """Labels as ``config`` names them; paths are relative to ``root``."""

    config: LabelTask
    root: Path

    def horizon_end(self, anchor: datetime) -> datetime | None:
        """Return the last moment (inclusive) that an example at this anchor covers; None if nobody stated it."""
        days = self.config.horizon_days
        return anchor + timedelta(days=days) if days is not None else None

    def make(self, source: Source, snapshot: Snapshot) -> LabelTable:
        """Read the labels, each an example or counted."""
        return self._read(source, snapshot)

    def every(self, source: Source) -> Examples:
        """Read all labels, those of entities that are not in the graph too."""
        return self._examples(self._read(source).table)

    def at(self, source: Source, snapshot: Snapshot, anchors: Sequence[datetime], *, filtered: bool = True) -> Examples:
        """Read the labels at given times, whatever split they belong to."""
        wanted = pa.array([to_micros(a) for a in anchors], pa.int64()).cast(pa.timestamp("us"))
        table = self._read(source).table
        return self._examples(table.filter(pc.is_in(table.column("time"), value_set=wanted)))

    def previous(
        self, source: Source, snapshot: Snapshot, examples: Examples, known_until: int
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the newest earlier labels that were known (see :meth:`LabelMaker.previous`)."""
        horizon = self.horizon_end(datetime(2000, 1, 1))
        if horizon is None:
            return np.full(len(examples), -1), examples.target[:0]
        length = to_micros(horizon) - to_micros(datetime(2000, 1, 1))
        every = self.every(source)
        source.release()
        known = every.times + length <= known_until
        keys = every.keys.filter(pa.array(known))
        return place_of_latest(examples, keys, every.times[known] + length), every.target[known]

    def _read(self, source: Source, snapshot: Snapshot | None = None) -> LabelTable:
        """Read ready-made labels, each an example or counted; of unknown entities only if there is a snapshot."""
        config = self.config
        files = config.labels if isinstance(config.labels, dict) else {"": config.labels}
        parts, splits = [], []
        for split, path in files.items():
            part = self._read_part(source, path, config)
            parts.append(part.drop_columns(["split"]) if "split" in part.column_names else part)
            named = config.split is not None and not split
            splits.append(
                pc.fill_null(part.column("split"), "").to_numpy(zero_copy_only=False)
                if named
                else np.full(len(part), split or "?")
            )
        table, names = pa.concat_tables(parts), np.concatenate(splits).astype(str)
        odd = sorted(set(np.unique(names).tolist()) - {*SPLITS, "?", ""})
        if odd:
            raise TaskError(
                f"The labels of task '{self.name}' name the split '{odd[0]}'. Splits are train, val and test; "
                "rename it, or leave the column out."
            )
        table = table.append_column("split", pa.array(names.tolist(), pa.string()))
        table, dropped = self._usable(table, snapshot)
        names = np.array(table.column("split").to_pylist(), dtype="<U5")
        why = "no split"
        if (names == "?").any():
            names, why = split_by_time(micros_of(table.column("time")), self._label_end), "too close to the next split"
        return self._finished(table.drop_columns(["split"]), names, dropped, why)

    def _usable(self, table: pa.Table, snapshot: Snapshot | None) -> tuple[pa.Table, dict[str, int]]:
        """Leave out ready-made labels that lack something or whose entity is not in the graph; count them by reason."""
        missing = {f"no {name}": table.column(name).is_null().to_numpy() for name in ("entity", "time")}
        missing["no label"] = self.kind.missing(table.column("target"))
        table, lost = sift(table, missing)
        unknown: dict[str, int] = {}
        if snapshot is not None:
            table, unknown = sift(table, self._not_in(snapshot, table))
        return table, unknown | lost

    def _label_end(self, micros: int) -> int:
        end = self.horizon_end(from_micros(micros))
        return to_micros(end) if end is not None else micros

    def _read_part(self, source: Source, path: str, config: LabelTask) -> pa.Table:
        """Read a Parquet file, or the table of the source that has this name."""
        place = (self.root / path).resolve()
        try:
            table = pq.read_table(place) if place.exists() else self._read_source(source, path)
        except (OSError, pa.ArrowInvalid) as error:
            raise TaskError(
                f"The labels of task '{self.name}' cannot be read: '{place}' is not a Parquet file."
            ) from error
        names = {"entity": config.entity.column, "time": config.time, "target": config.target}
        if config.split is not None and not isinstance(config.labels, dict):
            names["split"] = config.split
        if config.weight is not None:
            names["weight"] = config.weight
        table = _with_composite(table, names["entity"])
        missing = [c for c in names.values() if c not in table.column_names]
        if missing:
            raise TaskError(f"The labels of task '{self.name}' lack the column '{missing[0]}' in '{place}'.")
        try:
            return self._typed_labels(table, names)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise TaskError(f"The labels of task '{self.name}' in '{place}' cannot be used: {reason}.") from error

    def _read_source(self, source: Source, name: str) -> pa.Table:
        info = next((t for t in source.tables() if t.name == name), None)
        if info is None:
            raise TaskError(
                f"The labels of task '{self.name}' cannot be read: '{name}' is not a Parquet file, nor a table of the "
                "source. Check labels: in forekey.yaml."
            )
        columns = (source.column(name, c.name).as_(c.name, quoted=True) for c in info.columns)
        table = exp.Table(this=exp.to_identifier(name, quoted=True))
        return source.query(exp.select(*columns).from_(table)).read_all()

    def _typed_labels(self, table: pa.Table, names: dict[str, str]) -> pa.Table:
        """Return entity, time, target and split in the types of label tables; ``ValueError`` says what is off."""
        key = self.entity.column(self.entity.primary_key or "")
        entity = finite(table.column(names["entity"]))
        time = read_times(table.column(names["time"]), names["time"])
        if not pa.types.is_temporal(time.type):
            raise ValueError(f"'{names['time']}' is {time.type}, not a time")
        target = self.kind.typed(table.column(names["target"]), names["target"])
        out = {
            "entity": entity.cast(pa.int64())
            if key.dtype is DType.INTEGER
            else pa.chunked_array([Spelling.of(key).many(entity).cast(pa.string())]),
            "time": utc_micros(time),
            "target": target,
        }
        if "weight" in names:
            out["weight"] = table.column(names["weight"]).cast(pa.float64())
            if not pc.all(pc.greater_equal(pc.fill_null(out["weight"], -1), 0)).as_py():
                raise ValueError(f"'{names['weight']}' must hold weights of 0 or more")
        if "split" in names:
            out["split"] = table.column(names["split"]).cast(pa.string())
        return pa.table(out)


def _with_composite(table: pa.Table, name: str) -> pa.Table:
    """Return label rows with the composite key that ``name`` states by its columns, if it states one."""
    parts = key_parts(name, table.column_names) or ()
    if len(parts) < 2:
        return table
    whole = pa.RecordBatch.from_arrays([table.column(p).combine_chunks() for p in parts], names=list(parts))
    return table.append_column(name, key_values(whole, ColumnSchema.composite(parts)))
