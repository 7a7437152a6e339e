"""A trained model as one value and one folder: what is computed from rows, its networks and trees, and how they count.

Bound to a graph it predicts. Nothing of it depends on a connection or a snapshot.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forekey.errors import ModelError
from forekey.features import FeatureSpec, FeatureStore, PairFeatures, PairSpec
from forekey.graph import Snapshot
from forekey.inference.blend import Blend
from forekey.inference.predictor import Predictor
from forekey.inference.ranking import RankBlend, Ranker
from forekey.nn import GraphModel, ModelConfig, NotReadable, load_tensors, save_tensors
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
    def bind(self, view: Snapshot, past: LaggedLabels | None = None, cache: Path | None = None) -> AnyPredictor:
        """Return a predictor on a graph.

        ``past`` holds the labels that entities had before, for models that look at them; ``cache`` is a folder in which
        the codes of texts are kept.
        """

    @abstractmethod
    def _stages(self) -> dict[str, Any]:
        """Return what comes after the networks, as JSON has it, without the trees."""

    @abstractmethod
    def _save_trees(self, folder: Path) -> None: ...

    def facts(self) -> dict[str, Any]:
        """Return what a manifest says of the model itself; :func:`load_model` reads it."""
        return {
            "networks": {name: network.config.to_dict() for name, network in self.networks.items()},
            "parameters": sum(p.numel() for network in self.networks.values() for p in network.parameters()),
            "neighbors": self.plan.to_dict(),
            "output": self.objective.to_dict(),
            **self._stages(),
        }

    def save(self, draft: ModelVersion) -> None:
        """Write the model into the folder of a version, beside its manifest."""
        (draft.folder / "features.json").write_text(json.dumps(self.features()), encoding="utf-8")
        if self.networks:
            named = {f"{n}.{p}": t for n, network in self.networks.items() for p, t in network.state_dict().items()}
            save_tensors(draft.weights, named)
        self._save_trees(draft.folder)


@dataclass(frozen=True)
class PointwiseModel(TrainedModel):
    """A model that predicts for each entity by itself: a network, trees, or both blended."""

    learned: PointwiseObjective
    spec: FeatureSpec
    plan: NeighborPlan
    network: GraphModel | None
    final: Blend

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

    def bind(self, view: Snapshot, past: LaggedLabels | None = None, cache: Path | None = None) -> Predictor:
        """Return a predictor on a graph."""
        return self.on(FeatureStore(view, self.spec, past, cache=cache))

    def on(self, features: FeatureStore) -> Predictor:
        """Return a predictor that reads features which are there already."""
        return Predictor(self.network, features, self.plan, self.learned, self.final)

    def _stages(self) -> dict[str, Any]:
        return {"final": self.final.to_dict(), "embedding": "network" if self.network is not None else "trees"}

    def _save_trees(self, folder: Path) -> None:
        if self.final.trees is not None:
            self.final.trees.save(folder)


@dataclass(frozen=True)
class RankingModel(TrainedModel):
    """A model that ranks items for an entity: two networks, trees over pairs, or both."""

    entities: FeatureSpec
    items: FeatureSpec
    pairs: PairSpec
    plan: NeighborPlan
    towers: tuple[GraphModel, GraphModel] | None
    stage: RankBlend
    top: int

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

    def bind(self, view: Snapshot, past: LaggedLabels | None = None, cache: Path | None = None) -> Ranker:
        """Return a ranker on a graph."""
        entities = FeatureStore(view, self.entities, cache=cache)
        items = FeatureStore(view, self.items, beside=entities)
        one, two = self.towers or (None, None)
        ends = (Predictor(m, f, self.plan, self.objective) for m, f in ((one, entities), (two, items)))
        return Ranker(next(ends), next(ends), PairFeatures(view, self.pairs), self.stage, self.top)

    def _stages(self) -> dict[str, Any]:
        embedding = "network" if self.towers is not None else "window features"
        return {"final": self.stage.to_dict(), "embedding": embedding, "items": self.pairs.items, "top": self.top}

    def _save_trees(self, folder: Path) -> None:
        if self.stage.trees is not None:
            self.stage.trees.save(folder)


def load_model(version: ModelVersion) -> TrainedModel:
    """Read what :meth:`TrainedModel.save` wrote; :class:`ModelError` names a file that is missing or was changed."""
    version.check()
    manifest, features = version.manifest, version.features()
    networks = _networks(version)
    plan = NeighborPlan.from_dict(manifest["neighbors"])
    if objective_of(manifest["task_type"]).ranks_items:
        return RankingModel(
            FeatureSpec.from_dict(features["entities"]),
            FeatureSpec.from_dict(features["items"]),
            PairSpec.from_dict(features["pairs"]),
            plan,
            (networks["entities"], networks["items"]) if networks else None,
            RankBlend.load(manifest["final"], version.folder),
            manifest["top"],
        )
    objective = objective_from(manifest["output"])
    assert isinstance(objective, PointwiseObjective)
    final = Blend.load(manifest["final"], version.folder)
    return PointwiseModel(objective, FeatureSpec.from_dict(features), plan, networks.get("network"), final)


def _networks(version: ModelVersion) -> dict[str, GraphModel]:
    """Return the networks of a version with their parameters."""
    networks = {name: GraphModel(ModelConfig.from_dict(c)) for name, c in version.manifest["networks"].items()}
    if not networks:
        return {}
    try:
        tensors = load_tensors(version.weights)
        for name, network in networks.items():
            begin = f"{name}."
            own = {n.removeprefix(begin): t for n, t in tensors.items() if n.startswith(begin)}
            network.load_state_dict(own)
    except (NotReadable, RuntimeError) as error:
        raise ModelError(f"The weights of {version.name} cannot be read. Train the task again.") from error
    return networks
