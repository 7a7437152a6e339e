"""From a model's raw outputs to predictions in the units of the label."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.task import TaskType

Predictions = NDArray[np.float64]
"""``[n]`` probabilities or numbers, ``[n, classes]`` probabilities for several classes, ``[n, frames]`` numbers; of a
ranking ``[n, 2 * k]``: the rows of the items from the best on (-1 where there are fewer), then their scores."""


_OF_CLASSES = frozenset({TaskType.MULTICLASS_CLASSIFICATION, TaskType.MULTILABEL_CLASSIFICATION})


@dataclass(frozen=True, slots=True)
class OutputTransform:
    """How raw outputs become predictions: regression is learnt standardised, classes are known by name.

    ``frames`` is how many numbers there are otherwise: timeframes of a forecast, items and scores of a ranking.
    ``least`` is the least training label of a target that is never negative: no predicted number is below.
    """

    task_type: TaskType
    center: float = 0.0
    scale: float = 1.0
    classes: tuple[str, ...] = ()
    frames: int = 1
    least: float | None = None

    @property
    def outputs(self) -> int:
        """Return how many raw outputs the model has."""
        return len(self.classes) if self.task_type in _OF_CLASSES else self.frames

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OutputTransform:
        """Read what :meth:`to_dict` wrote."""
        task_type, classes = TaskType(data["task_type"]), tuple(data["classes"])
        return cls(task_type, data["center"], data["scale"], classes, data["frames"], data.get("least"))


def chosen_classes(probabilities: NDArray[np.float64], task_type: TaskType, classes: tuple[str, ...]) -> Any:
    """Name, for one entity, the likeliest class, or every class that is likelier than not, the likeliest first."""
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return classes[int(np.argmax(probabilities))]
    order = np.argsort(-probabilities, kind="stable")
    return [classes[i] for i in order if probabilities[i] >= 0.5]


def predictions_from(raw: NDArray[np.float64], transform: OutputTransform) -> Predictions:
    """Turn raw outputs ``[n, outputs]`` into predictions."""
    values = raw.astype(np.float64)
    match transform.task_type:
        case TaskType.BINARY_CLASSIFICATION:
            probability: Predictions = 1.0 / (1.0 + np.exp(-np.clip(values[:, 0], -60, 60)))
            return probability
        case TaskType.MULTICLASS_CLASSIFICATION:
            shifted = np.exp(values - values.max(axis=1, keepdims=True))
            shares: Predictions = shifted / shifted.sum(axis=1, keepdims=True)
            return shares
        case TaskType.MULTILABEL_CLASSIFICATION:
            each: Predictions = 1.0 / (1.0 + np.exp(-np.clip(values, -60, 60)))
            return each
        case TaskType.FORECASTING:
            return _numbers(values, transform)
        case _:
            return _numbers(values[:, 0], transform)


def _numbers(raw: NDArray[np.float64], transform: OutputTransform) -> Predictions:
    """Return numbers in the unit of the label, none below the least that there can be."""
    numbers: Predictions = raw * transform.scale + transform.center
    return numbers if transform.least is None else np.maximum(numbers, transform.least)
