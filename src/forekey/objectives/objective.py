"""What all kinds of tasks have in common: how labels are read, what a model learns, how predictions are judged."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.objectives.held_out import HeldOut
from forekey.objectives.predictions import Predictions
from forekey.objectives.ready_made import finite
from forekey.query import TaskType

Metrics = dict[str, float | None]
"""Name to value; None where the metric is undefined, such as AUROC with one class only."""

Raw = NDArray[np.float64]
"""Raw outputs ``[n, outputs]``: a logit, one per class, a standardised number, or one per timeframe."""

Score = Callable[[NDArray[np.int64]], float]
"""The default metric, given how often each example counts ``[n] int64``; NaN where it is undefined."""

Loss = Literal["logistic", "softmax", "absolute"]
"""What is minimized: log loss of each output by itself, log loss of one class among all, mean absolute error."""

_LARGEST_LABEL = 1e37
_LARGE_EFFECT = 0.8
"""A large effect by Cohen (1988): of d between means, of h between shares."""


class Objective(ABC):
    """One kind of task, fitted on the training labels of one task.

    The class says how labels of its kind are read and described. An instance holds what was fitted (classes, scale) and
    says how predictions are judged. Labels are arrays ``[n, ...]`` as :meth:`read` returns them.
    """

    task_type: ClassVar[TaskType]
    metric: ClassVar[str]
    """The default metric, by which models are chosen and compared."""
    higher_is_better: ClassVar[bool]
    predicts: ClassVar[type[Predictions]]
    has_single_label: ClassVar[bool] = False
    """Whether a label is one number or one class, which a column of the entity could state."""
    ranks_items: ClassVar[bool] = False
    """Whether labels are rows of another table."""
    has_interval: ClassVar[bool] = False
    """Whether predictions are shown with an interval of errors."""

    @classmethod
    @abstractmethod
    def read(cls, column: pa.ChunkedArray) -> NDArray[Any]:
        """Return a column of labels as an array."""

    @classmethod
    def typed(cls, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Return ready-made labels, of the column ``name``, as they would be made; ``ValueError`` says what is off."""
        return finite(column)

    @classmethod
    def missing(cls, column: pa.ChunkedArray) -> NDArray[np.bool_]:
        """Whether a label is missing, ``[n] bool``: NULL, NaN, or beyond single precision, in which models compute."""
        return is_beyond(column) if pa.types.is_floating(column.type) else pc.is_null(column).to_numpy()

    @classmethod
    @abstractmethod
    def describe(cls, target: NDArray[Any]) -> dict[str, Any]:
        """Return the spread of some labels, of which there is at least one, as JSON has it."""

    @classmethod
    def difference(cls, one: NDArray[Any], two: NDArray[Any]) -> str | None:
        """Say how far the labels ``two`` are from ``one``; None if they are not."""
        amounts = cls.amounts(one), cls.amounts(two)
        means = float(amounts[0].mean()), float(amounts[1].mean())
        if cls._effect(*amounts) <= _LARGE_EFFECT:
            return None
        return f"mean {means[1]:.3g} against {means[0]:.3g}"

    @classmethod
    def amounts(cls, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return one number for each label: its mean over timeframes, or how many classes or items it has."""
        values = np.asarray(target, np.float64)
        return values.mean(axis=1) if values.ndim > 1 else values

    @classmethod
    def _effect(cls, one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
        """Return how far two means are apart, in standard deviations (Cohen's d)."""
        spread = float(np.sqrt((one.var() + two.var()) / 2))
        return abs(float(one.mean()) - float(two.mean())) / spread if spread > 0 else 0.0

    @classmethod
    @abstractmethod
    def fit(cls, target: NDArray[Any]) -> Self:
        """Return the objective for some training labels; :class:`TaskError` where they cannot be learnt."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes that training labels have, in the order of the outputs; none for numbers."""
        return ()

    def lagged(self, target: NDArray[Any]) -> NDArray[np.float32] | None:
        """Return earlier labels as features, ``[n, width]``; None where they are not used as such."""
        return None

    def comparable(self, raw: Raw) -> Raw:
        """Return raw outputs in the form in which those of two models may be averaged."""
        return raw

    def metrics(self, target: NDArray[Any], predicted: NDArray[Any]) -> Metrics:
        """Score predictions (:attr:`Predictions.values`) against labels; the default metric comes first."""
        if len(target) == 0:
            return {self.metric: None}
        found = self._metrics(target, predicted)
        return {name: None if v is None or not math.isfinite(v) else float(v) for name, v in found.items()}

    @abstractmethod
    def _metrics(self, target: NDArray[Any], predicted: NDArray[Any]) -> Metrics: ...

    @abstractmethod
    def score(self, target: NDArray[Any], predicted: NDArray[Any]) -> Score:
        """Return the default metric as a function of how often each example counts, for the bootstrap."""

    def drawn_labels(self, predicted: NDArray[Any], past: HeldOut, random: np.random.Generator) -> NDArray[Any] | None:
        """Return labels ``[n, ...]`` as likely as the predictions ``[n, ...]`` and ``past`` errors make them.

        Each call draws anew, also by how much the model is off. None where predictions say nothing of that.
        """
        return None

    @abstractmethod
    def plots(self, target: NDArray[Any], predicted: NDArray[Any]) -> dict[str, Any]:
        """Return what a report draws of some predictions, as JSON has it."""

    @classmethod
    def better(cls, a: float | None, b: float | None) -> bool:
        """Whether the default metric ``a`` beats ``b``; anything beats None."""
        if a is None or b is None:
            return a is not None
        return a > b if cls.higher_is_better else a < b

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {"task_type": str(self.task_type), **own}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote."""
        own = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items() if name != "task_type"}
        return cls(**own)


class PointwiseObjective(Objective):
    """An objective whose raw outputs are those of one example: all kinds but rankings.

    It says what a network and trees learn, and how raw outputs become predictions. :meth:`encode` turns labels into
    what raw outputs should be; :meth:`perfect` into the predictions that would be right.
    """

    loss: ClassVar[Loss]
    calibrations: ClassVar[tuple[str, ...]] = ()
    """Kinds of calibration to choose from; none for numbers."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Return how many raw outputs a model has."""

    @abstractmethod
    def encode(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return what raw outputs should be, ``[n]`` or ``[n, outputs]``."""

    def is_known(self, encoded: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether labels can be learnt from, ``[n] bool``: not those of a class that training never saw."""
        return np.ones(len(encoded), bool)

    @abstractmethod
    def mean_loss(self, raw: Raw, encoded: NDArray[np.float64]) -> float:
        """Return the mean of what is minimized."""

    @abstractmethod
    def constant(self, encoded: NDArray[np.float64]) -> tuple[float, ...]:
        """Return the raw outputs with the least loss for labels of which nothing else is known."""

    @abstractmethod
    def boosting(self) -> dict[str, Any]:
        """Return LightGBM's objective and metric."""

    @abstractmethod
    def link(self, raw: Raw) -> NDArray[np.float64]:
        """Turn raw outputs into predictions, ``[n]`` or ``[n, outputs]``."""

    @abstractmethod
    def predictions(self, raw: Raw) -> Predictions:
        """Turn raw outputs into predictions of their kind."""

    @abstractmethod
    def perfect(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return labels as predictions: 0 and 1 for classes, else the numbers, ``[n]`` or ``[n, outputs]``."""

    def carried_forward(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return what earlier labels predict if nothing changes."""
        return self.perfect(target)

    def lagged(self, target: NDArray[Any]) -> NDArray[np.float32] | None:
        """Return the labels as predictions would state them."""
        return np.asarray(self.perfect(target), np.float32).reshape(len(target), -1)

    def focus(self, raw: Raw) -> NDArray[np.float64]:
        """Return how much each output counts in an explanation, ``[n, outputs]``: all alike, or the likeliest class."""
        return np.full(raw.shape, 1.0 / raw.shape[1])


def is_beyond(numbers: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    """Whether numbers are NULL, NaN, infinite, or too large for single precision, ``[n] bool``."""
    values = numbers.to_numpy(zero_copy_only=False) if isinstance(numbers, pa.Array) else numbers.to_numpy()
    return ~(np.abs(values) <= _LARGEST_LABEL)  # type: ignore[no-any-return]


def weighted_mean(each: NDArray[Any]) -> Score:
    """Return the mean of a score of each example, as a function of how often each counts."""
    return lambda weight: float(np.average(each, weights=weight))


def rounded(values: NDArray[Any]) -> list[float]:
    """Return numbers as a report keeps them."""
    return [round(float(v), 5) for v in values]
