"""Training a ranking: two networks, trees over pairs of an entity and an item, and how much each counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.errors import TaskError
from forekey.features import (
    EncodedTables,
    FeatureStore,
    PairFeatures,
    PairSpec,
    fit_features,
    fit_windows,
    interactions_between,
)
from forekey.graph import from_micros, to_micros
from forekey.inference import RankBlend, Ranker, RankExplainer, RankingModel
from forekey.nn import GraphModel, WindowScale
from forekey.progress import Deadline, Listener
from forekey.task import Task
from forekey.training.checkpoint import NOWHERE, Checkpoint
from forekey.training.config import TrainConfig
from forekey.training.epochs import Epoch, fit, fit_again
from forekey.training.evaluate import Resolved, joined
from forekey.training.job import TrainJob
from forekey.training.lineage import network_of, text_width
from forekey.training.pair_trees import GrownPairs, choose_rank_blend, grow_pair_trees, refit_pair_trees
from forekey.training.recipe import Candidate, Recipe
from forekey.training.scorecard import MODEL, NETWORK, TREES, Scorecard
from forekey.training.trees import Growing
from forekey.training.two_tower import TwoTowerLearner

_MIN_VALIDATION = 300
_MOST_HELD = 0.25
_SCALE_SAMPLE = 20_000
_MAX_MOMENTS = 1_000
_EXPLAINED, _EXPLAINED_MOMENTS = 48, 3
_AFTER_GROWING = 0.25
"""Of the time there is: what is left for all that comes after the first trees."""

RankingCandidate = Candidate[RankingModel, GrownPairs]


class RankingRecipe(Recipe[RankingModel, GrownPairs]):
    """Choices are made on validation, and where that is small, on the newest of the training examples too."""

    def __init__(self, job: TrainJob, listener: Listener) -> None:
        task, snapshot, config = job.task, job.snapshot, job.config
        assert task.items is not None
        self.job, self._items = job, task.items.name
        moments = len(np.unique(np.concatenate([r.times for r in job.splits.values()])))
        if moments > _MAX_MOMENTS:
            raise TaskError(
                f"The labels of '{task.name}' stand at {moments:,} different times; a ranking compares the items that "
                f"were there at one time, and takes up to {_MAX_MOMENTS:,}. Round the times, for example down to the "
                "day."
            )
        self._fitting, self._judging = _for_choices(task, job.splits)
        plain = fit_features(snapshot, job.cutoff, task.hidden, text_width(task))

        def described(table: str) -> Any:
            return replace(plain, windows=fit_windows(snapshot, table, job.cutoff, task.window_days, task.hidden))

        tables = EncodedTables(snapshot, plain.tables, task.project.place("encoded"))
        entities = FeatureStore(snapshot, described(task.entity.name), tables=tables)
        items = FeatureStore(snapshot, described(self._items), tables=tables)
        self._scales = _learn_scales(entities, items, job.splits["train"])
        ranked = task.bound.ranked if task.bound is not None else None
        target = (ranked[0].table.name, ranked[0].path, ranked[1]) if ranked is not None else None
        known = interactions_between(snapshot.schema, task.entity.name, self._items, target)
        windows = items.spec.windows
        assert windows is not None
        pairs = PairSpec(task.entity.name, self._items, task.window_days, known, windows)
        self._stores, self._pairs = (entities, items), PairFeatures(snapshot, pairs)
        self._plain = RankingModel(
            entities.spec, items.spec, pairs, config.neighbors, None, RankBlend(0.0), task.top, self._scales[0]
        )

    def plan(self, deadline: Deadline, listener: Listener) -> tuple[TrainConfig, list[str]]:
        """Give the networks at most half of the time there is."""
        config, minutes = self.job.config, self.job.minutes
        if minutes is None:
            return config, []
        return replace(config, max_seconds=min(config.max_seconds, 15 * minutes)), []

    def growing(self, deadline: Deadline, listener: Listener) -> Growing:
        """Return how boosted trees are grown: until three quarters of the time are over."""
        reserved = _AFTER_GROWING * 60 * (self.job.minutes or 0.0)
        return Growing(torch.get_num_threads(), Deadline(deadline.at - reserved), listener)

    def fit(
        self, config: TrainConfig, listener: Listener, checkpoint: Checkpoint = NOWHERE
    ) -> tuple[dict[str, GraphModel], list[Epoch]]:
        """Train the networks for entities and items from scratch."""
        listener.step(f"training two networks on {len(self._fitting):,} examples")
        torch.manual_seed(config.seed)
        tables = (self.job.task.entity.name, self._items)
        shapes = (network_of(t, f, config, config.channels) for t, f in zip(tables, self._stores, strict=True))
        one, two = (GraphModel(shape).scaled_by(scale) for shape, scale in zip(shapes, self._scales, strict=True))
        ranker = self._on(replace(self._plain, plan=config.neighbors, towers=(one, two), blend=RankBlend()))
        learner = TwoTowerLearner(ranker, self._fitting, self._judging, config)
        return learner.networks, fit(learner, config, listener, checkpoint)

    def choose(self, networks: dict[str, GraphModel], config: TrainConfig, growing: Growing) -> RankingCandidate:
        """Grow trees by each objective, and choose how much they count beside the networks."""
        growing.listener.step("growing trees")
        towers = (networks["entities"], networks["items"]) if networks else None
        model = replace(self._plain, plan=config.neighbors, towers=towers, blend=RankBlend(1.0 if networks else 0.0))
        ranker = self._on(model)
        grown = grow_pair_trees(ranker, self._fitting, self._judging, config, growing)
        blend = choose_rank_blend(ranker, self._judging, grown.trees) if networks else RankBlend(0.0, grown.trees)
        return Candidate(replace(model, blend=blend), networks, grown)

    def refit(self, chosen: RankingCandidate, config: TrainConfig, epochs: int, growing: Growing) -> RankingCandidate:
        """Train what was chosen once more, from all examples that are not the test."""
        every, model = joined(self.job.splits["train"], self.job.splits["val"]), chosen.model
        if model.towers is not None and model.blend.weight > 0.0:
            towers = []
            for number, tower in enumerate(model.towers):
                torch.manual_seed(config.seed + number)
                towers.append(GraphModel(tower.config).scaled_by(self._scales[number]))
            model = replace(model, towers=(towers[0], towers[1]))
            fit_again(TwoTowerLearner(self._on(model), every, every, config), config, epochs)
        grown = refit_pair_trees(self._on(model), chosen.grown, every, config)
        if model.blend.trees is not None:
            model = replace(model, blend=model.blend.with_trees(grown.trees))
        return Candidate(model, model.networks, grown)

    def score(self, scorecard: Scorecard, split: str, candidate: RankingCandidate) -> None:
        """Score the model and its parts."""
        examples, model, trees = self.job.splits[split], candidate.model, candidate.grown.trees
        parts = (MODEL, NETWORK, TREES) if model.towers is not None else (MODEL,)
        found = {name: np.full((len(examples), model.top), -1) for name in parts}
        for part, pairs, _ in self._on(model).scored(examples.seeds):
            raw = trees.raw(pairs.features)[:, 0]
            scores = (model.blend.mix(pairs.towers, raw), pairs.towers, raw)
            for name, score in zip(parts, scores, strict=False):
                found[name][part] = pairs.best(score, model.top)[0]
        for name, ranked in found.items():
            scorecard.add(name, split, ranked)

    def score_baselines(self, scorecard: Scorecard, config: TrainConfig, listener: Listener) -> None:
        """Score what is popular now, what the entity had last, and what its likes had, filled up by what is popular."""
        pairs, top = self._pairs, self._plain.top
        for split in ("val", "test"):
            seeds = self.job.splits[split].seeds
            popular = pairs.popular(seeds.cutoffs, 2 * top)
            guesses = {
                "popular": popular,
                "last_items": np.concatenate([pairs.newest(seeds, top), popular], axis=1),
                "items_of_others_alike": np.concatenate([pairs.alike(seeds, top), popular], axis=1),
            }
            for name, listed in guesses.items():
                scorecard.add(name, split, _first_different(listed, top))

    def used_tables(self) -> set[str]:
        """Return the tables whose columns are read."""
        return {t.table for store in self._stores for t in store.spec.tables}

    def explain(
        self, candidate: RankingCandidate, scorecard: Scorecard, listener: Listener
    ) -> tuple[dict[str, Any], list[str]]:
        """Return how far items shown stand out on average for tables, columns, or all beyond a hop."""
        val = self.job.splits["val"]
        drawn = np.random.default_rng(self.job.config.seed).permutation(len(val))
        # Items are described moment by moment, so few moments will do.
        few = np.unique(val.times[drawn])[-_EXPLAINED_MOMENTS:]
        some = val.only(np.sort(drawn[np.isin(val.times[drawn], few)][:_EXPLAINED]))
        found = RankExplainer(self._on(candidate.model)).effects(some.seeds)
        return {kind: found.overall(kind) for kind in ("table", "column", "hop")}, []

    def facts(
        self, chosen: RankingCandidate, final: RankingCandidate, scorecard: Scorecard, config: TrainConfig
    ) -> dict[str, Any]:
        """Return what a manifest says beside the lineage and the model itself."""
        shares, features = final.grown.trees.importance(), self._pairs.features
        gained = {features[i].name: round(float(shares[i]), 4) for i in np.argsort(-shares)[:30] if shares[i] > 0}
        return {"tree_objective": final.grown.objective, "importance": gained}

    def left_out(self, chosen: RankingCandidate, config: TrainConfig) -> list[str]:
        """Return how many boosters were not grown."""
        planned, grown = config.trees.boosters * len(config.trees.objectives), chosen.grown.grown
        return [f"{grown} of {planned} boosters were grown"] if grown < planned else []

    def _on(self, model: RankingModel) -> Ranker:
        """Return a ranker that reads the features which are there already."""
        return model.on(*self._stores, self._pairs)


def _for_choices(task: Task, splits: dict[str, Resolved]) -> tuple[Resolved, Resolved]:
    """Return what to learn from and what to choose on, while choices are made.

    A small validation set is joined by the newest anchors of training; examples whose labels reach into these are left
    out.
    """
    train, val = splits["train"], splits["val"]
    moments, counts = np.unique(train.times, return_counts=True)
    taken, total = 0, len(val)
    while total < _MIN_VALIDATION and taken < _MOST_HELD * len(moments) - 1:
        taken += 1
        total += int(counts[-taken])
    if taken == 0:
        return train, val
    first = int(moments[-taken])
    ends = {int(m): _end(task, int(m)) for m in moments}
    before = np.array([ends[int(t)] <= first for t in train.times])
    if not before.any():
        return train, val
    return train.only(np.flatnonzero(before)), joined(train.only(np.flatnonzero(train.times >= first)), val)


def _end(task: Task, moment: int) -> int:
    end = task.labels.horizon_end(from_micros(moment))
    return to_micros(end) if end is not None else moment


def _learn_scales(entities: FeatureStore, items: FeatureStore, train: Resolved) -> tuple[WindowScale, WindowScale]:
    """Return the scales of window features at training times, for entities and items."""
    rng = np.random.default_rng(0)
    some = train.only(np.sort(rng.permutation(len(train))[:_SCALE_SAMPLE]))
    seeds = some.seeds
    found = entities.window_features(seeds)
    table = items.spec.windows
    assert found is not None
    assert table is not None
    place = rng.integers(0, len(some), min(_SCALE_SAMPLE, 20 * len(some)))
    drawn = seeds.take(place)
    visible = items.view.presence(table.entity).bounds(drawn.cutoffs)
    rows = (rng.random(len(place)) * visible).astype(np.int32)
    known = items.window_features(drawn.moved(table.entity, rows).take(visible > 0))
    assert known is not None
    return WindowScale.fitted(found), WindowScale.fitted(known)


def _first_different(listed: NDArray[np.int32], top: int) -> NDArray[np.int32]:
    """Return the first ``top`` different items of each row, -1 where there are fewer."""
    out = np.full((len(listed), top), -1, np.int32)
    for row, items in enumerate(listed.tolist()):
        kept = list(dict.fromkeys(i for i in items if i >= 0))[:top]
        out[row, : len(kept)] = kept
    return out
