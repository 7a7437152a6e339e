"""Sample temporal, disjoint neighbourhoods into ready tensors: ours against PyG's ``NeighborLoader`` with pyg-lib.

Both get the same graph: events that refer ten times to five tables of entities, both directions of every foreign key,
every event with its time, and the same seeds: entities at random moments, two hops, the most recent neighbours (or
uniform without replacement). Counted are the sampled edges per second until a batch with the features of its rows is
there. Ours runs a thread a core, theirs a worker process a core; then each sampler alone, on one thread. The
random-access bound is how many random reads of one number per second one core of this machine makes from the
graph's own index array. Needs `pip install "forekey[bench]"` and pyg-lib; without them, ours runs alone. Run:

    python benchmarks/sampling.py [--quick] [--events N] [--uniform] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import torch

from forekey import __version__
from forekey.features import FeatureStore, fit_features
from forekey.graph import Seeds, Snapshot, SnapshotStore, build_snapshot
from forekey.inference import Collator
from forekey.sampling import NeighborPlan, NeighborSampler
from forekey.source import infer_schema, open_source

ENTITIES, KEYS_EACH = 5, 2
FANOUT = (15, 15)
BATCH = 512


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="100,000 events, under two minutes")
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--uniform", action="store_true", help="uniform instead of the most recent neighbours")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    events, batches = (100_000, 8) if options.quick else (options.events, 24)
    strategy = "uniform" if options.uniform else "most_recent"
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(graph(Path(folder), events), batches, strategy)
    if options.json:
        versions = {"forekey": __version__, "torch": torch.__version__, "numpy": np.__version__}
        machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
        options.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))


def graph(folder: Path, events: int) -> Snapshot:
    """Build the graph through the ordinary way in, from Parquet files."""
    entities = max(events // 50, 100)
    with duckdb.connect() as connection:
        for i in range(ENTITIES):
            connection.execute(
                f"COPY (SELECT range::BIGINT AS e{i}_id, random() AS size FROM range({entities})) "
                f"TO '{folder}/e{i}.parquet'"
            )
        keys = ", ".join(
            f"(random() * random() * {entities})::BIGINT % {entities} AS k{j}_e{i}_id"
            for i in range(ENTITIES)
            for j in range(KEYS_EACH)
        )
        connection.execute(
            f"COPY (SELECT range::BIGINT AS event_id, TIMESTAMP '2020-01-01' + INTERVAL 1 SECOND * (range * 20) AS at, "
            f"random() AS amount, random() AS weight, {keys} FROM range({events})) TO '{folder}/events.parquet'"
        )
    with open_source(f"files:///{folder}", folder) as source:
        return build_snapshot(source, infer_schema(source).schema, SnapshotStore(folder / "snapshots"))


@dataclass(frozen=True)
class Asked:
    """Entities and the moments at which their neighbourhoods are asked for."""

    rows: np.ndarray[Any, np.dtype[np.int32]]
    times: np.ndarray[Any, np.dtype[np.int64]]

    def parts(self) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Return batches of them."""
        for first in range(0, len(self.rows), BATCH):
            yield self.rows[first : first + BATCH], self.times[first : first + BATCH]


def measure(snapshot: Snapshot, batches: int, strategy: str) -> list[dict[str, Any]]:
    """Time every way on the same seeds, each after a warm-up; print and return the rows."""
    edges = sum(snapshot.num_edges(e) for e in snapshot.schema.edge_types)
    nodes = sum(snapshot.num_nodes(t) for t in snapshot.schema.names)
    print(f"{nodes:,} nodes, {edges:,} edges in each direction; {strategy}, fan-out {FANOUT}, batches of {BATCH}")
    random = np.random.default_rng(0)
    known = snapshot.times("events")
    assert known is not None
    size = batches * BATCH
    seeds = Asked(
        random.integers(0, snapshot.num_nodes("e0"), size).astype(np.int32),
        np.sort(random.choice(known[len(known) // 2 :], size)),
    )
    ours, ours_alone = our_ways(snapshot, strategy)
    speeds = {"ours, two threads, tensors": timed(ours, seeds), "ours, one thread, bare": timed(ours_alone, seeds)}
    installed = all(importlib.util.find_spec(n) for n in ("torch_geometric", "pyg_lib"))
    if installed:
        theirs, theirs_alone = their_ways(snapshot, strategy)
        speeds |= {
            "PyG, two workers, tensors": timed(theirs, seeds),
            "pyg-lib, one thread, bare": timed(theirs_alone, seeds),
        }
    speeds["random reads of one core"] = random_reads(snapshot)
    for name, speed in speeds.items():
        print(f"{name:<30} {speed / 1e6:8.2f} M edges/s")
    pairs = [
        ("edges per second into tensors, both cores", "ours, two threads, tensors", "PyG, two workers, tensors", 5.0),
        ("edges per second, sampler alone, one thread", "ours, one thread, bare", "pyg-lib, one thread, bare", 2.0),
        ("sampler alone against random reads", "ours, one thread, bare", "random reads of one core", None),
    ]
    rows = []
    for name, own, peer, target in pairs:
        if peer in speeds:
            ratio = speeds[own] / speeds[peer]
            row = {"name": name, "ours": speeds[own], "peer": speeds[peer], "ratio": ratio, "unit": "edges/s"}
            rows.append({**row, "target": target, "better": "higher"})
            print(f"{name}: {ratio:.2f}" + (f" (target {target:g})" if target else ""))
    return rows


Way = Callable[[Asked], int]


def timed(way: Way, seeds: Asked) -> float:
    """Return sampled edges per second, the best of three passes after one to warm up."""
    way(Asked(seeds.rows[: 2 * BATCH], seeds.times[: 2 * BATCH]))
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        edges = way(seeds)
        best = max(best, edges / (time.perf_counter() - started))
    return best


def our_ways(snapshot: Snapshot, strategy: Any) -> tuple[Way, Way]:
    """Return ours with features on all cores, and the sampler alone on one."""
    plan = NeighborPlan(FANOUT, strategy)
    features = FeatureStore(snapshot, fit_features(snapshot, int(snapshot.manifest.as_of)))
    tables = snapshot.schema.names
    features.tables.prepare(tables)
    sampler = NeighborSampler(snapshot, plan)

    def count(subgraph: Any) -> int:
        return sum(len(e.src) for e in subgraph.edges.values())

    def whole(seeds: Asked) -> int:
        def work(parts: list[tuple[Any, Any]]) -> int:
            assemble, total = Collator(features), 0
            for rows, times in parts:
                subgraph = sampler.sample(Seeds.at("e0", rows, times))
                assemble(subgraph, tables)
                total += count(subgraph)
            return total

        parts = list(seeds.parts())
        cores = torch.get_num_threads()
        with ThreadPoolExecutor(cores) as pool:
            return sum(pool.map(work, [parts[i::cores] for i in range(cores)]))

    def bare(seeds: Asked) -> int:
        return sum(count(sampler.sample(Seeds.at("e0", rows, times))) for rows, times in seeds.parts())

    return whole, bare


def their_ways(snapshot: Snapshot, strategy: str) -> tuple[Way, Way]:
    """Return PyG's loader with features and two workers, and pyg-lib's sampler alone on one thread."""
    from torch_geometric.data import HeteroData
    from torch_geometric.loader import NeighborLoader

    data = HeteroData()
    for table in snapshot.schema.names:
        rows = snapshot.rows(table)
        numbers = [
            rows.column(c.name).to_numpy() for c in snapshot.schema.table(table).columns if c.stype == "numerical"
        ]
        data[table].x = torch.from_numpy(np.stack(numbers, axis=1).astype(np.float32))
        times = snapshot.times(table)
        data[table].time = (
            torch.from_numpy(np.array(times)) if times is not None else torch.zeros(len(rows), dtype=torch.int64)
        )
    for edge in snapshot.schema.edge_types:
        parents = np.array(snapshot.parents(edge))
        children = np.flatnonzero(parents >= 0)
        child, parent = torch.from_numpy(children), torch.from_numpy(parents[children].astype(np.int64))
        data[edge.parent, f"{edge.column}_up", edge.child].edge_index = torch.stack([parent, child])
        data[edge.child, edge.column, edge.parent].edge_index = torch.stack([child, parent])
    temporal = "last" if strategy == "most_recent" else "uniform"

    def loader(seeds: Asked, workers: int) -> Any:
        return NeighborLoader(
            data,
            num_neighbors=list(FANOUT),
            input_nodes=("e0", torch.from_numpy(seeds.rows.astype(np.int64))),
            input_time=torch.from_numpy(seeds.times),
            time_attr="time",
            temporal_strategy=temporal,
            disjoint=True,
            batch_size=BATCH,
            num_workers=workers,
            persistent_workers=workers > 0,
        )

    kept: dict[int, Any] = {}

    def whole(seeds: Asked) -> int:
        # Workers are started once a set of seeds, outside the first pass that counts.
        if len(seeds.rows) not in kept:
            kept[len(seeds.rows)] = loader(seeds, torch.get_num_threads())
            sum(1 for _ in kept[len(seeds.rows)])
            return 0
        return sum(int(sum(e.shape[1] for e in b.edge_index_dict.values())) for b in kept[len(seeds.rows)])

    single = loader(Asked(np.zeros(1, np.int32), np.zeros(1, np.int64)), 0)

    def bare(seeds: Asked) -> int:
        from torch_geometric.sampler import NodeSamplerInput

        torch.set_num_threads(1)
        total = 0
        for rows, times in seeds.parts():
            nodes = torch.from_numpy(rows.astype(np.int64))
            asked = NodeSamplerInput(input_id=None, node=nodes, time=torch.from_numpy(times), input_type="e0")
            out = single.node_sampler.sample_from_nodes(asked)
            total += sum(len(r) for r in out.row.values() if r is not None)
        torch.set_num_threads(2)
        return total

    return whole, bare


def random_reads(snapshot: Snapshot) -> float:
    """Return how many random reads of one number a second one core makes from the index of an edge type."""
    _, order = snapshot.children(snapshot.schema.edge_types[0])
    order = np.array(order)
    places = np.random.default_rng(0).integers(0, len(order), 4_000_000)
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        order.take(places).sum()
        best = max(best, len(places) / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
