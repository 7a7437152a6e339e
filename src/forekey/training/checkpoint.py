"""A run that was cut off goes on where it was: what an epoch leaves behind, in one file, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forekey.files import whole
from forekey.nn import NotReadable, load_state, save_state


@dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps its state; ``path`` is named after everything that the run depends on, None keeps nothing."""

    path: Path | None = None

    def load(self) -> dict[str, Any] | None:
        """Return what :meth:`save` wrote last; None if there is nothing, or nothing that can be read."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            state: dict[str, Any] = load_state(self.path)
        except NotReadable:
            return None
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Write the state of the newest epoch in place of the one before."""
        if self.path is None:
            return
        with whole(self.path) as draft:
            save_state(draft, state)

    def clear(self) -> None:
        """Forget: the run came to its end."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


NOWHERE = Checkpoint()
"""Keeps nothing."""
