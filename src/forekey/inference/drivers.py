"""What drives a prediction as trees see it, in words: each topic's contribution, in those of its strongest feature."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.features import FeatureStore, in_words, topic, value_of
from forekey.inference.blend import Blend
from forekey.objectives import PointwiseObjective, Raw

_MORE = 3
"""Topics are chosen by their raw contributions and ordered by their effects, so a few more of them are looked at."""


@dataclass(frozen=True, slots=True)
class Driver:
    """One reason for a prediction: what it is, in words; the value that the words are about; and its effect.

    ``effect`` is by how much the prediction is higher (in the unit of the prediction; of several classes, of the one
    that was chosen) than it would be if all features of the topic contributed nothing (TreeSHAP; Lundberg et al. 2020).
    """

    what: str
    value: float | str | None
    effect: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def drivers_of(
    blend: Blend,
    features: FeatureStore,
    objective: PointwiseObjective,
    window_features: NDArray[np.float32],
    network: Raw | None = None,
    top: int = 3,
) -> list[list[Driver]]:
    """Return the ``top`` drivers of each prediction, the strongest first; ``window_features [n, features]``.

    They are those of the trees. Where a network counts too, its raw outputs ``network`` stay as they are.
    """
    spec, known = features.spec.windows, features.features
    if blend.trees is None or spec is None or len(window_features) == 0:
        return [[] for _ in window_features]
    names = [topic(f) for f in known]
    topics = list(dict.fromkeys(names))
    member = np.array([[name == t for t in topics] for name in names], np.float64)
    contributions, base = blend.trees.contributions(window_features)
    by_topic = contributions @ member
    raw = contributions.sum(axis=2) + base
    counted = objective.focus(_outputs(blend, raw, network, objective))
    weights = np.einsum("no,nof->nf", counted, contributions)
    total = np.einsum("no,not->nt", counted, by_topic)
    order = np.argsort(-np.abs(total), axis=1, kind="stable")[:, : top + _MORE]
    now = _prediction(blend, raw, network, objective, counted)
    found: list[list[Driver]] = [[] for _ in window_features]
    for position in range(order.shape[1]):
        at = order[:, position]
        without = raw - by_topic[np.arange(len(raw)), :, at]
        effects = now - _prediction(blend, without, network, objective, counted)
        for row, (which, effect) in enumerate(zip(at, effects, strict=True)):
            if total[row, which] == 0.0:
                continue
            own = np.where(member[:, which] > 0, weights[row] * np.sign(total[row, which]), -np.inf)
            best = int(np.argmax(own))
            value = float(window_features[row, best])
            words = in_words(known[best], value, spec)
            found[row].append(Driver(words, value_of(known[best], value, spec), float(effect)))
    return [sorted(drivers, key=lambda d: -abs(d.effect))[:top] for drivers in found]


def _outputs(blend: Blend, trees: Raw, network: Raw | None, objective: PointwiseObjective) -> Raw:
    """Return the final raw outputs from those of the trees and the network."""
    blended = objective.comparable(trees)
    if network is not None:
        blended = blend.weight * objective.comparable(network) + (1.0 - blend.weight) * blended
    return blend.calibrated(blended)


def _prediction(
    blend: Blend, trees: Raw, network: Raw | None, objective: PointwiseObjective, counted: NDArray[np.float64]
) -> NDArray[np.float64]:
    outputs = _outputs(blend, trees, network, objective)
    predicted = objective.link(outputs).reshape(len(trees), -1)
    mean: NDArray[np.float64] = (predicted * counted).sum(axis=1)
    return mean
