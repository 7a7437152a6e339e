"""Embed every customer, and every order, of a generated shop: layer by layer over the whole graph, against sampling.

Both are ours and give the same embeddings (checked below). Customers share nothing with one another, so there is
little to save; orders share their customer and that customer's other orders. Run:

    python benchmarks/embedding.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from forekey import __version__, pipeline
from forekey.graph import Seeds, to_micros
from forekey.project import PQLTask
from forekey.testing import SHOP_TASKS, write_shop
from forekey.workspace import Workspace

TASKS = {
    "customers": PQLTask(query=SHOP_TASKS["spend"], max_anchors=3),
    "orders": PQLTask(query="PREDICT orders.gift FOR EACH orders.order_id"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a small shop, under two minutes")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    customers, rounds = (5_000, 3) if options.quick else (50_000, 5)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), customers, rounds)
    for row in rows:
        print(f"{row['name']}: layer-wise {row['ours']:.2f} s, sampled {row['peer']:.2f} s, ratio {row['ratio']:.1f}")
    if options.json:
        versions = {"forekey": __version__, "torch": torch.__version__, "numpy": np.__version__}
        machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
        options.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))


def measure(folder: Path, customers: int, rounds: int) -> list[dict[str, Any]]:
    """Make a shop, train a model per entity briefly, and time both ways for each."""
    write_shop(folder / "shop.duckdb", customers=customers, days=720)
    project = pipeline.init(str(folder / "shop.duckdb"), folder, tasks=dict(TASKS)).workspace
    return [measure_entity(project, entity, rounds) for entity in TASKS]


def measure_entity(project: Workspace, entity: str, rounds: int) -> dict[str, Any]:
    """Time both ways in turn; the best of each counts."""
    pipeline.train(project, entity, preset="fast")
    snapshot = project.snapshots.current()
    predictor = pipeline.predictor_of(
        project,
        project.registry.champion(entity),
        pipeline.find_task(project, snapshot.schema, entity),
        snapshot,
        np.array([to_micros(snapshot.as_of)]),
    )
    moment = to_micros(snapshot.as_of)
    everyone = np.arange(snapshot.num_nodes(entity), dtype=np.int32)
    times = np.full(len(everyone), moment)
    ways: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
        "layerwise": lambda: predictor.predict_all(moment, project.place("scratch"))[1],
        "sampled": lambda: predictor.predict(Seeds.at(predictor.entity, everyone, times))[1],
    }
    found = {name: way() for name, way in ways.items()}
    np.testing.assert_allclose(found["layerwise"], found["sampled"], atol=1e-4, rtol=1e-3)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - started)
    nodes = sum(snapshot.num_nodes(t) for t in snapshot.schema.names)
    return {
        "name": f"embed {len(everyone):,} {entity} of a graph of {nodes:,} nodes",
        "ours": best["layerwise"],
        "peer": best["sampled"],
        "ratio": best["sampled"] / best["layerwise"],
        "unit": "seconds",
        "target": None,
        "better": "higher",
    }


if __name__ == "__main__":
    main()
