"""What logging and measuring cost a request: the same service with and without them, in turns (no peer).

Run:

    python benchmarks/serving.py [--quick] [--project DIR] [--json FILE]

By default on a generated shop; with `--project` on one whose tasks are trained and embedded, such as the demo's.
Requests go through the whole application, one after another; the two services take turns, so that both see the same
machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from forekey import __version__, pipeline
from forekey.project import PQLTask
from forekey.serving import create_app
from forekey.serving.recorder import Answered
from forekey.testing import SHOP_TASKS, write_shop
from forekey.workspace import Workspace

TARGET = 0.03
"""By which share the median may grow."""


def main() -> None:
    """Ask, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer requests, under two minutes")
    parser.add_argument("--project", type=Path, help="a project with trained and embedded tasks")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Workspace.open(options.project) if options.project is not None else _shop(Path(folder))
        rows = measured(
            project, {"stored": 4_000, "online": 400} if options.quick else {"stored": 20_000, "online": 2_000}
        )
    if options.json is not None:
        machine = {"machine": platform.processor() or platform.machine(), "versions": {"forekey": __version__}}
        options.json.write_text(json.dumps({**machine, "rows": rows}, indent=1), encoding="utf-8")


def measured(project: Workspace, requests: dict[str, int]) -> list[dict[str, Any]]:
    """Return the median and 99th percentile of requests, in milliseconds, with and without."""
    task = next(t for t in project.config.tasks if project.registry.champion_or_none(t) is not None)
    current = project.snapshots.current()
    entity = pipeline.find_task(project, current.schema, task).entity.name
    keys = current.keys(entity).slice(0, 1_000).to_pylist()
    rows = []
    with project.store() as store:
        with_all, without = create_app(project, store), create_app(project, store)
        bare = without.state.serving
        bare.recorder.record = _nothing
        bare.count_answer = lambda task, mode, took: None
        with TestClient(with_all) as one, TestClient(without) as two:
            for mode, count in requests.items():
                took: dict[str, list[float]] = {"with": [], "without": []}
                for i in range(count):
                    path = f"/predict/{task}/{keys[i % len(keys)]}?mode={mode}"
                    order = [("with", one), ("without", two)]
                    for name, client in order if i % 2 else reversed(order):
                        started = time.perf_counter()
                        answer = client.get(path)
                        took[name].append(time.perf_counter() - started)
                        assert answer.status_code == 200, answer.text
                rows.append(_printed(mode, {n: np.array(t[len(t) // 10 :]) * 1e3 for n, t in took.items()}))
    return rows


def _nothing(_: Answered) -> None:
    """Log nothing."""


def _printed(mode: str, took: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    p50, p99 = ({n: float(np.percentile(t, q)) for n, t in took.items()} for q in (50, 99))
    grown = p50["with"] / p50["without"] - 1.0
    print(
        f"{mode:8} p50 {p50['with']:.3f} ms with, {p50['without']:.3f} without ({grown:+.1%}, target {TARGET:.0%}); "
        f"p99 {p99['with']:.3f} and {p99['without']:.3f}"
    )
    return {"name": mode, "ours": p50["with"], "without": p50["without"], "p99": p99, "grown": grown, "target": TARGET}


def _shop(folder: Path) -> Workspace:
    write_shop(folder / "shop.duckdb", customers=2_000)
    tasks = {"spend": PQLTask(query=SHOP_TASKS["spend"])}
    project = pipeline.init(str(folder / "shop.duckdb"), folder, tasks=tasks).workspace
    pipeline.train(project, "spend", preset="fast")
    pipeline.embed(project, "spend")
    return project


if __name__ == "__main__":
    main()
