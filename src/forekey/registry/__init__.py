"""Model versions as plain folders with their lineage; one of them per task is the champion."""

from forekey.registry.manifest import FORMAT, ModelManifest
from forekey.registry.registry import ModelVersion, Registry

__all__ = ["FORMAT", "ModelManifest", "ModelVersion", "Registry"]
