"""What message passing asks of a graph, be it a sampled tree or the whole: states of nodes, and their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from torch import Tensor

from forekey.nn.model_config import RelationSpec

Nodes = TypeVar("Nodes")
"""How some nodes of a type are named: positions in a batch, or rows of a table."""
Asked = TypeVar("Asked", contravariant=True)
"""The same, where nodes are only asked about."""


class NodeStates(Protocol[Asked]):
    """The states of the nodes of one type after some layer."""

    def of(self, nodes: Asked) -> Tensor:
        """Return the states of some nodes, ``[nodes, channels]``."""
        ...

    def time_of(self, nodes: Asked) -> Tensor | None:
        """Return the time encodings of some nodes, ``[nodes, TIME_CHANNELS]``; None where states include them."""
        ...

    def through(self, linear: Callable[[Tensor], Tensor], nodes: Asked) -> Tensor:
        """Return what a linear map makes of the states of some nodes; nodes that share a state may share the work."""
        ...


class Neighborhood(Protocol[Nodes]):
    """Who the neighbours of nodes are, within the model's budgets."""

    def mean_message(
        self, layer: int, table: str, relation: RelationSpec, nodes: Nodes
    ) -> tuple[Tensor, Tensor] | None:
        """Return the mean of the messages along a relation to nodes of ``table``, and how many neighbours there are.

        ``[nodes, width]``, 0 where there are none, and ``[nodes]``; None where the relation is not there at all.
        """
        ...

    def neighbors(self, relation: RelationSpec, nodes: Nodes) -> tuple[Nodes, Tensor, Tensor] | None:
        """Return the direct neighbours of entities along a relation, newest first.

        They are nodes, which of them are neighbours of each entity (``[nodes, most] int64``, then -1), and how many
        neighbours there are in all (``[nodes]``); None where the relation is not there at all.
        """
        ...
