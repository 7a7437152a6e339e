"""Predictions of all entities for one question with what drives them, kept so that the next question is a look-up."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forekey.files import whole
from forekey.pipeline.parts import predictor_of
from forekey.workspace import Workspace

if TYPE_CHECKING:
    from forekey.graph import Snapshot
    from forekey.inference import AnyPredictor
    from forekey.objectives import Predictions
    from forekey.registry import ModelVersion
    from forekey.task import Task

_DRIVERS = 3
_MORE_SECONDS = 2.5
"""How long drivers are computed beyond those that are shown, so that the next question finds them."""
_PART = 256


@dataclass(frozen=True)
class Answers:
    """One row for each entity that is there, in the order of the graph.

    Columns: ``entity``, ``prediction`` (and ``probabilities``, ``scores``), ``low`` and ``high`` where numbers have an
    interval, ``alike`` (the share that happened) and ``alike_of`` for probabilities, ``eligible``, ``size`` (what the
    first are chosen by), ``drivers`` as JSON, NULL where they were not computed yet.
    """

    rows: pa.Table

    def __len__(self) -> int:
        return int(self._eligible.sum())

    def explains(self, asked: Sequence[int] | None, top: int) -> bool:
        """Whether the drivers are known of the rows that were asked for, or of the first."""
        drivers = self.rows.column("drivers").take(pa.array(self.shown(asked, top), pa.int64()))
        return bool(drivers.null_count == 0)

    def shown(self, asked: Sequence[int] | None, top: int) -> list[int]:
        """Return the rows that were asked for, or the first of those that the question is about, by size."""
        return list(asked) if asked is not None else self.ranked()[:top].tolist()

    def ranked(self) -> NDArray[np.int64]:
        """Return the rows that the question is about, those with the largest predictions first."""
        some = np.flatnonzero(self._eligible)
        return some[np.argsort(-self.rows.column("size").to_numpy()[some], kind="stable")]

    def chosen(self, asked: Sequence[int] | None, top: int) -> list[dict[str, Any]]:
        """Return the predictions that are shown, as JSON has them."""
        rows = self.rows.take(pa.array(self.shown(asked, top), pa.int64())).drop_columns(["size"])
        return [_as_json(row) for row in rows.to_pylist()]

    def table(self, asked: Sequence[int] | None) -> pa.Table:
        """Return all that was asked for, without drivers."""
        kept = np.array(self.shown(asked, 0) if asked is not None else np.flatnonzero(self._eligible), np.int64)
        return self.rows.drop_columns(["size", "drivers"]).take(pa.array(kept))

    @property
    def _eligible(self) -> NDArray[np.bool_]:
        flags: NDArray[np.bool_] = self.rows.column("eligible").to_numpy()
        return flags


def stored_answers(workspace: Workspace, task: Task, version: ModelVersion, current: Snapshot) -> Answers | None:
    """Return what was answered before for a task by this version on this snapshot; None if nothing was."""
    path = workspace.place("answers") / f"{task.name}.arrow"
    try:
        with pa.memory_map(str(path)) as file:
            rows = pa.ipc.open_file(file).read_all()
    except (OSError, pa.ArrowInvalid):
        return None
    return Answers(rows) if (rows.schema.metadata or {}).get(b"of") == _mark(version, current) else None


def store_answers(
    workspace: Workspace, task: Task, version: ModelVersion, current: Snapshot, asked: Sequence[int] | None, top: int
) -> Answers:
    """Predict every entity, explain those that are shown and as many more as a few seconds allow, and keep it all."""
    from forekey.graph import to_micros
    from forekey.inference import Ranker

    now = to_micros(current.as_of)
    predictor = predictor_of(workspace, version, task, current, np.array([now]))
    known = stored_answers(workspace, task, version, current)
    answers = known or _predicted(workspace, task, version, current, predictor, now)
    first = answers.shown(asked, top)
    explained = {r: d for r, d in enumerate(answers.rows.column("drivers").to_pylist()) if d is not None}
    later = [r for r in answers.ranked().tolist() if r not in explained and r not in set(first)]
    slow = isinstance(predictor, Ranker) or predictor.model is not None
    started = time.perf_counter()
    for rows in [first, *(later[i : i + _PART] for i in range(0, len(later), _PART))]:
        if rows is not first and (slow or time.perf_counter() - started > _MORE_SECONDS):
            break
        explained |= dict(zip(rows, _explained(predictor, rows, now), strict=True))
    drivers = pa.array([explained.get(r) for r in range(len(answers.rows))], pa.string())
    place = answers.rows.schema.get_field_index("drivers")
    rows = answers.rows.set_column(place, "drivers", drivers).replace_schema_metadata({b"of": _mark(version, current)})
    path = workspace.place("answers") / f"{task.name}.arrow"
    with whole(path) as draft, pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    return Answers(rows)


def _mark(version: ModelVersion, current: Snapshot) -> bytes:
    return f"{version.name} {version.manifest.created_at} {current.id}".encode()


def _predicted(
    workspace: Workspace, task: Task, version: ModelVersion, current: Snapshot, predictor: AnyPredictor, now: int
) -> Answers:
    with workspace.source() as source:
        population = task.labels.population(source, current, current.as_of)
    predictions = predictor.predictions_all(now, workspace.place("scratch"))
    n, entity = len(predictions), task.entity.name
    rows = pa.table({"entity": current.keys(entity).slice(0, n), **predictions.columns()})
    eligible = np.ones(n, bool)
    if population is not None:
        eligible = np.isin(np.arange(n), current.lookup_keys(entity, population))
    for name, values in _confidence(version, predictions).items():
        rows = rows.append_column(name, pa.array(values))
    rows = rows.append_column("eligible", pa.array(eligible))
    rows = rows.append_column("size", pa.array(predictions.sizes()))
    return Answers(rows.append_column("drivers", pa.nulls(n, pa.string())))


def _confidence(version: ModelVersion, predictions: Predictions) -> dict[str, Any]:
    """Return what is known of how sure predictions are: an interval of numbers, what became of equal probabilities."""
    from forekey.inference import ErrorBand
    from forekey.objectives import Numbers

    if not isinstance(predictions, Numbers):
        return {}
    band = version.manifest.error_band
    if band is not None:
        low, high = ErrorBand.from_dict(band).around(predictions.numbers)
        return {"low": low, "high": high}
    plots = version.folder / "plots.json"
    if not plots.is_file():
        return {}
    tenths = json.loads(plots.read_text(encoding="utf-8")).get("calibration")
    if not tenths:
        return {}
    middles = np.array(tenths["promised"])
    place = np.searchsorted((middles[1:] + middles[:-1]) / 2, predictions.numbers)
    return {"alike": np.array(tenths["happened"])[place], "alike_of": np.array(tenths["examples"])[place]}


def _explained(predictor: AnyPredictor, rows: Sequence[int], now: int) -> list[str]:
    """Return the drivers of some rows as JSON."""
    from forekey.inference import drivers_in_words

    return [json.dumps(one) for one in drivers_in_words(predictor, rows, now, _DRIVERS)]


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    """Return one prediction in the order in which it is read."""
    drivers = json.loads(row.pop("drivers") or "[]")
    happened, of = row.pop("alike", None), row.pop("alike_of", None)
    prediction = {"entity_id": row.pop("entity"), "prediction": row.pop("prediction"), **row}
    if of is not None:
        prediction["calibration"] = {"happened": happened, "examples": of}
    return {**prediction, "drivers": drivers}
