"""From blended raw outputs to ones whose probabilities hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Calibration(nn.Module):
    """Maps raw outputs to others whose probabilities are as frequent as they say.

    ``slope`` and ``shift`` scale logits (Platt 1999; with one slope for several classes, temperature scaling, Guo et
    al. 2017). ``knots [2, k]``, where there are any, map a logit on through a monotone line (isotonic regression;
    Zadrozny and Elkan 2002): logits in ascending order, and what they become. All are buffers in float64.
    """

    slope: Tensor
    shift: Tensor
    knots: Tensor

    def __init__(self, slope: float = 1.0, shift: float = 0.0, knots: Sequence[tuple[float, float]] = ()) -> None:
        super().__init__()
        self.register_buffer("slope", torch.tensor(slope, dtype=torch.float64))
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float64))
        self.register_buffer("knots", torch.tensor(list(knots), dtype=torch.float64).reshape(-1, 2).T.contiguous())

    def forward(self, raw: Tensor) -> Tensor:
        """``[n, outputs] float64`` to ``[n, outputs] float64``."""
        out = raw * self.slope + self.shift
        return _interpolated(out, self.knots[0], self.knots[1]) if self.knots.numel() else out


def _interpolated(x: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """Return the line through ``values`` at ``at``, constant beyond its ends, at each of ``x``."""
    right = torch.searchsorted(at, x.contiguous()).clamp(1, len(at) - 1)
    left = right - 1
    share = ((x - at[left]) / (at[right] - at[left]).clamp(min=torch.finfo(at.dtype).tiny)).clamp(0.0, 1.0)
    return values[left] + share * (values[right] - values[left])
