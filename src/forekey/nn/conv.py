"""One round of message passing for one node type."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Aggregation = Literal["mean", "moments", "attention"]
"""How neighbours become one: their mean; mean and deviation; mean and a mean weighted by learnt attention."""

_HEADS = 4
_MOST = 10.0  # of the logarithm of an attention weight: beyond, single precision would overflow


class HeteroConv(nn.Module):
    """Updates nodes of one type from their neighbours along each relation.

    A heterogeneous GraphSAGE layer (Hamilton et al. 2017; Schlichtkrull et al. 2018) with a residual connection. A
    mean forgets how many there were, so each relation also tells the full degree (logarithmic) and how much of the
    neighbour budget was filled, alone and as a factor of the mean. Deviations are those of principal neighbourhood
    aggregation (Corso et al. 2020); attention weighs each neighbour by what it is, against a learnt query a relation
    and head (pooling by attention: Lee et al. 2019).

    Whatever is added up of neighbours is a mean of :meth:`message`, so that it may be taken edge by edge or over a
    whole table at once.
    """

    def __init__(
        self,
        channels: int,
        relations: tuple[tuple[str, bool], ...],
        dropout: float,
        aggregation: Aggregation = "mean",
    ) -> None:
        """Take the relations by name, and whether each has one neighbour at most, whose mean tells all there is."""
        super().__init__()
        self._relations = relations
        self._place = {name: i for i, (name, _) in enumerate(relations)}
        self._aggregation = aggregation
        self._channels = channels
        self.own = nn.Linear(channels, channels)
        several = (2 if aggregation == "mean" else 3) * channels + 2
        widths = (channels + 1 if single else several for _, single in relations)
        self.messages = nn.ModuleList(nn.Linear(width, channels, bias=False) for width in widths)
        if aggregation == "attention":
            self.queries = nn.Parameter(torch.randn(len(relations), _HEADS, channels) / math.sqrt(channels))
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def message(self, relation: str, state: Tensor) -> Tensor:
        """Return what neighbours in states ``[n, channels]`` say along a relation, ``[n, width]``."""
        place = self._place[relation]
        if self._aggregation == "mean" or self._relations[place][1]:
            return state
        if self._aggregation == "moments":
            return torch.cat([state, state * state], dim=1)
        weight = (state @ self.queries[place].T).clamp(-_MOST, _MOST).exp()
        heads = state.view(len(state), _HEADS, self._channels // _HEADS) * weight[:, :, None]
        return torch.cat([state, heads.flatten(1), weight], dim=1)

    def forward(
        self, own: Tensor, means: dict[str, Tensor], degrees: dict[str, Tensor], budgets: dict[str, int]
    ) -> Tensor:
        """Update ``own [n, channels]`` by means of messages ``[n, width]`` and ``degrees[relation] [n]``."""
        out = self.own(own)
        for (relation, single), linear in zip(self._relations, self.messages, strict=True):
            if relation not in means:
                continue
            degree = degrees[relation][:, None]
            if single:
                out = out + linear(torch.cat([means[relation], degree.clamp(max=budgets[relation])], dim=1))
                continue
            fill = degree.clamp(max=budgets[relation]) / max(budgets[relation], 1)
            mean, more = self._pooled(means[relation])
            out = out + linear(torch.cat([mean, mean * fill, *more, fill, torch.log1p(degree) / 4.0], dim=1))
        return self.norm(own + self.dropout(torch.relu(out)))  # type: ignore[no-any-return]

    def _pooled(self, told: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the mean of the neighbours, and what else is known of them."""
        c = self._channels
        mean = told[:, :c]
        if self._aggregation == "moments":
            spread = (told[:, c:] - mean * mean).clamp(min=0.0)
            return mean, [(spread + 1e-4).sqrt()]
        if self._aggregation == "attention":
            weight = told[:, 2 * c :].clamp(min=1e-12)
            heads = told[:, c : 2 * c].view(len(told), _HEADS, c // _HEADS) / weight[:, :, None]
            return mean, [heads.flatten(1)]
        return mean, []


def mean_of_children(values: Tensor, parent: Tensor, child: Tensor, counts: Tensor) -> Tensor:
    """Average ``values[child]`` by ``parent``; ``counts [n] float32`` is the number of children of each of ``n``."""
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, parent, values.index_select(0, child))
    return sums / counts.clamp(min=1.0)[:, None]
