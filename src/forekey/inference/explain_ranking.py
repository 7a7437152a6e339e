"""What drove a ranking: what each item's score is made of, and what makes items stand out among the candidates.

The score of a pair is that of two towers and of trees. The trees' part is split exactly among the numbers they read.
And as for any prediction, tables, columns and all that is some foreign keys away are taken away, around the entity and
around the items alike, and the candidates are scored again. A part that moves all candidates by as much changes no
ranking, so what counts is how far an item stands out: its score less the mean of the candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forekey.features import PairFeature
from forekey.graph import Seeds
from forekey.inference.explain import Explainer, Part, overall, ranked
from forekey.inference.ranking import Pairs, Ranker

_REASONS = 5


@dataclass(frozen=True)
class RankEffects:
    """The items of each ranking ``[n, top]`` (-1 for none), and by how much each part makes them stand out.

    ``effects [n, top, parts]`` are in units of the score, 0 where there is no item.
    """

    parts: tuple[Part, ...]
    items: NDArray[np.int32]
    effects: NDArray[np.float64]

    def ranked(self, kind: str, row: int) -> list[dict[str, Any]]:
        """Return the parts of a kind by how much they lift the items of one ranking, on average."""
        shown = self.items[row] >= 0
        means = self.effects[row, shown].mean(axis=0) if shown.any() else np.zeros(len(self.parts))
        return ranked(self.parts, kind, means, means)

    def overall(self, kind: str) -> list[dict[str, Any]]:
        """Return the parts of a kind by the mean size of their effects on all items shown."""
        shown = self.items >= 0
        sizes = np.abs(self.effects[shown]).mean(axis=0) if shown.any() else np.zeros(len(self.parts))
        return overall(self.parts, kind, sizes)


@dataclass(frozen=True)
class _Queries:
    """Entities seen alike, their candidates, and what towers and trees are asked."""

    seeds: Seeds
    pairs: Pairs

    @property
    def query(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.seeds)), np.diff(self.pairs.ptr))

    def standing_out(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each candidate's score less the mean of the candidates of its query."""
        counts = np.diff(self.pairs.ptr)
        sums = np.bincount(self.query, score, minlength=len(counts))
        return score - (sums / np.maximum(counts, 1))[self.query]


class RankExplainer:
    """Takes parts away from what a ranking is made from, and scores the same candidates again."""

    def __init__(self, ranker: Ranker) -> None:
        self._ranker = ranker
        self._towers = Explainer(ranker.entities), Explainer(ranker.items)
        self._origins = tuple(feature.origin for feature in ranker.pairs.features)
        tables = (Part("table", o.table) for o in self._origins)
        self.parts = tuple(dict.fromkeys([*self._towers[0].parts, *self._towers[1].parts, *tables]))

    def effects(self, seeds: Seeds, kinds: Iterable[str] = ()) -> RankEffects:
        """Explain the rankings of some entities; ``kinds`` limits it to parts that are table, column or hop."""
        wanted = set(kinds)
        parts = tuple(p for p in self.parts if not wanted or p.kind in wanted)
        gone = [(), *((part,) for part in parts)]
        items = np.full((len(seeds), self._ranker.top), -1, np.int32)
        effects = np.zeros((len(seeds), self._ranker.top, len(parts)))
        for part, asked in self._asked(seeds):
            items[part], position = self._shown(asked)
            usual, *left = (asked.standing_out(score)[position] for score in self._scores(asked, gone))
            for p, value in enumerate(left):
                effects[part, :, p] = np.where(position >= 0, usual - value, 0.0)
        return RankEffects(parts, items, effects)

    def without(self, seeds: Seeds, gone: Iterable[Part]) -> NDArray[np.float64]:
        """Return how far the items of each ranking stand out when several parts are gone together, ``[n, top]``.

        They are the items of the whole ranking, in its order; NaN where there are fewer.
        """
        out = np.full((len(seeds), self._ranker.top), np.nan)
        for part, asked in self._asked(seeds):
            _, position = self._shown(asked)
            left = asked.standing_out(next(self._scores(asked, [tuple(gone)])))
            out[part] = np.where(position >= 0, left[position], np.nan)
        return out

    def _shown(self, asked: _Queries) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the items that are ranked, and their places among the candidates."""
        pairs, blend = asked.pairs, self._ranker.blend
        trees = blend.trees.raw(pairs.features)[:, 0] if blend.trees is not None else np.zeros(len(pairs.items))
        items = pairs.best(blend.mix(pairs.towers, trees), self._ranker.top)[0]
        return items, _positions(pairs, items)

    def _asked(self, seeds: Seeds) -> Iterator[tuple[NDArray[np.int64], _Queries]]:
        for part, pairs, _ in self._ranker.scored(seeds):
            if len(pairs.items):
                yield part, _Queries(seeds.take(part), pairs)

    def _scores(self, asked: _Queries, gone: Sequence[tuple[Part, ...]]) -> Iterator[NDArray[np.float64]]:
        """Score each candidate without some parts, for each of several choices of parts."""
        blend = self._ranker.blend
        towers = (
            self._tower_scores(asked, gone) if blend.weight > 0.0 else np.zeros((len(gone), len(asked.pairs.items)))
        )
        for parts, own in zip(gone, towers, strict=True):
            lost = np.array([any(p.covers(o) for p in parts) for o in self._origins], bool)
            features = np.where(lost, np.float32(np.nan), asked.pairs.features)
            trees = blend.trees.raw(features)[:, 0] if blend.trees is not None else np.zeros(len(own))
            yield blend.mix(own, trees)

    def _tower_scores(self, asked: _Queries, gone: Sequence[tuple[Part, ...]]) -> NDArray[np.float64]:
        """Return what the towers say of each candidate, ``[len(gone), pairs]``; each item is looked at once."""
        distinct, position = np.unique(asked.pairs.items, return_inverse=True)
        seeds, table = asked.seeds, self._ranker.pairs.spec.items
        own = self._towers[0].without_each(seeds, gone)
        known = self._towers[1].without_each(Seeds.at(table, distinct, seeds.times[0], seeds.cutoffs[0]), gone)
        return np.stack([(own[asked.query, g] * known[position, g]).sum(axis=1) for g in range(len(gone))])


def explain_ranking(ranker: Ranker, seeds: Seeds) -> list[list[dict[str, Any]]]:
    """Say, for each item of each ranking, what its score is made of: the towers' share, and the strongest numbers.

    The trees' part is split exactly (TreeSHAP: Lundberg et al. 2020): effects and the item's usual score add up to its
    score. Items are rows of the items' table.
    """
    features, out = ranker.pairs.features, [list[dict[str, Any]]() for _ in seeds.rows]
    for part, pairs, _ in ranker.scored(seeds):
        blend = ranker.blend
        shares, usual = np.zeros((len(pairs.items), len(features))), np.zeros(len(pairs.items))
        if blend.trees is not None:
            shares, usual = (of[:, 0] for of in blend.trees.contributions(pairs.features))
        raw = blend.trees.raw(pairs.features)[:, 0] if blend.trees is not None else usual
        items, _ = pairs.best(blend.mix(pairs.towers, raw), ranker.top)
        towers = blend.weight * pairs.towers / blend.tower_scale
        shares, usual = (v * (1.0 - blend.weight) / blend.tree_scale for v in (shares, usual))
        positions = _positions(pairs, items)
        for q, row in enumerate(part):
            for at in positions[q][positions[q] >= 0]:
                strongest = np.argsort(-np.abs(shares[at]), kind="stable")[:_REASONS]
                reasons = [
                    _reason(features[i], _finite(pairs.features[at, i]), float(shares[at, i]))
                    for i in strongest
                    if shares[at, i]
                ]
                own = {"item": int(pairs.items[at]), "towers": float(towers[at]), "usual": float(usual[at])}
                out[int(row)].append({**own, "reasons": reasons})
    return out


def _positions(pairs: Pairs, items: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return where the items of each query ``[n, top]`` stand among the candidates, -1 for none."""
    out = np.full(items.shape, -1, np.int64)
    for q, (a, b) in enumerate(zip(pairs.ptr[:-1], pairs.ptr[1:], strict=True)):
        there = items[q] >= 0
        out[q, there] = a + np.searchsorted(pairs.items[a:b], items[q, there])  # candidates ascend
    return out


def _reason(feature: PairFeature, value: float | None, effect: float) -> dict[str, Any]:
    return {"what": feature.in_words(value), "feature": feature.name, "value": value, "effect": effect}


def _finite(value: np.float32) -> float | None:
    return float(value) if np.isfinite(value) else None
