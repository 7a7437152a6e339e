"""One round of message passing for one node type."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from forekey.nn.dropout import Dropout
from forekey.nn.encoder import AgeEncoder
from forekey.nn.transformer import HEADS

Aggregation = Literal["mean", "moments", "attention", "transformer"]
"""How neighbours become one: their mean; mean and deviation; mean and a mean weighted by learnt attention; or, in the
last layer, attention among all of them (:class:`forekey.nn.transformer.NeighborhoodTransformer`) after means below."""

_MOST = 10.0  # of the logarithm of an attention weight: beyond, single precision would overflow


class Heard(NamedTuple):
    """A relation as a layer hears it: whether it has one neighbour at most, and whether a clock tells its age."""

    name: str
    single: bool
    clocked: bool


class HeteroConv(nn.Module):
    """Updates nodes of one type from their neighbours along each relation.

    A heterogeneous GraphSAGE layer (Hamilton et al. 2017; Schlichtkrull et al. 2018) with a residual connection. A
    mean forgets how many there were, so each relation also tells the full degree (logarithmic) and how much of the
    neighbour budget was filled, alone and as a factor of the mean. Deviations are those of principal neighbourhood
    aggregation (Corso et al. 2020); attention weighs each neighbour by what it is, against a learnt query a relation
    and head (pooling by attention: Lee et al. 2019).

    What is said by the node itself and by the one row that a foreign key refers to is linear in their states, and what
    is added up of several neighbours is a mean of :meth:`message`. So all of it may be computed once for each distinct
    row and handed out to the nodes, or over a whole table at once; the ages of rows, which differ from node to node,
    are added through linear maps of their own.
    """

    def __init__(
        self,
        channels: int,
        relations: tuple[Heard, ...],
        dropout: float,
        aggregation: Aggregation = "mean",
        clocked: bool = False,
    ) -> None:
        """Take the relations, and whether nodes of this type have ages that their states do not tell yet."""
        super().__init__()
        self._relations = relations
        self._place = {r.name: i for i, r in enumerate(relations)}
        self._aggregation = aggregation
        self._channels = channels
        self.own = nn.Linear(channels, channels)
        self.own_clock = AgeEncoder(channels) if clocked else None
        several = (3 if aggregation in {"moments", "attention"} else 2) * channels + 2
        self.messages = nn.ModuleList(
            nn.Linear(channels, channels) if r.single else nn.Linear(several, channels, bias=False) for r in relations
        )
        self.clocks = nn.ModuleDict(
            {str(i): AgeEncoder(channels) for i, r in enumerate(relations) if r.single and r.clocked}
        )
        if aggregation == "attention":
            self.queries = nn.Parameter(torch.randn(len(relations), HEADS, channels) / math.sqrt(channels))
        self.norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def itself(self, state: Tensor) -> Tensor:
        """Return what nodes in states ``[n, channels]`` say to themselves, but for their ages."""
        return self.own(state)  # type: ignore[no-any-return]

    def with_own_age(self, said: Tensor, told: Tensor | None) -> Tensor:
        """Add what the ages of nodes say, ``told [n, CLOCK]``, to what else they say to themselves."""
        return said if told is None or self.own_clock is None else self.own_clock(said, told)

    def message(self, relation: str, state: Tensor) -> Tensor:
        """Return what neighbours in states ``[n, channels]`` say along a relation, ``[n, width]``."""
        place = self._place[relation]
        if self._relations[place].single:
            return self.messages[place](state)  # type: ignore[no-any-return]
        if self._aggregation in {"mean", "transformer"}:
            return state
        if self._aggregation == "moments":
            return torch.cat([state, state * state], dim=1)
        weight = (state @ self.queries[place].T).clamp(-_MOST, _MOST).exp()
        heads = state.view(len(state), HEADS, self._channels // HEADS) * weight[:, :, None]
        return torch.cat([state, heads.flatten(1), weight], dim=1)

    def with_age(self, relation: str, said: Tensor, told: Tensor | None) -> Tensor:
        """Add what the age of the one neighbour along a relation says, ``told [n, CLOCK]``, to what else it says."""
        place = str(self._place[relation])
        # Ages are unknown only where there is no neighbour, and so nothing said.
        return said if told is None or place not in self.clocks else self.clocks[place](said, told)

    def forward(
        self,
        state: Tensor,
        itself: Tensor,
        said: dict[str, Tensor],
        degrees: dict[str, Tensor],
        budgets: dict[str, int],
    ) -> Tensor:
        """Update ``state [n, channels]`` by what the nodes say to themselves and hear.

        ``said[relation] [n, width]`` is the mean of the messages of neighbours, 0 where there are none.
        """
        out = itself
        for (relation, single, _), linear in zip(self._relations, self.messages, strict=True):
            if relation not in said:
                continue
            if single:
                out = out + said[relation]
                continue
            degree = degrees[relation][:, None]
            fill = degree.clamp(max=budgets[relation]) / max(budgets[relation], 1)
            mean, more = self._pooled(said[relation])
            out = out + linear(torch.cat([mean, mean * fill, *more, fill, torch.log1p(degree) / 4.0], dim=1))
        return self.norm(state + self.dropout(torch.relu(out)))  # type: ignore[no-any-return]

    def _pooled(self, told: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the mean of the neighbours, and what else is known of them."""
        c = self._channels
        mean = told[:, :c]
        if self._aggregation == "moments":
            spread = (told[:, c:] - mean * mean).clamp(min=0.0)
            return mean, [(spread + 1e-4).sqrt()]
        if self._aggregation == "attention":
            weight = told[:, 2 * c :].clamp(min=1e-12)
            heads = told[:, c : 2 * c].view(len(told), HEADS, c // HEADS) / weight[:, :, None]
            return mean, [heads.flatten(1)]
        return mean, []


def mean_of_children(values: Tensor, parent: Tensor, counts: Tensor) -> Tensor:
    """Average ``values [edges, width]`` by ``parent [edges]``; ``counts [n]`` is how many edges each of ``n`` has."""
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, parent, values)
    return sums / counts.clamp(min=1.0)[:, None]
