"""How much slower training gets beside another process that keeps every core busy: Forekey, and LightGBM as it comes.

On a machine that is shared with other work, each of two processes should get half of it. Threads that wait in a loop
for each other (the default of OpenMP) get far less; Forekey lets them sleep. Run:

    python benchmarks/busy.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LIMIT = 120
WORK = """
import time
import numpy as np
{first}
import lightgbm as gbm
import torch
columns = np.random.default_rng(0).normal(size=(8000, 300)).astype(np.float32)
target = (columns[:, 0] + columns[:, 1] ** 2 > 1).astype(float)
started = time.perf_counter()
gbm.train({{"objective": "l1", "verbosity": -1, "num_leaves": 15}}, gbm.Dataset(columns, target), {rounds})
model = torch.nn.Sequential(*[torch.nn.Linear(64, 64) for _ in range(6)])
for _ in range({rounds}):
    model(torch.randn(2000, 64)).sum().backward()
print(time.perf_counter() - started)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under two minutes")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    rounds = 40 if options.quick else 150
    found: dict[str, Any] = {}
    for name, first in (("forekey", "import forekey"), ("as it comes", "")):
        alone = seconds(first, rounds)
        with Spinning(os.cpu_count() or 1):
            beside = seconds(first, rounds)
        found[name] = {"alone": alone, "busy": beside, "times": beside / alone}
        limit = " (cut off)" if beside >= LIMIT else ""
        print(f"{name:12} alone {alone:6.1f} s   busy {beside:6.1f} s{limit}   {beside / alone:5.1f} times", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"cores": os.cpu_count(), **found}, indent=1))


def seconds(first: str, rounds: int) -> float:
    """Run the work in a process of its own; return its seconds, ``LIMIT`` where it was cut off."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")}
    code = WORK.format(first=first, rounds=rounds)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return float(LIMIT)
    return float(done.stdout)


class Spinning:
    """Processes that do nothing but use a core each."""

    def __init__(self, count: int) -> None:
        self._processes = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(count)]

    def __enter__(self) -> None:
        for process in self._processes:
            process.start()

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()


def _spin() -> None:
    until = time.monotonic() + 10 * LIMIT
    while time.monotonic() < until:
        pass


if __name__ == "__main__":
    main()
