"""What drives predictions, in words, whatever the model consists of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forekey.graph import Seeds
from forekey.inference.drivers import drivers_of
from forekey.inference.explain import Explainer, part_name
from forekey.inference.explain_ranking import RankExplainer, explain_ranking
from forekey.inference.ranking import Ranker
from forekey.inference.trained_model import AnyPredictor


def drivers_in_words(predictor: AnyPredictor, rows: Sequence[int], now: int, top: int) -> list[list[dict[str, Any]]]:
    """Return the ``top`` drivers of some rows as of ``now`` (microseconds), the strongest first, as JSON has them.

    They are what trees see, each as ``what`` in words, ``value`` and ``effect`` on the prediction; of a ranking, on the
    score of its first item. Without trees they name columns.
    """
    if not rows:
        return []
    seeds = Seeds.at(predictor.entity, np.array(rows), now)
    if not isinstance(predictor, Ranker) and predictor.blend.trees is not None:
        window_features = predictor.features.window_features(seeds)
        assert window_features is not None
        network = predictor.network(seeds, window_features)[0] if predictor.model is not None else None
        drivers = drivers_of(predictor.blend, predictor.features, predictor.pointwise, window_features, network, top)
        return [[driver.to_dict() for driver in one] for one in drivers]
    if isinstance(predictor, Ranker) and predictor.blend.trees is not None:
        return [_of_first_item(items, predictor, top) for items in explain_ranking(predictor, seeds)]
    explainer = RankExplainer(predictor) if isinstance(predictor, Ranker) else Explainer(predictor)
    found = explainer.effects(seeds, kinds=["column"])
    ranked = (found.ranked("column", i)[:top] for i in range(len(rows)))
    return [[{"what": part_name(part), "value": None, "effect": part["effect"]} for part in one] for one in ranked]


def _of_first_item(items: list[dict[str, Any]], ranker: Ranker, top: int) -> list[dict[str, Any]]:
    """Return what raises the score of the first of the ranked items most."""
    if not items:
        return []
    key = ranker.features.view.keys(ranker.pairs.spec.items)[items[0]["item"]].as_py()
    return [
        {"what": f"{key}: {reason['what']}", "value": reason["value"], "effect": reason["effect"]}
        for reason in items[0]["reasons"][:top]
    ]
