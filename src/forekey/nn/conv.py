"""One round of message passing for one node type."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HeteroConv(nn.Module):
    """Updates nodes of one type from the means of their neighbours along each relation.

    A heterogeneous GraphSAGE layer (Hamilton et al. 2017; Schlichtkrull et al. 2018) with a residual connection. A
    mean forgets how many there were, so each relation also tells the full degree (logarithmic) and how much of the
    neighbour budget was filled, alone and as a factor of the mean.
    """

    def __init__(self, channels: int, relations: tuple[tuple[str, bool], ...], dropout: float) -> None:
        """Take the relations by name, and whether each has one neighbour at most, whose mean tells all there is."""
        super().__init__()
        self._relations = relations
        self.own = nn.Linear(channels, channels)
        widths = (channels + 1 if single else 2 * channels + 2 for _, single in relations)
        self.messages = nn.ModuleList(nn.Linear(width, channels, bias=False) for width in widths)
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, own: Tensor, means: dict[str, Tensor], degrees: dict[str, Tensor], budgets: dict[str, int]
    ) -> Tensor:
        """Update ``own [n, channels]`` by ``means[relation] [n, channels]`` and ``degrees[relation] [n]``."""
        out = self.own(own)
        for (relation, single), linear in zip(self._relations, self.messages, strict=True):
            if relation not in means:
                continue
            degree, mean = degrees[relation][:, None], means[relation]
            if single:
                out = out + linear(torch.cat([mean, degree.clamp(max=budgets[relation])], dim=1))
                continue
            fill = degree.clamp(max=budgets[relation]) / max(budgets[relation], 1)
            out = out + linear(torch.cat([mean, mean * fill, fill, torch.log1p(degree) / 4.0], dim=1))
        return self.norm(own + self.dropout(torch.relu(out)))  # type: ignore[no-any-return]


def mean_of_children(values: Tensor, parent: Tensor, child: Tensor, counts: Tensor) -> Tensor:
    """Average ``values[child]`` by ``parent``; ``counts [n] float32`` is the number of children of each of ``n``."""
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, parent, values.index_select(0, child))
    return sums / counts.clamp(min=1.0)[:, None]
