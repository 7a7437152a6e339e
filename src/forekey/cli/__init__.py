"""The command line: parse arguments, call the pipeline, print."""

from forekey.cli.main import main

__all__ = ["main"]
