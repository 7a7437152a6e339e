"""What kinds of window features there are: typed, since tables and columns may be named like anything."""

from __future__ import annotations

from enum import StrEnum


class FeatureKind(StrEnum):
    """What a window feature is computed from; its name is for people to read, and nothing is read from it."""

    CALENDAR = "calendar"
    LAGGED_LABEL = "lagged label"
    POPULATION = "population"
    """Counts of all rows of a table, whoever's."""
    OWN_COLUMN = "own column"
    OWN_WINDOW = "own window"
    PARENT_COLUMN = "parent column"
    PARENT_WINDOW = "parent window"
    NEWEST_COLUMN = "newest column"
    """A column of a row that the entity's newest row refers to."""
    NEWEST_WINDOW = "newest window"


COLUMNS = frozenset({FeatureKind.OWN_COLUMN, FeatureKind.PARENT_COLUMN, FeatureKind.NEWEST_COLUMN})
