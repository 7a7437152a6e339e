"""Message passing over a batch of sampled trees: nodes are positions in the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from forekey.nn.conv import mean_by_destination
from forekey.nn.encoder import time_encoding
from forekey.nn.graph_batch import GraphBatch, NodeBatch
from forekey.nn.model_config import ModelConfig, RelationSpec
from forekey.nn.transformer import index_by_rank

Positions = slice | Tensor
Message = Callable[[int, str, RelationSpec, "SampledStates", Positions], Tensor]
""":meth:`forekey.nn.GraphModel.message`."""


@dataclass(frozen=True, slots=True)
class SampledStates:
    """Nodes of one type: the vectors of distinct rows, the position of each node's among them, and time encodings.

    Above the first layer every node has a vector of its own, which includes its age.
    """

    vectors: Tensor
    index: Tensor | None = None
    time: Tensor | None = None

    @classmethod
    def encoded(cls, vectors: Tensor, nodes: NodeBatch) -> SampledStates:
        """Return the states before the first layer, from the encoded distinct rows of a batch."""
        return cls(vectors, nodes.index, time_encoding(nodes.age) if nodes.age is not None else None)

    def of(self, nodes: Positions) -> Tensor:
        """Return the vectors of some nodes."""
        if self.index is None:
            return self.vectors[nodes] if isinstance(nodes, slice) else self.vectors.index_select(0, nodes)
        return self.vectors.index_select(0, self.index[nodes])

    def time_of(self, nodes: Positions) -> Tensor | None:
        """Return the time encodings of some nodes."""
        if self.time is None or isinstance(nodes, slice):
            return None if self.time is None else self.time[nodes]
        return self.time.index_select(0, nodes)

    def through(self, linear: Callable[[Tensor], Tensor], nodes: Positions) -> Tensor:
        """Return what becomes of the vectors of some nodes, computed once for nodes that share one."""
        count = len(nodes) if isinstance(nodes, Tensor) else nodes.stop
        if count <= len(self.vectors):
            return linear(self.of(nodes))
        return SampledStates(linear(self.vectors), self.index).of(nodes)


@dataclass(frozen=True, slots=True)
class SampledNeighborhood:
    """The sampled edges of a batch, and the states of its nodes before a layer."""

    config: ModelConfig
    batch: GraphBatch
    states: Mapping[str, SampledStates]
    message: Message

    def mean_message(
        self, layer: int, table: str, relation: RelationSpec, nodes: Positions
    ) -> tuple[Tensor, Tensor] | None:
        """Average the messages along the sampled edges of a relation into the first nodes, a slice."""
        edges, hop = self.batch.relations.get(relation.name), self.config.layers - 1 - layer
        if edges is None:
            return None
        degrees = edges.degrees[nodes]
        dst, src, _ = edges.within(hop, relation.budgets)
        if relation.src in self.states:
            each = self.message(layer, table, relation, self.states[relation.src], src)
        else:
            nobody = SampledStates(self.states[table].vectors.new_zeros(0, self.config.channels))
            each = self.message(layer, table, relation, nobody, src)
        if not relation.single or len(src) < len(degrees):
            each = mean_by_destination(each, dst, degrees.clamp(max=relation.budgets[hop]))
        # Edges along a foreign key come in the order of its rows: where every row has one, they stand as they must.
        return each, degrees

    def neighbors(self, relation: RelationSpec, nodes: Positions) -> tuple[Positions, Tensor, Tensor] | None:
        """Return the sampled neighbours of the seeds, which are the only ``nodes`` that a batch can be asked for."""
        edges, count = self.batch.relations.get(relation.name), self.batch.num_seeds
        if edges is None:
            return None
        dst, src, rank = edges.within(0, relation.budgets)
        return src, index_by_rank(dst, torch.arange(len(src)), rank, count), edges.degrees[:count]
