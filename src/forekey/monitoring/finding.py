"""What one monitor measured of one thing, and what that means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return 0 for ok, more for worse."""
        return list(State).index(self)

    @classmethod
    def worst(cls, states: list[State]) -> State:
        """Return the worst of some; ok of none."""
        return max(states, key=lambda s: s.rank, default=cls.OK)


@dataclass(frozen=True, slots=True)
class Finding:
    """One measurement of a ``monitor`` about a ``subject``, such as a column or a task.

    ``value`` beyond ``limit`` is a warning, beyond ``critical`` (None: never) more than that; both only if ``counts``:
    it is then more than chance. ``what`` says in words what moved and by how much, ``since`` the moment (ISO 8601, UTC)
    from which the data show it, ``todo`` what to do, and ``tasks`` whose predictions it touches.
    """

    monitor: str
    subject: str
    value: float
    limit: float
    critical: float | None = None
    counts: bool = True
    what: str = ""
    since: str | None = None
    todo: str = ""
    tasks: tuple[str, ...] = ()

    def state(self, before: State = State.OK) -> State:
        """Return the state, given the one of the look ``before``.

        A state is left only once the value has come down to :data:`LEAVES` of the limit by which it was entered, so
        that what hovers around a limit does not come and go.
        """
        if self.critical is not None and self._beyond(self.critical, before is State.CRITICAL):
            return State.CRITICAL
        return State.WARNING if self._beyond(self.limit, before is not State.OK) else State.OK

    def _beyond(self, limit: float, entered: bool) -> bool:
        if entered:
            return self.value >= LEAVES * limit
        return self.counts and self.value >= limit


LEAVES = 0.8
"""The share of a limit down to which a value must come for its state to end."""
