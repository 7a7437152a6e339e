"""What a network minimizes, by the name that an objective gives it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from forekey.objectives import Loss, PointwiseObjective


def example_loss(loss: Loss, output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean loss of a batch; that of an example with several outputs is their mean.

    ``output [n, outputs]``, ``target`` as :func:`targets` returned it, ``weight [n]`` or None for all alike.
    """
    each = _LOSSES[loss](output, target)
    each = each.mean(dim=1) if each.ndim == 2 else each
    return each.mean() if weight is None else (each * weight).sum() / weight.sum().clamp(min=1e-12)


def targets(objective: PointwiseObjective, target: NDArray[np.object_] | NDArray[np.float64]) -> Tensor:
    """Return labels as :func:`example_loss` takes them: positions of classes in int64, else numbers in float32."""
    encoded = objective.encode(target)
    return torch.from_numpy(encoded.astype(np.int64 if objective.loss == "softmax" else np.float32))


def _logistic(output: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(output.reshape(target.shape), target, reduction="none")


def _softmax(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target, reduction="none")


def _absolute(output: Tensor, target: Tensor) -> Tensor:
    return functional.l1_loss(output.reshape(target.shape), target, reduction="none")


_LOSSES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {
    "logistic": _logistic,
    "softmax": _softmax,
    "absolute": _absolute,
}
