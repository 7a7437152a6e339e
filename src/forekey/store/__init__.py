"""Embeddings and predictions at low latency: a key-value store, versions switched atomically, a log of predictions."""

from forekey.store.connect import open_store
from forekey.store.embeddings import EmbeddingStore, EmbeddingVersion, Record, new_version_name
from forekey.store.log import LogCounts, LoggedBatch, PredictionLog
from forekey.store.logged import LoggedPredictions, PredictionPage, Spread
from forekey.store.protocol import KeyValueStore
from forekey.store.request_counts import BUCKETS, RequestCounts, RouteCounts, read_requests, read_stages, read_tasks

__all__ = [
    "BUCKETS",
    "EmbeddingStore",
    "EmbeddingVersion",
    "KeyValueStore",
    "LogCounts",
    "LoggedBatch",
    "LoggedPredictions",
    "PredictionLog",
    "PredictionPage",
    "Record",
    "RequestCounts",
    "RouteCounts",
    "Spread",
    "new_version_name",
    "open_store",
    "read_requests",
    "read_stages",
    "read_tasks",
]
