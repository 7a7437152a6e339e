"""What a feature's value means, in words that a person who has not seen the code understands."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from forekey.features import (
    Feature,
    FeatureKind,
    Origin,
    Stat,
    WindowFeatures,
    WindowSpec,
    fit_windows,
    in_words,
    topic,
)
from forekey.graph import Seeds, Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.source import infer_schema
from forekey.testing import shop_tables
from tests.support.databases import source_of

NOTHING = WindowSpec("customers", 30.0, (), (), lagged_labels=False)
NAN = float("nan")


def orders(stat: Stat, column: str | None = None, **more: object) -> Feature:
    return Feature(FeatureKind.OWN_WINDOW, stat, Origin("orders", column, 1), "", "orders", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("feature", "value", "said"),
    [
        (orders(Stat.SINCE_NEWEST), 41.2, "no orders for 41 days"),
        (orders(Stat.SINCE_NEWEST), 0.3, "orders within the last day"),
        (orders(Stat.SINCE_NEWEST), NAN, "no orders yet"),
        (orders(Stat.SINCE_OLDEST), 800.0, "the first of orders is 2.2 years old"),
        (orders(Stat.SINCE_FIFTH), NAN, "fewer than 5 orders"),
        (orders(Stat.ROWS, window=30.0), 0.0, "no orders in the last 30 days"),
        (orders(Stat.ROWS, window=30.0), 1.0, "1 order in the last 30 days"),
        (orders(Stat.ROWS), 1234.0, "1,234 orders so far"),
        (orders(Stat.ROWS_LAST_YEAR), 2.0, "2 orders in the same season a year ago"),
        (orders(Stat.SUM, "amount", window=90.0), 120.5, "amount of orders in the last 90 days adds up to 120.5"),
        (orders(Stat.MEAN, "amount", window=90.0), 12.345678, "mean amount of the orders in the last 90 days is 12.35"),
        (orders(Stat.MEAN, "amount", window=90.0), NAN, "no amount known of orders in the last 90 days"),
        (orders(Stat.MEAN, "channel", value="web"), 0.41, "41 % of the orders so far with channel web"),
        (orders(Stat.FADING_MEAN, "amount", half_life=2.0), 3.0, "mean amount of the newest orders is 3"),
        (orders(Stat.GREATEST, "amount", nth=5), 9.0, "greatest amount of the newest 5 orders is 9"),
        (orders(Stat.NEWEST, "year"), 2024.0, "year of the newest of orders is 2024"),
        (orders(Stat.NEWEST, "amount"), 20240.0, "amount of the newest of orders is 20,240"),
    ],
)
def test_rows_and_amounts(feature: Feature, value: float, said: str) -> None:
    assert in_words(feature, value, NOTHING) == said


def test_lagged_labels_and_the_calendar() -> None:
    lagged = Feature(FeatureKind.LAGGED_LABEL, Stat.LABEL, Origin("earlier labels"), nth=1)
    assert in_words(lagged, 1.0, NOTHING) == "the outcome of the last window was 1"
    assert in_words(lagged, NAN, NOTHING) == "no earlier outcome known"
    season = Feature(FeatureKind.CALENDAR, Stat.SINE_OF_YEAR, Origin("calendar"))
    assert in_words(season, 0.5, NOTHING) == "the time of the year"
    everyone = Feature(FeatureKind.POPULATION, Stat.ALL_ROWS_LAST_YEAR, Origin("orders"), window=30.0)
    assert in_words(everyone, 5000.0, NOTHING) == "5,000 orders of everyone in the same 30 days a year ago"


def test_a_table_whose_rows_belong_to_another_row_names_it() -> None:
    of_store = Feature(
        FeatureKind.PARENT_WINDOW, Stat.ROWS, Origin("visits", None, 2, ("stores",)), "stores: ", "visits", window=7.0
    )
    assert in_words(of_store, 3.0, NOTHING) == "stores: 3 visits in the last 7 days"


def test_every_feature_of_a_shop_has_words_and_columns_their_values(tmp_path_factory: pytest.TempPathFactory) -> None:
    source = source_of(shop_tables(40, 200))
    shop: Snapshot = build_snapshot(source, infer_schema(source).schema, SnapshotStore(tmp_path_factory.mktemp("shop")))
    spec = fit_windows(shop, "customers", to_micros(datetime(2024, 5, 1)), 30.0)
    features = WindowFeatures(shop, spec)
    found = features.compute(Seeds.at("customers", np.arange(40), to_micros(datetime(2024, 6, 1))))
    words = [[in_words(f, v, spec) for f, v in zip(features.features, row, strict=True)] for row in found.tolist()]
    assert all(text and "nan" not in text and "{" not in text for row in words for text in row)
    region = next(i for i, f in enumerate(features.features) if f.name == "region")
    regions = set(shop.rows("customers").column("region").to_pylist())
    assert {row[region] for row in words} <= {f"region is {r}" for r in regions} | {"region is missing"}
    assert len({topic(f) for f in features.features}) < len(features.features)
