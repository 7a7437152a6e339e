"""A model as it ships, with a network, boosted trees, lagged labels and calibration, trained once on a random shop."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from forekey.graph import Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.inference import Blend, PointwiseModel, Predictor
from forekey.nn import Calibration
from forekey.progress import SILENT
from forekey.project import Config, PQLTask, Project
from forekey.sampling import NeighborPlan
from forekey.task import Task, define_task, lagged_labels
from forekey.training import TrainConfig, gather
from forekey.training.pointwise import PointwiseRecipe
from forekey.training.trees import Growing, TreePlan
from tests.support.databases import SHOP_SCHEMA, START, Tables, source_of, table

QUERIES = {
    "busy": "PREDICT COUNT(orders.*, 0, 2, days) > 1 FOR EACH customers.customer_id",
    "spend": "PREDICT SUM(orders.amount, 0, 2, days) FOR EACH customers.customer_id",
    "kind": "PREDICT LAST(orders.kind, 0, 2, days) FOR EACH customers.customer_id",
}
PLAN = NeighborPlan((4, 2))
_CUSTOMERS, _ORDERS = 60, 1_500


@dataclass(frozen=True)
class Shipped:
    """A trained model and its task."""

    task: Task
    model: PointwiseModel

    def on(self, tables: Tables, snapshot: Snapshot, moment: datetime) -> Predictor:
        """Bind the model to a snapshot of some tables, with the labels that were known at a moment."""
        source = source_of(tables)
        past = lagged_labels(self.task, source, snapshot, [to_micros(moment)], self.model.objective)
        return self.model.bind(snapshot, past)


@cache
def shipped(name: str) -> Shipped:
    """Train the task of a name; both its network and its trees count, and it is calibrated."""
    folder = Path(tempfile.mkdtemp(prefix="forekey-shipped-"))
    source = source_of(_busy_shop())
    snapshot = build_snapshot(source, SHOP_SCHEMA, SnapshotStore(folder / "snapshots"))
    task = define_task(name, Project(folder, Config(source="memory")), SHOP_SCHEMA, PQLTask(query=QUERIES[name]))
    config = replace(
        TrainConfig(), channels=16, neighbors=PLAN, max_epochs=2, importance=False,
        trees=TreePlan(candidates=("bold",), boosters=2, rounds=30),
    )  # fmt: skip
    job = gather(task, snapshot, source, config, baselines=False)
    assert job.past is not None
    recipe = PointwiseRecipe(job, SILENT)
    networks, _ = recipe.fit(config, SILENT)
    found = recipe.choose(networks, config, Growing(1))
    assert found.grown is not None
    calibration = Calibration(1.3, 0.1) if task.kind.metric != "mae" else Calibration()
    blend = Blend(0.5, found.grown.trees, calibration)
    return Shipped(task, replace(found.model, network=networks["network"], blend=blend))


def _busy_shop() -> Tables:
    """Return a shop in which some customers order much more than others, and know what they want."""
    random = np.random.default_rng(0)
    rate = random.gamma(0.6, size=_CUSTOMERS)
    customer = random.choice(_CUSTOMERS, _ORDERS, p=rate / rate.sum())
    days = np.sort(random.uniform(0, 20, _ORDERS))
    placed = np.datetime64(START, "us") + (days * 86_400e6).astype("timedelta64[us]")
    kinds = np.array(["a", "b", "Ünïcode"])[(customer + random.integers(0, 5, _ORDERS) // 4) % 3]
    amounts = 10.0 + customer % 7 + random.exponential(3.0, _ORDERS)
    lines = random.integers(0, _ORDERS, 2 * _ORDERS)
    customers = [(i, ["a", "b", ""][i % 3], float(20 + i)) for i in range(_CUSTOMERS)]
    order_types = {
        "order_id": pa.int64(), "customer_id": pa.int64(), "placed_at": pa.timestamp("us"), "amount": pa.float64(),
        "kind": pa.string(),
    }  # fmt: skip
    orders = list(
        zip(range(_ORDERS), customer.tolist(), placed.tolist(), amounts.tolist(), kinds.tolist(), strict=True)
    )
    line_types = {"order_id": pa.int64(), "added_at": pa.timestamp("us"), "quantity": pa.int64()}
    details = [(int(i), placed[i].item(), int(i) % 4) for i in lines]
    return {
        "customers": table({"customer_id": pa.int64(), "region": pa.string(), "age": pa.float64()}, customers),
        "orders": table(order_types, orders),
        "lines": table(line_types, details),
    }
