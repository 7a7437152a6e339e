"""Every entity's embedding at one time, once: layer by layer over the whole graph instead of tree by tree.

Where sampling unfolds a tree per entity, here each row's state is computed once per layer and read by all that
receive its messages. Going down from the entities, the rows that each layer reads are marked first; only those are
computed. States live in memory-mapped scratch files and are worked off in chunks, so memory is bounded by the
chunk.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.features import FeatureStore
from forekey.graph import GraphView
from forekey.inference.collate import age_in_days
from forekey.nn import GraphModel, RelationSpec, time_encoding
from forekey.sampling import Relation, relations_of

if TYPE_CHECKING:
    from forekey.graph.adjacency_kernels import Parts

_CHUNK_ROWS = 8_192
_CHUNK_TOKENS = 512  # entities whose neighbours attend to one another at a time
_BYTES_IN_MEMORY = 64 * 1024**2

Rows = dict[str, NDArray[np.int32]]


@torch.no_grad()
def embed_all(model: GraphModel, features: FeatureStore, as_of: int, workspace: Path) -> NDArray[np.float32]:
    """Embed every visible row of the entity table as of a time (microseconds since 1970).

    Returns ``[visible rows, channels] float32``, equal (to rounding) to sampling each row with the model's budget
    and the most recent neighbours.
    """
    model.eval()
    workspace.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=workspace, prefix="layers-") as folder,
        ThreadPoolExecutor(torch.get_num_threads()) as pool,
    ):
        work = _Pass(model, features, as_of, pool, Path(folder))
        needed = work.needed()
        states = {t: work.encode(t, rows) for t, rows in needed[0].items()}
        for layer in range(len(model.layers)):
            # A neighbourhood a table: its messages are given back before those of the next are computed.
            states = {
                table: work.update(layer, table, rows, states, needed[layer])
                for table, rows in needed[layer + 1].items()
            }
        if model.transformer is not None:
            return work.attend(states, _WholeNeighborhood(work, len(model.layers), states, needed[-1]))
        return np.array(states[model.config.entity].vectors[work.everyone])


@dataclass(frozen=True, slots=True)
class TableStates:
    """The states of the rows of one table, ``vectors [rows, channels]``, and their ages where states lack these."""

    vectors: NDArray[np.float32]
    ages: Callable[[NDArray[np.int32]], NDArray[np.float32]] | None = None

    def of(self, nodes: NDArray[np.int32]) -> torch.Tensor:
        """Return the states of some rows."""
        return torch.from_numpy(self.vectors[nodes])

    def time_of(self, nodes: NDArray[np.int32]) -> torch.Tensor | None:
        """Return the time encodings of some rows."""
        return time_encoding(torch.from_numpy(self.ages(nodes))) if self.ages is not None else None

    def through(self, linear: Callable[[torch.Tensor], torch.Tensor], nodes: NDArray[np.int32]) -> torch.Tensor:
        """Return what a linear map makes of the states of some rows."""
        return linear(self.of(nodes))


@dataclass(frozen=True)
class _Pass:
    """One pass over the graph. State arrays have a row for every row; those not needed are never written."""

    model: GraphModel
    features: FeatureStore
    as_of: int
    pool: ThreadPoolExecutor
    folder: Path

    def needed(self) -> list[Rows]:
        """Return, per layer (0 is the encoding), the rows of each table whose state is read."""
        config = self.model.config
        levels: list[Rows] = [{config.entity: self.everyone}]
        for layer in range(config.layers - 1, -1, -1):
            above = levels[0]
            marks = {t: np.zeros(self.view.num_nodes(t), bool) for t in config.types_at(layer)}
            for table, rows in above.items():
                marks[table][rows] = True  # a node's own state is read too
                for relation, budget in self.relations_into(layer, table):
                    self._mark(relation, budget, rows, marks[relation.src])
            levels.insert(0, {t: np.flatnonzero(m).astype(np.int32) for t, m in marks.items()})
        return levels

    def encode(self, table: str, rows: NDArray[np.int32]) -> TableStates:
        """Return the states before the first layer."""
        out = self._scratch(table, 0)
        for part in _chunks(rows):
            moments = np.full(len(part), self.as_of)
            piece = self.features.tables.take(table, self.view.contents_at(table, part, moments))
            state = self.model.encode(table, torch.from_numpy(piece.values), torch.from_numpy(piece.token_ids))
            out[part] = state.numpy()
        times = self.view.times(table)
        if times is None:
            return TableStates(out)
        return TableStates(out, lambda nodes: age_in_days(np.full(len(nodes), self.as_of), times[nodes]))

    def update(
        self, layer: int, table: str, rows: NDArray[np.int32], states: Mapping[str, TableStates], known: Rows
    ) -> TableStates:
        """Return the states after one more layer, from those of the ``known`` rows."""
        out, around = self._scratch(table, layer + 1), _WholeNeighborhood(self, layer, states, known)
        for part in _chunks(rows):
            out[part] = self.model.update(layer, table, states[table], part, around).numpy()
        return TableStates(out)

    def attend(self, states: Mapping[str, TableStates], around: _WholeNeighborhood) -> NDArray[np.float32]:
        """Return embeddings of all entities where the last layer is a transformer, from the states below it."""
        out = np.empty((len(self.everyone), self.model.config.channels), np.float32)
        for first in range(0, len(out), _CHUNK_TOKENS):
            chunk = slice(first, first + _CHUNK_TOKENS)
            out[chunk] = self.model.attend(states, self.everyone[chunk], around).numpy()
        return out

    def relations_into(self, layer: int, table: str) -> list[tuple[Relation, int]]:
        """Return the relations into a table that are read at a layer, with their budgets."""
        hop = self.hop(layer)
        budgets = {r.name: r.budgets[hop] for r in self.model.config.relations_into(table)}
        found = [r for r in relations_of(self.view.schema) if r.dst == table and str(r) in budgets]
        return [(r, budgets[str(r)]) for r in found]

    @property
    def view(self) -> GraphView:
        return self.features.view

    def hop(self, layer: int) -> int:
        """Return how far from the entities the nodes are that a layer updates."""
        return self.model.config.layers - 1 - layer

    @cached_property
    def everyone(self) -> NDArray[np.int32]:
        """The rows of the entity table that are there."""
        return self.view.presence(self.model.config.entity).at(self.as_of)

    def children(self, relation: Relation) -> tuple[Parts, int, int]:
        """Return the lists of children along a relation, and up to where they are there."""
        adjacency, moment = self.view.adjacency(relation.edge), np.array([self.as_of], np.int64)
        return adjacency.parts, int(adjacency.limits(moment)[0]), self.as_of + 1

    def parents(self, relation: Relation, budget: int, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the parent of each row along a relation; -1 where none is there or none is read."""
        parents = self.view.parents(relation.edge)[rows]
        there = self.view.presence(relation.src).of(parents, np.full(len(rows), self.as_of, np.int64))
        return np.where(there & (budget > 0), parents, np.int32(-1))

    def _mark(self, relation: Relation, budget: int, rows: NDArray[np.int32], marks: NDArray[np.bool_]) -> None:
        from forekey.inference.layer_kernels import mark_recent

        if relation.up:
            parents = self.parents(relation, budget, rows)
            marks[parents[parents >= 0]] = True
        else:
            mark_recent(rows, *self.children(relation), budget, marks)

    def _scratch(self, table: str, layer: int) -> NDArray[np.float32]:
        """Return an array that, if it is large, lives in a (sparse) file, so that states may exceed memory."""
        shape = (self.view.num_nodes(table), self.model.config.channels)
        return self.array(shape, f"{layer}-{self.view.schema.names.index(table)}")

    def array(self, shape: tuple[int, int], name: str) -> NDArray[np.float32]:
        if 4 * shape[0] * shape[1] <= _BYTES_IN_MEMORY:
            return np.empty(shape, np.float32)
        place = self.folder / f"{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}.f32"
        return np.asarray(np.memmap(place, np.float32, "w+", shape=shape))


@dataclass
class _WholeNeighborhood:
    """The neighbours of rows over the whole graph, from the ``states`` of the ``known`` rows before a layer.

    The messages of a relation are computed once, for all rows that are known, when they are first asked for.
    """

    work: _Pass
    layer: int
    states: Mapping[str, TableStates]
    known: Rows

    def __post_init__(self) -> None:
        self._messages: dict[str, NDArray[np.float32]] = {}
        self._relations = {str(r): r for r in relations_of(self.work.view.schema)}

    def mean_message(
        self, layer: int, table: str, relation: RelationSpec, nodes: NDArray[np.int32]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Average the messages of the newest neighbours of some rows, in parallel slices."""
        from forekey.inference.layer_kernels import mean_of_recent, state_of_parents

        own, work = self._relations[relation.name], self.work
        budget, values = relation.budgets[work.hop(layer)], self._all_messages(table, relation)
        if own.up:
            mean, degree = state_of_parents(work.parents(own, budget, nodes), values)
            return torch.from_numpy(mean), torch.from_numpy(degree)
        lists = work.children(own)
        slices = np.array_split(nodes, torch.get_num_threads())
        parts = work.pool.map(lambda part: mean_of_recent(part, *lists, budget, values), slices)
        means, degrees = zip(*parts, strict=True)
        return torch.from_numpy(np.concatenate(means)), torch.from_numpy(np.concatenate(degrees))

    def neighbors(
        self, relation: RelationSpec, nodes: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], torch.Tensor, torch.Tensor] | None:
        """Return the distinct newest neighbours of some entities."""
        from forekey.inference.layer_kernels import recent

        own, budget = self._relations[relation.name], relation.budgets[0]
        if own.up:
            index = self.work.parents(own, budget, nodes)[:, None]
            degree = (index[:, 0] >= 0).astype(np.float32)
        else:
            index, degree = recent(nodes, *self.work.children(own), budget)
        distinct, position = np.unique(index[index >= 0], return_inverse=True)
        index[index >= 0] = position
        return distinct, torch.from_numpy(index), torch.from_numpy(degree)

    def _all_messages(self, table: str, relation: RelationSpec) -> NDArray[np.float32]:
        """Return the message of each known neighbour along a relation."""
        key, states, model = f"{table} {relation.name}", self.states[relation.src], self.work.model
        if self.layer and not relation.single and model.config.aggregation in {"mean", "transformer"}:
            return states.vectors  # above the first layer, means are those of states
        if key not in self._messages:
            width = model.message(self.layer, table, relation, states, np.empty(0, np.int32)).shape[1]
            out = self.work.array((len(states.vectors), width), f"messages-{self.layer}-{key}")
            for part in _chunks(self.known[relation.src]):
                out[part] = model.message(self.layer, table, relation, states, part).numpy()
            self._messages[key] = out
        return self._messages[key]


def _chunks(rows: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    for first in range(0, len(rows), _CHUNK_ROWS):
        yield rows[first : first + _CHUNK_ROWS]
