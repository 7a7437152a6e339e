"""Embed every customer of a generated shop: layer by layer over the whole graph, against sampling each one.

Both are ours and give the same embeddings (checked below); the ratio is what layer-wise inference saves. Run:

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
from forekey.graph import to_micros
from forekey.inference import load_predictor
from forekey.project import PQLTask
from forekey.testing import SHOP_TASKS, write_shop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a small shop, under two minutes")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    customers, rounds = (5_000, 3) if options.quick else (50_000, 5)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), customers, rounds)]
    for row in rows:
        print(f"{row['name']}: layer-wise {row['ours']:.2f} s, sampled {row['peer']:.2f} s, {row['ratio']:.1f} times faster")
    if options.json:
        versions = {"forekey": __version__, "torch": torch.__version__, "numpy": np.__version__}
        machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
        options.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))


def measure(folder: Path, customers: int, rounds: int) -> dict[str, Any]:
    """Train briefly, then time both ways in turn; the best of each counts."""
    write_shop(folder / "shop.duckdb", customers=customers, days=720)
    tasks = {"spend": PQLTask(query=SHOP_TASKS["spend"], max_anchors=3)}
    project = pipeline.init(str(folder / "shop.duckdb"), folder, tasks=tasks).project
    pipeline.train(project, "spend", preset="fast")
    snapshot = pipeline.snapshots(project).current()
    predictor = load_predictor(pipeline.registry(project).champion("spend"), snapshot)
    moment = to_micros(snapshot.as_of)
    everyone = np.arange(snapshot.num_nodes("customers"), dtype=np.int32)
    times = np.full(len(everyone), moment)
    ways: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
        "layerwise": lambda: predictor.predict_all(moment, folder)[1],
        "sampled": lambda: predictor.predict(everyone, times)[1],
    }
    found = {name: way() for name, way in ways.items()}
    np.testing.assert_allclose(found["layerwise"], found["sampled"], atol=1e-4, rtol=1e-3)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - started)
    orders = snapshot.num_nodes("orders")
    return {
        "name": f"embed {customers:,} customers with {orders:,} orders",
        "ours": best["layerwise"],
        "peer": best["sampled"],
        "ratio": best["sampled"] / best["layerwise"],
        "unit": "seconds",
        "target": None,
        "better": "higher",
    }


if __name__ == "__main__":
    main()
