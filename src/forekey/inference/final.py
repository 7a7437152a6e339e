"""The last step to a prediction: what the network says, blended with trees over the past in numbers, then calibrated.

Trees (LightGBM; Ke et al., NeurIPS 2017) are good at thresholds in many uneven numbers, the network at what neighbours
tell; how much each counts is chosen on validation. Both speak in raw outputs: logits, or standardised numbers. Trees
see the past in numbers only, which is the same to the bit in every way of computing it; so all ways still agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.errors import ModelError
from forekey.task import TaskType

Raw = NDArray[np.float64]
"""Raw outputs ``[n, outputs]``: a logit, one per class, a standardised number, or one per timeframe."""

_ROWS_PER_THREAD = 2_000


@dataclass(frozen=True, slots=True)
class Calibration:
    """Turns raw outputs into others whose probabilities hold what they promise.

    ``slope`` and ``shift`` scale logits (Platt 1999; with one slope for several classes, temperature scaling, Guo et
    al. 2017). ``knots``, where there are any, map a logit on through a monotone line (isotonic regression; Zadrozny and
    Elkan 2002): logits, and what they become.
    """

    slope: float = 1.0
    shift: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def apply(self, raw: Raw) -> Raw:
        """Return calibrated raw outputs."""
        out = raw * self.slope + self.shift
        if not self.knots:
            return out
        places, values = np.array(self.knots).T
        mapped: Raw = np.interp(out, places, values)
        return mapped

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"slope": self.slope, "shift": self.shift, "knots": [list(k) for k in self.knots]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Calibration:
        """Read what :meth:`to_dict` wrote."""
        return cls(data["slope"], data["shift"], tuple((k[0], k[1]) for k in data["knots"]))


@dataclass(frozen=True)
class Trees:
    """Boosted trees that predict raw outputs: for each group of outputs, several boosters whose answers are averaged.

    ``texts[g]`` are the models of group ``g`` as LightGBM writes them. A group is one output, or all classes together.
    """

    texts: tuple[tuple[str, ...], ...]
    _boosters: list[list[Any]] = field(default_factory=list, init=False, repr=False, compare=False)

    def raw(self, history: NDArray[np.float32]) -> Raw:
        """Return raw outputs for pasts ``[n, features] float32``."""
        import lightgbm as gbm
        import torch

        if len(history) == 0:
            return np.zeros((0, 1))
        if not self._boosters:
            self._boosters.extend([[gbm.Booster(model_str=text) for text in group] for group in self.texts])
        threads = torch.get_num_threads() if len(history) >= _ROWS_PER_THREAD else 1
        columns = []
        for group in self._boosters:
            said = [np.asarray(b.predict(history, raw_score=True, num_threads=threads), np.float64) for b in group]
            mean = np.mean(said, axis=0)
            columns.append(mean.reshape(len(history), -1))
        return np.concatenate(columns, axis=1)

    def contributions(self, numbers: NDArray[np.float32]) -> tuple[Raw, NDArray[np.float64]]:
        """Split the only output among the numbers exactly (TreeSHAP), ``[n, features]``, and what is usual, ``[n]``."""
        if len(numbers) == 0:
            return np.zeros((0, numbers.shape[1])), np.zeros(0)
        self.raw(numbers[:1])  # opens the boosters
        told = np.mean([np.asarray(b.predict(numbers, pred_contrib=True)) for b in self._boosters[0]], axis=0)
        return told[:, :-1], told[:, -1]

    def importance(self) -> NDArray[np.float64]:
        """Return each feature's share of what splits gained, ``[features]``."""
        import lightgbm as gbm

        total = sum(
            np.asarray(gbm.Booster(model_str=text).feature_importance("gain")) for group in self.texts for text in group
        )
        gained = np.asarray(total, np.float64)
        return gained / max(float(gained.sum()), 1e-12)

    def save(self, folder: Path) -> None:
        """Write one file a booster."""
        for g, group in enumerate(self.texts):
            for i, text in enumerate(group):
                (folder / f"trees-{g}-{i}.txt").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, shape: Sequence[int]) -> Trees:
        """Read what :meth:`save` wrote; ``shape`` tells how many boosters each group has."""
        try:
            texts = tuple(
                tuple((folder / f"trees-{g}-{i}.txt").read_text(encoding="utf-8") for i in range(size))
                for g, size in enumerate(shape)
            )
        except OSError as error:
            raise ModelError(f"'{error.filename}' cannot be read. Train the task again.") from error
        return cls(texts)


@dataclass(frozen=True)
class FinalStage:
    """How much the network counts (``share``, the trees the rest), and the calibration of what comes out."""

    share: float = 1.0
    trees: Trees | None = None
    calibration: Calibration = Calibration()

    def blend(self, network: Raw, history: NDArray[np.float32] | None, task_type: TaskType) -> Raw:
        """Return raw outputs before calibration."""
        if self.trees is None or self.share >= 1.0:
            return network
        assert history is not None
        return self.share * comparable(network, task_type) + (1.0 - self.share) * comparable(
            self.trees.raw(history), task_type
        )

    def apply(self, network: Raw, history: NDArray[np.float32] | None, task_type: TaskType) -> Raw:
        """Return the final raw outputs."""
        return self.calibration.apply(self.blend(network, history, task_type))

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the trees, which lie in files of their own."""
        shape = [len(group) for group in self.trees.texts] if self.trees is not None else []
        return {"share": self.share, "trees": shape, "calibration": self.calibration.to_dict()}

    @classmethod
    def load(cls, data: dict[str, Any] | None, folder: Path) -> FinalStage:
        """Read what :meth:`to_dict` and :meth:`Trees.save` wrote; a model without is its network alone."""
        if data is None:
            return cls()
        trees = Trees.load(folder, data["trees"]) if data["trees"] else None
        return cls(data["share"], trees, Calibration.from_dict(data["calibration"]))


def comparable(raw: Raw, task_type: TaskType) -> Raw:
    """Return raw outputs in the form in which those of two models may be averaged: class scores as log shares."""
    if task_type is not TaskType.MULTICLASS_CLASSIFICATION:
        return raw
    shifted = raw - raw.max(axis=1, keepdims=True)
    logs: Raw = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs
