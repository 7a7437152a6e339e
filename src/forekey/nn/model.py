"""The whole model: encode rows, pass messages, read the answer off the seed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from forekey.errors import ModelError
from forekey.nn.conv import HeteroConv, RelationInput
from forekey.nn.dropout import Dropout
from forekey.nn.encoder import RowEncoder, TimeEncoder, WindowEncoder, WindowScale
from forekey.nn.graph_batch import GraphBatch
from forekey.nn.model_config import ModelConfig, RelationSpec
from forekey.nn.neighborhood import Neighborhood, Nodes, NodeStates
from forekey.nn.sampled import SampledNeighborhood, SampledStates
from forekey.nn.transformer import HEADS, NeighborhoodTransformer

PARAMETERS = 3
"""Raised when the parameters of a network change, so that no run goes on from those of an earlier version."""


class GraphModel(nn.Module):
    """A heterogeneous graph network over sampled or whole neighbourhoods.

    Sampled trees and the whole graph go through the same steps (:meth:`encode`, :meth:`update` or :meth:`attend`,
    :meth:`head`); they differ in their :class:`Neighborhood`, which finds and averages neighbours. Before the first
    layer, the state of a node is its encoded row, which every node of that row shares, and its age's time encoding.
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
        self._module_name = {name: f"t{i}" for i, name in enumerate(specs)}  # module names may not hold dots
        self.encoders = nn.ModuleDict(
            {
                self._module_name[t]: RowEncoder(specs[t].num_values, specs[t].vocabularies, config.channels)
                for t in used
            }
        )
        self.ages = nn.ModuleDict({self._module_name[t]: TimeEncoder(config.channels) for t in used if specs[t].timed})
        self.transformer: NeighborhoodTransformer | None = None
        if config.aggregation == "transformer" and config.layers:
            around = tuple((r.name, r.budgets[0]) for r in config.relations_into(config.entity))
            self.transformer = NeighborhoodTransformer(config.channels, around, config.dropout)
        self.layers = nn.ModuleList(
            nn.ModuleDict({self._module_name[t]: self._conv(layer, t) for t in config.types_at(layer + 1)})
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
        return self.encoders[self._module_name[table]](values, token_ids)  # type: ignore[no-any-return]

    def initial_state(self, table: str, encoded: Tensor, time: Tensor | None) -> Tensor:
        """Return the states of neighbours before the first layer; ``time [n, TIME_CHANNELS]`` encodes their ages."""
        if time is not None:
            encoded = self.ages[self._module_name[table]](encoded, time)
        return torch.relu(encoded)

    def message(self, layer: int, table: str, relation: RelationSpec, states: NodeStates[Nodes], src: Nodes) -> Tensor:
        """Return the messages of neighbours ``src`` to their nodes of ``table``, ``[len(src), width]``."""
        conv, time = self.conv(layer, table), states.time_of(src)
        if not relation.single:
            state = states.of(src)
            return conv.message(relation.name, self.initial_state(relation.src, state, time) if layer == 0 else state)
        message = states.through(lambda vectors: conv.message(relation.name, vectors), src)
        return conv.with_time(relation.name, message, time)

    def update(
        self,
        layer: int,
        table: str,
        states: NodeStates[Nodes],
        nodes: Nodes,
        around: Neighborhood[Nodes],
    ) -> Tensor:
        """Return the states of some nodes after one more layer, ``[nodes, channels]``.

        ``states`` are those of the table's nodes before it, ``around`` gives the means of their neighbours' messages.
        """
        hop, means, degrees = self.config.layers - 1 - layer, {}, {}
        budgets = {r.name: r.budgets[hop] for r in self.config.relations_into(table)}
        for relation in self.config.relations_into(table):
            pooled = around.mean_message(layer, table, relation, nodes)
            if pooled is not None:
                means[relation.name], degrees[relation.name] = pooled
        conv = self.conv(layer, table)
        root = conv.with_root_time(states.through(conv.root, nodes), states.time_of(nodes))
        return conv(states.of(nodes), root, means, degrees, budgets)  # type: ignore[no-any-return]

    def attend(self, states: Mapping[str, NodeStates[Nodes]], nodes: Nodes, around: Neighborhood[Nodes]) -> Tensor:
        """Return the embeddings of some entities where the last layer is a transformer, from the states below it."""
        assert self.transformer is not None
        neighbors, degrees = {}, {}
        for relation in self.config.relations_into(self.config.entity):
            found = around.neighbors(relation, nodes)
            if found is None:
                continue
            src, index, degrees[relation.name] = found
            if index.shape[1]:
                neighbors[relation.name] = self._token(relation.src, states[relation.src], src), index
        own = self._token(self.config.entity, states[self.config.entity], nodes)
        return self.transformer(own, neighbors, degrees)  # type: ignore[no-any-return]

    def _token(self, table: str, states: NodeStates[Nodes], nodes: Nodes) -> Tensor:
        """Return nodes as tokens of a transformer: their :meth:`initial_state` where no layer is below."""
        state = states.of(nodes)
        return state if self.layers else self.initial_state(table, state, states.time_of(nodes))

    def head(self, embedding: Tensor, window_features: Tensor | None = None) -> Tensor:
        """Return raw outputs ``[n, outputs]``: logits, or a standardised number."""
        if self.windows is not None:
            embedding = torch.cat([embedding, self.windows(window_features)], dim=1)
        return self.readout(embedding)  # type: ignore[no-any-return]

    def embed(self, batch: GraphBatch) -> Tensor:
        """Return the seeds' embeddings, ``[num_seeds, channels] float32``."""
        states = {
            table: SampledStates.encoded(self.encode(table, nodes.values, nodes.token_ids), nodes)
            for table, nodes in batch.nodes.items()
        }
        for layer in range(len(self.layers)):
            around = SampledNeighborhood(self.config, batch, states, self.message)
            hop = self.config.layers - 1 - layer
            states = {
                table: SampledStates(self.update(layer, table, states[table], slice(count), around))
                for table in self.config.types_at(layer + 1)
                if table in states and (count := batch.nodes[table].depths[hop])
            }
        if self.transformer is not None:
            around = SampledNeighborhood(self.config, batch, states, self.message)
            return self.attend(states, slice(batch.num_seeds), around)
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
        return self.layers[layer][self._module_name[table]]  # type: ignore[no-any-return, index]
