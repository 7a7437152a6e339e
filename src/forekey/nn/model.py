"""The whole model: encode rows, pass messages, read the answer off the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from forekey.errors import ModelError
from forekey.nn.conv import Aggregation, HeteroConv, RelationInput, mean_by_destination
from forekey.nn.dropout import Dropout
from forekey.nn.encoder import RowEncoder, TimeEncoder, WindowEncoder, WindowScale, time_encoding
from forekey.nn.graph_batch import GraphBatch
from forekey.nn.transformer import HEADS, NeighborhoodTransformer, slots_of

PARAMETERS = 3
"""Raised when the parameters of a network change, so that no run goes on from those of an earlier version."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One node type as the model sees it, and whether its rows have a time.

    ``num_values`` and ``vocabularies`` are those of :class:`forekey.features.TableEncoder`.
    """

    name: str
    num_values: int
    vocabularies: tuple[tuple[int, int], ...]
    timed: bool


@dataclass(frozen=True, slots=True)
class RelationSpec:
    """One relation: the type ``dst`` that is updated, the type ``src`` of its neighbours, and their budget per hop.

    ``single`` says that a row has one neighbour at most: the row that its foreign key refers to.
    """

    name: str
    dst: str
    src: str
    budgets: tuple[int, ...]
    single: bool = False


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Everything needed to build the model's modules; ``num_window_features`` is how many the seeds have."""

    entity: str
    tables: tuple[TableSpec, ...]
    relations: tuple[RelationSpec, ...]
    layers: int
    channels: int
    outputs: int
    dropout: float
    num_window_features: int = 0
    aggregation: Aggregation = "mean"

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelConfig:
        """Read what :meth:`to_dict` wrote."""
        return cls(
            **{
                **data,
                "tables": tuple(_table(t) for t in data["tables"]),
                "relations": tuple(RelationSpec(**{**r, "budgets": tuple(r["budgets"])}) for r in data["relations"]),
            }
        )

    def types_at(self, layer: int) -> tuple[str, ...]:
        """Return the node types whose state after ``layer`` layers matters to the entity; 0 is the encoding."""
        needed = {self.entity}
        for _ in range(self.layers - layer):
            needed |= {r.src for r in self.relations if r.dst in needed}
        return tuple(t.name for t in self.tables if t.name in needed)

    def relations_into(self, table: str) -> tuple[RelationSpec, ...]:
        """Return the relations whose destination is a type."""
        return tuple(r for r in self.relations if r.dst == table)


def _table(data: dict[str, Any]) -> TableSpec:
    return TableSpec(**{**data, "vocabularies": tuple((width, size) for width, size in data["vocabularies"])})


class GraphModel(nn.Module):
    """A heterogeneous graph network over sampled or whole neighbourhoods.

    Sampled and layer-wise inference call the same steps, :meth:`encode`, :meth:`initial_state`, those of :meth:`conv`,
    :meth:`update` and :meth:`head`, and differ only in who averages the neighbours. Before the first layer, the state
    of a node is its encoded row, which every node of that row shares, and the time encoding of its age.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.aggregation in {"attention", "transformer"} and config.channels % HEADS:
            raise ModelError(
                f"{config.channels} channels cannot be shared by {HEADS} heads. Take a multiple of {HEADS}."
            )
        self.config = config
        specs = {t.name: t for t in config.tables}
        used = config.types_at(0)
        self._timed = {t.name for t in config.tables if t.timed}
        self._slot = {name: f"t{i}" for i, name in enumerate(specs)}  # module names may not hold dots
        self.encoders = nn.ModuleDict(
            {self._slot[t]: RowEncoder(specs[t].num_values, specs[t].vocabularies, config.channels) for t in used}
        )
        self.ages = nn.ModuleDict({self._slot[t]: TimeEncoder(config.channels) for t in used if specs[t].timed})
        self.transformer: NeighborhoodTransformer | None = None
        if config.aggregation == "transformer" and config.layers:
            around = tuple((r.name, r.budgets[0]) for r in config.relations_into(config.entity))
            self.transformer = NeighborhoodTransformer(config.channels, around, config.dropout)
        self.layers = nn.ModuleList(
            nn.ModuleDict({self._slot[t]: self._conv(layer, t) for t in config.types_at(layer + 1)})
            for layer in range(config.layers - (self.transformer is not None))
        )
        described = config.num_window_features
        self.windows = WindowEncoder(described, config.channels, config.dropout) if described else None
        self.readout = nn.Sequential(
            nn.Linear(config.channels * (2 if described else 1), config.channels),
            nn.ReLU(),
            Dropout(config.dropout),
            nn.Linear(config.channels, config.outputs),
        )

    def scaled_by(self, scale: WindowScale | None) -> GraphModel:
        """Read window features by a scale that was fitted on training examples; return the model itself."""
        if self.windows is not None and scale is not None:
            self.windows.scale.load_state_dict(scale.state_dict())
        return self

    def encode(self, table: str, values: Tensor, token_ids: Tensor) -> Tensor:
        """Encode rows of a table regardless of time: ``[rows, channels] float32``."""
        return self.encoders[self._slot[table]](values, token_ids)  # type: ignore[no-any-return]

    def initial_state(self, table: str, encoded: Tensor, time: Tensor | None) -> Tensor:
        """Return the states of neighbours before the first layer; ``time [n, TIME_CHANNELS]`` encodes their ages."""
        if time is not None:
            encoded = self.ages[self._slot[table]](encoded, time)
        return torch.relu(encoded)

    def update(
        self,
        layer: int,
        table: str,
        state: Tensor,
        root: Tensor,
        means: dict[str, Tensor],
        degrees: dict[str, Tensor],
    ) -> Tensor:
        """Return the state after one more layer; ``means`` of messages and ``degrees`` are keyed by relation name."""
        hop = self.config.layers - 1 - layer
        budgets = {r.name: r.budgets[hop] for r in self.config.relations_into(table)}
        return self.conv(layer, table)(state, root, means, degrees, budgets)  # type: ignore[no-any-return]

    def head(self, embedding: Tensor, window_features: Tensor | None = None) -> Tensor:
        """Return raw outputs ``[n, outputs]``: logits, or a standardised number."""
        if self.windows is not None:
            embedding = torch.cat([embedding, self.windows(window_features)], dim=1)
        return self.readout(embedding)  # type: ignore[no-any-return]

    def embed(self, batch: GraphBatch) -> Tensor:
        """Return the seeds' embeddings, ``[num_seeds, channels] float32``."""
        states = {
            table: _States(
                self.encode(table, nodes.values, nodes.token_ids),
                nodes.index,
                time_encoding(nodes.age) if nodes.age is not None else None,
            )
            for table, nodes in batch.nodes.items()
        }
        for layer in range(len(self.layers)):
            states = {
                table: _States(self._pass_messages(layer, table, states, batch))
                for table in self.config.types_at(layer + 1)
                if table in states and batch.nodes[table].depths[self.config.layers - 1 - layer]
            }
        if self.transformer is not None:
            return self._attend(states, batch)
        return states[self.config.entity].of(slice(batch.num_seeds))

    def forward(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Return embeddings ``[num_seeds, channels]`` and raw outputs ``[num_seeds, outputs]``."""
        embedding = self.embed(batch)
        return embedding, self.head(embedding, batch.window_features)

    def _conv(self, layer: int, table: str) -> HeteroConv:
        first = layer == 0
        relations = tuple(
            RelationInput(r.name, r.single, first and r.src in self._timed) for r in self.config.relations_into(table)
        )
        config = self.config
        return HeteroConv(
            config.channels, relations, config.dropout, config.aggregation, first and table in self._timed
        )

    def conv(self, layer: int, table: str) -> HeteroConv:
        """Return the module that updates nodes of ``table`` at a layer."""
        return self.layers[layer][self._slot[table]]  # type: ignore[no-any-return, index]

    def _pass_messages(self, layer: int, table: str, states: dict[str, _States], batch: GraphBatch) -> Tensor:
        hop = self.config.layers - 1 - layer
        count = batch.nodes[table].depths[hop]
        means, degrees = {}, {}
        nobody = _States(states[table].vectors.new_zeros(0, self.config.channels))
        for relation in self.config.relations_into(table):
            edges = batch.relations.get(relation.name)
            if edges is None:
                continue
            degrees[relation.name] = edges.degrees[:count]
            dst, src, _ = edges.within(hop, relation.budgets)
            known = states.get(relation.src, nobody)
            each = self._messages(layer, table, relation, known, src)
            if not relation.single or len(src) < count:
                counts = degrees[relation.name].clamp(max=relation.budgets[hop])
                each = mean_by_destination(each, dst, counts)
            # Edges along a foreign key come in the order of its rows: where every row has one, they stand as they must.
            means[relation.name] = each
        conv, own = self.conv(layer, table), states[table]
        root = conv.with_root_time(own.through(conv.root, slice(count)), own.time_of(slice(count)))
        return self.update(layer, table, own.of(slice(count)), root, means, degrees)

    def _attend(self, states: dict[str, _States], batch: GraphBatch) -> Tensor:
        """Return the seeds' embeddings where the last layer is a transformer."""
        assert self.transformer is not None
        n, neighbors, degrees = batch.num_seeds, {}, {}
        for relation in self.config.relations_into(self.config.entity):
            edges = batch.relations.get(relation.name)
            if edges is None:
                continue
            degrees[relation.name] = edges.degrees[:n]
            dst, src, rank = edges.within(0, relation.budgets)
            if len(src):
                states_of = states[relation.src]
                neighbors[relation.name] = (
                    self.token(relation.src, states_of.of(src), states_of.time_of(src)),
                    slots_of(dst, torch.arange(len(src)), rank, n),
                )
        own, seeds = states[self.config.entity], slice(n)
        return self.transformer(  # type: ignore[no-any-return]
            self.token(self.config.entity, own.of(seeds), own.time_of(seeds)), neighbors, degrees
        )

    def token(self, table: str, state: Tensor, time: Tensor | None) -> Tensor:
        """Return rows as tokens of a transformer: their :meth:`initial_state` where no layer is below."""
        return state if self.layers else self.initial_state(table, state, time)

    def _messages(self, layer: int, table: str, relation: RelationSpec, states: _States, src: Tensor) -> Tensor:
        """Return the messages of neighbours ``src`` to their nodes of ``table``, ``[edges, width]``."""
        conv, time = self.conv(layer, table), states.time_of(src)
        if not relation.single:
            state = states.of(src)
            return conv.message(relation.name, self.initial_state(relation.src, state, time) if layer == 0 else state)
        message = states.through(lambda vectors: conv.message(relation.name, vectors), src)
        return conv.with_time(relation.name, message, time)


@dataclass(frozen=True, slots=True)
class _States:
    """Nodes of one type: the vectors of distinct rows, the position of each node's among them, and time encodings.

    Above the first layer every node has a vector of its own, which includes its age.
    """

    vectors: Tensor
    index: Tensor | None = None
    time: Tensor | None = None

    def of(self, nodes: slice | Tensor) -> Tensor:
        """Return the vectors of some nodes."""
        if self.index is None:
            return self.vectors[nodes] if isinstance(nodes, slice) else self.vectors.index_select(0, nodes)
        return self.vectors.index_select(0, self.index[nodes])

    def time_of(self, nodes: slice | Tensor) -> Tensor | None:
        """Return the time encodings of some nodes."""
        if self.time is None or isinstance(nodes, slice):
            return None if self.time is None else self.time[nodes]
        return self.time.index_select(0, nodes)

    def through(self, linear: Callable[[Tensor], Tensor], nodes: slice | Tensor) -> Tensor:
        """Return what becomes of the vectors of some nodes, computed once for nodes that share one."""
        count = len(nodes) if isinstance(nodes, Tensor) else nodes.stop
        if count <= len(self.vectors):
            return linear(self.of(nodes))
        return _States(linear(self.vectors), self.index).of(nodes)
