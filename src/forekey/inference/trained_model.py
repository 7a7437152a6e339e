"""A trained model as one value and one folder: what is computed from rows, its networks and trees, and how they count.

Bound to a graph it predicts. Nothing of it depends on a connection or a snapshot.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from forekey.errors import ModelError
from forekey.features import EncodedTables, FeatureSpec, FeatureStore, PairFeatures, PairSpec
from forekey.graph import GraphView
from forekey.inference.blend import Blend, Trees
from forekey.inference.predictor import Predictor
from forekey.inference.ranking import RankBlend, Ranker
from forekey.nn import GraphModel, ModelConfig, NotReadable, WindowScale, load_tensors, save_tensors
from forekey.objectives import Objective, PointwiseObjective, RankingObjective, objective_from, objective_of
from forekey.registry import ModelVersion
from forekey.sampling import NeighborPlan
from forekey.task import LaggedLabels

AnyPredictor = Predictor | Ranker


class TrainedModel(ABC):
    """What training returns and a version's folder holds."""

    plan: NeighborPlan

    @property
    @abstractmethod
    def objective(self) -> Objective:
        """Return the kind of task, as fitted on training labels."""

    @property
    @abstractmethod
    def networks(self) -> dict[str, GraphModel]:
        """Return the networks by name; none where trees alone predict."""

    @abstractmethod
    def features(self) -> dict[str, Any]:
        """Return what is computed from rows, as JSON has it."""

    @abstractmethod
    def bind(self, view: GraphView, past: LaggedLabels | None = None, cache: Path | None = None) -> AnyPredictor:
        """Return a predictor on a graph.

        ``past`` holds the labels that entities had before, for models that look at them; ``cache`` is a folder
        for encoded blocks.
        """

    @property
    @abstractmethod
    def _fitted(self) -> dict[str, nn.Module]:
        """Return the modules beside the networks that hold fitted numbers."""

    @property
    @abstractmethod
    def _trees(self) -> Trees | None:
        """Return the trees, if there are any."""

    @abstractmethod
    def _shape(self) -> dict[str, Any]:
        """Return what a manifest says of this kind of model alone."""

    def facts(self) -> dict[str, Any]:
        """Return what a manifest says of the model itself; :func:`load_model` reads it."""
        return {
            "networks": {name: network.config.to_dict() for name, network in self.networks.items()},
            "parameters": sum(p.numel() for network in self.networks.values() for p in network.parameters()),
            "neighbors": self.plan.to_dict(),
            "output": self.objective.to_dict(),
            "trees": self._trees.shape if self._trees is not None else [],
            **self._shape(),
        }

    def save(self, draft: ModelVersion) -> None:
        """Write the model into the folder of a version, beside its manifest."""
        (draft.folder / "features.json").write_text(json.dumps(self.features()), encoding="utf-8")
        modules = {**self.networks, **self._fitted}
        named = {f"{m}.{name}": t for m, module in modules.items() for name, t in module.state_dict().items()}
        save_tensors(draft.weights, named)
        if self._trees is not None:
            self._trees.save(draft.folder)


@dataclass(frozen=True)
class PointwiseModel(TrainedModel):
    """A model that predicts for each entity by itself: a network, trees, or both blended."""

    learned: PointwiseObjective
    spec: FeatureSpec
    plan: NeighborPlan
    network: GraphModel | None
    blend: Blend

    @property
    def objective(self) -> PointwiseObjective:
        """Return the kind of task, as fitted on training labels."""
        return self.learned

    @property
    def networks(self) -> dict[str, GraphModel]:
        """Return the network, if there is one."""
        return {"network": self.network} if self.network is not None else {}

    def features(self) -> dict[str, Any]:
        """Return what is computed from rows, as JSON has it."""
        return self.spec.to_dict()

    def bind(self, view: GraphView, past: LaggedLabels | None = None, cache: Path | None = None) -> Predictor:
        """Return a predictor on a graph."""
        return self.on(FeatureStore(view, self.spec, past, EncodedTables(view, self.spec.tables, cache)))

    def on(self, features: FeatureStore) -> Predictor:
        """Return a predictor that reads features which are there already."""
        return Predictor(self.network, features, self.plan, self.learned, self.blend)

    @property
    def _fitted(self) -> dict[str, nn.Module]:
        return {"blend": self.blend}

    @property
    def _trees(self) -> Trees | None:
        return self.blend.trees

    def _shape(self) -> dict[str, Any]:
        embedding = "network" if self.network is not None else "trees"
        return {"embedding": embedding, "network_weight": self.blend.weight}


@dataclass(frozen=True)
class RankingModel(TrainedModel):
    """A model that ranks items for an entity: two networks, trees over pairs, or both.

    ``scale`` is that of the entity's window features, which are its embedding where there are no networks.
    """

    entities: FeatureSpec
    items: FeatureSpec
    pairs: PairSpec
    plan: NeighborPlan
    towers: tuple[GraphModel, GraphModel] | None
    blend: RankBlend
    top: int
    scale: WindowScale

    @property
    def objective(self) -> RankingObjective:
        """Return the kind of task."""
        return RankingObjective()

    @property
    def networks(self) -> dict[str, GraphModel]:
        """Return the networks for entities and items, if there are any."""
        return dict(zip(("entities", "items"), self.towers or (), strict=False))

    def features(self) -> dict[str, Any]:
        """Return what is computed from rows, as JSON has it."""
        return {"entities": self.entities.to_dict(), "items": self.items.to_dict(), "pairs": self.pairs.to_dict()}

    def bind(self, view: GraphView, past: LaggedLabels | None = None, cache: Path | None = None) -> Ranker:
        """Return a ranker on a graph."""
        tables = EncodedTables(view, self.entities.tables, cache)
        entities, items = (FeatureStore(view, spec, tables=tables) for spec in (self.entities, self.items))
        return self.on(entities, items, PairFeatures(view, self.pairs))

    def on(self, entities: FeatureStore, items: FeatureStore, pairs: PairFeatures) -> Ranker:
        """Return a ranker that reads features which are there already."""
        one, two = self.towers or (None, None)
        ends = (Predictor(m, f, self.plan, self.objective) for m, f in ((one, entities), (two, items)))
        return Ranker(next(ends), next(ends), pairs, self.blend, self.top, self.scale)

    @property
    def _fitted(self) -> dict[str, nn.Module]:
        return {"blend": self.blend, "scale": self.scale}

    @property
    def _trees(self) -> Trees | None:
        return self.blend.trees

    def _shape(self) -> dict[str, Any]:
        embedding = "network" if self.towers is not None else "window features"
        facts = {"embedding": embedding, "network_weight": self.blend.weight}
        return {**facts, "items": self.pairs.items, "top": self.top}


def load_model(version: ModelVersion) -> TrainedModel:
    """Read what :meth:`TrainedModel.save` wrote; :class:`ModelError` names a file that is missing or was changed."""
    version.check()
    manifest, features, state = version.manifest, version.features(), _state(version)
    try:
        networks = {name: GraphModel(ModelConfig.from_dict(c)) for name, c in manifest.networks.items()}
        trees, plan = Trees.load(version.folder, manifest.trees), NeighborPlan.from_dict(manifest.neighbors)
        for name, network in networks.items():
            network.load_state_dict(state[name])
        if objective_of(manifest.task_type).ranks_items:
            entities, items = (FeatureSpec.from_dict(features[name]) for name in ("entities", "items"))
            scale = WindowScale(len(state["scale"]["center"]))
            scale.load_state_dict(state["scale"])
            towers = (networks["entities"], networks["items"]) if networks else None
            blend = RankBlend.from_state(state["blend"], trees)
            pairs = PairSpec.from_dict(features["pairs"])
            return RankingModel(entities, items, pairs, plan, towers, blend, manifest.top or 0, scale)
        objective = objective_from(manifest.output)
        assert isinstance(objective, PointwiseObjective)
        own = Blend.from_state(state["blend"], trees)
        return PointwiseModel(objective, FeatureSpec.from_dict(features), plan, networks.get("network"), own)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise ModelError(f"{version.name} cannot be read. Train the task again.") from error


def _state(version: ModelVersion) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of a version by module."""
    try:
        tensors = load_tensors(version.weights)
    except NotReadable as error:
        raise ModelError(f"The weights of {version.name} cannot be read. Train the task again.") from error
    state: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        module, _, rest = name.partition(".")
        state.setdefault(module, {})[rest] = tensor
    return state
