"""How long one online prediction takes, by stage; the first one after a start; an explanation (no peer).

Run:

    python benchmarks/online.py [--quick] [--project DIR] [--json FILE]

By default on the demo's data (`forekey demo --no-serve` must have made the project, see `--project`); `--quick` on a
generated shop, under two minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastapi.testclient import TestClient

from forekey import __version__, pipeline
from forekey.graph import Seeds, to_micros
from forekey.inference import Predictor
from forekey.project import PQLTask
from forekey.serving import create_app
from forekey.serving.state import ServingState
from forekey.testing import SHOP_TASKS, write_shop
from forekey.workspace import Workspace

TARGETS = {"p50": 8.0, "p99": 15.0, "first": 500.0, "explain": 60.0}
"""Milliseconds, two quiet cores."""
_FIRST = """
import sys, time
from forekey.graph import to_micros
from forekey.serving.state import ServingState
from forekey.workspace import Workspace
workspace = Workspace.open(sys.argv[1])
with workspace.store() as store:
    state = ServingState(workspace, store)
    state.engine.warm()
    state.engine.settle()
    started = time.perf_counter()
    state.predict(sys.argv[2], [sys.argv[3]], "online")
    print((time.perf_counter() - started) * 1000)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a generated shop, under two minutes")
    parser.add_argument("--project", type=Path, default=Path("forekey-demo"), help="a project with trained tasks")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = shop(Path(folder)) if options.quick else Workspace.open(options.project)
        for task in workspace.config.tasks:
            if workspace.registry.champion_or_none(task) is not None:
                rows += measure(workspace, task, 200 if options.quick else 500)
    if options.json:
        versions = {"forekey": __version__, "torch": torch.__version__, "numpy": np.__version__}
        machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
        options.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))


def shop(folder: Path) -> Workspace:
    """Make a shop with a network, a model of trees alone and a ranking, all embedded."""
    write_shop(folder / "shop.duckdb", customers=2_000, days=500)
    tasks = {name: PQLTask(query=SHOP_TASKS[name]) for name in ("churn", "spend", "baskets")}
    workspace = pipeline.init(str(folder / "shop.duckdb"), folder, tasks=tasks).workspace
    for name, preset in (("churn", "fast"), ("spend", "instant"), ("baskets", "fast")):
        pipeline.train(workspace, name, preset=preset, importance=False)
        pipeline.embed(workspace, name)
    return workspace


def measure(workspace: Workspace, task: str, rounds: int) -> list[dict[str, Any]]:
    """Measure one task; print what was found."""
    entity = pipeline.find_task(workspace, workspace.snapshots.current().schema, task).entity.name
    keys = workspace.snapshots.current().keys(entity)
    asked = [keys[int(i)].as_py() for i in np.random.default_rng(0).integers(0, len(keys), rounds)]
    rows = []
    with workspace.store() as store:
        state = ServingState(workspace, store)
        state.predict(task, asked[:3], "online")
        online = timed(lambda key: state.predict(task, [key], "online"), asked)
        blend = workspace.registry.champion(task).manifest.blend or "ranking"
        print(f"\n{task} ({blend.split('.')[0]})")
        rows += [
            row(f"{task}: online, {q}", float(np.percentile(online, n)), TARGETS[q])
            for q, n in (("p50", 50), ("p99", 99))
        ]
        with TestClient(create_app(workspace, store)) as client:
            client.get(f"/predict/{task}/{asked[0]}?mode=online")
            http = timed(lambda key: client.get(f"/predict/{task}/{key}?mode=online"), asked)
            rows.append(row(f"{task}: the same over HTTP, in process, p50", float(np.percentile(http, 50)), None))
        explained = timed(lambda key: state.explain(task, key), asked[:20])
        rows.append(row(f"{task}: an explanation, p50", float(np.percentile(explained, 50)), TARGETS["explain"]))
        for name, milliseconds in stages(state, task, asked[: min(rounds, 100)]).items():
            print(f"    {name:<28} {milliseconds:7.2f} ms")
    rows.append(row(f"{task}: the first after a start", first(workspace, task, asked[0]), TARGETS["first"]))
    return rows


def row(name: str, milliseconds: float, target: float | None) -> dict[str, Any]:
    """Print and return a row of the JSON form."""
    print(f"{name:<48} {milliseconds:8.1f} ms" + (f" (target {target:.0f})" if target else ""), flush=True)
    return {
        "name": name,
        "ours": milliseconds,
        "peer": None,
        "ratio": None,
        "unit": "ms",
        "target": target,
        "better": "lower",
    }


def timed(call: Callable[[Any], Any], arguments: list[Any]) -> np.ndarray[Any, Any]:
    """Return how many milliseconds each call took."""
    spent = []
    for argument in arguments:
        started = time.perf_counter()
        call(argument)
        spent.append((time.perf_counter() - started) * 1000)
    return np.array(spent)


def first(workspace: Workspace, task: str, key: Any) -> float:
    """Return how long the first prediction of a new process takes, once it says that it is ready."""
    command = [sys.executable, "-c", _FIRST, str(workspace.root), task, str(key)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(found.stdout.strip().splitlines()[-1])


def stages(state: ServingState, task: str, asked: list[Any]) -> dict[str, float]:
    """Return the median milliseconds of each stage of a prediction by a network, by trees, or both."""
    bound = state.engine.bound(task)
    predictor, snapshot = bound.predictor, bound.snapshot
    if not isinstance(predictor, Predictor):
        return {}
    now, spent = to_micros(snapshot.as_of), dict[str, list[float]]()
    tables = predictor.model.config.types_at(0) if predictor.model is not None else ()

    def stage(name: str, step: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        found = step()
        spent.setdefault(name, []).append((time.perf_counter() - started) * 1000)
        return found

    for key in asked:
        rows = stage("key to row", lambda key=key: snapshot.lookup(predictor.entity, [key]))
        seeds = Seeds.at(predictor.entity, rows, now)
        history = stage("window features", lambda seeds=seeds: predictor.features.window_features(seeds))
        raw = None
        if predictor.model is not None:
            graph = stage("sampling", lambda seeds=seeds: predictor._sampler.sample(seeds))
            batch = stage("batch", lambda graph=graph, past=history: predictor._collate(graph, tables, past))
            with torch.no_grad():
                raw = stage("network", lambda batch=batch: predictor.model(batch)[1].numpy())
        stage("trees, blend, calibration", lambda raw=raw, past=history: predictor.final_raw(raw, past))
    return {name: float(np.median(values)) for name, values in spent.items()}


if __name__ == "__main__":
    main()
