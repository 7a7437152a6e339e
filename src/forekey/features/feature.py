"""A window feature as a typed value: where its rows lie and what is computed of them. Names are printed from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from forekey.features.feature_kind import FeatureKind

CALENDAR, LABELS = "calendar", "earlier labels"


class Stat(StrEnum):
    """What is computed; the text is a part of the feature's name."""

    SINE_OF_YEAR = "sine of the year"
    COSINE_OF_YEAR = "cosine of the year"
    SINE_OF_WEEK = "sine of the week"
    COSINE_OF_WEEK = "cosine of the week"
    STALENESS = "days since anything was seen"
    LABEL = "label {nth} before"
    LABEL_MEAN = "mean of the last labels"
    LABEL_TREND = "newest label above that mean"
    LABELS_KNOWN = "labels known"
    SINCE_LABEL = "days since a label"
    SINCE_NONZERO_LABEL = "days since a label that is not 0"
    ALL_ROWS = "all {table}, {window}"
    ALL_ROWS_LAST_YEAR = "all {table}, {window}, a year ago"
    ALL_ROWS_TWO_YEARS_AGO = "all {table}, {window}, two years ago"
    VALUE = "{column}"
    ROWS = "rows, {window}"
    ROWS_LAST_YEAR = "rows, same season a year ago"
    SINCE_NEWEST = "days since the newest row"
    SINCE_FIFTH = "days since the fifth newest row"
    SINCE_OLDEST = "days since the oldest row"
    MEAN = "mean {column}, {window}"
    FADING_MEAN = "{column}, newest {half_life} or so"
    SUM = "sum {column}, {window}"
    NEWEST = "newest {column}"
    LEAST = "least of {nth} {column}"
    GREATEST = "greatest of {nth} {column}"


@dataclass(frozen=True, slots=True)
class Origin:
    """A table (or :data:`CALENDAR`, :data:`LABELS`), a column of it (None: how many rows, and when), and the hop.

    Hop 0 is the entity itself; None is no part of its surroundings. ``through`` are the tables on the way.
    """

    table: str
    column: str | None = None
    hop: int | None = None
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feature:
    """One number that describes an entity at a time.

    ``focus`` is whose rows are looked at, as people read it (empty: the entity's own), ``path`` the way from there down
    to the rows. ``value`` is the category that is counted, or the class of a lagged label; ``window`` is in days, None
    for all time; ``half_life`` is in rows.
    """

    kind: FeatureKind
    stat: Stat
    origin: Origin
    focus: str = ""
    path: str = ""
    value: str | None = None
    window: float | None = None
    half_life: float | None = None
    nth: int | None = None

    @property
    def name(self) -> str:
        """Return the feature as reports print it; unique among those of one entity."""
        own = self.origin.column or ""
        column = own if self.value is None else f"{own} = {self.value}"
        window = "all time" if self.window is None else f"{self.window:g} days"
        half_life = f"{self.half_life:g}" if self.half_life is not None else ""
        text = _filled(self.stat, column, window, half_life, self)
        if self.kind is FeatureKind.LAGGED_LABEL and self.value is not None:
            text = f"{text} = {self.value}"
        return self.focus + (f"{self.path}: " if self.path else "") + text


def _filled(stat: Stat, column: str, window: str, half_life: str, feature: Feature) -> str:
    """Fill the gaps of a name; what fills them may hold braces itself."""
    gaps = {"column": column, "window": window, "half_life": half_life, "table": feature.origin.table}
    return str(stat.value).format(nth=feature.nth, **gaps)
