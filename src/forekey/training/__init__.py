"""Learning: the training loop, the baselines it is held against, and the report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forekey.training.config import PRESETS, RANKING_PRESETS, TrainConfig
    from forekey.training.evaluate import evaluate_examples, interval_of_difference, item_rows, resolve_examples
    from forekey.training.job import TrainJob, gather
    from forekey.training.report import TrainReport
    from forekey.training.tracking import log_version
    from forekey.training.train import Trained, run, train_task

__all__ = [
    "PRESETS",
    "RANKING_PRESETS",
    "TrainConfig",
    "TrainJob",
    "TrainReport",
    "Trained",
    "evaluate_examples",
    "gather",
    "interval_of_difference",
    "item_rows",
    "log_version",
    "resolve_examples",
    "run",
    "train_task",
]

_HOMES = {
    "PRESETS": "config",
    "RANKING_PRESETS": "config",
    "TrainConfig": "config",
    "TrainJob": "job",
    "TrainReport": "report",
    "Trained": "train",
    "evaluate_examples": "evaluate",
    "gather": "job",
    "interval_of_difference": "evaluate",
    "item_rows": "evaluate",
    "log_version": "tracking",
    "resolve_examples": "evaluate",
    "run": "train",
    "train_task": "train",
}


def __getattr__(name: str) -> object:
    """Load a name when it is first used: a report is read in a moment, torch is not."""
    if name not in _HOMES:
        raise AttributeError(f"module 'forekey.training' has no attribute {name!r}")
    return getattr(import_module(f"forekey.training.{_HOMES[name]}"), name)
