"""One training epoch of a graph network on RelBench's rel-f1: ours against the reference pipeline, same shape.

The reference is what RelBench's authors publish: their loader and graph, PyTorch Frame encoders (a ResNet per node
type), PyG's ``NeighborLoader`` with pyg-lib, heterogeneous GraphSAGE. Both: fan-out 128, 128, 128 channels, two layers,
batches of 512, the same training labels, all cores. Ours is the second epoch, its validation pass within; theirs the
first, without one. Texts are left out of theirs. Needs `pip install "forekey[bench]"` and pyg-lib; without them, ours
runs alone. Run:

    python benchmarks/epoch.py FOLDER [--tasks a,b] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from forekey import __version__, pipeline
from forekey.progress import Listener
from forekey.sampling import NeighborPlan
from forekey.source import open_source
from forekey.task import define_task
from forekey.training import train_task

# The package of this name is meant, not the benchmark beside this script.
sys.path = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]

FANOUT, CHANNELS, BATCH = (128, 128), 128, 512
TASKS = ("driver-top3", "driver-position", "driver-dnf")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/rel-f1"))
    parser.add_argument("--tasks", default=",".join(TASKS), help="which, separated by commas")
    parser.add_argument("--quick", action="store_true", help="the smallest task alone, under two minutes")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    if not (options.folder / "manifest.yaml").is_file():
        print(f"'{options.folder}' is not a RelBench folder; nothing to measure.")
        return
    tasks = TASKS[:1] if options.quick else options.tasks.split(",")
    installed = all(importlib.util.find_spec(n) for n in ("relbench", "torch_frame", "torch_geometric", "pyg_lib"))
    rows = []
    for task in tasks:
        ours = our_epoch(options.folder.resolve(), task)
        theirs = their_epoch(options.folder.resolve(), task) if installed else None
        ratio = theirs / ours if theirs is not None else None
        rows.append({"name": f"epoch of {task}", "ours": ours, "peer": theirs, "ratio": ratio, "unit": "seconds"})
        rows[-1] |= {"target": 10.0, "better": "higher"}
        against = f", reference {theirs:.1f} s, ratio {ratio:.1f} (target 10)" if ratio is not None else ""
        print(f"{task}: ours {ours:.2f} s{against}", flush=True)
    if options.json:
        versions = {"forekey": __version__, "torch": torch.__version__, "numpy": np.__version__}
        machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
        options.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))


def our_epoch(folder: Path, name: str) -> float:
    """Return the seconds of the second of two epochs, its validation pass within."""
    with tempfile.TemporaryDirectory() as place:
        project = pipeline.init(str(folder), Path(place)).workspace
        snapshot = pipeline.snapshot(project)
        config = replace(
            pipeline.train_config("normal", 0),
            channels=CHANNELS,
            neighbors=NeighborPlan(FANOUT),
            batch_size=BATCH,
            max_epochs=2,
            min_batches=1,
            max_batches=10_000,
            max_seconds=3600.0,
            window_features=False,
            refit=False,
        )
        seen: list[Any] = []
        with open_source(project.config.source, project.root) as source:
            task = define_task(name, project, snapshot.schema)
            registry = project.registry
            train_task(task, snapshot, source, registry, config, baselines=False, listener=Listener(epoch=seen.append))
        return float(seen[1].seconds - seen[0].seconds)


def their_epoch(folder: Path, name: str) -> float:
    """Return the seconds of one epoch of the reference pipeline."""
    from relbench.modeling.graph import get_node_train_table_input, make_pkey_fkey_graph
    from relbench.modeling.utils import get_stype_proposal
    from torch_frame import stype
    from torch_geometric.loader import NeighborLoader

    from relbench import load_dataset

    dataset = load_dataset(str(folder))
    task = dataset.load_task(name)
    database = dataset.get_db()
    stypes = get_stype_proposal(database)
    without_text = {t: {c: s for c, s in cs.items() if s != stype.text_embedded} for t, cs in stypes.items()}
    data, stats = make_pkey_fkey_graph(database, without_text, text_embedder_cfg=None, cache_dir=None)
    given = get_node_train_table_input(task.get_table("train"), task)
    loader = NeighborLoader(
        data,
        num_neighbors=list(FANOUT),
        time_attr="time",
        input_nodes=given.nodes,
        input_time=given.time,
        transform=given.transform,
        batch_size=BATCH,
        temporal_strategy="uniform",
        shuffle=True,
    )
    model = reference_model(data, stats)
    binary = given.target is not None and set(given.target.unique().tolist()) <= {0.0, 1.0}
    loss_of = torch.nn.BCEWithLogitsLoss() if binary else torch.nn.L1Loss()
    entity = task.entity_table
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    started = time.perf_counter()
    for batch in loader:
        optimizer.zero_grad()
        loss_of(model(batch, entity), batch[entity].y.float()).backward()
        optimizer.step()
    return time.perf_counter() - started


def reference_model(data: Any, stats: Any) -> Any:
    """Put the published modules together as their authors do."""
    from relbench.modeling.nn import HeteroEncoder, HeteroGraphSAGE, HeteroTemporalEncoder

    class Reference(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            columns = {t: data[t].tf.col_names_dict for t in data.node_types}
            self.encoder = HeteroEncoder(CHANNELS, columns, stats)
            timed = [t for t in data.node_types if "time" in data[t]]
            self.temporal = HeteroTemporalEncoder(timed, CHANNELS)
            self.convs = HeteroGraphSAGE(data.node_types, data.edge_types, CHANNELS, num_layers=len(FANOUT))
            self.head = torch.nn.Linear(CHANNELS, 1)

        def forward(self, batch: Any, entity: str) -> Any:
            seed_time = batch[entity].seed_time
            x = self.encoder(batch.tf_dict)
            for table, moment in self.temporal(seed_time, batch.time_dict, batch.batch_dict).items():
                x[table] = x[table] + moment
            x = self.convs(x, batch.edge_index_dict)
            return self.head(x[entity][: len(seed_time)])[:, 0]

    return Reference()


if __name__ == "__main__":
    main()
