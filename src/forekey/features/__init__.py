"""Columns and pasts to numbers: statistics fitted up to a time, and encoders that apply them."""

from forekey.features.embedder import WIDTH
from forekey.features.encode import Encoded, FeatureStore, encode_rows
from forekey.features.history import HistoryFeatures, HistorySpec, fit_history
from forekey.features.kinds import FeatureKind
from forekey.features.origins import CALENDAR, LABELS, Origin, origins
from forekey.features.pairs import PairFeatures, PairSpec, interactions_between
from forekey.features.spec import FeatureSpec, HistoryScale, fit_features
from forekey.features.statistics import ColumnFeature, TableFeatures
from forekey.features.texts import TextCache

__all__ = [
    "CALENDAR",
    "LABELS",
    "WIDTH",
    "ColumnFeature",
    "Encoded",
    "FeatureKind",
    "FeatureSpec",
    "FeatureStore",
    "HistoryFeatures",
    "HistoryScale",
    "HistorySpec",
    "Origin",
    "PairFeatures",
    "PairSpec",
    "TableFeatures",
    "TextCache",
    "encode_rows",
    "fit_features",
    "fit_history",
    "interactions_between",
    "origins",
]
