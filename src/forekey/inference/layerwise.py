"""Every entity's embedding at one time, once: layer by layer over the whole graph instead of tree by tree.

Where sampling unfolds a tree per entity, here each row's state is computed once per layer and read by all that
receive its messages. Going down from the entities, the rows that each layer reads are marked first; only those are
computed. States live in memory-mapped scratch files and are worked off in chunks, so memory is bounded by the
chunk.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
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
from forekey.nn import GraphModel, NeighborhoodTransformer, time_encoding
from forekey.sampling import Relation, relations_of

if TYPE_CHECKING:
    from forekey.graph.adjacency_kernels import Parts

_CHUNK_ROWS = 8_192
_CHUNK_TOKENS = 512  # entities whose neighbours attend to one another at a time
_BYTES_IN_MEMORY = 64 * 1024**2

States = dict[str, NDArray[np.float32]]
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
            states = {t: work.update(layer, t, rows, states, needed[layer]) for t, rows in needed[layer + 1].items()}
        if model.transformer is not None:
            return work.attend(model.transformer, states)
        return np.array(states[model.config.entity][work.everyone])


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

    def encode(self, table: str, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the states before the first layer."""
        out = self._scratch(table, 0)
        for part in _chunks(rows):
            moments = np.full(len(part), self.as_of)
            piece = self.features.tables.take(table, self.view.contents_at(table, part, moments))
            state = self.model.encode(table, torch.from_numpy(piece.values), torch.from_numpy(piece.token_ids))
            out[part] = state.numpy()
        return out

    def update(
        self, layer: int, table: str, rows: NDArray[np.int32], states: States, known: Rows
    ) -> NDArray[np.float32]:
        """Return the states after one more layer, from those of the ``known`` rows."""
        out = self._scratch(table, layer + 1)
        conv = self.model.conv(layer, table)
        messages = {
            str(r): self._messages(layer, table, r, states[r.src], known[r.src])
            for r, _ in self.relations_into(layer, table)
        }
        for part in _chunks(rows):
            means: dict[str, torch.Tensor] = {}
            degrees: dict[str, torch.Tensor] = {}
            for relation, budget in self.relations_into(layer, table):
                mean, degree = self._average(relation, budget, part, messages[str(relation)])
                means[str(relation)], degrees[str(relation)] = torch.from_numpy(mean), torch.from_numpy(degree)
            own, time = torch.from_numpy(states[table][part]), self._time_encoding(layer, table, part)
            root = conv.with_root_time(conv.root(own), time)
            out[part] = self.model.update(layer, table, own, root, means, degrees).numpy()
        return out

    def attend(self, transformer: NeighborhoodTransformer, states: States) -> NDArray[np.float32]:
        """Return embeddings of all entities where the last layer is a transformer, from the states below it."""
        entity = self.model.config.entity
        out = np.empty((len(self.everyone), self.model.config.channels), np.float32)
        for first in range(0, len(out), _CHUNK_TOKENS):
            chunk = slice(first, first + _CHUNK_TOKENS)
            rows = self.everyone[chunk]
            neighbors, degrees = {}, {}
            for relation, budget in self.relations_into(self.model.config.layers - 1, entity):
                slots, degree = self._neighbors(relation, budget, rows)
                degrees[str(relation)] = torch.from_numpy(degree)
                distinct, place = np.unique(slots[slots >= 0], return_inverse=True)
                slots[slots >= 0] = place
                tokens = self._tokens(relation.src, states, distinct)
                neighbors[str(relation)] = tokens, torch.from_numpy(slots)
            out[chunk] = transformer(self._tokens(entity, states, rows), neighbors, degrees).numpy()
        return out

    def _tokens(self, table: str, states: States, rows: NDArray[np.int32]) -> torch.Tensor:
        state = torch.from_numpy(states[table][rows])
        return self.model.token(table, state, self._time_encoding(len(self.model.layers), table, rows))

    def _neighbors(
        self, relation: Relation, budget: int, rows: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the neighbours of each of some rows along a relation, newest first, and how many there are."""
        from forekey.inference.layer_kernels import recent

        if not relation.up:
            return recent(rows, *self._children(relation), budget)
        parents = self._parents(relation, budget, rows)
        return parents[:, None], (parents >= 0).astype(np.float32)

    def relations_into(self, layer: int, table: str) -> list[tuple[Relation, int]]:
        """Return the relations into a table that are read at a layer, with their budgets."""
        hop = self.model.config.layers - 1 - layer
        budgets = {r.name: r.budgets[hop] for r in self.model.config.relations_into(table)}
        found = [r for r in relations_of(self.view.schema) if r.dst == table and str(r) in budgets]
        return [(r, budgets[str(r)]) for r in found]

    @property
    def view(self) -> GraphView:
        return self.features.view

    @cached_property
    def everyone(self) -> NDArray[np.int32]:
        """The rows of the entity table that are there."""
        return self.view.presence(self.model.config.entity).at(self.as_of)

    def _children(self, relation: Relation) -> tuple[Parts, int, int]:
        """Return the lists of children along a relation, and up to where they are there."""
        adjacency, moment = self.view.adjacency(relation.edge), np.array([self.as_of], np.int64)
        return adjacency.parts, int(adjacency.limits(moment)[0]), self.as_of + 1

    def _parents(self, relation: Relation, budget: int, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the parent of each row along a relation; -1 where none is there or none is read."""
        parents = self.view.parents(relation.edge)[rows]
        there = self.view.presence(relation.src).of(parents, np.full(len(rows), self.as_of, np.int64))
        return np.where(there & (budget > 0), parents, np.int32(-1))

    def _mark(self, relation: Relation, budget: int, rows: NDArray[np.int32], marks: NDArray[np.bool_]) -> None:
        from forekey.inference.layer_kernels import mark_recent

        if relation.up:
            parents = self._parents(relation, budget, rows)
            marks[parents[parents >= 0]] = True
        else:
            mark_recent(rows, *self._children(relation), budget, marks)

    def _messages(
        self, layer: int, table: str, relation: Relation, states: NDArray[np.float32], rows: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return the message of each neighbour along a relation; above the first layer, means are those of states."""
        conv, name = self.model.conv(layer, table), str(relation)
        if layer and not relation.up and self.model.config.aggregation in {"mean", "transformer"}:
            return states
        width = conv.message(name, torch.zeros(1, states.shape[1])).shape[1]
        out = self._array((len(states), width), f"messages-{layer}-{relation}")
        for part in _chunks(rows):
            state, time = torch.from_numpy(states[part]), self._time_encoding(layer, relation.src, part)
            if relation.up:
                message = conv.with_time(name, conv.message(name, state), time)
            else:
                before = self.model.initial_state(relation.src, state, time) if layer == 0 else state
                message = conv.message(name, before)
            out[part] = message.numpy()
        return out

    def _time_encoding(self, layer: int, table: str, rows: NDArray[np.int32]) -> torch.Tensor | None:
        """Return the time encodings of rows, where their states do not include them."""
        times = self.view.times(table)
        if layer or times is None:
            return None
        return time_encoding(torch.from_numpy(age_in_days(np.full(len(rows), self.as_of), times[rows])))

    def _average(
        self, relation: Relation, budget: int, rows: NDArray[np.int32], values: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Average the neighbours of some rows along a relation, in parallel slices."""
        from forekey.inference.layer_kernels import mean_of_recent, state_of_parents

        if relation.up:
            return state_of_parents(self._parents(relation, budget, rows), values)
        lists = self._children(relation)
        slices = np.array_split(rows, torch.get_num_threads())
        parts = self.pool.map(lambda part: mean_of_recent(part, *lists, budget, values), slices)
        means, degrees = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(degrees)

    def _scratch(self, table: str, layer: int) -> NDArray[np.float32]:
        """Return an array that, if it is large, lives in a (sparse) file, so that states may exceed memory."""
        shape = (self.view.num_nodes(table), self.model.config.channels)
        return self._array(shape, f"{layer}-{self.view.schema.names.index(table)}")

    def _array(self, shape: tuple[int, int], name: str) -> NDArray[np.float32]:
        if 4 * shape[0] * shape[1] <= _BYTES_IN_MEMORY:
            return np.empty(shape, np.float32)
        place = self.folder / f"{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}.f32"
        return np.asarray(np.memmap(place, np.float32, "w+", shape=shape))


def _chunks(rows: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    for first in range(0, len(rows), _CHUNK_ROWS):
        yield rows[first : first + _CHUNK_ROWS]
