"""Anchor times and temporal splits: the past to learn from, the newest windows to be judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from forekey.errors import SplitError
from forekey.graph import Micros
from forekey.query import BoundQuery

_SHARE = 0.1
_MAX_ANCHORS = 10_000


@dataclass(frozen=True, slots=True)
class AnchorPlan:
    """The anchor times of each split, ascending; a label at ``t`` covers events in ``(t + start, t + end]``.

    ``dropped`` are anchors left out because their example would reach past the first anchor of the next split.
    """

    train: tuple[datetime, ...]
    val: tuple[datetime, ...]
    test: tuple[datetime, ...]
    dropped: tuple[datetime, ...] = ()

    @property
    def kept(self) -> tuple[datetime, ...]:
        """Return the anchors of all splits, ascending."""
        return self.train + self.val + self.test


def plan_anchors(
    bound: BoundQuery,
    oldest: datetime,
    as_of: datetime,
    max_anchors: int | None = None,
    step_days: float | None = None,
) -> AnchorPlan:
    """Step back from the newest complete window by the window's width (or ``step_days``), as far as there is history.

    A forecast steps by the width of one timeframe. The newest tenth of the anchors (at least one) is the test set, the
    tenth before it the validation set.
    """
    window = bound.target_window
    assert window is not None
    anchors: list[datetime] = []
    newest = anchor = bound.newest_anchor(as_of)
    limit = max_anchors or _MAX_ANCHORS
    while anchor > oldest and len(anchors) < limit:
        anchors.append(anchor)
        steps = len(anchors)
        anchor = (
            bound.previous_anchor(newest, steps) if step_days is None else newest - timedelta(days=steps * step_days)
        )
    anchors.reverse()
    if len(anchors) < 3:
        raise SplitError(
            f"Training, validation and test need at least 3 windows of {_width(bound)} "
            f"{window.unit} after the first event, but the data from {oldest:%Y-%m-%d} to {as_of:%Y-%m-%d} "
            f"has {len(anchors)}. "
            "Choose a shorter window, or wait for more data."
        )
    held_out = max(1, round(_SHARE * len(anchors)))
    test = anchors[-held_out:]
    kept_val = [a for a in anchors[:-held_out] if bound.complete_at(a) <= test[0]][-held_out:]
    kept_train = [a for a in anchors if kept_val and a < kept_val[0] and bound.complete_at(a) <= kept_val[0]]
    if not kept_val or not kept_train:
        raise SplitError(
            "The windows overlap so much that no training label ends before the validation set begins. "
            "Start the target's window at 0, forecast fewer timeframes, or wait for more data."
        )
    kept = {*kept_train, *kept_val, *test}
    dropped = [a for a in anchors if a not in kept]
    return AnchorPlan(tuple(kept_train), tuple(kept_val), tuple(test), tuple(dropped))


def _width(bound: BoundQuery) -> int:
    return bound.step.end - (bound.step.start or 0) if bound.step is not None else 0


def split_by_time(times: Micros, horizon_end: Callable[[int], int]) -> NDArray[np.str_]:
    """Assign ready-made labels to splits by their times: the newest tenth of distinct times is the test set.

    Labels that reach past the first time of the next split get an empty name: they belong to none.
    """
    distinct = np.unique(times)
    if len(distinct) < 3:
        raise SplitError(f"Labels need at least 3 distinct times to be split; there are {len(distinct)}.")
    held_out = max(1, round(_SHARE * len(distinct)))
    test_start, val_start = int(distinct[-held_out]), int(distinct[-2 * held_out])
    names = np.full(len(times), "", dtype="<U5")
    ends = np.array([horizon_end(int(t)) for t in distinct])[np.searchsorted(distinct, times)]
    names[times >= test_start] = "test"
    names[(times >= val_start) & (times < test_start) & (ends <= test_start)] = "val"
    names[(times < val_start) & (ends <= val_start)] = "train"
    return names
