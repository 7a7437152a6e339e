"""From encoded columns and the age of a row to a vector."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from forekey.features import robust_scale

AGE_SCALES_DAYS = (1.0 / 24.0, 1.0, 7.0, 30.0, 90.0, 365.0, 1825.0)
"""Time scales that ages are measured by: an hour to five years."""

TIME_CHANNELS = len(AGE_SCALES_DAYS) + 1
"""How many numbers encode how long ago a row happened."""


def time_encoding(age: Tensor) -> Tensor:
    """Encode ages (``[n] float32`` days before the seed time) as decays on several time scales and a logarithm.

    Returns ``[n, TIME_CHANNELS] float32``; ages below 0 count as 0.
    """
    age = age.clamp(min=0.0)[:, None]
    return torch.cat([torch.exp(age * _RATES.to(age.device)), torch.log1p(age) / 8.0], dim=1)


class TimeEncoder(nn.Module):
    """Adds a linear map of time encodings. The weight lies so that its gradient is a fast product."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(TIME_CHANNELS, channels).uniform_(-1.0, 1.0) / math.sqrt(TIME_CHANNELS))

    def forward(self, to: Tensor, time: Tensor) -> Tensor:
        """``to [n, channels]`` and ``time [n, TIME_CHANNELS]`` to ``[n, channels]``."""
        return torch.addmm(to, time, self.weight)


_RATES = -1.0 / torch.tensor(AGE_SCALES_DAYS)


class RowEncoder(nn.Module):
    """Encodes the rows of one table: a linear map of the values plus an embedding per token, then a residual block.

    ``vocabularies`` are, for each column with tokens, how many a row has and how many distinct ones there are. Columns
    number their tokens for themselves; here each gets a part of one table of embeddings.
    """

    _offsets: Tensor

    def __init__(self, num_values: int, vocabularies: tuple[tuple[int, int], ...], channels: int) -> None:
        super().__init__()
        self.values = nn.Linear(num_values, channels) if num_values else None
        widths, sizes = [w for w, _ in vocabularies], [s for _, s in vocabularies]
        first = torch.tensor([sum(sizes[:i]) for i in range(len(sizes))], dtype=torch.int32)
        offsets = first.repeat_interleave(torch.tensor(widths, dtype=torch.int64))
        self.register_buffer("_offsets", offsets, persistent=False)
        # Token 0 is padding and adds nothing.
        total = 1 + sum(sizes)
        self.tokens = nn.EmbeddingBag(total, channels, mode="sum", padding_idx=0) if vocabularies else None
        if self.tokens is not None:
            nn.init.normal_(self.tokens.weight, std=0.1)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.norm = nn.LayerNorm(channels)
        self.block = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))

    def forward(self, values: Tensor, token_ids: Tensor) -> Tensor:
        """``[rows, num_values] float32`` and ``[rows, tokens] int32`` to ``[rows, channels] float32``."""
        out = self.bias.expand(len(values), -1)
        if self.values is not None:
            out = out + self.values(values)
        if self.tokens is not None:
            out = out + self.tokens(torch.where(token_ids > 0, token_ids + self._offsets, token_ids))
        return out + self.block(self.norm(out))  # type: ignore[no-any-return]


class WindowScale(nn.Module):
    """Scales window features by their median and interquartile range on training examples, and flags missing ones."""

    center: Tensor
    scale: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))

    @classmethod
    def fitted(cls, window_features: NDArray[np.float32]) -> WindowScale:
        """Learn the scales from those of training examples, ``[examples, features]``."""
        found = cls(window_features.shape[1])
        pairs = [robust_scale(column.astype(np.float64)) for column in window_features.T]
        found.center.copy_(torch.tensor([center for center, _ in pairs]))
        found.scale.copy_(torch.tensor([scale for _, scale in pairs]))
        return found

    def forward(self, window_features: Tensor) -> Tensor:
        """Return ``[n, 2 * features] float32``: ``asinh((x - center) / scale)``, 0 if missing, then missing flags."""
        missing = ~torch.isfinite(window_features)
        most = torch.finfo(torch.float32).max
        ratio = ((window_features - self.center).masked_fill(missing, 0.0) / self.scale).clamp(-most, most)
        return torch.cat([torch.asinh(ratio), missing.to(ratio.dtype)], dim=1)


class WindowEncoder(nn.Module):
    """Encodes window features: two layers, as features are many and few of them matter."""

    def __init__(self, num_features: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.scale = WindowScale(num_features)
        self.layers = nn.Sequential(
            nn.Linear(2 * num_features, channels),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(channels, channels),
            nn.ReLU(),
        )

    def forward(self, window_features: Tensor) -> Tensor:
        """``[n, features] float32``, NaN where missing, to ``[n, channels] float32``."""
        return self.layers(self.scale(window_features))  # type: ignore[no-any-return]
