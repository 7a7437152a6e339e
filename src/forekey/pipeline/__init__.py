"""The whole story, a function a step. Everything here calls rooms and returns values; nothing prints.

init ─► snapshot ─► train ─► embed ─► (store, serve)
            ▲         ▲                     │
            └─────────┴──── retrain ◄── monitor
"""

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
from forekey.pipeline.parts import (
    SILENT,
    Listener,
    find_task,
    prediction_log,
    predictor_of,
    registry,
    snapshots,
    source_of,
)
from forekey.pipeline.start import Initialized, init

__all__ = [
    "KEPT_SNAPSHOTS",
    "SILENT",
    "Embedded",
    "Initialized",
    "Labelled",
    "Listener",
    "advise",
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
    "predict",
    "prediction_log",
    "predictor_of",
    "registry",
    "retrain",
    "snapshot",
    "snapshots",
    "source_of",
    "train",
    "train_config",
    "write_back",
]


_source = source_of
"""The name that it had before; what imports it still works."""
