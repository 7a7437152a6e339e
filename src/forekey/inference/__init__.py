"""Models applied: sampled around given seeds, or layer by layer over the whole graph. One set of modules for both."""

from forekey.inference.batch_predictions import BatchPredictions, predict_everyone
from forekey.inference.blend import Blend, Trees
from forekey.inference.collate import Collator
from forekey.inference.drivers import Driver, drivers_of
from forekey.inference.error_band import ErrorBand
from forekey.inference.explain import Effects, Explainer, Part, part_name
from forekey.inference.explain_entity import explain_entity
from forekey.inference.explain_ranking import RankEffects, RankExplainer, explain_ranking
from forekey.inference.in_words import drivers_in_words
from forekey.inference.layerwise import embed_all
from forekey.inference.load import check_signature, lagged_labels_for, load_predictor
from forekey.inference.predictor import Predictor
from forekey.inference.ranking import Pairs, RankBlend, Ranker
from forekey.inference.trained_model import AnyPredictor, PointwiseModel, RankingModel, TrainedModel, load_model

__all__ = [
    "AnyPredictor",
    "BatchPredictions",
    "Blend",
    "Collator",
    "Driver",
    "Effects",
    "ErrorBand",
    "Explainer",
    "Pairs",
    "Part",
    "PointwiseModel",
    "Predictor",
    "RankBlend",
    "RankEffects",
    "RankExplainer",
    "Ranker",
    "RankingModel",
    "TrainedModel",
    "Trees",
    "check_signature",
    "drivers_in_words",
    "drivers_of",
    "embed_all",
    "explain_entity",
    "explain_ranking",
    "lagged_labels_for",
    "load_model",
    "load_predictor",
    "part_name",
    "predict_everyone",
]
