"""Columns and window features: statistics fitted up to a time, and encoders that apply them."""

from forekey.features.embedder import WIDTH
from forekey.features.encode import Encoded, FeatureStore, encode_rows
from forekey.features.feature import CALENDAR, LABELS, Feature, Origin, Stat
from forekey.features.feature_kind import FeatureKind
from forekey.features.pair_feature import PairFeature
from forekey.features.pairs import PairFeatures, PairSpec, interactions_between
from forekey.features.spec import FeatureSpec, HistoryScale, fit_features
from forekey.features.statistics import ColumnFeature, TableFeatures
from forekey.features.texts import TextCache
from forekey.features.window_features import WindowFeatures, fit_windows
from forekey.features.window_spec import WindowSpec
from forekey.features.words import in_words, topic, value_of

__all__ = [
    "CALENDAR",
    "LABELS",
    "WIDTH",
    "ColumnFeature",
    "Encoded",
    "Feature",
    "FeatureKind",
    "FeatureSpec",
    "FeatureStore",
    "HistoryScale",
    "Origin",
    "PairFeature",
    "PairFeatures",
    "PairSpec",
    "Stat",
    "TableFeatures",
    "TextCache",
    "WindowFeatures",
    "WindowSpec",
    "encode_rows",
    "fit_features",
    "fit_windows",
    "in_words",
    "interactions_between",
    "topic",
    "value_of",
]
