"""Rankings: the best items first, the same however they are computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forekey import pipeline
from forekey.graph import Seeds, to_micros
from forekey.inference import Pairs, RankBlend, Ranker
from forekey.workspace import Workspace
from tests.support.models import champion_of


def test_the_best_come_first_and_equals_by_their_row() -> None:
    ptr = np.array([0, 4, 4, 6])
    items = np.array([3, 5, 7, 9, 2, 8], np.int32)
    pairs = Pairs(ptr, items, np.zeros(6), np.zeros((6, 0), np.float32))
    ranked, scores = pairs.best(np.array([1.0, 4.0, 1.0, 2.0, 0.5, 0.7]), 3)
    assert ranked.tolist() == [[5, 9, 3], [-1, -1, -1], [8, 2, -1]]
    assert scores[0].tolist() == [4.0, 2.0, 1.0]
    assert np.isnan(scores[1]).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_sampled_layerwise_and_stored_rankings_agree(trained_project: Workspace, tmp_path: Path, share: float) -> None:
    ranker = champion_of(trained_project, "baskets")
    assert isinstance(ranker, Ranker)
    blend = ranker.blend
    ranker.blend = RankBlend(share, blend.trees, blend.tower_scale, blend.tree_scale)
    now = to_micros(trained_project.snapshots.current().as_of)
    everyone, vectors = ranker.predict_all(now, tmp_path)
    rows = np.arange(len(everyone), dtype=np.int32)
    sampled, own = ranker.predict(Seeds.at(ranker.entity, rows, now))
    np.testing.assert_allclose(own, vectors, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(sampled.scores, everyone.scores, atol=1e-3, rtol=1e-4)
    assert (sampled.items == everyone.items).mean() > 0.99  # scores that are nearly equal may change places


def test_a_ranking_does_not_depend_on_who_else_is_asked_about(trained_project: Workspace) -> None:
    ranker = champion_of(trained_project, "baskets")
    now = to_micros(trained_project.snapshots.current().as_of)
    rows = np.arange(50, dtype=np.int32)
    together, _ = ranker.predict(Seeds.at(ranker.entity, rows, now))
    alone = [ranker.predict(Seeds.at(ranker.entity, rows[i : i + 1], now))[0] for i in range(50)]
    np.testing.assert_allclose(together.scores, np.concatenate([one.scores for one in alone]), atol=1e-4)
    np.testing.assert_array_equal(together.items, np.concatenate([one.items for one in alone]))


def test_an_export_names_items_by_their_keys(trained_project: Workspace) -> None:
    told = pipeline.predict(trained_project, "baskets").table()
    known = set(trained_project.snapshots.current().keys("products").to_pylist())
    for row in told.slice(0, 20).to_pylist():
        assert len(row["prediction"]) == len(set(row["prediction"])) == len(row["scores"]) == 5
        assert set(row["prediction"]) <= known
        assert row["scores"] == sorted(row["scores"], reverse=True)
