"""Torch modules: column encoders, message passing, heads. Tensors in, tensors out; nothing here reads a database."""

from forekey.nn.calibration import Calibration
from forekey.nn.conv import Aggregation
from forekey.nn.encoder import WindowScale, time_encoding
from forekey.nn.graph_batch import GraphBatch, NodeBatch, RelationBatch
from forekey.nn.model import PARAMETERS, GraphModel
from forekey.nn.model_config import ModelConfig, RelationSpec, TableSpec
from forekey.nn.tensors import NotReadable, load_state, load_tensors, save_state, save_tensors

__all__ = [
    "PARAMETERS",
    "Aggregation",
    "Calibration",
    "GraphBatch",
    "GraphModel",
    "ModelConfig",
    "NodeBatch",
    "NotReadable",
    "RelationBatch",
    "RelationSpec",
    "TableSpec",
    "WindowScale",
    "load_state",
    "load_tensors",
    "save_state",
    "save_tensors",
    "time_encoding",
]
