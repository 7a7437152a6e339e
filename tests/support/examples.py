"""How many examples a property test draws: few where every change is checked, many where somebody waits for it."""

from __future__ import annotations

import os

LONG = bool(os.environ.get("FOREKEY_LONG"))
"""Set by whoever has the time: the length that property tests deserve."""


def examples(thorough: int) -> int:
    """Return how many examples to draw of those that a thorough run would: a quarter where time is short."""
    return thorough if LONG else max(thorough // 4, 10)
