"""One thing that was inferred, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guess:
    """One thing that was inferred: ``what`` is its kind.

    That is primary_key, foreign_key, time_column, time_from, stype, reading (a column's type, and how its values are
    written), leak (a column that is set aside), or not_used for a declared foreign key.
    """

    table: str
    column: str
    what: str
    reason: str
    score: float | None = None
    """For a foreign key: the share of its values found in the key it refers to."""
    certainty: float = 0.9
    """How sure it is, from 0 to 1, by what it rests on (name and values, or values alone): not a probability."""


SURE, LIKELY = 0.9, 0.7
"""From where on a guess counts as sure, and as likely."""
