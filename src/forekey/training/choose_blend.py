"""Choosing the blend on validation: how much the network counts beside the trees, and the calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forekey.inference import Blend, Trees
from forekey.nn import Calibration
from forekey.objectives import PointwiseObjective, Raw

_WEIGHTS = np.linspace(0.0, 1.0, 11)
_FOLDS = 5
_MIN_CALIBRATION = 50
_MIN_ISOTONIC = 2_000


@dataclass(frozen=True)
class Validation:
    """What the blend is chosen on: the network's raw outputs (None without one), window features, and targets.

    ``target`` is what :meth:`PointwiseObjective.encode` returned.
    """

    objective: PointwiseObjective
    network: Raw | None
    window_features: NDArray[np.float32]
    target: NDArray[np.float64]


def choose_blend(known: Validation, trees: Trees | None) -> Blend:
    """Return the blend with the least loss on validation, calibrated there."""
    if len(known.target) == 0:
        return Blend() if known.network is not None else Blend(0.0, trees)
    blend = Blend() if known.network is not None else Blend(0.0, trees)
    if trees is not None and known.network is not None:
        # Both ends once; everything between is a mixture of the two.
        ends = [Blend(s, trees).mix(known.network, known.window_features, known.objective) for s in (1.0, 0.0)]
        losses = [known.objective.mean_loss(s * ends[0] + (1 - s) * ends[1], known.target) for s in _WEIGHTS]
        weight = float(round(_WEIGHTS[int(np.argmin(losses))], 2))
        blend = Blend(weight, trees if weight < 1.0 else None)
    raw = blend.mix(known.network, known.window_features, known.objective)
    return blend.with_calibration(choose_calibration(known.objective, raw, known.target))


def choose_calibration(objective: PointwiseObjective, raw: Raw, target: NDArray[np.float64]) -> Calibration:
    """Return the calibration with the least log loss on parts of the validation set that it was not fitted on."""
    kinds = list(objective.calibrations)
    if not kinds or len(target) < _MIN_CALIBRATION or len(np.unique(target)) < 2:
        return Calibration()
    if len(target) < _MIN_ISOTONIC:
        kinds = [k for k in kinds if k != "isotonic"]
    fold = np.random.default_rng(0).permutation(len(target)) % _FOLDS
    losses = dict.fromkeys(kinds, 0.0)
    for kind in kinds:
        for f in range(_FOLDS):
            fitted = _calibrate(kind, objective, raw[fold != f], target[fold != f])
            losses[kind] += objective.mean_loss(Blend(calibration=fitted).calibrated(raw[fold == f]), target[fold == f])
    return _calibrate(min(kinds, key=losses.__getitem__), objective, raw, target)


def _calibrate(kind: str, objective: PointwiseObjective, raw: Raw, target: NDArray[np.float64]) -> Calibration:
    if kind == "none":
        return Calibration()
    if kind == "isotonic":
        return _isotonic(raw[:, 0], target)
    from scipy.optimize import minimize

    def loss(x: NDArray[np.float64]) -> float:
        shift = x[1] if kind == "platt" else 0.0
        return objective.mean_loss(raw * np.exp(x[0]) + shift, target)

    found = minimize(loss, np.zeros(2 if kind == "platt" else 1), method="Nelder-Mead").x
    return Calibration(float(np.exp(found[0])), float(found[1]) if kind == "platt" else 0.0)


def _isotonic(raw: NDArray[np.float64], target: NDArray[np.float64]) -> Calibration:
    """Return a monotone line through the blocks of an isotonic fit: their mean logits, and what these should be."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(out_of_bounds="clip").fit_transform(raw, target)
    values, place = np.unique(fitted, return_inverse=True)
    counts = np.bincount(place)
    centers = np.bincount(place, raw) / counts
    # A block of all or none is no certainty: half an example to either side (Jeffreys).
    shares = (np.bincount(place, target) + 0.5) / (counts + 1.0)
    logits = np.maximum.accumulate(np.log(shares / (1.0 - shares)))
    if len(values) < 2:
        return Calibration()
    return Calibration(knots=tuple(zip(centers.tolist(), logits.tolist(), strict=True)))
