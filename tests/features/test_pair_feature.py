"""Every number that describes a pair has a name of its own and words for its values."""

from __future__ import annotations

import pytest

from forekey.features.feature import Origin
from forekey.features.pair_feature import PairFeature, PairStat

PLAYS = Origin("plays", None, 1)


def feature(stat: PairStat, rows: str = "plays") -> PairFeature:
    return PairFeature(PLAYS, stat, rows, 7.0)


def test_names_differ() -> None:
    assert len({feature(stat).name for stat in PairStat}) == len(PairStat)
    assert feature(PairStat.ITEM_TREND).name == "plays of the item, 7 days against 21 days"


@pytest.mark.parametrize("stat", PairStat)
@pytest.mark.parametrize("value", [None, 0.0, 1.0, 12.5, 12345.0])
def test_every_value_has_words(stat: PairStat, value: float | None) -> None:
    said = feature(stat).in_words(value)
    assert said
    assert "{" not in said
    assert "None" not in said


@pytest.mark.parametrize(
    ("stat", "value", "said"),
    [
        (PairStat.PAIR_ALL, 24.0, "24 plays of it so far"),
        (PairStat.PAIR_ONE, 0.0, "no plays of it in the last 7 days"),
        (PairStat.SINCE_PAIR, 9.0, "the last of its plays was 9 days ago"),
        (PairStat.SINCE_PAIR, None, "no plays of it yet"),
        (PairStat.RANK, 1.0, "it ranks 1 among the items so far, the newest first"),
        (PairStat.RANK, None, "not among the items so far"),
        (PairStat.SHARE_ALL, 0.02467, "2.47 % of the plays so far are of it"),
    ],
)
def test_values_in_words(stat: PairStat, value: float | None, said: str) -> None:
    assert feature(stat).in_words(value) == said


def test_braces_in_a_name_are_left_as_they_are() -> None:
    assert feature(PairStat.PAIR_ALL, "{one} plays").in_words(2.0) == "2 {one} plays of it so far"
