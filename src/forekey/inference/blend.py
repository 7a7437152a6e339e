"""The last step to a prediction: outputs of the network and of boosted trees, blended, then calibrated.

Trees (LightGBM; Ke et al., NeurIPS 2017) over window features are good at thresholds in many features of uneven scale,
the network at neighbourhoods; how much each counts is chosen on validation. Both give raw outputs: logits, or
standardised numbers. Window features are the same to the bit in every way of computing them, so all ways agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.errors import ModelError
from forekey.objectives import Objective, Raw

_TREES = "trees"

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

    def raw(self, history: NDArray[np.float32]) -> Raw:
        """Return raw outputs for window features ``[n, features] float32``."""
        if len(history) == 0:
            return np.zeros((0, 1))
        return np.concatenate([_mean_of(group, history) for group in self._opened], axis=1)

    def contributions(self, history: NDArray[np.float32]) -> tuple[NDArray[np.float64], Raw]:
        """Split raw outputs among the features exactly (TreeSHAP; Lundberg et al. 2020).

        Returns ``[n, outputs, features]`` and what is added to their sums, ``[n, outputs]``.
        """
        n, width = history.shape
        if n == 0:
            return np.zeros((0, 1, width)), np.zeros((0, 1))
        found = np.concatenate(
            [_mean_of(group, history, pred_contrib=True).reshape(n, -1, width + 1) for group in self._opened], axis=1
        )
        return found[:, :, :-1], found[:, :, -1]

    def embed(self, history: NDArray[np.float32], width: int) -> NDArray[np.float32]:
        """Return the outputs of consecutive parts of the trees, ``[n, up to width]``, which add up to the raw outputs.

        Rows that the same trees treat alike are near to each other: what an embedding is where there is no network.
        """
        groups, n = self._opened, len(history)
        outputs = sum(group[0].num_model_per_iteration() for group in groups)
        sizes = [max(min(width // outputs, min(b.current_iteration() for b in group)), 1) for group in groups]
        if n == 0:
            per_part = (s * group[0].num_model_per_iteration() for s, group in zip(sizes, groups, strict=True))
            return np.zeros((0, sum(per_part)), np.float32)
        columns = []
        for group, parts in zip(groups, sizes, strict=True):
            for part in range(parts):
                found = []
                for booster in group:
                    ends = np.linspace(0, booster.current_iteration(), parts + 1).astype(int)
                    span = {"start_iteration": int(ends[part]), "num_iteration": int(ends[part + 1] - ends[part])}
                    found.append(_predicted(booster, history, raw_score=True, **span).reshape(n, -1))
                columns.append(np.mean(found, axis=0))
        return np.concatenate(columns, axis=1).astype(np.float32)

    @cached_property
    def _opened(self) -> list[list[Any]]:
        """Return the boosters, opened when they are first needed."""
        import lightgbm as gbm

        return [[gbm.Booster(model_str=text) for text in group] for group in self.texts]

    def importance(self) -> NDArray[np.float64]:
        """Return each feature's share of what splits gained, ``[features]``."""
        import lightgbm as gbm

        total = sum(
            np.asarray(gbm.Booster(model_str=text).feature_importance("gain")) for group in self.texts for text in group
        )
        gained = np.asarray(total, np.float64)
        return gained / max(float(gained.sum()), 1e-12)

    def save(self, folder: Path) -> None:
        """Write one file a booster into a folder ``trees``."""
        (folder / _TREES).mkdir()
        for g, group in enumerate(self.texts):
            for i, text in enumerate(group):
                (folder / _TREES / f"{g}-{i}.txt").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, shape: Sequence[int]) -> Trees:
        """Read what :meth:`save` wrote; ``shape`` is how many boosters each group has."""
        try:
            texts = tuple(
                tuple((folder / _TREES / f"{g}-{i}.txt").read_text(encoding="utf-8") for i in range(size))
                for g, size in enumerate(shape)
            )
        except OSError as error:
            raise ModelError(f"'{error.filename}' cannot be read. Train the task again.") from error
        return cls(texts)


def _mean_of(group: list[Any], history: NDArray[np.float32], **how: bool) -> NDArray[np.float64]:
    """Return the mean prediction of a group of boosters, ``[n, outputs]``."""
    each = [_predicted(b, history, **(how or {"raw_score": True})) for b in group]
    return np.asarray(np.mean(each, axis=0), np.float64).reshape(len(history), -1)


def _predicted(booster: Any, history: NDArray[np.float32], **how: Any) -> NDArray[np.float64]:
    import torch

    threads = torch.get_num_threads() if len(history) >= _ROWS_PER_THREAD else 1
    return np.asarray(booster.predict(history, num_threads=threads, **how), np.float64)


@dataclass(frozen=True)
class Blend:
    """How much the network counts (``share``, the trees the rest), and the calibration of what comes out.

    ``base`` are the raw outputs of a model that has neither: one whose training labels were all alike.
    """

    share: float = 1.0
    trees: Trees | None = None
    calibration: Calibration = Calibration()
    base: tuple[float, ...] = ()

    def blend(self, network: Raw | None, history: NDArray[np.float32] | None, objective: Objective) -> Raw:
        """Return raw outputs before calibration; ``network`` may be None where it does not count."""
        if self.base and history is not None:
            return np.repeat(np.array([self.base]), len(history), axis=0)
        if self.trees is None or self.share >= 1.0:
            assert network is not None
            return network
        assert history is not None
        trees = objective.comparable(self.trees.raw(history))
        return trees if network is None else self.share * objective.comparable(network) + (1.0 - self.share) * trees

    def apply(self, network: Raw | None, history: NDArray[np.float32] | None, objective: Objective) -> Raw:
        """Return the final raw outputs."""
        return self.calibration.apply(self.blend(network, history, objective))

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the trees, which lie in files of their own."""
        shape = [len(group) for group in self.trees.texts] if self.trees is not None else []
        return {
            "share": self.share,
            "trees": shape,
            "calibration": self.calibration.to_dict(),
            "base": list(self.base),
        }

    @classmethod
    def load(cls, data: dict[str, Any] | None, folder: Path) -> Blend:
        """Read what :meth:`to_dict` and :meth:`Trees.save` wrote; a model without is its network alone."""
        if data is None:
            return cls()
        trees = Trees.load(folder, data["trees"]) if data["trees"] else None
        return cls(data["share"], trees, Calibration.from_dict(data["calibration"]), tuple(data.get("base", ())))
