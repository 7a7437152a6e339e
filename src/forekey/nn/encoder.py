"""From encoded columns and the age of a row to a vector."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

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


class TableEncoder(nn.Module):
    """Encodes the rows of one table: a linear map of the numbers plus an embedding per code, then a residual block."""

    def __init__(self, numbers: int, num_codes: int, channels: int) -> None:
        super().__init__()
        self.numbers = nn.Linear(numbers, channels) if numbers else None
        # Code 0 is "nothing here" and adds nothing.
        self.codes = nn.EmbeddingBag(num_codes, channels, mode="sum", padding_idx=0) if num_codes > 1 else None
        if self.codes is not None:
            nn.init.normal_(self.codes.weight, std=0.1)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.norm = nn.LayerNorm(channels)
        self.block = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """``[rows, numbers] float32`` and ``[rows, slots] int32`` to ``[rows, channels] float32``."""
        out = self.bias.expand(len(numbers), -1)
        if self.numbers is not None:
            out = out + self.numbers(numbers)
        if self.codes is not None and codes.shape[1]:
            out = out + self.codes(codes)
        return out + self.block(self.norm(out))  # type: ignore[no-any-return]


class WindowEncoder(nn.Module):
    """Encodes window features: two layers, as features are many and few of them matter."""

    def __init__(self, numbers: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(numbers, channels), nn.ReLU(), nn.Dropout(dropout), nn.Linear(channels, channels), nn.ReLU()
        )

    def forward(self, history: Tensor) -> Tensor:
        """``[n, numbers] float32`` to ``[n, channels] float32``."""
        return self.layers(history)  # type: ignore[no-any-return]
