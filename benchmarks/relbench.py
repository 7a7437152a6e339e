"""Train the official tasks of a RelBench folder and score them on the official test rows, in two regimes.

frozen: the history ends at the test timestamp, as RelBench's own loader cuts it. rolling: each test row sees what
happened strictly before its own time, as the current leaderboard rule allows. Training, selection and everything
Forekey is given happen without the test labels: it reads a copy of the tasks in which they are blanked, and this script
alone holds the real ones against its predictions. Run:

    python benchmarks/relbench.py FOLDER [--tasks a,b] [--regime frozen|rolling] [--seeds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.metrics import mean_absolute_error, roc_auc_score

from forekey import __version__, pipeline
from forekey.graph import Micros, Snapshot, to_micros
from forekey.inference import load_predictor
from forekey.objectives import average_precision
from forekey.source import open_source, read_manifest, relbench_tasks
from forekey.task import TaskType, define_task
from forekey.training import TrainConfig, item_rows, resolve_examples, train_task
from forekey.workspace import Workspace

# LightGBM and RDL: Robinson et al. 2024. Best: the RelBench leaderboard, November 2026. Hand-made: 63 features in SQL.
PUBLISHED = {
    "driver-dnf": {"LightGBM": 68.56, "RDL": 72.62, "best rolling": 84.34, "target": {"frozen": 75.0, "rolling": 85.0}},
    "driver-top3": {
        "LightGBM": 73.92,
        "RDL": 75.54,
        "best rolling": 93.57,
        "target": {"frozen": 87.0, "rolling": 94.0},
    },
    "driver-position": {
        "LightGBM": 4.170,
        "RDL": 4.022,
        "best rolling": 2.42,
        "target": {"frozen": 3.75, "rolling": 2.42},
    },
    "driver-circuit-compete": {
        "LightGBM": 59.6,
        "RDL": 20.7,
        "ID-GNN": 62.3,
        "best rolling": 87.9,
        "target": {"frozen": 62.5, "rolling": 88.0},
    },
}

UNITS = {
    TaskType.BINARY_CLASSIFICATION: "AUROC",
    TaskType.REGRESSION: "MAE",
    TaskType.LINK_PREDICTION: "MAP",
}


@dataclass(frozen=True)
class Run:
    """One training: the scores on validation and test, what was chosen, seconds."""

    val: float
    test: float
    chosen: str
    seconds: float


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/rel-f1"))
    parser.add_argument("--tasks", help="which, separated by commas (default: all that can be trained)")
    parser.add_argument("--regime", choices=["frozen", "rolling"], help="default: both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="normal")
    parser.add_argument("--quick", action="store_true", help="one seed, preset fast, under two minutes")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    if not (options.folder / "manifest.yaml").is_file():
        print(f"'{options.folder}' is not a RelBench folder; nothing to measure.")
        return
    seeds, preset = (1, "fast") if options.quick else (options.seeds, options.preset)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for regime in [options.regime] if options.regime else ["frozen", "rolling"]:
            bench = Bench(options.folder.resolve(), Path(folder) / regime, regime, preset)
            for task in options.tasks.split(",") if options.tasks else bench.trainable():
                rows.append(row := bench.measure(task, seeds))
                show(row)
    if options.json:
        versions = {"forekey": __version__, "torch": torch.__version__, "numpy": np.__version__}
        machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
        options.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))


def show(row: dict[str, Any]) -> None:
    """Print one line of the table."""
    known = ", ".join(f"{k} {v}" for k, v in row["published"].items())
    print(
        f"{row['name']:<28} test {row['ours']:.4g} ± {row['deviation']:.2g} {row['unit']} "
        f"(validation {row['val']:.4g}; target {row['target']}; {known}); "
        f"{row['seconds']:.0f} s a seed, {row['memory_gb']:.1f} GB; {row['chosen']}",
        flush=True,
    )


class Bench:
    """One regime: a project over the folder whose test labels are blank."""

    def __init__(self, folder: Path, root: Path, regime: str, preset: str) -> None:
        self.regime, self.preset, self.folder = regime, preset, folder
        manifest = read_manifest(folder)
        self.val_start, self.test_start = to_micros(manifest.val_timestamp), to_micros(manifest.test_timestamp)
        blanked(folder, root / "data")
        self.project = pipeline.init(str(root / "data"), root).workspace
        if regime == "rolling":
            path = root / "forekey.yaml"
            lines = path.read_text(encoding="utf-8").splitlines()
            path.write_text("\n".join(line for line in lines if not line.startswith("as_of:")), encoding="utf-8")
            self.project = Workspace.open(root)
        self.snapshot: Snapshot = pipeline.snapshot(self.project)

    def assert_blind(self, name: str) -> None:
        """Stop if any test label but the one constant can be read from what Forekey is given."""
        with open_source(self.project.config.source, self.project.root) as source:
            told = (
                define_task(name, self.project, self.snapshot.schema).labels.make(source, self.snapshot).split("test")
            )
        if len({str(label) for label in told.target}) > 1:
            raise SystemExit(f"test labels of {name} are within reach; nothing was measured")

    def trainable(self) -> list[str]:
        """Return the tasks of types that this version trains."""
        usable = {*UNITS, TaskType.MULTICLASS_CLASSIFICATION}
        tasks = {n: define_task(n, self.project, self.snapshot.schema) for n in self.project.config.tasks}
        return [name for name, task in tasks.items() if task.task_type in usable]

    def measure(self, name: str, seeds: int) -> dict[str, Any]:
        """Train with several seeds; return the row of the table."""
        self.assert_blind(name)
        runs = [self.train(name, seed) for seed in range(seeds)]
        published = dict(PUBLISHED.get(name, {}))
        targets: Any = published.pop("target", {})
        task_type = define_task(name, self.project, self.snapshot.schema).task_type
        tests = np.array([r.test for r in runs])
        return {
            "name": f"{name} {self.regime}",
            "ours": float(tests.mean()),
            "deviation": float(tests.std()),
            "seeds": [float(t) for t in tests],
            "val": float(np.mean([r.val for r in runs])),
            "unit": UNITS.get(task_type, ""),
            "better": "lower" if task_type is TaskType.REGRESSION else "higher",
            "published": published,
            "target": targets.get(self.regime),
            "seconds": float(np.mean([r.seconds for r in runs])),
            "chosen": ", ".join(r.chosen for r in runs),
            "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }

    def train(self, name: str, seed: int) -> Run:
        """Train once and score the official test rows."""
        task = define_task(name, self.project, self.snapshot.schema)
        config = replace(pipeline.train_config(self.preset, seed), lagged_labels=False)
        assert isinstance(config, TrainConfig)
        started = time.perf_counter()
        # A ranking is asked for at the end of the history: nothing is stale then, in either regime.
        aging = Aging(self, seed, self.regime == "rolling" or task.task_type is TaskType.LINK_PREDICTION)
        with open_source(self.project.config.source, self.project.root) as source:
            version, _ = train_task(
                task, self.snapshot, source, self.project.registry, config, baselines=False, delay=aging
            )
            labels = task.labels.make(source, self.snapshot)
        seconds = time.perf_counter() - started
        predictor = load_predictor(version, self.snapshot)
        examples = resolve_examples(self.snapshot, task, labels.split("test"))
        predicted, _ = predictor.predict(examples.seeds.seen_by(aging("test", examples.times)))
        target = self.real_labels(name, examples.examples.keys, examples.times)
        # What the run itself measured on validation, before its trees learnt from that too.
        val = version.manifest.metrics["val"]
        percent = 1 if task.task_type is TaskType.REGRESSION else 100
        share = version.manifest.network_weight
        chosen = f"network {share:.0%}"
        return Run(
            percent * val[version.manifest.default_metric],
            score(task.task_type, target, predicted.values),
            chosen,
            seconds,
        )

    def real_labels(self, name: str, keys: pa.ChunkedArray, times: Micros) -> np.ndarray[Any, Any]:
        """Return the official test labels of some entities and times."""
        config: Any = self.project.config.tasks[name]
        table = pq.read_table(self.folder / "tasks" / name / "test.parquet")
        moments = table.column(config.time).cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()
        known = dict(
            zip(
                zip(table.column(config.entity.column).to_pylist(), moments, strict=True),
                table.column(config.target).to_pylist(),
                strict=True,
            )
        )
        found = [known[pair] for pair in zip(keys.to_pylist(), times.tolist(), strict=True)]
        task = define_task(name, self.project, self.snapshot.schema)
        if task.items is None:
            return np.array(found, np.float64)
        listed = np.empty(len(found), object)
        listed[:] = found
        return item_rows(self.snapshot, task.items.name, listed)


@dataclass(frozen=True)
class Aging:
    """Up to when each example sees the graph.

    Always strictly before its own time. Where the history is frozen, validation rows see it as test rows do, up to the
    start of their period, and training rows see it as old as those, at random: a model learns what it will meet.
    """

    bench: Bench
    seed: int
    fresh: bool

    def __call__(self, split: str, times: Micros) -> Micros:
        """Return up to when the examples of a split at ``times`` see the graph."""
        strict = times - 1
        if self.fresh:
            return strict
        if split == "val":
            return np.minimum(strict, self.bench.val_start)
        if split == "train":
            ages = np.random.default_rng(self.seed).uniform(0, self.bench.test_start - self.bench.val_start, len(times))
            return strict - ages.astype(np.int64)
        return np.minimum(strict, self.bench.test_start)


def score(task_type: TaskType, target: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any]) -> float:
    """Return AUROC or MAP in per cent, or the mean absolute error."""
    if task_type is TaskType.LINK_PREDICTION:
        return 100 * float(average_precision(target, predicted).mean())
    if task_type is TaskType.BINARY_CLASSIFICATION:
        return 100 * float(roc_auc_score(target, predicted))
    return float(mean_absolute_error(target, predicted))


def blanked(folder: Path, copy: Path) -> None:
    """Copy a RelBench folder with every test label replaced by one constant, taken from the training labels."""
    shutil.copytree(folder, copy)
    for name, config in relbench_tasks(folder).items():
        path = copy / "tasks" / name / "test.parquet"
        table = pq.read_table(path)
        known = pq.read_table(copy / "tasks" / name / "train.parquet").column(config.target)[0].as_py()
        labels = table.column(config.target)
        constant = pa.array([known[:1] if isinstance(known, list) else known] * len(table), labels.type)
        path.chmod(0o644)
        pq.write_table(table.set_column(table.column_names.index(config.target), config.target, constant), path)


if __name__ == "__main__":
    main()
