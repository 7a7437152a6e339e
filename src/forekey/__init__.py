"""Forekey: from a relational database to graph-neural-network predictions in production."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING

# Threads of OpenMP (torch, LightGBM) that wait in a loop for each other stop all work where another process has a core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A library leaves it to the program what becomes of its messages.
logging.getLogger("forekey").addHandler(logging.NullHandler())

__version__ = "0.1.0"

if TYPE_CHECKING:
    from forekey.api import Model, Project, Task, ask, init, open
    from forekey.errors import ForekeyError

__all__ = ["ForekeyError", "Model", "Project", "Task", "__version__", "ask", "init", "open"]

_HOMES = {"ForekeyError": "forekey.errors"}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used, so that ``import forekey`` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'forekey' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "forekey.api")), name)


def __dir__() -> list[str]:
    """List the public names, whether they were loaded or not."""
    return sorted(__all__)
