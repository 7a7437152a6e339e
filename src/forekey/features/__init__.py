"""Columns to numbers: statistics fitted up to a time, and encoders that apply them."""

from forekey.features.aggregates import AggregatePlan, windowed_aggregates
from forekey.features.encode import Encoded, FeatureStore, encode_rows
from forekey.features.statistics import ColumnFeature, FeatureSpec, TableFeatures, fit_features

__all__ = [
    "AggregatePlan",
    "ColumnFeature",
    "Encoded",
    "FeatureSpec",
    "FeatureStore",
    "TableFeatures",
    "encode_rows",
    "fit_features",
    "windowed_aggregates",
]
