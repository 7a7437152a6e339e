"""What a training run does differently by what it predicts: the steps of :mod:`forekey.training.train`, in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from forekey.inference import TrainedModel
from forekey.nn import GraphModel
from forekey.progress import Deadline, Listener
from forekey.training.checkpoint import NOWHERE, Checkpoint
from forekey.training.config import TrainConfig
from forekey.training.epochs import Epoch
from forekey.training.job import TrainJob
from forekey.training.scorecard import Scorecard
from forekey.training.trees import Growing

M = TypeVar("M", bound=TrainedModel)
G = TypeVar("G")


@dataclass(frozen=True)
class Candidate(Generic[M, G]):
    """A model with what it was made from: the ``networks`` that were tried, and ``grown`` trees with their recipes."""

    model: M
    networks: dict[str, GraphModel]
    grown: G


class Recipe(ABC, Generic[M, G]):
    """One way to train: features are chosen and computed when it is made; models are values that steps return."""

    job: TrainJob

    @abstractmethod
    def plan(self, deadline: Deadline, listener: Listener) -> tuple[TrainConfig, list[str]]:
        """Return the settings that fit the time there is, and what was left out for that."""

    @abstractmethod
    def growing(self, deadline: Deadline, listener: Listener) -> Growing:
        """Return how boosted trees are grown."""

    @abstractmethod
    def fit(
        self, config: TrainConfig, listener: Listener, checkpoint: Checkpoint = NOWHERE
    ) -> tuple[dict[str, GraphModel], list[Epoch]]:
        """Train networks from scratch."""

    @abstractmethod
    def choose(self, networks: dict[str, GraphModel], config: TrainConfig, growing: Growing) -> Candidate[M, G]:
        """Grow trees beside the networks (none: trees alone), and choose on validation how much each counts."""

    @abstractmethod
    def refit(self, chosen: Candidate[M, G], config: TrainConfig, epochs: int, growing: Growing) -> Candidate[M, G]:
        """Train what was chosen once more, with validation examples too: they resemble the next ones most."""

    @abstractmethod
    def score(self, scorecard: Scorecard, split: str, candidate: Candidate[M, G]) -> None:
        """Score a model and its parts on a split that it has not learnt from."""

    @abstractmethod
    def score_baselines(self, scorecard: Scorecard, config: TrainConfig, listener: Listener) -> None:
        """Score what a model must beat."""

    @abstractmethod
    def used_tables(self) -> set[str]:
        """Return the tables whose columns are read."""

    @abstractmethod
    def explain(
        self, candidate: Candidate[M, G], scorecard: Scorecard, listener: Listener
    ) -> tuple[dict[str, Any], list[str]]:
        """Return how much parts of the data count, and warnings that follow from it."""

    @abstractmethod
    def facts(
        self, chosen: Candidate[M, G], final: Candidate[M, G], scorecard: Scorecard, config: TrainConfig
    ) -> dict[str, Any]:
        """Return what a manifest says beside the lineage and the model itself."""

    @abstractmethod
    def left_out(self, chosen: Candidate[M, G], config: TrainConfig) -> list[str]:
        """Return what there was no time for while trees were grown."""
