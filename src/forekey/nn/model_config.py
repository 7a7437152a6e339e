"""The shape of a network: everything needed to build its modules."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from forekey.nn.conv import Aggregation


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
