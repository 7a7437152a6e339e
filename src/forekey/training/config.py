"""The settings of a training run, and four presets that need no tuning."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from forekey.nn import Aggregation
from forekey.sampling import NeighborPlan
from forekey.training.trees import TreePlan


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run depends on beside the data.

    Few examples are dealt out in smaller batches, so that an epoch still takes ``min_batches`` steps.
    ``max_batches`` bounds the batches of an epoch; ``patience`` is how many epochs may pass without a better
    validation score before training stops; ``max_seconds`` bounds the whole loop (checked after each batch). With
    ``decay`` the learning rate falls to 0 by the end of all epochs, so few are needed.
    ``refit`` trains once more from validation examples too, after all choices are made on these.
    ``search_seconds`` is how long to look for better settings before training.
    ``window_features`` adds window features, for the network and for trees beside it; ``lagged_labels`` the labels that
    entities had before. Without ``network``, trees alone predict. ``max_examples`` draws so many training examples at
    random. ``importance`` measures what counts; ``tree_baselines`` trains the baselines of boosted trees.
    """

    preset: str = "normal"
    seed: int = 0
    channels: int = 64
    neighbors: NeighborPlan = field(default_factory=lambda: NeighborPlan((24, 12)))
    batch_size: int = 512
    learning_rate: float = 0.004
    decay: bool = True
    weight_decay: float = 1e-4
    dropout: float = 0.1
    aggregation: Aggregation = "mean"
    max_epochs: int = 6
    min_batches: int = 30
    max_batches: int = 150
    patience: int = 4
    max_seconds: float = 240.0
    window_features: bool = True
    lagged_labels: bool = True
    refit: bool = True
    search_seconds: float = 0.0
    network: bool = True
    max_examples: int | None = None
    importance: bool = True
    tree_baselines: bool = True
    trees: TreePlan = field(default_factory=TreePlan)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**asdict(self), "neighbors": self.neighbors.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainConfig:
        """Read what :meth:`to_dict` wrote, in this version or another: what it does not say is as by default."""
        trees = {k: tuple(v) if isinstance(v, list) else v for k, v in data.get("trees", {}).items()}
        said = {**data, "trees": TreePlan(**_of(TreePlan, trees))}
        if "neighbors" in data:
            said["neighbors"] = NeighborPlan.from_dict(data["neighbors"])
        return cls(**_of(cls, said))


def _of(kind: type, data: dict[str, Any]) -> dict[str, Any]:
    """Return the entries that a dataclass has fields for."""
    known = {f.name for f in fields(kind)}
    return {name: value for name, value in data.items() if name in known}


PRESETS: dict[str, dict[str, Any]] = {
    "instant": {
        "network": False,
        "max_examples": 50_000,
        "refit": False,
        "tree_baselines": False,
        "trees": TreePlan(candidates=("bold",), boosters=1, learning_rate=0.1, rounds=300, patience=20),
    },
    "fast": {
        "neighbors": NeighborPlan((8, 4)),
        "max_epochs": 3,
        "max_batches": 40,
        "patience": 2,
        "max_seconds": 40.0,
        "refit": False,
        "trees": TreePlan(candidates=("bold",), boosters=1, learning_rate=0.06, rounds=500, patience=30),
    },
    "normal": {},
    "best": {
        "channels": 128,
        "neighbors": NeighborPlan((32, 16)),
        "max_epochs": 16,
        "max_batches": 400,
        "patience": 8,
        "max_seconds": 1800.0,
        "search_seconds": 900.0,
        "trees": TreePlan(boosters=6, learning_rate=0.02, rounds=2500, patience=150),
    },
}

_RANKING_TREES: dict[str, Any] = {"learning_rate": 0.04, "rounds": 600, "patience": 60}

RANKING_PRESETS: dict[str, dict[str, Any]] = {
    "instant": {
        "max_examples": 1_200,
        "importance": False,
        "trees": TreePlan(objectives=("rank",), boosters=1, learning_rate=0.1, rounds=200, patience=20),
    },
    "fast": {
        "max_epochs": 8,
        "max_batches": 60,
        "min_batches": 16,
        "decay": False,
        "trees": replace(PRESETS["fast"]["trees"], **_RANKING_TREES),
    },
    "normal": {
        "max_epochs": 20,
        "max_batches": 200,
        "min_batches": 16,
        "decay": False,
        "trees": TreePlan(**_RANKING_TREES),
    },
    "best": {
        "max_epochs": 60,
        "min_batches": 16,
        "decay": False,
        "trees": replace(PRESETS["best"]["trees"], **_RANKING_TREES),
    },
}
"""What is different for a ranking: its towers are trained for longer, until validation stops improving."""
