"""Every node's embedding at one time, once: layer by layer over the whole graph instead of tree by tree.

States live in memory-mapped scratch files, one a node type and layer, and are worked off in chunks of rows, so
memory is bounded by the chunk. Only the node types that the entity hears from, layer by layer, are computed.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.features import FeatureStore
from forekey.graph import Snapshot
from forekey.inference.assemble import age_in_days
from forekey.nn import GraphModel
from forekey.sampling import Relation, relations_of

_CHUNK_ROWS = 65_536

States = dict[str, NDArray[np.float32]]


@torch.no_grad()
def embed_all(model: GraphModel, features: FeatureStore, as_of: int, workspace: Path) -> NDArray[np.float32]:
    """Embed every visible row of the entity table as of a time (microseconds since 1970).

    Returns ``[visible rows, channels] float32``, equal (to rounding) to sampling each row with the model's budget
    and the most recent neighbours.
    """
    model.eval()
    snapshot = features.snapshot
    visible = {t: int(snapshot.visible(t, np.array([as_of]))[0]) for t in snapshot.schema.names}
    workspace.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace, prefix="layers-") as folder:
        scratch = _Scratch(Path(folder), model.config.channels)
        states: States = {t: _encode(model, features, t, visible[t], as_of, scratch) for t in model.config.types_at(0)}
        for layer in range(model.config.layers):
            states = {
                t: _update(model, features, layer, t, states, visible, scratch)
                for t in model.config.types_at(layer + 1)
            }
        return np.array(states[model.config.entity])


class _Scratch:
    """Hands out arrays that live in files, so that states may exceed memory."""

    def __init__(self, folder: Path, channels: int) -> None:
        self._folder, self._channels, self._count = folder, channels, 0

    def new(self, rows: int) -> NDArray[np.float32]:
        if rows == 0:
            return np.zeros((0, self._channels), np.float32)
        self._count += 1
        path = self._folder / f"{self._count}.f32"
        return np.asarray(np.memmap(path, np.float32, "w+", shape=(rows, self._channels)))


def _encode(
    model: GraphModel, features: FeatureStore, table: str, rows: int, as_of: int, scratch: _Scratch
) -> NDArray[np.float32]:
    out = scratch.new(rows)
    times = features.snapshot.times(table)
    encoded = features.table(table)
    for first in range(0, rows, _CHUNK_ROWS):
        last = min(first + _CHUNK_ROWS, rows)
        numbers = torch.from_numpy(encoded.numbers[first:last])
        codes = torch.from_numpy(encoded.codes[first:last]).long()
        age = None
        if times is not None:
            age = torch.from_numpy(age_in_days(np.int64(as_of), times[first:last]))  # type: ignore[arg-type]
        out[first:last] = model.seen_at(table, model.encode(table, numbers, codes), age).numpy()
    return out


def _update(
    model: GraphModel,
    features: FeatureStore,
    layer: int,
    table: str,
    states: States,
    visible: dict[str, int],
    scratch: _Scratch,
) -> NDArray[np.float32]:
    hop = model.config.layers - 1 - layer
    budgets = {r.name: r.budgets[hop] for r in model.config.relations_into(table)}
    heard = [r for r in relations_of(features.snapshot.schema) if r.source == table and str(r) in budgets]
    out = scratch.new(visible[table])
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for first in range(0, visible[table], _CHUNK_ROWS):
            last = min(first + _CHUNK_ROWS, visible[table])
            means: dict[str, torch.Tensor] = {}
            degrees: dict[str, torch.Tensor] = {}
            for relation in heard:
                name = str(relation)
                mean, degree = _average(pool, features.snapshot, relation, first, last, visible, budgets[name], states)
                means[name], degrees[name] = torch.from_numpy(mean), torch.from_numpy(degree)
            own = torch.from_numpy(states[table][first:last])
            out[first:last] = model.update(layer, table, own, means, degrees).numpy()
    return out


def _average(
    pool: ThreadPoolExecutor,
    snapshot: Snapshot,
    relation: Relation,
    first: int,
    last: int,
    visible: dict[str, int],
    budget: int,
    states: States,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average the neighbours of the nodes ``first <= n < last`` along a relation, in parallel slices."""
    from forekey.inference.kernels import mean_of_recent, state_of_parents

    bound, values = visible[relation.neighbor], states[relation.neighbor]
    if relation.up:
        return state_of_parents(first, last, bound if budget else 0, snapshot.parents(relation.edge), values)
    indptr, indices = snapshot.children(relation.edge)
    edges = np.linspace(first, last, torch.get_num_threads() + 1).astype(int).tolist()
    parts = pool.map(
        lambda piece: mean_of_recent(piece[0], piece[1], bound, budget, indptr, indices, values), pairwise(edges)
    )
    means, degrees = zip(*parts, strict=True)
    return np.concatenate(means), np.concatenate(degrees)
