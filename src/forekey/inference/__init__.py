"""Models applied: sampled around given seeds, or layer by layer over the whole graph. One set of modules for both."""

from forekey.inference.assemble import Assembler
from forekey.inference.batch import BatchPredictions, predict_everyone
from forekey.inference.drivers import Driver, drivers_of
from forekey.inference.error_band import ErrorBand
from forekey.inference.explain import Effects, Explainer, Part, part_name
from forekey.inference.explain_entity import explain_entity
from forekey.inference.explain_ranking import RankEffects, RankExplainer, explain_ranking
from forekey.inference.final import Calibration, FinalStage, Trees
from forekey.inference.layerwise import embed_all
from forekey.inference.load import check_signature, load_predictor, past_for
from forekey.inference.predictor import Predictor
from forekey.inference.ranking import Pairs, Ranker, RankStage
from forekey.inference.trained_model import AnyPredictor, PointwiseModel, RankingModel, TrainedModel, load_model

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
    "Pairs",
    "Part",
    "PointwiseModel",
    "Predictor",
    "RankEffects",
    "RankExplainer",
    "RankStage",
    "Ranker",
    "RankingModel",
    "TrainedModel",
    "Trees",
    "check_signature",
    "drivers_of",
    "embed_all",
    "explain_entity",
    "explain_ranking",
    "load_model",
    "load_predictor",
    "part_name",
    "past_for",
    "predict_everyone",
]
