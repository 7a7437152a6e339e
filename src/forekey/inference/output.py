"""From a model's raw outputs to predictions in the units of the label."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.task import TaskType

Predictions = NDArray[np.float64]
"""``[n]`` probabilities or numbers, or ``[n, classes]`` probabilities for several classes."""


@dataclass(frozen=True, slots=True)
class OutputTransform:
    """How raw outputs become predictions: regression is learnt standardised, classes are known by name."""

    task_type: TaskType
    center: float = 0.0
    scale: float = 1.0
    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """Return how many raw outputs the model has."""
        return len(self.classes) if self.task_type is TaskType.MULTICLASS_CLASSIFICATION else 1

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OutputTransform:
        """Read what :meth:`to_dict` wrote."""
        return cls(TaskType(data["task_type"]), data["center"], data["scale"], tuple(data["classes"]))


def predictions_from(raw: NDArray[np.float32], transform: OutputTransform) -> Predictions:
    """Turn raw outputs ``[n, outputs] float32`` into predictions."""
    values = raw.astype(np.float64)
    match transform.task_type:
        case TaskType.BINARY_CLASSIFICATION:
            probability: Predictions = 1.0 / (1.0 + np.exp(-np.clip(values[:, 0], -60, 60)))
            return probability
        case TaskType.MULTICLASS_CLASSIFICATION:
            shifted = np.exp(values - values.max(axis=1, keepdims=True))
            shares: Predictions = shifted / shifted.sum(axis=1, keepdims=True)
            return shares
        case _:
            numbers: Predictions = values[:, 0] * transform.scale + transform.center
            return numbers
