"""Models applied: sampled around given seeds, or layer by layer over the whole graph. One set of modules for both."""

from forekey.inference.assemble import Assembler
from forekey.inference.batch import BatchPredictions, predict_everyone
from forekey.inference.drivers import Driver, drivers_of
from forekey.inference.error_band import ErrorBand
from forekey.inference.explain import Effects, Explainer, Part, part_name
from forekey.inference.explain_entity import explain_entity
from forekey.inference.explain_ranking import RankEffects, RankExplainer, explain_ranking
from forekey.inference.final import Calibration, FinalStage, Raw, Trees, comparable
from forekey.inference.layerwise import embed_all
from forekey.inference.load import AnyPredictor, check_signature, load_predictor, past_for, save_weights
from forekey.inference.output import OutputTransform, Predictions, chosen_classes, predictions_from
from forekey.inference.predictor import Predictor
from forekey.inference.ranking import Pairs, Ranker, RankStage, tower_output

__all__ = [
    "AnyPredictor",
    "Assembler",
    "BatchPredictions",
    "Calibration",
    "Driver",
    "Effects",
    "ErrorBand",
    "Explainer",
    "FinalStage",
    "OutputTransform",
    "Pairs",
    "Part",
    "Predictions",
    "Predictor",
    "RankEffects",
    "RankExplainer",
    "RankStage",
    "Ranker",
    "Raw",
    "Trees",
    "check_signature",
    "chosen_classes",
    "comparable",
    "drivers_of",
    "embed_all",
    "explain_entity",
    "explain_ranking",
    "load_predictor",
    "part_name",
    "past_for",
    "predict_everyone",
    "predictions_from",
    "save_weights",
    "tower_output",
]
