"""Embeddings and predictions at low latency: a key-value store, versions switched atomically, a log of predictions."""

from forekey.store.connect import open_store
from forekey.store.embeddings import EmbeddingStore, EmbeddingVersion, Record, new_version_name
from forekey.store.log import LoggedBatch, PredictionLog
from forekey.store.protocol import KeyValueStore

__all__ = [
    "EmbeddingStore",
    "EmbeddingVersion",
    "KeyValueStore",
    "LoggedBatch",
    "PredictionLog",
    "Record",
    "new_version_name",
    "open_store",
]
