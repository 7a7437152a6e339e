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
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from forekey.errors import ModelError
from forekey.nn import Calibration
from forekey.objectives import Objective, Raw

_TREES = "trees"

_ROWS_PER_THREAD = 2_000


@dataclass(frozen=True)
class Trees:
    """Boosted trees that predict raw outputs: for each group of outputs, several boosters whose answers are averaged.

    ``texts[g]`` are the models of group ``g`` as LightGBM writes them. A group is one output, or all classes together.
    """

    texts: tuple[tuple[str, ...], ...]

    def raw(self, features: NDArray[np.float32]) -> Raw:
        """Return raw outputs for ``features [n, width] float32``."""
        if len(features) == 0:
            return np.zeros((0, 1))
        return np.concatenate([_mean_of(group, features) for group in self._opened], axis=1)

    def contributions(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], Raw]:
        """Split raw outputs among the features exactly (TreeSHAP; Lundberg et al. 2020).

        Returns ``[n, outputs, features]`` and what is added to their sums, ``[n, outputs]``.
        """
        n, width = features.shape
        if n == 0:
            return np.zeros((0, 1, width)), np.zeros((0, 1))
        found = np.concatenate(
            [_mean_of(group, features, pred_contrib=True).reshape(n, -1, width + 1) for group in self._opened], axis=1
        )
        return found[:, :, :-1], found[:, :, -1]

    def embed(self, features: NDArray[np.float32], width: int) -> NDArray[np.float32]:
        """Return the outputs of consecutive parts of the trees, ``[n, up to width]``, which add up to the raw outputs.

        Rows that the same trees treat alike are near to each other: what an embedding is where there is no network.
        """
        groups, n = self._opened, len(features)
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
                    found.append(_predicted(booster, features, raw_score=True, **span).reshape(n, -1))
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

    @property
    def shape(self) -> list[int]:
        """Return how many boosters each group has."""
        return [len(group) for group in self.texts]

    @classmethod
    def load(cls, folder: Path, shape: Sequence[int]) -> Trees | None:
        """Read what :meth:`save` wrote; ``shape`` is how many boosters each group has, nothing where there are none."""
        if not shape:
            return None
        try:
            texts = tuple(
                tuple((folder / _TREES / f"{g}-{i}.txt").read_text(encoding="utf-8") for i in range(size))
                for g, size in enumerate(shape)
            )
        except OSError as error:
            raise ModelError(f"'{error.filename}' cannot be read. Train the task again.") from error
        return cls(texts)


def _mean_of(group: list[Any], features: NDArray[np.float32], **how: bool) -> NDArray[np.float64]:
    """Return the mean prediction of a group of boosters, ``[n, outputs]``."""
    each = [_predicted(b, features, **(how or {"raw_score": True})) for b in group]
    return np.asarray(np.mean(each, axis=0), np.float64).reshape(len(features), -1)


def _predicted(booster: Any, features: NDArray[np.float32], **how: Any) -> NDArray[np.float64]:
    threads = torch.get_num_threads() if len(features) >= _ROWS_PER_THREAD else 1
    return np.asarray(booster.predict(features, num_threads=threads, **how), np.float64)


class Blend(nn.Module):
    """How much the network counts (``weight``, the trees the rest), and the calibration of what comes out.

    ``base`` are the raw outputs of a model that has neither: one whose training labels were all alike. All numbers are
    buffers in float64; a blend is not changed once it is made.
    """

    _weight: Tensor
    _base: Tensor

    def __init__(
        self,
        weight: float = 1.0,
        trees: Trees | None = None,
        calibration: Calibration | None = None,
        base: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.trees = trees
        self.calibration = calibration if calibration is not None else Calibration()
        self.register_buffer("_weight", torch.tensor(weight, dtype=torch.float64))
        self.register_buffer("_base", torch.tensor(list(base), dtype=torch.float64))

    @cached_property
    def weight(self) -> float:
        """Return how much the network counts, from 0 to 1."""
        return float(self._weight)

    @property
    def is_constant(self) -> bool:
        """Whether the same is predicted of everyone."""
        return len(self._base) > 0

    def mix(self, network: Raw | None, window_features: NDArray[np.float32] | None, objective: Objective) -> Raw:
        """Return raw outputs before calibration; ``network`` may be None where it does not count."""
        if self.is_constant and window_features is not None:
            return np.repeat(self._base.numpy()[None], len(window_features), axis=0)
        if self.trees is None or self.weight >= 1.0:
            assert network is not None
            return network
        assert window_features is not None
        trees = objective.comparable(self.trees.raw(window_features))
        return trees if network is None else self.weight * objective.comparable(network) + (1.0 - self.weight) * trees

    def outputs(self, network: Raw | None, window_features: NDArray[np.float32] | None, objective: Objective) -> Raw:
        """Return the final raw outputs."""
        return self.calibrated(self.mix(network, window_features, objective))

    @torch.no_grad()
    def calibrated(self, raw: Raw) -> Raw:
        """Return raw outputs, calibrated."""
        return self.calibration(torch.from_numpy(raw)).numpy()  # type: ignore[no-any-return]

    def with_trees(self, trees: Trees | None) -> Blend:
        """Return the blend with other trees."""
        return Blend(self.weight, trees, self.calibration, self._base.tolist())

    def with_calibration(self, calibration: Calibration) -> Blend:
        """Return the blend with another calibration."""
        return Blend(self.weight, self.trees, calibration, self._base.tolist())

    @classmethod
    def from_state(cls, state: dict[str, Tensor], trees: Trees | None) -> Blend:
        """Return the blend whose ``state_dict`` is given."""
        own = {name.removeprefix("calibration."): v for name, v in state.items() if name.startswith("calibration.")}
        knots = [(float(x), float(y)) for x, y in own["knots"].T]
        calibration = Calibration(float(own["slope"]), float(own["shift"]), knots)
        return cls(float(state["_weight"]), trees, calibration, state["_base"].tolist())
