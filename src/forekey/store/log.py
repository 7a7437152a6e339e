"""The log of predictions: what was predicted for whom, when, by which model. Quality is later measured against it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from forekey.files import is_draft, whole


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """Predictions of one model as of one time. ``rows`` has columns ``entity`` and ``prediction``.

    For several classes, ``probabilities`` lists all in the model's order.
    """

    as_of: str
    model_version: str
    rows: pa.Table


class PredictionLog:
    """One Parquet file a batch under ``predictions/<task>/``; the newest batch per as-of time and model counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, task: str, batch: LoggedBatch) -> Path:
        """Write a batch whole, replacing an earlier one of the same time and model."""
        home = self._folder / task
        path = home / f"{batch.as_of.replace(':', '')}-{batch.model_version}.parquet"
        facts = {"as_of": batch.as_of, "model_version": batch.model_version}
        with whole(path) as draft:
            pq.write_table(batch.rows.replace_schema_metadata(facts), draft)
        return path

    def batches(self, task: str) -> list[LoggedBatch]:
        """Return all batches of a task, oldest first."""
        found = []
        for path in sorted((self._folder / task).glob("*.parquet")):
            if is_draft(path):
                continue
            rows = pq.read_table(path)
            facts = {k.decode(): v.decode() for k, v in (rows.schema.metadata or {}).items()}
            found.append(LoggedBatch(facts["as_of"], facts["model_version"], rows))
        return sorted(found, key=lambda b: b.as_of)
