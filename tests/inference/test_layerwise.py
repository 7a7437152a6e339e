"""Layer by layer, a graph may be larger than memory: states beyond a bound lie in files and are worked off in parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forekey.graph import Seeds, from_micros, to_micros
from forekey.inference import layerwise
from forekey.nn import Aggregation
from forekey.sampling import NeighborSampler
from forekey.workspace import Workspace
from tests.support.models import random_predictor


@pytest.mark.parametrize("aggregation", ["mean", "moments", "attention", "transformer"])
@pytest.mark.parametrize("entity", ["customers", "orders"])
def test_states_in_files_worked_off_in_parts_are_those_in_memory(
    shop_project: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entity: str, aggregation: Aggregation
) -> None:
    snapshot = shop_project.snapshots.current()
    moment = to_micros(snapshot.as_of)
    predictor = random_predictor(snapshot, entity, from_micros(moment), aggregation=aggregation)
    in_memory = layerwise.embed_all(predictor.model, predictor.features, moment, tmp_path)
    written = list[str]()

    def mapped(path: Path, *given: object, **named: object) -> object:
        written.append(path.name)
        return memmap(path, *given, **named)

    memmap = np.memmap
    monkeypatch.setattr(np, "memmap", mapped)
    monkeypatch.setattr(layerwise, "_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(layerwise, "_CHUNK_ROWS", 37)
    monkeypatch.setattr(layerwise, "_CHUNK_TOKENS", 11)
    in_parts = layerwise.embed_all(predictor.model, predictor.features, moment, tmp_path)
    assert len(written) == len(set(written)) > len(snapshot.schema.names)  # one file an array, none written over
    assert list(tmp_path.iterdir()) == []  # and nothing left behind
    np.testing.assert_allclose(in_parts, in_memory, atol=1e-5, rtol=1e-5)


def test_batches_of_a_graph_that_grows_are_collated(shop_project: Workspace) -> None:
    """What counts distinct rows is as long as the table: also when rows came since the last batch."""
    snapshot = shop_project.snapshots.current()
    predictor = random_predictor(snapshot, "orders", snapshot.as_of)
    now, collate = to_micros(snapshot.as_of), predictor._collate
    sampler = NeighborSampler(snapshot, predictor.plan)
    every = snapshot.num_nodes("orders")
    collate._scratch["orders"] = np.full(every - 5, -1, np.int32)  # as it was when five orders fewer were there
    subgraph = sampler.sample(Seeds.at("orders", np.arange(every), now))
    batch = collate(subgraph, predictor.graph_model.config.types_at(0))
    assert len(collate._scratch["orders"]) >= every  # a compiled loop writes past the end without a word
    assert len(batch.nodes["orders"].index) == len(subgraph.nodes["orders"].rows)
    assert int(batch.nodes["orders"].index.max()) < len(batch.nodes["orders"].values)
