"""What drives the prediction for one entity, whatever is predicted, as JSON has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from forekey.graph import Seeds
from forekey.inference.explain import Explainer
from forekey.inference.explain_ranking import RankExplainer, explain_ranking
from forekey.inference.ranking import Ranker
from forekey.inference.trained_model import AnyPredictor

_NEIGHBORS = 20
_KINDS = {"tables": "table", "columns": "column", "hops": "hop"}


def explain_entity(predictor: AnyPredictor, row: int, now: int) -> dict[str, Any]:
    """Say what drives the prediction for one row at a moment, as JSON has it.

    That is the prediction with the tables, columns, hops and neighbours that move it, the strongest first; for a
    ranking its items by their keys and the features that raise its score, and the tables, columns and hops that make
    these items stand out.
    """
    one = Seeds.at(predictor.entity, np.array([row]), now)
    if isinstance(predictor, Ranker):
        keys = predictor.features.view.keys(predictor.pairs.spec.items)
        items = explain_ranking(predictor, one)[0]
        lifted = RankExplainer(predictor).effects(one)
        return {
            "items": [{**r, "item": keys[r["item"]].as_py()} for r in items],
            **{name: lifted.ranked(kind, 0) for name, kind in _KINDS.items()},
        }
    explainer = Explainer(predictor)
    found = explainer.effects(one)
    return {
        "prediction": float(found.predictions[0]),
        **{name: found.ranked(kind, 0) for name, kind in _KINDS.items()},
        "neighbors": explainer.neighbors(row, now)[:_NEIGHBORS],
    }
