"""Along which relations to sample, and how many neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from forekey.errors import ModelError
from forekey.schema import EdgeType, Schema

Strategy = Literal["most_recent", "uniform"]


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """An edge type walked in one direction: ``up`` from child to parent, else down from parent to children."""

    edge: EdgeType
    up: bool

    @property
    def dst(self) -> str:
        """The node type that messages go to: the one that is expanded."""
        return self.edge.child if self.up else self.edge.parent

    @property
    def src(self) -> str:
        """The node type that messages come from: the neighbours."""
        return self.edge.parent if self.up else self.edge.child

    def __str__(self) -> str:
        return str(self.edge) if self.up else f"{self.edge.parent}<-{self.edge.child}.{self.edge.column}"


def relations_of(schema: Schema) -> tuple[Relation, ...]:
    """Return every edge type in both directions."""
    return tuple(Relation(edge, up) for edge in schema.edge_types for up in (True, False))


@dataclass(frozen=True)
class NeighborPlan:
    """How many neighbours to take per hop, for all relations or for some by name.

    ``num_neighbors[h]`` counts for hop ``h``; ``overrides`` gives other numbers to relations named as
    :class:`Relation` prints them. Numbers must not grow with the hop: deeper layers take the first neighbours of
    what shallower ones took, which is what makes sampled and full-graph inference one function.
    """

    num_neighbors: tuple[int, ...]
    strategy: Strategy = "most_recent"
    overrides: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, numbers in [("num_neighbors", self.num_neighbors), *self.overrides.items()]:
            grows = any(b > a for a, b in pairwise(numbers))
            if not numbers or min(numbers) < 0 or grows or len(numbers) != len(self.num_neighbors):
                raise ModelError(
                    f"{name} = {list(numbers)} must have one number a hop, none negative, none above the one before."
                )

    @property
    def hops(self) -> int:
        """Return how far from the seed to go."""
        return len(self.num_neighbors)

    def budget(self, relation: Relation, hop: int) -> int:
        """Return how many neighbours to take along a relation at a hop (0 is the seed's own)."""
        return self.overrides.get(str(relation), self.num_neighbors)[hop]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "num_neighbors": list(self.num_neighbors),
            "strategy": self.strategy,
            "overrides": {k: list(v) for k, v in self.overrides.items()},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NeighborPlan:
        """Read what :meth:`to_dict` wrote."""
        overrides = {k: tuple(v) for k, v in data["overrides"].items()}
        return cls(tuple(data["num_neighbors"]), data["strategy"], overrides)
