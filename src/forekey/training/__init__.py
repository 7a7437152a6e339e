"""Learning: the training loop, the baselines it is held against, and the report."""

from forekey.training.config import PRESETS, TrainConfig
from forekey.training.evaluate import evaluate_examples, item_rows, resolve_examples
from forekey.training.report import TrainReport
from forekey.training.tracking import log_version
from forekey.training.train import train_task

__all__ = [
    "PRESETS",
    "TrainConfig",
    "TrainReport",
    "evaluate_examples",
    "item_rows",
    "log_version",
    "resolve_examples",
    "train_task",
]
