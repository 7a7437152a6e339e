"""What makes a score doubtful before anyone believes it: columns written later, and one column that decides all."""

from __future__ import annotations

from typing import Any

import numpy as np

from forekey.graph import Snapshot, leakage_risks
from forekey.inference import Explainer, part_name
from forekey.objectives import Metrics, PointwiseObjective
from forekey.training.evaluate import Resolved

_ASKED = 512
_TRIED = 3
_MOST_OF_THE_SCORE = 0.5
_LISTED = 8
_NO_SKILL = {"auroc": 0.5}


def leaking_columns(snapshot: Snapshot, tables: set[str]) -> list[str]:
    """Warn of columns in use that seem to have been written after their rows came to be."""
    found = [f for f in leakage_risks(snapshot) if any(f.where.startswith(f"{t}.") for t in tables)]
    shown = [f"{f.where}: {f.what}. {f.how}" for f in found[:_LISTED]]
    more = [f"{len(found) - _LISTED} more columns are suspected; see `forekey check`."] if len(found) > _LISTED else []
    return shown + more


def decisive_column(
    explainer: Explainer,
    val: Resolved,
    objective: PointwiseObjective,
    strongest: list[dict[str, Any]],
    constant: Metrics | None,
) -> list[str]:
    """Warn of one column whose removal takes most of the score: what the model has above a constant, on validation.

    ``strongest`` are the columns by their effects on predictions, ``constant`` the scores of the constant baseline.
    """
    metric = objective.metric
    naive = (constant or {}).get(metric, _NO_SKILL.get(metric))
    if naive is None or len(val) == 0:
        return []
    some = np.sort(np.random.default_rng(0).permutation(len(val))[:_ASKED])
    chosen = val.only(some)
    parts = [p for s in strongest[:_TRIED] for p in explainer.parts if p.kind == "column" and p.to_dict() == _place(s)]
    raw = explainer.without_each(chosen.seeds, [(), *((p,) for p in parts)])
    scores = [objective.metrics(chosen.target, objective.link(raw[:, i])).get(metric) for i in range(raw.shape[1])]
    whole, sign = scores[0], 1.0 if objective.higher_is_better else -1.0
    if whole is None or sign * (whole - naive) <= 0:
        return []
    return [
        f"{part_name(part.to_dict())} carries most of the score: without it, validation {metric} is {score:.4g}, with "
        f"it {whole:.4g} (a constant has {naive:.4g}). Make sure that it is known at the time of prediction; if it is "
        "not, set it to ignore in forekey.yaml."
        for part, score in zip(parts, scores[1:], strict=True)
        if score is not None and sign * (whole - score) > _MOST_OF_THE_SCORE * sign * (whole - naive)
    ]


def _place(part: dict[str, Any]) -> dict[str, Any]:
    return {k: part[k] for k in ("table", "column") if k in part}
