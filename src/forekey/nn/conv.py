"""One round of message passing for one node type."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from forekey.nn.dropout import Dropout
from forekey.nn.encoder import TimeEncoder
from forekey.nn.transformer import HEADS

Aggregation = Literal["mean", "moments", "attention", "transformer"]
"""How neighbours become one: their mean; mean and deviation; mean and a mean weighted by learnt attention; or, in the
last layer, attention among all of them (:class:`forekey.nn.transformer.NeighborhoodTransformer`) after means below."""

_MOST = 10.0  # of the logarithm of an attention weight: beyond, single precision would overflow


class RelationInput(NamedTuple):
    """A relation of a layer: whether it has one neighbour at most, and whether neighbours have a time encoding."""

    name: str
    single: bool
    timed: bool


class HeteroConv(nn.Module):
    """Updates nodes of one type from their neighbours along each relation.

    A heterogeneous GraphSAGE layer (Hamilton et al. 2017; Schlichtkrull et al. 2018) with a residual connection. A
    mean does not show how many there were, so each relation also adds the full degree (logarithmic) and how much of the
    neighbour budget was filled, alone and as a factor of the mean. Deviations are those of principal neighbourhood
    aggregation (Corso et al. 2020); attention weighs each neighbour by what it is, against a learnt query a relation
    and head (pooling by attention: Lee et al. 2019).

    The root transform of a node and the message of the one row that a foreign key refers to are linear in their states,
    and of several neighbours the mean of :meth:`message` is taken. So all of it may be computed once for each distinct
    row and gathered for the nodes, or over a whole table at once; time encodings, which differ from node to node, are
    added through linear maps of their own.
    """

    def __init__(
        self,
        channels: int,
        relations: tuple[RelationInput, ...],
        dropout: float,
        aggregation: Aggregation = "mean",
        timed: bool = False,
    ) -> None:
        """Take the relations, and whether nodes of this type have time encodings that their states do not include."""
        super().__init__()
        self._relations = relations
        self._position = {r.name: i for i, r in enumerate(relations)}
        self._aggregation = aggregation
        self._channels = channels
        self.own = nn.Linear(channels, channels)
        self.root_time = TimeEncoder(channels) if timed else None
        several = (3 if aggregation in {"moments", "attention"} else 2) * channels + 2
        self.messages = nn.ModuleList(
            nn.Linear(channels, channels) if r.single else nn.Linear(several, channels, bias=False) for r in relations
        )
        self.relation_time = nn.ModuleDict(
            {str(i): TimeEncoder(channels) for i, r in enumerate(relations) if r.single and r.timed}
        )
        if aggregation == "attention":
            self.queries = nn.Parameter(torch.randn(len(relations), HEADS, channels) / math.sqrt(channels))
        self.norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def root(self, state: Tensor) -> Tensor:
        """Return the root transform of nodes' own states ``[n, channels]``, without their time encodings."""
        return self.own(state)  # type: ignore[no-any-return]

    def with_root_time(self, root: Tensor, time: Tensor | None) -> Tensor:
        """Add the time encodings of nodes, ``time [n, TIME_CHANNELS]``, to their root transform."""
        return root if time is None or self.root_time is None else self.root_time(root, time)

    def message(self, relation: str, state: Tensor) -> Tensor:
        """Return the messages of neighbours in states ``[n, channels]`` along a relation, ``[n, width]``."""
        position = self._position[relation]
        if self._relations[position].single:
            return self.messages[position](state)  # type: ignore[no-any-return]
        if self._aggregation in {"mean", "transformer"}:
            return state
        if self._aggregation == "moments":
            return torch.cat([state, state * state], dim=1)
        weight = (state @ self.queries[position].T).clamp(-_MOST, _MOST).exp()
        heads = state.view(len(state), HEADS, self._channels // HEADS) * weight[:, :, None]
        return torch.cat([state, heads.flatten(1), weight], dim=1)

    def with_time(self, relation: str, message: Tensor, time: Tensor | None) -> Tensor:
        """Add the time encoding of the one neighbour along a relation, ``time [n, TIME_CHANNELS]``, to its message."""
        position = str(self._position[relation])
        # Ages are unknown only where there is no neighbour, and so no message.
        return (
            message
            if time is None or position not in self.relation_time
            else self.relation_time[position](message, time)
        )

    def forward(
        self,
        state: Tensor,
        root: Tensor,
        means: dict[str, Tensor],
        degrees: dict[str, Tensor],
        budgets: dict[str, int],
    ) -> Tensor:
        """Update ``state [n, channels]`` by the nodes' root transform and the messages of their neighbours.

        ``means[relation] [n, width]`` is the mean of the messages, 0 where there are none.
        """
        out = root
        for (relation, single, _), linear in zip(self._relations, self.messages, strict=True):
            if relation not in means:
                continue
            if single:
                out = out + means[relation]
                continue
            degree = degrees[relation][:, None]
            fill = degree.clamp(max=budgets[relation]) / max(budgets[relation], 1)
            mean, more = self._pooled(means[relation])
            out = out + linear(torch.cat([mean, mean * fill, *more, fill, torch.log1p(degree) / 4.0], dim=1))
        return self.norm(state + self.dropout(torch.relu(out)))  # type: ignore[no-any-return]

    def _pooled(self, pooled: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the mean of the neighbours, and what else is known of them."""
        c = self._channels
        mean = pooled[:, :c]
        if self._aggregation == "moments":
            spread = (pooled[:, c:] - mean * mean).clamp(min=0.0)
            return mean, [(spread + 1e-4).sqrt()]
        if self._aggregation == "attention":
            weight = pooled[:, 2 * c :].clamp(min=1e-12)
            heads = pooled[:, c : 2 * c].view(len(pooled), HEADS, c // HEADS) / weight[:, :, None]
            return mean, [heads.flatten(1)]
        return mean, []


def mean_by_destination(values: Tensor, dst: Tensor, counts: Tensor) -> Tensor:
    """Average ``values [edges, width]`` by ``dst [edges]``; ``counts [n]`` is how many edges each of ``n`` has."""
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, dst, values)
    return sums / counts.clamp(min=1.0)[:, None]
