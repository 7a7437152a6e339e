"""Models applied: sampled around given seeds, or layer by layer over the whole graph. One set of modules for both."""

from forekey.inference.assemble import Assembler
from forekey.inference.batch import BatchPredictions, predict_everyone
from forekey.inference.layerwise import embed_all
from forekey.inference.output import OutputTransform, Predictions, chosen_classes, predictions_from
from forekey.inference.predictor import Predictor, load_predictor

__all__ = [
    "Assembler",
    "BatchPredictions",
    "OutputTransform",
    "Predictions",
    "Predictor",
    "chosen_classes",
    "embed_all",
    "load_predictor",
    "predict_everyone",
    "predictions_from",
]
