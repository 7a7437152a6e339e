"""Columns and window features: statistics fitted up to a time, and encoders that apply them."""

from forekey.features.columns import COLUMN_TYPES, ColumnEncoder, Encoded, robust_scale
from forekey.features.embedder import WIDTH
from forekey.features.encoded_tables import EncodedTables, sweep_encoded
from forekey.features.feature import CALENDAR, LABELS, Feature, Origin, Stat
from forekey.features.feature_kind import FeatureKind
from forekey.features.pair_feature import PairFeature
from forekey.features.pairs import PairFeatures, PairSpec, interactions_between
from forekey.features.spec import FeatureSpec, fit_features
from forekey.features.store import FeatureStore
from forekey.features.table_encoder import TableEncoder
from forekey.features.window_features import WindowFeatures, fit_windows
from forekey.features.window_spec import WindowSpec
from forekey.features.words import in_words, topic, value_of

__all__ = [
    "CALENDAR",
    "COLUMN_TYPES",
    "LABELS",
    "WIDTH",
    "ColumnEncoder",
    "Encoded",
    "EncodedTables",
    "Feature",
    "FeatureKind",
    "FeatureSpec",
    "FeatureStore",
    "Origin",
    "PairFeature",
    "PairFeatures",
    "PairSpec",
    "Stat",
    "TableEncoder",
    "WindowFeatures",
    "WindowSpec",
    "fit_features",
    "fit_windows",
    "in_words",
    "interactions_between",
    "robust_scale",
    "sweep_encoded",
    "topic",
    "value_of",
]
