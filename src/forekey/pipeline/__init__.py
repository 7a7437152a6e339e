"""The whole story, a function a step. Everything here calls rooms and returns values; nothing prints.

init ─► snapshot ─► train ─► embed ─► (store, serve)
            ▲         ▲                     │
            └─────────┴──── retrain ◄── monitor
"""

from forekey.pipeline.asking import Reply, answer, ask, open_or_init
from forekey.pipeline.checks import check
from forekey.pipeline.graphs import KEPT_SNAPSHOTS, compare_snapshots, current_graph, snapshot
from forekey.pipeline.labelling import Labelled, labels
from forekey.pipeline.models import (
    Embedded,
    embed,
    evaluate,
    explain,
    predict,
    retrain,
    train,
    train_config,
    write_back,
)
from forekey.pipeline.monitors import advise, monitor
from forekey.pipeline.parts import SILENT, Listener, find_task, predictor_of
from forekey.pipeline.start import Initialized, init
from forekey.pipeline.stored import change_champion

__all__ = [
    "KEPT_SNAPSHOTS",
    "SILENT",
    "Embedded",
    "Initialized",
    "Labelled",
    "Listener",
    "Reply",
    "advise",
    "answer",
    "ask",
    "change_champion",
    "check",
    "compare_snapshots",
    "current_graph",
    "embed",
    "evaluate",
    "explain",
    "find_task",
    "init",
    "labels",
    "monitor",
    "open_or_init",
    "predict",
    "predictor_of",
    "retrain",
    "snapshot",
    "train",
    "train_config",
    "write_back",
]
