"""What a model is fed: a sampled subgraph as tensors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class NodeBatch:
    """The nodes of one type. Each distinct row is encoded once, however often it was sampled.

    ``values [distinct, num_values] float32`` and ``token_ids [distinct, tokens] int32`` are the distinct rows (see
    :class:`forekey.features.Encoded`), ``index [n] int32`` says which of them each node is, ``age [n] float32`` how
    many days before its seed time the row happened (None for a table without times), and ``depths[h]`` how many of the
    nodes lie within ``h`` hops.
    """

    values: Tensor
    token_ids: Tensor
    index: Tensor
    age: Tensor | None
    depths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RelationBatch:
    """The sampled edges of one relation, nearest hop first: positions among the nodes of its two types.

    ``dst [m] int32``, ``src [m] int32``, ``rank [m] int32``, ``degrees [expanded] float32``; ``depths`` as in
    :class:`forekey.sampling.Edges`.
    """

    dst: Tensor
    src: Tensor
    rank: Tensor
    degrees: Tensor
    depths: tuple[int, ...]

    def within(self, hop: int, budgets: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the edges into nodes within ``hop`` hops: destinations, sources, ranks; budgets go by hop."""
        dst, src, rank = (part[: self.depths[hop]] for part in (self.dst, self.src, self.rank))
        if budgets[hop] < budgets[0]:
            # Deeper layers read only the first of the neighbours that shallower ones sampled.
            kept = rank < budgets[hop]
            dst, src, rank = dst[kept], src[kept], rank[kept]
        return dst, src, rank


@dataclass(frozen=True, slots=True)
class GraphBatch:
    """One batch; the seeds are the first ``num_seeds`` nodes of the entity's type.

    ``window_features [num_seeds, features] float32`` are the seeds', NaN where missing; None for a model without.
    """

    num_seeds: int
    nodes: dict[str, NodeBatch]
    relations: dict[str, RelationBatch]
    window_features: Tensor | None = None
