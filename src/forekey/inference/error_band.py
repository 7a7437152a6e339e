"""How far predicted numbers are off: intervals from the errors on validation, alike for predictions of like size.

Split conformal prediction (Vovk et al. 2005) within bins of the prediction (Mondrian; Boström and Johansson 2020), so
that large predictions, which are off by more, get wider intervals.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEVEL = 0.8
_PER_BIN = 100
_MAX_BINS = 10
_FEWEST = 20

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ErrorBand:
    """Bins of predictions by their upper ``edges`` (the last is open), and between which errors ``level`` of them lie.

    A ``low`` of None stands for ``least``, a bound that no label passed in training, such as 0 for counts; ``coverage``
    is the share of test labels that lay within.
    """

    edges: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float, ...]
    least: float | None
    level: float = _LEVEL
    coverage: float | None = None

    @classmethod
    def fit(cls, predicted: Numbers, target: Numbers, least: float | None) -> ErrorBand | None:
        """Learn from validation ``[n]``; None if there are too few examples."""
        if len(target) < _FEWEST:
            return None
        bins = int(np.clip(len(target) // _PER_BIN, 1, _MAX_BINS))
        edges = np.unique(np.quantile(predicted, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
        position = np.searchsorted(edges, predicted, "right")
        if np.bincount(position, minlength=len(edges) + 1).min() < _FEWEST:
            edges, position = np.zeros(0), np.zeros(len(target), np.int64)
        bounds = []
        for b in range(len(edges) + 1):
            own = position == b
            low, high = _bounds((target - predicted)[own])
            # Many labels at the bound itself (no order at all): their errors are all but equal, so the interval must
            # begin there rather than at an error that the next prediction may just miss.
            crowded = least is not None and np.quantile(target[own], (1.0 - _LEVEL) / 2.0, method="lower") <= least
            bounds.append((None if crowded else low, high))
        return cls(tuple(edges.tolist()), tuple(b[0] for b in bounds), tuple(b[1] for b in bounds), least)

    def around(self, predicted: Numbers) -> tuple[Numbers, Numbers]:
        """Return where labels lie that belong to predictions ``[n]``: from, and to."""
        position = np.searchsorted(np.array(self.edges), predicted, "right")
        below = np.array([-np.inf if low is None else low for low in self.low])
        low, high = predicted + below[position], predicted + np.array(self.high)[position]
        return (low, high) if self.least is None else (np.maximum(low, self.least), np.maximum(high, self.least))

    def covered(self, predicted: Numbers, target: Numbers) -> float | None:
        """Return the share of labels that lie within the intervals of their predictions."""
        if len(target) == 0:
            return None
        low, high = self.around(predicted)
        return float(((target >= low) & (target <= high)).mean())

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ErrorBand:
        """Read what :meth:`to_dict` wrote."""
        edges, low, high = (tuple(data[name]) for name in ("edges", "low", "high"))
        return cls(edges, low, high, data["least"], data["level"], data["coverage"])


def _bounds(errors: Numbers) -> tuple[float, float]:
    """Return the errors below and above which half of the rest lies, with the correction for few examples."""
    tail = (1.0 - _LEVEL) / 2.0
    upper = min(np.ceil((len(errors) + 1) * (1.0 - tail)) / len(errors), 1.0)
    return float(np.quantile(errors, 1.0 - upper, method="lower")), float(np.quantile(errors, upper, method="higher"))
