"""Training a model that predicts for each entity by itself: a network over neighbours, trees, and their blend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.errors import TaskError
from forekey.inference import Blend, ErrorBand, Explainer, PointwiseModel, Trees
from forekey.nn import Calibration, GraphModel
from forekey.objectives import Raw, RegressionObjective
from forekey.progress import SILENT, Deadline, Listener, in_words
from forekey.training.baselines import BaselineData, run_baselines
from forekey.training.checkpoint import NOWHERE, Checkpoint
from forekey.training.choose_blend import Validation, choose_blend
from forekey.training.config import TrainConfig
from forekey.training.epochs import Epoch, fit, fit_again
from forekey.training.evaluate import Resolved, joined
from forekey.training.job import TrainJob
from forekey.training.lineage import network_of
from forekey.training.pointwise_learner import PointwiseLearner
from forekey.training.prepare import prepare
from forekey.training.recipe import Candidate, Recipe
from forekey.training.run_plan import Rates, estimate, fitted, in_a_line
from forekey.training.scorecard import MODEL, NETWORK, TREES, Scorecard
from forekey.training.suspects import decisive_column
from forekey.training.trees import MAX_GROUPS, Growing, Grown, fit_trees, refit

_EXPLAINED = 128
"""Validation examples on which parts of the data are taken away, to measure what counts."""


@dataclass(frozen=True)
class PointwiseCandidate(Candidate[PointwiseModel, Grown | None]):
    """A candidate with the raw outputs of its network by split, empty without one."""

    raw: dict[str, Raw]


class PointwiseRecipe(Recipe[PointwiseModel, Grown | None]):
    """Window features are chosen on training data; the blend of network and trees on validation."""

    def __init__(self, job: TrainJob, listener: Listener) -> None:
        self.job = job
        self._data = prepare(job, listener)
        self._check_trees()

    def _check_trees(self) -> None:
        """Refuse trees alone where they cannot predict."""
        data, val = self._data, self._data.splits["val"]
        outputs = data.objective.outputs if data.goal(val).ndim == 2 and len(val) else 1
        if not self.job.config.network and outputs > MAX_GROUPS:
            raise TaskError(
                f"'{self.job.task.name}' has {outputs} outputs; trees alone predict up to {MAX_GROUPS}. Use the preset "
                "fast, normal or best."
            )

    def plan(self, deadline: Deadline, listener: Listener) -> tuple[TrainConfig, list[str]]:
        """Measure how fast this machine is, fit the settings to the time there is, and say what will be done."""
        config, baselines = self.job.config, self.job.previous is not None
        if listener is SILENT and deadline.left == float("inf"):
            return config, []  # nobody asks how long it takes
        listener.step("measuring how long training will take")
        rates = Rates.measured(self._data, config, self.job.task.entity.name)
        notes = []
        if deadline.left < float("inf"):
            config, left_out = fitted(config, rates, deadline.left, baselines=baselines)
            if left_out:
                notes = [f"To end in time ({in_words(deadline.left)} were left for training), {'; '.join(left_out)}."]
        listener.note(in_a_line(self._data, config, rates, estimate(rates, config, baselines=baselines)))
        for note in notes:
            listener.note(note)
        return config, notes

    def growing(self, deadline: Deadline, listener: Listener) -> Growing:
        """Return how boosted trees are grown."""
        return Growing(torch.get_num_threads(), deadline, listener)

    def fit(
        self, config: TrainConfig, listener: Listener, checkpoint: Checkpoint = NOWHERE
    ) -> tuple[dict[str, GraphModel], list[Epoch]]:
        """Train a network from scratch."""
        data = self._data
        listener.step(f"training the network on {len(data.splits['train']):,} examples")
        torch.manual_seed(config.seed)
        shape = network_of(self.job.task.entity.name, data.features, config, data.objective.outputs)
        learner = self._learner(
            GraphModel(shape).scaled_by(data.scale), (data.splits["train"], data.splits["val"]), config
        )
        return learner.networks, fit(learner, config, listener, checkpoint)

    def choose(self, networks: dict[str, GraphModel], config: TrainConfig, growing: Growing) -> PointwiseCandidate:
        """Grow trees beside the network, choose on validation how much each counts, calibrate."""
        data, val, raw = self._data, self._data.splits["val"], dict[str, Raw]()
        model = self._model(networks.get("network"), Blend(), config)
        if networks:
            raw = {split: self._raw(model, data.splits[split]) for split in ("val", "test")}
        if val.window_features is None:
            return PointwiseCandidate(model, networks, None, raw)
        growing.listener.step("growing trees")
        learnt = data.tree_data(data.described_train())
        grown = fit_trees(data.objective, learnt, data.tree_data(val), config.trees, config.seed, growing)
        trees = grown.trees if grown is not None else None
        if not networks and trees is None:
            constant = Blend(0.0, base=data.objective.constant(data.goal(data.splits["train"])))
            return PointwiseCandidate(replace(model, blend=constant), networks, None, raw)
        blend = choose_blend(Validation(data.objective, raw.get("val"), val.window_features, data.goal(val)), trees)
        kept = model.network if blend.weight > 0.0 else None
        return PointwiseCandidate(replace(model, network=kept, blend=blend), networks, grown, raw)

    def refit(
        self, chosen: Candidate[PointwiseModel, Grown | None], config: TrainConfig, epochs: int, growing: Growing
    ) -> PointwiseCandidate:
        """Train what was chosen once more, with validation examples too."""
        assert isinstance(chosen, PointwiseCandidate)
        data, model = self._data, chosen.model
        later = data.splits["val"] if data.val_again is None else data.val_again
        if later.window_features is None and data.splits["train"].window_features is not None:
            later = data.described(later)
        if model.blend.trees is not None and chosen.grown is not None:
            described = later if later.window_features is not None else data.described(later)
            every = data.tree_data(data.described_train()).plus(data.tree_data(described))
            trees = refit(chosen.grown, data.objective, every, config.trees, config.seed, growing)
            model = replace(model, blend=model.blend.with_trees(trees))
        if model.network is None or epochs == 0:
            return replace(chosen, model=model)
        torch.manual_seed(config.seed)
        network = GraphModel(model.network.config).scaled_by(data.scale)
        known = joined(data.splits["train"], later.only(data.objective.is_known(data.goal(later))))
        fit_again(self._learner(network, (known, None), config), config, epochs, growing.listener)
        model = replace(model, network=network)
        return replace(chosen, model=model, raw={**chosen.raw, "test": self._raw(model, data.splits["test"])})

    def score(self, scorecard: Scorecard, split: str, candidate: Candidate[PointwiseModel, Grown | None]) -> None:
        """Score the model and its parts."""
        assert isinstance(candidate, PointwiseCandidate)
        objective, blend = self._data.objective, candidate.model.blend
        raw, past = candidate.raw.get(split), self._data.splits[split].window_features
        scorecard.add(MODEL, split, objective.link(blend.outputs(raw, past, objective)))
        if candidate.grown is not None and past is not None and raw is not None:
            scorecard.add(NETWORK, split, objective.link(raw))
            scorecard.add(TREES, split, objective.link((blend.trees or candidate.grown.trees).raw(past)))

    def score_baselines(self, scorecard: Scorecard, config: TrainConfig, listener: Listener) -> None:
        """Score the obvious guesses, and boosted trees over what an analyst would compute."""
        data, previous = self._data, self.job.previous
        assert previous is not None
        kinds, splits = tuple(f.kind for f in data.features.features), dict(data.splits)
        if kinds and config.tree_baselines:
            splits["train"] = data.described_train()
        held_against = BaselineData(data.objective, splits, previous, kinds, config.tree_baselines)
        for name, predictions in run_baselines(held_against, listener).items():
            for split, predicted in predictions.items():
                scorecard.add(name, split, predicted)

    def used_tables(self) -> set[str]:
        """Return the tables whose columns are read."""
        return {t.table for t in self._data.features.spec.tables}

    def explain(
        self, candidate: Candidate[PointwiseModel, Grown | None], scorecard: Scorecard, listener: Listener
    ) -> tuple[dict[str, Any], list[str]]:
        """Return how much predictions change on average without tables, columns, or all beyond a hop."""
        val, data = self._data.splits["val"], self._data
        explainer = Explainer(candidate.model.on(data.features))
        drawn = np.random.default_rng(self.job.config.seed).permutation(len(val))[:_EXPLAINED]
        found = explainer.effects(val.seeds.take(np.sort(drawn)), done=listener.advance)
        explanation = {kind: found.overall(kind) for kind in ("table", "column", "hop")}
        constant = scorecard.metrics.get("constant", {}).get("val")
        return explanation, decisive_column(explainer, val, data.objective, explanation["column"], constant)

    def facts(
        self,
        chosen: Candidate[PointwiseModel, Grown | None],
        final: Candidate[PointwiseModel, Grown | None],
        scorecard: Scorecard,
        config: TrainConfig,
    ) -> dict[str, Any]:
        """Return what a manifest says beside the lineage and the model itself."""
        return {
            "window_features": {"used": len(self._data.features.features), "of": self._data.all_features},
            "blend": _blend(final, config),
            "calibration": _calibration(final.model.blend.calibration),
            "error_band": self._error_band(scorecard),
            "importance": self._importance(final.grown.trees if final.grown is not None else None),
        }

    def left_out(self, chosen: Candidate[PointwiseModel, Grown | None], config: TrainConfig) -> list[str]:
        """Return nothing: what there is no time for is left out of the plan."""
        return []

    def _learner(
        self, model: GraphModel, examples: tuple[Resolved, Resolved | None], config: TrainConfig
    ) -> PointwiseLearner:
        return PointwiseLearner(model, self._data.features, self._data.objective, examples, config)

    def _model(self, network: GraphModel | None, blend: Blend, config: TrainConfig) -> PointwiseModel:
        return PointwiseModel(self._data.objective, self._data.features.spec, config.neighbors, network, blend)

    def _raw(self, model: PointwiseModel, examples: Resolved) -> Raw:
        """Return the raw outputs of the network for some examples."""
        return model.on(self._data.features).network(examples.seeds, examples.window_features)[0]

    def _importance(self, trees: Trees | None) -> dict[str, float]:
        """Return the window features that trees gained most from, and their shares."""
        features = self._data.features.features
        if trees is None:
            return {}
        shares: NDArray[np.float64] = trees.importance()
        return {features[i].name: round(float(shares[i]), 4) for i in np.argsort(-shares)[:30] if shares[i] > 0}

    def _error_band(self, scorecard: Scorecard) -> dict[str, Any] | None:
        """Return between which bounds labels lie around predicted numbers, learnt from validation."""
        objective, splits = self._data.objective, self._data.splits
        if not isinstance(objective, RegressionObjective) or not objective.has_interval:
            return None
        target = {s: splits[s].target.astype(np.float64) for s in ("val", "test")}
        predicted = scorecard.predicted[MODEL]
        band = ErrorBand.fit(predicted["val"], target["val"], objective.least)
        if band is None:
            return None
        return replace(band, coverage=band.covered(predicted["test"], target["test"])).to_dict()


def _blend(candidate: Candidate[PointwiseModel, Grown | None], config: TrainConfig) -> str:
    """Say which parts the model consists of, and how much each counts."""
    blend = candidate.model.blend
    if blend.is_constant:
        return "The training labels are all alike: the model predicts them, whatever the entity."
    if not config.network:
        return "Trees only: no network was trained."
    if candidate.grown is None:
        return "Network only."
    if blend.weight <= 0.0:
        return "Trees only: the network added nothing on validation."
    if blend.weight >= 1.0:
        return "Network only: trees added nothing on validation."
    weight = blend.weight
    return (
        f"Blend: the network counts {weight:.0%}, trees over window features {1.0 - weight:.0%}, as validation chose."
    )


def _calibration(calibration: Calibration) -> str:
    """Say how raw outputs are calibrated; nothing where they are not."""
    if calibration.knots.numel():
        return "Probabilities are calibrated by isotonic regression on validation."
    slope, shift = float(calibration.slope), float(calibration.shift)
    return "" if (slope, shift) == (1.0, 0.0) else f"Logits are calibrated on validation: {slope:.3g} x + {shift:.3g}."
