"""Window features in words that a person reads: "no orders for 41 days" instead of a column's name and a number."""

from __future__ import annotations

import math

from forekey.features.columns import ScalarEncoder
from forekey.features.feature import Feature, Stat
from forekey.features.feature_kind import COLUMNS, FeatureKind
from forekey.features.formats import content, number, span_of
from forekey.features.window_spec import WindowSpec
from forekey.source import one_of

_CALENDAR = {
    Stat.SINE_OF_YEAR: "the time of the year",
    Stat.COSINE_OF_YEAR: "the time of the year",
    Stat.SINE_OF_WEEK: "the day of the week",
    Stat.COSINE_OF_WEEK: "the day of the week",
}
_ALL = {
    Stat.ALL_ROWS: "the last {}",
    Stat.ALL_ROWS_LAST_YEAR: "the same {} a year ago",
    Stat.ALL_ROWS_TWO_YEARS_AGO: "the same {} two years ago",
}
_NTH = {1: "of the last window", 2: "of the window before the last", 3: "three windows before"}


def topic(feature: Feature) -> tuple[str, ...]:
    """Return what a feature is about: features of one topic are one reason, named after the strongest of them."""
    origin = feature.origin
    if origin.column is None and not feature.path:
        return (origin.table, "week" if feature.stat in (Stat.SINE_OF_WEEK, Stat.COSINE_OF_WEEK) else "")
    return (feature.focus, feature.path, origin.table, origin.column or "", feature.value or "")


def value_of(feature: Feature, value: float, spec: WindowSpec) -> float | str | None:
    """Return the value of a feature as JSON has it: a category by its name, None where it is missing."""
    if not math.isfinite(value):
        return None
    if feature.kind in COLUMNS:
        return _encoder(feature, spec).meaning(float(value))
    return float(value)


def in_words(feature: Feature, value: float, spec: WindowSpec) -> str:
    """Say what a feature's value means, in one short clause."""
    meaning = value_of(feature, value, spec)
    return feature.focus + (_column(feature, meaning, spec) if feature.kind in COLUMNS else _clause(feature, meaning))


def _column(feature: Feature, meaning: float | str | None, spec: WindowSpec) -> str:
    if meaning is None:
        return f"{feature.origin.column} is missing"
    return f"{feature.origin.column} {_encoder(feature, spec).in_words(meaning)}"


def _encoder(feature: Feature, spec: WindowSpec) -> ScalarEncoder:
    """Return the encoder of the column that a feature is."""
    focus = next(f for f in spec.foci if (f.name, f.table) == (feature.focus, feature.origin.table))
    return next(c for c in focus.columns if c.name == feature.origin.column)


def _clause(feature: Feature, meaning: float | str | None) -> str:
    value = None if isinstance(meaning, str) else meaning
    rows = feature.path or feature.origin.table
    match feature.kind:
        case FeatureKind.CALENDAR:
            return _CALENDAR.get(feature.stat) or f"the newest data are {span_of(value or 0.0)} old"
        case FeatureKind.LAGGED_LABEL:
            return _label(feature, value)
        case FeatureKind.POPULATION:
            return f"{_counted(value, rows)} of everyone in {_ALL[feature.stat].format(span_of(feature.window or 0.0))}"
    if feature.origin.column is not None:
        return _measured(feature, value, rows, feature.origin.column)
    match feature.stat:
        case Stat.ROWS:
            return f"{_counted(value, rows)} {_within(feature)}"
        case Stat.ROWS_LAST_YEAR:
            return f"{_counted(value, rows)} in the same season a year ago"
        case Stat.SINCE_FIFTH:
            return f"fewer than 5 {rows}" if value is None else f"the fifth newest of {rows} is {span_of(value)} old"
        case Stat.SINCE_OLDEST:
            return f"no {rows} yet" if value is None else f"the first of {rows} is {span_of(value)} old"
    if value is None:
        return f"no {rows} yet"
    return f"no {rows} for {span_of(value)}" if value >= 1 else f"{rows} within the last day"


def _measured(feature: Feature, value: float | None, rows: str, column: str) -> str:
    when = f"newest {rows}" if feature.half_life is not None else f"{rows} {_within(feature)}"
    if feature.value is not None:
        share = "unknown share" if value is None else f"{100 * value:.0f} %"
        return f"{share} of the {when} with {column} {feature.value}"
    if value is None:
        return f"no {column} known of {when}"
    match feature.stat:
        case Stat.SUM:
            return f"{column} of {when} adds up to {number(value)}"
        case Stat.NEWEST:
            return f"{column} of the newest of {rows} is {content(value)}"
        case Stat.LEAST | Stat.GREATEST:
            which = "least" if feature.stat is Stat.LEAST else "greatest"
            return f"{which} {column} of the newest {feature.nth} {rows} is {content(value)}"
        case _:
            return f"mean {column} of the {when} is {content(value)}"


def _label(feature: Feature, value: float | None) -> str:
    of = f" for {feature.value}" if feature.value is not None else ""
    if value is None:
        return f"no earlier outcome{of} known"
    match feature.stat:
        case Stat.LABEL:
            return f"the outcome{of} {_NTH.get(feature.nth or 0, 'before')} was {number(value)}"
        case Stat.LABEL_MEAN:
            return f"the outcomes{of} of the last windows were {number(value)} on average"
        case Stat.LABEL_TREND:
            side = "above" if value >= 0 else "below"
            return f"the outcome{of} of the last window was {number(abs(value))} {side} the average of the last ones"
        case Stat.LABELS_KNOWN:
            return f"{_counted(value, 'earlier outcomes')} known"
        case Stat.SINCE_LABEL:
            return f"last outcome known for {span_of(value)}"
        case _:
            return f"last outcome other than 0 known for {span_of(value)}"


def _within(feature: Feature) -> str:
    return "so far" if feature.window is None else f"in the last {span_of(feature.window)}"


def _counted(value: float | None, rows: str) -> str:
    if value is None:
        return f"unknown number of {rows}"
    first, _, rest = rows.partition(" of ")
    one = f"{one_of(first)} of {rest}" if rest else one_of(first)
    return f"no {rows}" if value == 0 else f"1 {one}" if value == 1 else f"{number(value)} {rows}"
