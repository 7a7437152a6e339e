"""Web pages on which people see how a project does: read models in, HTML out; nothing is fetched from elsewhere."""

from forekey.console.app import create_app

__all__ = ["create_app"]
