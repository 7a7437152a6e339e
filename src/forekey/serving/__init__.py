"""HTTP: stored and online predictions, embeddings, neighbours, status."""

from forekey.serving.app import create_app
from forekey.serving.run import listen, serve

__all__ = ["create_app", "listen", "serve"]
