"""What the quality of predictions, realized or estimated, and their drift mean: findings in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from forekey.graph import MICROS_PER_DAY, Snapshot, to_micros
from forekey.monitoring.estimate import ASSUMES
from forekey.monitoring.finding import Finding
from forekey.monitoring.quality import Quality
from forekey.monitoring.shift import population_stability
from forekey.objectives import HeldOut, objective_from
from forekey.registry import ModelVersion
from forekey.store import EmbeddingVersion, PredictionLog
from forekey.task import Task

_DROP, _SHARE = 0.02, 0.1
"""The smallest drop of a score, and the smallest growth of an error as a share of it, that is worth a warning."""
_WORSE = 2.5
_LEAST_INDEX = 0.2
_LEVEL = 0.001
_TOLD_APART, _FEWEST = 0.8, 50
_WEEKS_DAYS = 20.0
_BINS = 10

Values = NDArray[np.float64]


def of_quality(found: Sequence[Quality], higher_is_better: bool) -> Iterator[Finding]:
    """Judge the newest anchor of one version whose labels are in, and the newest for which they are estimated."""
    final = [q for q in found if q.realized is not None and q.n >= _FEWEST]
    if final:
        yield _realized(final[-1], higher_is_better)
    waiting = [q for q in found if not q.is_final and q.estimated is not None and q.n >= _FEWEST]
    if waiting:
        yield _estimated(waiting[-1], higher_is_better)


def _realized(q: Quality, higher: bool) -> Finding:
    """Judge realized quality by what was promised.

    Where it is no worse than the predictions themselves said it would be, the window was hard, as in some seasons, and
    the model holds what it says: only a large drop is then worth a warning.
    """
    assert q.realized is not None
    drop, limit = _drop(q.realized, q, higher), _limit(q)
    sure = q.low is not None and q.high is not None and _apart(q.low, q.high, q, higher)
    foretold = _is_foretold(q, higher)
    said = f"{q.metric} {q.realized:.4g}{_between(q.low, q.high)} on {q.n:,} labels" + _promise(q)
    worse = q.baseline_score is not None and _worse(q.realized, q.baseline_score, higher) and drop >= limit
    if worse and not foretold:
        said += f"; below what {q.baseline} had then ({q.baseline_score:.4g})"
    if foretold:
        limit, critical = _WORSE * limit, None
    else:
        critical = limit if worse else _WORSE * limit
    todo = f"`forekey retrain {q.task}`, and see which columns moved."
    return Finding("quality", q.task, max(drop, 0.0), limit, critical, sure, said, q.anchor, todo, (q.task,))


def _is_foretold(q: Quality, higher: bool) -> bool:
    """Whether the realized metric is no worse than the interval that was estimated before labels came."""
    if q.estimated_low is None or q.estimated_high is None or q.realized is None:
        return False
    return q.realized >= q.estimated_low if higher else q.realized <= q.estimated_high


def _estimated(q: Quality, higher: bool) -> Finding:
    assert q.estimated is not None
    sure = q.estimated_low is not None and q.estimated_high is not None
    sure = sure and _apart(q.estimated_low or 0.0, q.estimated_high or 0.0, q, higher)
    said = f"{q.metric} {q.estimated:.4g}{_between(q.estimated_low, q.estimated_high)} is to be expected" + _promise(q)
    todo = f"Wait for labels, or `forekey retrain {q.task}` now."
    drop = max(_drop(q.estimated, q, higher), 0.0)
    return Finding(
        "estimated quality", q.task, drop, _limit(q), None, sure, f"{said} ({ASSUMES})", q.anchor, todo, (q.task,)
    )


def _drop(score: float, q: Quality, higher: bool) -> float:
    if q.expected is None:
        return 0.0
    return round(q.expected - score if higher else score - q.expected, 6)


def _limit(q: Quality) -> float:
    """Return by how much the metric may be worse: of a score, an amount; of an error, a share of what was promised."""
    if q.expected is None:
        return _DROP
    return _DROP if q.expected <= 1.0 and q.metric not in {"mae", "rmse"} else max(_SHARE * abs(q.expected), 1e-9)


def _worse(score: float, other: float, higher: bool) -> bool:
    return score < other if higher else score > other


def _apart(low: float, high: float, q: Quality, higher: bool) -> bool:
    """Whether an interval lies beyond that of what was promised, on the worse side."""
    if q.expected is None:
        return False
    bound = q.expected_low if higher else q.expected_high
    bound = q.expected if bound is None else bound
    return high < bound if higher else low > bound


def _between(low: float | None, high: float | None) -> str:
    return f" ({low:.4g} to {high:.4g})" if low is not None and high is not None else ""


def _promise(q: Quality) -> str:
    return (
        ""
        if q.expected is None
        else f", where {q.expected:.4g}{_between(q.expected_low, q.expected_high)} was promised"
    )


def of_predictions(task: Task, log: PredictionLog, version: ModelVersion) -> Iterator[Finding]:
    """Compare the newest predictions of a champion, and its embeddings, with those of the test period and before."""
    own = [as_of for as_of, v in log.anchors(task.name) if v == version.version]
    own = [a for a in own if log.count(task.name, a, version.version) >= _FEWEST]
    if not own:
        return
    before = _some_weeks_before(own)
    objective, held_out = objective_from(version.manifest.output), HeldOut.load(version.folder)
    sizes = []
    for as_of in [*before, own[-1]]:
        rows = log.at(task.name, as_of, version.version).rows
        sizes.append(objective.predicts.from_columns(rows, objective.classes).sizes())
    if held_out is not None and len(held_out.predicted) >= _FEWEST:
        promised = objective.predicts.from_values(held_out.predicted, objective.classes).sizes()
        yield _of_sizes(task.name, promised, sizes, own[-1])
    if version.manifest.embedding != "network":
        return  # those of trees are their outputs, which jump where a season passes a split
    vectors = [log.embeddings(task.name, a, version.version) for a in dict.fromkeys([own[0], *before, own[-1]])]
    there = [v for v in vectors if v is not None and len(v) >= _FEWEST]
    if len(there) == len(vectors) > 1 and len({v.shape[1] for v in there}) == 1:
        yield _of_embeddings(task.name, there, own[-1])


def _some_weeks_before(anchors: Sequence[str]) -> list[str]:
    """Return the newest anchor that lies some weeks before the last: as seasons move, and before a fault of lately."""
    newest = datetime.fromisoformat(anchors[-1])
    return [a for a in anchors if newest - datetime.fromisoformat(a) >= timedelta(days=_WEEKS_DAYS)][-1:]


def _of_embeddings(task: str, batches: Sequence[NDArray[np.float32]], anchor: str) -> Finding:
    """Compare the newest embeddings with the first and with the batch before: populations change slowly."""
    score = min(separation(before, batches[-1]) for before in batches[:-1])
    said = (
        f"a classifier separates the newest embeddings from earlier ones with AUROC {score:.2f}; 0.5 is no difference"
    )
    todo = "See which columns moved: entities look unlike those of before."
    return Finding("embeddings", task, score, _TOLD_APART, None, True, said, anchor, todo, (task,))


def _of_sizes(task: str, promised: Values, batches: Sequence[Values], anchor: str) -> Finding:
    """Compare the newest predictions with those of the test period, and with the batch before: seasons move slowly."""
    now = batches[-1]
    nearest = min([promised, *(b for b in batches[-2:-1] if len(b))], key=lambda before: _index(before, now))
    value = round(_index(nearest, now), 4)
    sure = bool(stats.ks_2samp(nearest, now).pvalue < _LEVEL)
    medians = float(np.median(promised)), float(np.median(now))
    said = f"median prediction {medians[0]:.4g} in the test period → {medians[1]:.4g} (stability index {value:.2f})"
    todo = "See which columns moved, and the estimated quality."
    critical = _WORSE * _LEAST_INDEX
    return Finding("predictions", task, value, _LEAST_INDEX, critical, sure, said, anchor, todo, (task,))


def of_stored(task: Task, stored: EmbeddingVersion | None, snapshot: Snapshot) -> Iterator[Finding]:
    """Return whether stored predictions are about a time that is over: older than the window that they look ahead."""
    if stored is None or not task.window_days:
        return
    behind = (to_micros(snapshot.as_of) - to_micros(datetime.fromisoformat(stored.as_of))) / MICROS_PER_DAY
    said = f"stored as of {stored.as_of[:10]}, while data reach {snapshot.as_of:%Y-%m-%d}: {behind:.0f} days later"
    yield Finding(
        "stored predictions", task.name, round(max(behind, 0.0), 2), task.window_days, 2 * task.window_days, True, said,
        stored.as_of, f"`forekey embed {task.name}`.", (task.name,),
    )  # fmt: skip


def separation(one: NDArray[np.float32], two: NDArray[np.float32]) -> float:
    """Return how well a classifier separates two sets of vectors, as AUROC on vectors kept apart.

    Classifier two-sample test (Lopez-Paz and Oquab 2017). Both sets are centred first: what moves all entities alike,
    as the season does, says nothing of them. The classifier sees squares too, so that spreads count.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    size = min(len(one), len(two))
    points = np.concatenate([v[:size] - v[:size].mean(axis=0) for v in (one, two)]).astype(np.float64)
    points = np.hstack([points, points**2])
    label = np.repeat([0, 1], size)
    # Halves of the same rows: an entity is in both sets, and must not be learnt in one and asked in the other.
    folds = [
        (np.flatnonzero(fold), np.flatnonzero(~fold)) for fold in (np.tile(np.arange(size) % 2 == k, 2) for k in (0, 1))
    ]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    chance = cross_val_predict(model, points, label, cv=folds, method="predict_proba")[:, 1]
    return round(float(roc_auc_score(label, chance)), 4)


def _index(reference: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, _BINS + 1)[1:-1]))
    shares = [
        np.bincount(np.searchsorted(edges, v, "right"), minlength=len(edges) + 1) / len(v) for v in (reference, now)
    ]
    return population_stability(shares[0], shares[1])
