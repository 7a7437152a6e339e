"""Attention among an entity and all its neighbours at once: the last layer of a relational transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from forekey.nn.dropout import Dropout

HEADS = 4
_BLOCKS = 2


class NeighborhoodTransformer(nn.Module):
    """Updates nodes by attention among themselves and their direct neighbours, along all relations together.

    Every neighbour is a token, in the state that the layers below give it, which includes its own neighbourhood. A
    token also encodes along which relation it is a neighbour, and its position among them, newest first. Where means
    add up messages one by one, attention compares neighbours with one another: the last with the one
    before it, an order with a visit (set transformer: Lee et al. 2019; tokens by relation and hop as in relational
    graph transformers: Dwivedi et al. 2025). The last block asks for the node's own token alone.
    """

    def __init__(self, channels: int, relations: tuple[tuple[str, int], ...], dropout: float) -> None:
        """Take the relations by name, each with the most neighbours that it may have."""
        super().__init__()
        self._positions = {name: i for i, (name, _) in enumerate(relations)}
        most = max([budget for _, budget in relations], default=0)
        self.roles = nn.Parameter(0.1 * torch.randn(len(relations), channels))
        self.ranks = nn.Parameter(0.1 * torch.randn(most, channels))
        # Weights of attention add up to 1, so it can not count.
        self.counts = nn.Linear(len(relations), channels) if relations else None
        self.blocks = nn.ModuleList(_Block(channels, dropout) for _ in range(_BLOCKS))
        self.norm = nn.LayerNorm(channels)

    def forward(self, state: Tensor, neighbors: dict[str, tuple[Tensor, Tensor]], degrees: dict[str, Tensor]) -> Tensor:
        """Update ``state [n, channels]``.

        ``neighbors[relation]`` are states ``[m, channels]`` and which of them are the neighbours of each node, newest
        first and then -1, ``[n, most] int``; ``degrees[relation] [n]`` is how many neighbours there are in all.
        """
        known = state.new_zeros(len(state), len(self._positions))
        for relation, degree in degrees.items():
            known[:, self._positions[relation]] = torch.log1p(degree) / 4.0
        tokens = [(state if self.counts is None else state + self.counts(known))[:, None]]
        there = [torch.ones(len(state), 1, dtype=torch.bool, device=state.device)]
        for relation, (values, index) in neighbors.items():
            if not len(values) or not index.shape[1]:
                continue
            picked = values.index_select(0, index.clamp(min=0).flatten()).view(*index.shape, -1)
            tokens.append(picked + (self.roles[self._positions[relation]] + self.ranks[: index.shape[1]]))
            there.append(index >= 0)
        x, mask = torch.cat(tokens, dim=1), torch.cat(there, dim=1)[:, None, None, :]
        for block in self.blocks[:-1]:
            x = block(x, x, mask)
        return self.norm(self.blocks[-1](x[:, :1], x, mask)[:, 0])  # type: ignore[no-any-return]


class _Block(nn.Module):
    """One block, normalised before each of its two parts (Xiong et al. 2020)."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.between = nn.LayerNorm(channels)
        self.feed = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), Dropout(dropout), nn.Linear(2 * channels, channels)
        )
        self.dropout = Dropout(dropout)

    def forward(self, queries: Tensor, tokens: Tensor, there: Tensor) -> Tensor:
        """Let ``queries [n, q, channels]`` attend to ``tokens [n, t, channels]`` where ``there [n, 1, 1, t]``."""
        n, q, channels = queries.shape
        heads = channels // HEADS
        normed = self.before(tokens)
        query = self.query(normed if queries is tokens else self.before(queries)).view(n, q, HEADS, heads)
        key, value = self.key_value(normed).view(n, tokens.shape[1], 2, HEADS, heads).unbind(2)
        attended = functional.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=there
        )
        queries = queries + self.dropout(self.out(attended.transpose(1, 2).reshape(n, q, channels)))
        return queries + self.dropout(self.feed(self.between(queries)))  # type: ignore[no-any-return]


def index_by_rank(dst: Tensor, src: Tensor, rank: Tensor, nodes: int) -> Tensor:
    """Lay edges out as the neighbours of each of ``nodes``, by rank, -1 for none: ``[nodes, most] int64``."""
    most = int(rank.max()) + 1 if len(rank) else 0
    index = torch.full((nodes, most), -1, dtype=torch.int64)
    index[dst.long(), rank.long()] = src.long()
    return index
