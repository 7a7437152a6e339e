"""A number that describes a pair of an entity and an item as a typed value: names and words are printed from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from forekey.features.feature import Feature, Origin
from forekey.features.formats import number, span_of


class PairStat(StrEnum):
    """What is computed from the rows that join entities and items; the text is the feature's name.

    ``rows`` are the rows that join them, ``one`` a window of the task, ``three`` three of them.
    """

    PAIR_ONE = "{rows} of the pair, {one}"
    PAIR_THREE = "{rows} of the pair, {three}"
    PAIR_ALL = "{rows} of the pair, all time"
    PAIR_LAST_YEAR = "{rows} of the pair, {one}, a year ago"
    SINCE_PAIR = "days since the pair's last of {rows}"
    RANK = "rank of the item among the entity's last of {rows}"
    ITEM_ALL = "{rows} of the item, all time"
    ITEM_ONE = "{rows} of the item, {one}"
    ITEM_THREE = "{rows} of the item, {three}"
    ITEM_LAST_YEAR = "{rows} of the item, {one}, a year ago"
    ITEM_TWO_YEARS_AGO = "{rows} of the item, {one}, two years ago"
    SINCE_ITEM = "days since the item's last of {rows}"
    ENTITY_ALL = "{rows} of the entity, all time"
    ENTITY_ONE = "{rows} of the entity, {one}"
    DIFFERENT = "different items in {rows} of the entity"
    SINCE_ENTITY = "days since the entity's last of {rows}"
    SHARE_ONE = "share of the pair in {rows} of the entity, {one}"
    SHARE_ALL = "share of the pair in {rows} of the entity, all time"
    ITEM_SHARE = "share of the item in {rows}, {one}"
    ITEM_TREND = "{rows} of the item, {one} against {three}"
    WALKS = "share of short walks by way of others that end here"


BETWEEN = tuple(stat for stat in PairStat if stat is not PairStat.WALKS)
"""What is computed for each table that joins the two, in this order; walks go along the first one alone."""

_WORDS = {
    PairStat.PAIR_ONE: "{count} {rows} of it in the last {one}",
    PairStat.PAIR_THREE: "{count} {rows} of it in the last {three}",
    PairStat.PAIR_ALL: "{count} {rows} of it so far",
    PairStat.PAIR_LAST_YEAR: "{count} {rows} of it in the same season a year ago",
    PairStat.SINCE_PAIR: "the last of its {rows} was {span} ago",
    PairStat.RANK: "it ranks {count} among the items so far, the newest first",
    PairStat.ITEM_ALL: "{count} {rows} of it by everyone so far",
    PairStat.ITEM_ONE: "{count} {rows} of it by everyone in the last {one}",
    PairStat.ITEM_THREE: "{count} {rows} of it by everyone in the last {three}",
    PairStat.ITEM_LAST_YEAR: "{count} {rows} of it by everyone in the same season a year ago",
    PairStat.ITEM_TWO_YEARS_AGO: "{count} {rows} of it by everyone in the same season two years ago",
    PairStat.SINCE_ITEM: "anyone's last of its {rows} was {span} ago",
    PairStat.ENTITY_ALL: "{count} {rows} of any item so far",
    PairStat.ENTITY_ONE: "{count} {rows} of any item in the last {one}",
    PairStat.DIFFERENT: "{count} different items so far",
    PairStat.SINCE_ENTITY: "the last of all {rows} was {span} ago",
    PairStat.SHARE_ONE: "{percent} of the {rows} in the last {one} are of it",
    PairStat.SHARE_ALL: "{percent} of the {rows} so far are of it",
    PairStat.ITEM_SHARE: "{percent} of everyone's {rows} in the last {one} are of it",
    PairStat.ITEM_TREND: "everyone's {rows} of it in the last {one} are {count} times the usual of {three}",
    PairStat.WALKS: "those with the same items had it: {percent} of short walks end there",
}
_MISSING = {
    PairStat.PAIR_LAST_YEAR: "the same season a year ago is not known",
    PairStat.SINCE_PAIR: "no {rows} of it yet",
    PairStat.RANK: "not among the items so far",
    PairStat.SINCE_ITEM: "no {rows} of it by anyone yet",
    PairStat.SINCE_ENTITY: "no {rows} yet",
    PairStat.SHARE_ONE: "no {rows} in the last {one}",
    PairStat.SHARE_ALL: "no {rows} yet",
}


@dataclass(frozen=True, slots=True)
class PairFeature:
    """One number of a pair: a ``stat`` of the rows that join both, or a window feature of the item itself.

    ``rows`` is how these rows are called, ``window_days`` the window of the task.
    """

    origin: Origin
    stat: PairStat | None = None
    rows: str = ""
    window_days: float = 0.0
    item: Feature | None = None

    @property
    def name(self) -> str:
        """Return the feature as reports print it."""
        if self.stat is None:
            assert self.item is not None
            return f"item: {self.item.name}"
        return self._filled(str(self.stat.value))

    def in_words(self, value: float | None) -> str:
        """Say what a value means for the item, in one short clause; None is a missing one."""
        if self.stat is None:
            return f"{self.name}: {'not known' if value is None else number(value)}"
        if value is None:
            return self._filled(_MISSING.get(self.stat, "not known: " + self.stat.value))
        gaps = {
            "count": "no" if value == 0 else number(value),
            "span": span_of(value),
            "percent": f"{100 * value:.3g} %",
        }
        return self._filled(_WORDS[self.stat], **gaps)

    def _filled(self, text: str, **gaps: str) -> str:
        one, three = (f"{n * self.window_days:g} days" for n in (1, 3))
        return text.format(rows=self.rows, one=one, three=three, **gaps)
