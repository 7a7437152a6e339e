"""The whole model: encode rows, pass messages, read the answer off the seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from forekey.nn.batch import GraphBatch
from forekey.nn.conv import Aggregation, HeteroConv, mean_of_children
from forekey.nn.encoder import AgeEncoder, PastEncoder, TableEncoder


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

    Sampled and layer-wise inference call the same three steps, :meth:`encode`, :meth:`update` and :meth:`head`, and
    differ only in who averages the neighbours.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        specs = {t.name: t for t in config.tables}
        used = config.types_at(0)
        self._slot = {name: f"t{i}" for i, name in enumerate(specs)}  # module names may not hold dots
        self.encoders = nn.ModuleDict(
            {self._slot[t]: TableEncoder(specs[t].numbers, specs[t].num_codes, config.channels) for t in used}
        )
        self.ages = nn.ModuleDict({self._slot[t]: AgeEncoder(config.channels) for t in used if specs[t].timed})
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    self._slot[t]: HeteroConv(
                        config.channels,
                        tuple((r.name, r.single) for r in config.relations_into(t)),
                        config.dropout,
                        config.aggregation,
                    )
                    for t in config.types_at(layer + 1)
                }
            )
            for layer in range(config.layers)
        )
        self.past = PastEncoder(config.history, config.channels, config.dropout) if config.history else None
        self.readout = nn.Sequential(
            nn.Linear(config.channels * (2 if config.history else 1), config.channels),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.channels, config.outputs),
        )

    def encode(self, table: str, numbers: Tensor, codes: Tensor) -> Tensor:
        """Encode rows of a table regardless of time: ``[rows, channels] float32``."""
        return self.encoders[self._slot[table]](numbers, codes)  # type: ignore[no-any-return]

    def seen_at(self, table: str, encoded: Tensor, age: Tensor | None) -> Tensor:
        """Return encoded rows as seen ``age [rows]`` days later: the state before the first layer."""
        if age is not None:
            encoded = encoded + self.ages[self._slot[table]](age)
        return torch.relu(encoded)

    def message(self, layer: int, table: str, relation: str, state: Tensor) -> Tensor:
        """Return what neighbours in some states say to nodes of ``table`` along a relation; means of it count."""
        return self.layers[layer][self._slot[table]].message(relation, state)  # type: ignore[no-any-return, index]

    def update(
        self, layer: int, table: str, own: Tensor, means: dict[str, Tensor], degrees: dict[str, Tensor]
    ) -> Tensor:
        """Return the state after one more layer; ``means`` of messages and ``degrees`` are keyed by relation name."""
        hop = self.config.layers - 1 - layer
        budgets = {r.name: r.budgets[hop] for r in self.config.relations_into(table)}
        return self.layers[layer][self._slot[table]](own, means, degrees, budgets)  # type: ignore[no-any-return, index]

    def head(self, embedding: Tensor, history: Tensor | None = None) -> Tensor:
        """Return raw outputs ``[n, outputs]``: logits, or a standardised number."""
        if self.past is not None:
            embedding = torch.cat([embedding, self.past(history)], dim=1)
        return self.readout(embedding)  # type: ignore[no-any-return]

    def embed(self, batch: GraphBatch) -> Tensor:
        """Return the seeds' embeddings, ``[num_seeds, channels] float32``."""
        state: dict[str, Tensor] = {}
        for table, nodes in batch.nodes.items():
            encoded = self.encode(table, nodes.numbers, nodes.codes)
            state[table] = self.seen_at(table, encoded.index_select(0, nodes.place), nodes.age)
        for layer in range(self.config.layers):
            state = {
                table: self._pass_messages(layer, table, state, batch)
                for table in self.config.types_at(layer + 1)
                if table in state and batch.nodes[table].depths[self.config.layers - 1 - layer]
            }
        return state[self.config.entity][: batch.num_seeds]

    def forward(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Return embeddings ``[num_seeds, channels]`` and raw outputs ``[num_seeds, outputs]``."""
        embedding = self.embed(batch)
        return embedding, self.head(embedding, batch.history)

    def _pass_messages(self, layer: int, table: str, state: dict[str, Tensor], batch: GraphBatch) -> Tensor:
        hop = self.config.layers - 1 - layer
        count = batch.nodes[table].depths[hop]
        means, degrees = {}, {}
        for relation in self.config.relations_into(table):
            edges = batch.relations.get(relation.name)
            if edges is None:
                continue
            degree = edges.degrees[:count]
            degrees[relation.name] = degree
            if not edges.depths[hop]:
                nobody = self.message(layer, table, relation.name, degree.new_zeros(0, self.config.channels))
                means[relation.name] = degree.new_zeros(count, nobody.shape[1])
                continue
            said = self.message(layer, table, relation.name, state[relation.neighbor])
            parent, child = edges.parent[: edges.depths[hop]], edges.child[: edges.depths[hop]]
            budget = relation.budgets[hop]
            if budget < relation.budgets[0]:
                # Deeper layers hear only the first of the neighbours that shallower ones sampled.
                kept = edges.rank[: edges.depths[hop]] < budget
                parent, child = parent[kept], child[kept]
            means[relation.name] = mean_of_children(said, parent, child, degree.clamp(max=budget))
        return self.update(layer, table, state[table][:count], means, degrees)
