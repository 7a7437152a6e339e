"""Which window features are computed for an entity: a value chosen once from training data, saved with the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from forekey.features.columns import SCALAR_TYPES, Measure, ScalarEncoder
from forekey.features.feature import CALENDAR, LABELS, Feature, Origin, Stat
from forekey.features.feature_kind import FeatureKind
from forekey.schema import EdgeType, Stype
from forekey.task import LAGS

EXTREMES = 5
"""Among how many of the newest rows the least and the greatest value are looked for."""
_CALENDAR = (Stat.SINE_OF_YEAR, Stat.COSINE_OF_YEAR, Stat.SINE_OF_WEEK, Stat.COSINE_OF_WEEK, Stat.STALENESS)
_SEASONS = (Stat.ALL_ROWS, Stat.ALL_ROWS_LAST_YEAR, Stat.ALL_ROWS_TWO_YEARS_AGO)
_RECENCY = (Stat.SINCE_NEWEST, Stat.SINCE_FIFTH, Stat.SINCE_OLDEST)


@dataclass(frozen=True, slots=True)
class ListFeatures:
    """Aggregates over the rows that one path reaches: over windows in days, and means that fade by ``half_lives``.

    ``timed`` rows have a moment from which they count; ``detailed`` adds sums, the newest value and the extremes.
    """

    path: tuple[EdgeType, ...]
    measures: tuple[Measure, ...]
    windows: tuple[float, ...]
    half_lives: tuple[float, ...]
    detailed: bool
    timed: bool = True

    @property
    def name(self) -> str:
        """Return the path as people read it."""
        return " of ".join(edge.child for edge in reversed(self.path))

    @property
    def additive(self) -> list[int]:
        """Return the positions of the measures of which sums and extremes mean something."""
        return [at for at, m in enumerate(self.measures) if SCALAR_TYPES[m.stype].additive]


@dataclass(frozen=True, slots=True)
class Focus:
    """Whose rows are looked at: the entity (no route), its parent along ``up``, or that of its newest row ``down``.

    ``columns`` are read off the row itself; ``lists`` are the ways down to rows that are aggregated by ``measures``.
    """

    down: EdgeType | None
    up: EdgeType | None
    table: str
    columns: tuple[ScalarEncoder, ...]
    lists: tuple[ListFeatures, ...]

    @property
    def name(self) -> str:
        """Return how feature names begin."""
        if self.up is None:
            return ""
        return f"{self.up.parent} of newest {self.down.child}: " if self.down is not None else f"{self.up.parent}: "

    @property
    def kinds(self) -> tuple[FeatureKind, FeatureKind]:
        """Return what kind its columns are, and its aggregates."""
        if self.up is None:
            return FeatureKind.OWN_COLUMN, FeatureKind.OWN_WINDOW
        if self.down is None:
            return FeatureKind.PARENT_COLUMN, FeatureKind.PARENT_WINDOW
        return FeatureKind.NEWEST_COLUMN, FeatureKind.NEWEST_WINDOW

    @property
    def hop(self) -> int:
        """Return how many foreign keys away from the entity the row is."""
        return (self.down is not None) + (self.up is not None)

    @property
    def through(self) -> tuple[str, ...]:
        """Return the tables on the way to the row."""
        return (self.down.child,) if self.down is not None else ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Features that are computed together; ``focus``, ``listed``, ``season`` say of what."""

    features: tuple[Feature, ...]
    focus: Focus | None = None
    listed: ListFeatures | None = None
    season: str | None = None


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Which numbers to compute, chosen from rows up to the cut-off of training.

    ``seasons`` are tables whose rows are counted altogether; ``lagged_labels`` says whether earlier labels are used.
    ``kept`` are the positions of the features that are used, among all those of the pieces; None for all.
    """

    entity: str
    window_days: float
    foci: tuple[Focus, ...]
    seasons: tuple[str, ...]
    lagged_labels: bool
    kept: tuple[int, ...] | None = None

    def pieces(self, classes: Iterable[str | None]) -> list[Piece]:
        """Return all features in the order in which they are computed; ``classes`` are those of lagged labels."""
        return list(self._pieces(tuple(classes)))

    def features(self, classes: Iterable[str | None]) -> tuple[Feature, ...]:
        """Return the features that are used."""
        every = [f for piece in self._pieces(tuple(classes)) for f in piece.features]
        return tuple(every if self.kept is None else (every[i] for i in self.kept))

    def without(self, unused: set[Feature], classes: Iterable[str | None]) -> WindowSpec:
        """Return the spec without some features; what only they needed is not computed any more."""
        known = tuple(classes)
        used = set(self.features(known)) - unused
        slim = replace(
            self,
            foci=tuple(f for f in (_slim_focus(f, used) for f in self.foci) if f.columns or f.lists or f.up is None),
            seasons=tuple(s for s in self.seasons if used & set(_season(s, self.window_days))),
            lagged_labels=self.lagged_labels and bool(used & set(_labels(known))),
            kept=None,
        )
        every = slim.features(known)
        kept = tuple(i for i, f in enumerate(every) if f in used)
        return replace(slim, kept=kept if len(kept) < len(every) else None)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; :meth:`from_dict` reads it back to an equal spec."""
        foci = [{**asdict(f), "columns": [c.to_dict() for c in f.columns]} for f in self.foci]
        return {**asdict(self), "foci": foci}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> WindowSpec:
        """Read what :meth:`to_dict` wrote."""
        kept = tuple(data["kept"]) if data["kept"] is not None else None
        return cls(
            data["entity"],
            data["window_days"],
            tuple(_focus(f) for f in data["foci"]),
            tuple(data["seasons"]),
            data["lagged_labels"],
            kept,
        )

    def _pieces(self, classes: tuple[str | None, ...]) -> Iterator[Piece]:
        origin = Origin(CALENDAR)
        yield Piece(tuple(Feature(FeatureKind.CALENDAR, stat, origin) for stat in _CALENDAR))
        if self.lagged_labels:
            yield Piece(_labels(classes))
        for table in self.seasons:
            yield Piece(_season(table, self.window_days), season=table)
        for focus in self.foci:
            yield Piece(_columns(focus), focus)
            for listed in focus.lists:
                yield Piece(tuple(_list(focus, listed)), focus, listed)


def _labels(classes: tuple[str | None, ...]) -> tuple[Feature, ...]:
    def of(stat: Stat, value: str | None = None, nth: int | None = None) -> Feature:
        return Feature(FeatureKind.LAGGED_LABEL, stat, Origin(LABELS), value=value, nth=nth)

    lags = [of(Stat.LABEL, c, k + 1) for k in range(LAGS) for c in classes]
    rest = [of(stat, c) for stat in (Stat.LABEL_MEAN, Stat.LABEL_TREND) for c in classes]
    return (*lags, *rest, of(Stat.LABELS_KNOWN), of(Stat.SINCE_LABEL), of(Stat.SINCE_NONZERO_LABEL))


def _season(table: str, window: float) -> tuple[Feature, ...]:
    return tuple(Feature(FeatureKind.POPULATION, stat, Origin(table), window=window) for stat in _SEASONS)


def _columns(focus: Focus) -> tuple[Feature, ...]:
    def of(column: ScalarEncoder) -> Feature:
        origin = Origin(focus.table, column.name, focus.hop, focus.through)
        return Feature(focus.kinds[0], Stat.VALUE, origin, focus.name)

    return tuple(of(column) for column in focus.columns)


def _list(focus: Focus, listed: ListFeatures) -> Iterator[Feature]:
    reached = (*focus.through, focus.table) if focus.hop else ()
    through = (*reached, *(edge.child for edge in listed.path[:-1]))
    table, hop = listed.path[-1].child, focus.hop + len(listed.path)

    def of(stat: Stat, measure: Measure | None = None, **more: Any) -> Feature:
        column, value = (measure.column, measure.value) if measure is not None else (None, None)
        origin = Origin(table, column, hop, through)
        return Feature(focus.kinds[1], stat, origin, focus.name, listed.name, value, **more)

    spans = (*listed.windows, None)
    yield from (of(Stat.ROWS, window=w) for w in spans)
    if listed.timed:
        yield from (of(stat) for stat in (*_RECENCY, Stat.ROWS_LAST_YEAR))
    if not listed.measures:
        return
    yield from (of(Stat.MEAN, m, window=w) for m in listed.measures for w in spans)
    yield from (of(Stat.FADING_MEAN, m, half_life=h) for m in listed.measures for h in listed.half_lives)
    if listed.detailed:
        numbers = [listed.measures[at] for at in listed.additive]
        yield from (of(Stat.SUM, m, window=w) for m in numbers for w in listed.windows)
        if listed.half_lives:
            ends = ((Stat.NEWEST, None), (Stat.LEAST, EXTREMES), (Stat.GREATEST, EXTREMES))
            yield from (of(stat, m, nth=nth) for m in numbers for stat, nth in ends)


def _slim_focus(focus: Focus, used: set[Feature]) -> Focus:
    """Return a focus without columns, lists and measures of which no feature is used."""
    columns = tuple(c for c, f in zip(focus.columns, _columns(focus), strict=True) if f in used)
    lists = []
    for listed in focus.lists:
        features = [f for f in _list(focus, listed) if f in used]
        about = {(f.origin.column, f.value) for f in features}
        if features:
            lists.append(replace(listed, measures=tuple(m for m in listed.measures if (m.column, m.value) in about)))
    return replace(focus, columns=columns, lists=tuple(lists))


def _focus(data: dict[str, Any]) -> Focus:
    down, up = (EdgeType(**data[way]) if data[way] is not None else None for way in ("down", "up"))
    columns = tuple(SCALAR_TYPES[Stype(c["type"])].from_dict(c) for c in data["columns"])
    return Focus(down, up, data["table"], columns, tuple(_list_features(entry) for entry in data["lists"]))


def _list_features(data: dict[str, Any]) -> ListFeatures:
    return ListFeatures(
        tuple(EdgeType(**e) for e in data["path"]),
        tuple(Measure(m["column"], Stype(m["stype"]), m["value"]) for m in data["measures"]),
        tuple(data["windows"]),
        tuple(data["half_lives"]),
        data["detailed"],
        data["timed"],
    )
