"""Boosted trees over pairs of an entity and an item: candidates described, trees grown, and blended with networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.errors import TaskError
from forekey.features import PairFeatures
from forekey.inference import Pairs, RankBlend, Ranker, Trees
from forekey.objectives import average_precision
from forekey.training.config import TrainConfig
from forekey.training.evaluate import Resolved, some_of
from forekey.training.trees import Growing

_WEIGHTS = np.linspace(0.0, 1.0, 11)
_MAX_PAIRS = 1_000_000
_MAX_QUERIES = 20_000
_QUERIES_A_TIME = 500
_MAX_JUDGED = 3_000
# Early stopping goes by losses that change smoothly; mean average precision chooses between what comes out.
_SETTINGS: dict[str, dict[str, Any]] = {
    "rank": {"objective": "lambdarank", "metric": "ndcg"},
    "classify": {"objective": "binary", "metric": "binary_logloss"},
    "classify at random thresholds": {"objective": "binary", "metric": "binary_logloss", "extra_trees": True},
}


@dataclass(frozen=True)
class GrownPairs:
    """Trees, the objective that made them, and how many rounds each booster took."""

    trees: Trees
    objective: str
    rounds: tuple[int, ...]
    grown: int = 0
    """How many boosters were grown, of those that were planned."""


def grow_pair_trees(
    ranker: Ranker, fitting: Resolved, judging: Resolved, config: TrainConfig, growing: Growing
) -> GrownPairs:
    """Grow trees by each objective, stopped early on what choices are made on, and take the better ranking."""
    import lightgbm as gbm

    learnt, held = (_pair_set(ranker.pairs, r, config.seed) for r in (fitting, judging))
    train = learnt.dataset()
    val = held.dataset(train)
    found: dict[str, tuple[float, list[Any]]] = {}
    plan = config.trees
    of = plan.boosters * len(plan.objectives)
    for n, name in enumerate(plan.objectives):
        boosters: list[Any] = []
        for number in range(plan.boosters):
            if (found or boosters) and growing.deadline.passed:
                break
            stop = gbm.early_stopping(plan.patience, verbose=False, first_metric_only=True)
            callbacks: list[Callable[..., Any]] = [
                stop,
                *growing.callbacks(n * plan.boosters + number, of, plan.rounds),
            ]
            parameters = _parameters(name, ranker.top, config, number)
            boosters.append(gbm.train(parameters, train, plan.rounds, [val], callbacks=callbacks))
        if not boosters:
            break
        scores = np.mean([b.predict(held.features, raw_score=True) for b in boosters], axis=0)
        found[name] = _mean_precision(held, scores, ranker.top), boosters
    best = max(found, key=lambda name: found[name][0])
    boosters = found[best][1]
    rounds = tuple(max(b.best_iteration, 1) for b in boosters)
    texts = tuple(b.model_to_string(num_iteration=r) for b, r in zip(boosters, rounds, strict=True))
    return GrownPairs(Trees((texts,)), best, rounds, sum(len(made) for _, made in found.values()))


def _parameters(name: str, top: int, config: TrainConfig, number: int) -> dict[str, Any]:
    return {
        **_SETTINGS[name],
        "eval_at": [top],
        "lambdarank_truncation_level": 2 * top,
        "learning_rate": config.trees.learning_rate,
        "num_leaves": 15,
        "min_data_in_leaf": 100,
        "feature_fraction": 0.3,
        "lambda_l2": 1.0,
        "seed": 1000 * config.seed + number,
        "num_threads": torch.get_num_threads(),
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


def _mean_precision(pairs: _PairSet, scores: NDArray[np.float64], top: int) -> float:
    """Return the mean average precision of candidates ranked by their scores."""
    ptr = np.concatenate([[0], np.cumsum(pairs.sizes)])
    ranked = Pairs(ptr, np.arange(len(scores), dtype=np.int32), scores, pairs.features).best(scores, top)[0]
    target = np.empty(len(pairs.sizes), object)
    target[:] = [tuple(np.flatnonzero(pairs.label[a:b]) + a) for a, b in pairwise(ptr.tolist())]
    return float(average_precision(target, ranked).mean()) if len(target) else 0.0


def refit_pair_trees(ranker: Ranker, grown: GrownPairs, every: Resolved, config: TrainConfig) -> GrownPairs:
    """Grow the same trees once more from all examples that are not the test: what happened last matters most."""
    import lightgbm as gbm

    train = _pair_set(ranker.pairs, every, config.seed).dataset()
    boosters = (
        gbm.train(_parameters(grown.objective, ranker.top, config, number), train, rounds)
        for number, rounds in enumerate(grown.rounds)
    )
    return replace(grown, trees=Trees((tuple(b.model_to_string() for b in boosters),)))


def choose_rank_blend(ranker: Ranker, judging: Resolved, trees: Trees) -> RankBlend:
    """Return the blend with the best mean average precision; ties are broken in favour of the larger tree weight."""
    judging = some_of(judging, _MAX_JUDGED)
    parts = [(part, pairs) for part, pairs, _ in ranker.scored(judging.seeds)]
    raw = [trees.raw(pairs.features)[:, 0] for _, pairs in parts]
    scales = [_spread(np.concatenate(values)) for values in ([pairs.towers for _, pairs in parts], raw)]
    best, chosen = -1.0, RankBlend()
    for weight in _WEIGHTS:
        blend = RankBlend(round(float(weight), 2), trees, *scales)
        found = [
            average_precision(judging.target[part], pairs.best(blend.mix(pairs.towers, own), ranker.top)[0])
            for (part, pairs), own in zip(parts, raw, strict=True)
        ]
        score = float(np.concatenate(found).mean())
        if score > best:
            best, chosen = score, blend
    return chosen if chosen.weight < 1.0 else chosen.with_trees(None)


def _spread(values: NDArray[np.float64]) -> float:
    """Return the standard deviation, or 1 where there is none but rounding."""
    spread = float(np.std(values)) if len(values) else 0.0
    return spread if spread > 1e-9 else 1.0


@dataclass(frozen=True)
class _PairSet:
    """Candidates of some examples as trees take them: features, whether each is in the label, how many a query has."""

    features: NDArray[np.float32]
    label: NDArray[np.float64]
    sizes: NDArray[np.int64]

    def dataset(self, reference: Any = None) -> Any:
        """Return the pairs as LightGBM takes them."""
        import lightgbm as gbm

        parameters = {"feature_pre_filter": False}
        return gbm.Dataset(self.features, self.label, group=self.sizes, reference=reference, params=parameters)


def _pair_set(pairs: PairFeatures, examples: Resolved, seed: int) -> _PairSet:
    """Describe the candidates of as many examples as trees are grown from."""
    chosen = np.random.default_rng(seed).permutation(len(examples))[:_MAX_QUERIES]
    some, ptr, items = _with_candidates(pairs, examples.only(chosen))
    if len(items) == 0:
        raise TaskError(
            f"No row of '{pairs.spec.items}' was there yet at the times to learn from, so there is nothing to rank. "
            f"If its time column tells when rows were loaded, remove time_column of '{pairs.spec.items}' from "
            "forekey.yaml."
        )
    features = pairs.compute(some.seeds, ptr, items)
    label = _labels(some.target, ptr, items)
    sizes = np.diff(ptr)
    return _PairSet(features, label, sizes[sizes > 0])


def _with_candidates(pairs: PairFeatures, drawn: Resolved) -> tuple[Resolved, NDArray[np.int64], NDArray[np.int32]]:
    """Return examples with their candidates, as many as give ``_MAX_PAIRS`` pairs; found part by part until then."""
    sizes, items, taken = [np.zeros(1, np.int64)], [np.empty(0, np.int32)], 0
    for first in range(0, len(drawn), _QUERIES_A_TIME):
        part = drawn.only(np.arange(first, min(first + _QUERIES_A_TIME, len(drawn))))
        ptr, found = pairs.candidates(part.seeds)
        left = _MAX_PAIRS - sum(len(i) for i in items)
        fit = max(int(np.searchsorted(ptr, left, "right")) - 1, 0 if taken else 1)
        sizes.append(np.diff(ptr[: fit + 1]))
        items.append(found[: ptr[fit]])
        taken += fit
        if fit < len(part):
            break
    return drawn.only(np.arange(taken)), np.cumsum(np.concatenate(sizes)), np.concatenate(items)


def _labels(target: NDArray[Any], ptr: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.float64]:
    parts = [np.isin(items[ptr[q] : ptr[q + 1]], list(target[q])) for q in range(len(target))]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)
