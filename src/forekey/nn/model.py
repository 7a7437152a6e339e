"""The whole model: encode rows, pass messages, read the answer off the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from forekey.errors import ModelError
from forekey.nn.batch import GraphBatch
from forekey.nn.conv import Aggregation, Heard, HeteroConv, mean_of_children
from forekey.nn.dropout import Dropout
from forekey.nn.encoder import AgeEncoder, PastEncoder, TableEncoder, clock
from forekey.nn.transformer import HEADS, NeighborhoodTransformer, slots_of

PARAMETERS = 2
"""Raised when the parameters of a network change, so that no run goes on from those of an earlier version."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One node type as the model sees it: widths of its encoded columns, and whether its rows have a time."""

    name: str
    numbers: int
    num_codes: int
    timed: bool


@dataclass(frozen=True, slots=True)
class RelationSpec:
    """One relation: from the type that is updated to the type it hears from, and the neighbour budget per hop.

    ``single`` says that a row has one neighbour at most: the row that its foreign key refers to.
    """

    name: str
    source: str
    neighbor: str
    budgets: tuple[int, ...]
    single: bool = False


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Everything needed to build the model's modules; ``history`` is how wide the seeds' pasts in numbers are."""

    entity: str
    tables: tuple[TableSpec, ...]
    relations: tuple[RelationSpec, ...]
    layers: int
    channels: int
    outputs: int
    dropout: float
    history: int = 0
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
                "tables": tuple(TableSpec(**t) for t in data["tables"]),
                "relations": tuple(RelationSpec(**{**r, "budgets": tuple(r["budgets"])}) for r in data["relations"]),
            }
        )

    def types_at(self, layer: int) -> tuple[str, ...]:
        """Return the node types whose state after ``layer`` layers matters to the entity; 0 is the encoding."""
        needed = {self.entity}
        for _ in range(self.layers - layer):
            needed |= {r.neighbor for r in self.relations if r.source in needed}
        return tuple(t.name for t in self.tables if t.name in needed)

    def relations_into(self, table: str) -> tuple[RelationSpec, ...]:
        """Return the relations that nodes of a type hear along."""
        return tuple(r for r in self.relations if r.source == table)


class GraphModel(nn.Module):
    """A heterogeneous graph network over sampled or whole neighbourhoods.

    Sampled and layer-wise inference call the same steps, :meth:`encode`, :meth:`seen`, those of :meth:`conv`,
    :meth:`update` and :meth:`head`, and differ only in who averages the neighbours. Before the first layer, the state
    of a node is its encoded row, which every node of that row shares, and a clock that tells the age.
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
            {self._slot[t]: TableEncoder(specs[t].numbers, specs[t].num_codes, config.channels) for t in used}
        )
        self.ages = nn.ModuleDict({self._slot[t]: AgeEncoder(config.channels) for t in used if specs[t].timed})
        self.transformer: NeighborhoodTransformer | None = None
        if config.aggregation == "transformer" and config.layers:
            around = tuple((r.name, r.budgets[0]) for r in config.relations_into(config.entity))
            self.transformer = NeighborhoodTransformer(config.channels, around, config.dropout)
        self.layers = nn.ModuleList(
            nn.ModuleDict({self._slot[t]: self._conv(layer, t) for t in config.types_at(layer + 1)})
            for layer in range(config.layers - (self.transformer is not None))
        )
        self.past = PastEncoder(config.history, config.channels, config.dropout) if config.history else None
        self.readout = nn.Sequential(
            nn.Linear(config.channels * (2 if config.history else 1), config.channels),
            nn.ReLU(),
            Dropout(config.dropout),
            nn.Linear(config.channels, config.outputs),
        )

    def encode(self, table: str, numbers: Tensor, codes: Tensor) -> Tensor:
        """Encode rows of a table regardless of time: ``[rows, channels] float32``."""
        return self.encoders[self._slot[table]](numbers, codes)  # type: ignore[no-any-return]

    def seen(self, table: str, encoded: Tensor, told: Tensor | None) -> Tensor:
        """Return encoded rows as one of several neighbours before the first layer; ``told [n, CLOCK]`` their ages."""
        if told is not None:
            encoded = self.ages[self._slot[table]](encoded, told)
        return torch.relu(encoded)

    def update(
        self,
        layer: int,
        table: str,
        state: Tensor,
        itself: Tensor,
        said: dict[str, Tensor],
        degrees: dict[str, Tensor],
    ) -> Tensor:
        """Return the state after one more layer; means of messages and ``degrees`` are keyed by relation name."""
        hop = self.config.layers - 1 - layer
        budgets = {r.name: r.budgets[hop] for r in self.config.relations_into(table)}
        return self.conv(layer, table)(state, itself, said, degrees, budgets)  # type: ignore[no-any-return]

    def head(self, embedding: Tensor, history: Tensor | None = None) -> Tensor:
        """Return raw outputs ``[n, outputs]``: logits, or a standardised number."""
        if self.past is not None:
            embedding = torch.cat([embedding, self.past(history)], dim=1)
        return self.readout(embedding)  # type: ignore[no-any-return]

    def embed(self, batch: GraphBatch) -> Tensor:
        """Return the seeds' embeddings, ``[num_seeds, channels] float32``."""
        states = {
            table: _States(
                self.encode(table, nodes.numbers, nodes.codes),
                nodes.place,
                clock(nodes.age) if nodes.age is not None else None,
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
        return embedding, self.head(embedding, batch.history)

    def _conv(self, layer: int, table: str) -> HeteroConv:
        first = layer == 0
        relations = tuple(
            Heard(r.name, r.single, first and r.neighbor in self._timed) for r in self.config.relations_into(table)
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
        said, degrees = {}, {}
        nobody = _States(states[table].vectors.new_zeros(0, self.config.channels))
        for relation in self.config.relations_into(table):
            edges = batch.relations.get(relation.name)
            if edges is None:
                continue
            degrees[relation.name] = edges.degrees[:count]
            parent, child, _ = edges.within(hop, relation.budgets)
            known = states.get(relation.neighbor, nobody)
            each = self._messages(layer, table, relation, known, child)
            if not relation.single or len(child) < count:
                counts = degrees[relation.name].clamp(max=relation.budgets[hop])
                each = mean_of_children(each, parent, counts)
            # Edges to parents come in the order of the children: where every child has one, they stand as they must.
            said[relation.name] = each
        conv, own = self.conv(layer, table), states[table]
        itself = own.through(conv.itself, slice(count))
        itself = conv.with_own_age(itself, own.told_of(slice(count)))
        return self.update(layer, table, own.of(slice(count)), itself, said, degrees)

    def _attend(self, states: dict[str, _States], batch: GraphBatch) -> Tensor:
        """Return the seeds' embeddings where the last layer is a transformer."""
        assert self.transformer is not None
        n, neighbors, degrees = batch.num_seeds, {}, {}
        for relation in self.config.relations_into(self.config.entity):
            edges = batch.relations.get(relation.name)
            if edges is None:
                continue
            degrees[relation.name] = edges.degrees[:n]
            parent, child, rank = edges.within(0, relation.budgets)
            if len(child):
                states_of = states[relation.neighbor]
                neighbors[relation.name] = (
                    self.token(relation.neighbor, states_of.of(child), states_of.told_of(child)),
                    slots_of(parent, torch.arange(len(child)), rank, n),
                )
        own, seeds = states[self.config.entity], slice(n)
        return self.transformer(  # type: ignore[no-any-return]
            self.token(self.config.entity, own.of(seeds), own.told_of(seeds)), neighbors, degrees
        )

    def token(self, table: str, state: Tensor, told: Tensor | None) -> Tensor:
        """Return rows as a transformer sees them: :meth:`seen` with their ages where no layer is below."""
        return state if self.layers else self.seen(table, state, told)

    def _messages(self, layer: int, table: str, relation: RelationSpec, states: _States, child: Tensor) -> Tensor:
        """Return what each of some neighbours says to its node of ``table``, ``[edges, width]``."""
        conv, told = self.conv(layer, table), states.told_of(child)
        if not relation.single:
            state = states.of(child)
            return conv.message(relation.name, self.seen(relation.neighbor, state, told) if layer == 0 else state)
        said = states.through(lambda vectors: conv.message(relation.name, vectors), child)
        return conv.with_age(relation.name, said, told)


@dataclass(frozen=True, slots=True)
class _States:
    """Nodes of one type: the vectors of distinct rows, the place of each node's among them, and what clocks tell.

    Above the first layer every node has a vector of its own, which tells its age as well.
    """

    vectors: Tensor
    place: Tensor | None = None
    told: Tensor | None = None

    def of(self, nodes: slice | Tensor) -> Tensor:
        """Return the vectors of some nodes."""
        if self.place is None:
            return self.vectors[nodes] if isinstance(nodes, slice) else self.vectors.index_select(0, nodes)
        return self.vectors.index_select(0, self.place[nodes])

    def told_of(self, nodes: slice | Tensor) -> Tensor | None:
        """Return what the clocks of some nodes tell."""
        if self.told is None or isinstance(nodes, slice):
            return None if self.told is None else self.told[nodes]
        return self.told.index_select(0, nodes)

    def through(self, linear: Callable[[Tensor], Tensor], nodes: slice | Tensor) -> Tensor:
        """Return what becomes of the vectors of some nodes, computed once for nodes that share one."""
        count = len(nodes) if isinstance(nodes, Tensor) else nodes.stop
        if count <= len(self.vectors):
            return linear(self.of(nodes))
        return _States(linear(self.vectors), self.place).of(nodes)
