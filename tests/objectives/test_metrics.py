"""Metrics by the table of the language; what is undefined is said to be."""

from __future__ import annotations

import numpy as np
import pytest

from forekey.objectives import (
    BinaryObjective,
    ForecastObjective,
    MulticlassObjective,
    MultilabelObjective,
    RankingObjective,
    RegressionObjective,
)


def test_binary_metrics_of_a_known_case() -> None:
    found = BinaryObjective().metrics(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8]))
    assert found["auroc"] == pytest.approx(0.75)
    assert found["accuracy"] == pytest.approx(0.75)
    assert found["f1"] == pytest.approx(2 / 3)


def test_one_class_only_has_no_auroc() -> None:
    found = BinaryObjective().metrics(np.zeros(5), np.full(5, 0.2))
    assert found["auroc"] is None
    assert found["auprc"] is None
    assert found["ece"] == pytest.approx(0.2)


def test_regression_metrics_of_a_known_case() -> None:
    found = RegressionObjective(spread=2.0).metrics(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]))
    assert found["mae"] == pytest.approx(2 / 3)
    assert found["nmae"] == pytest.approx(1 / 3)
    assert found["r2"] == pytest.approx(0.0)


def test_multiclass_metrics_count_a_class_that_training_never_saw_as_wrong() -> None:
    predicted = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    target = np.array(["a", "b", "new"], dtype=object)
    found = MulticlassObjective(("a", "b")).metrics(target, predicted)
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_no_examples_have_no_score() -> None:
    assert RegressionObjective().metrics(np.zeros(0), np.zeros(0)) == {"mae": None}


def test_the_first_metric_is_the_default() -> None:
    y, p = np.array([0.0, 1.0]), np.array([0.3, 0.6])
    for objective in (BinaryObjective(), RegressionObjective()):
        assert next(iter(objective.metrics(y, p))) == objective.metric


def test_better_knows_which_way_is_up() -> None:
    assert BinaryObjective.better(0.8, 0.7)
    assert RegressionObjective.better(1.0, 2.0)
    assert not RegressionObjective.better(None, 2.0)
    assert RegressionObjective.better(2.0, None)


def test_forecast_metrics_of_a_known_case() -> None:
    target, predicted = np.array([[1.0, 0.0], [3.0, 4.0]]), np.array([[2.0, 0.0], [3.0, 2.0]])
    found = ForecastObjective(frames=2).metrics(target, predicted)
    assert found["mae"] == pytest.approx(3 / 4)
    assert (found["mae_1"], found["mae_2"]) == (pytest.approx(0.5), pytest.approx(1.0))
    assert found["wape"] == pytest.approx(3 / 8)
    assert found["smape"] == pytest.approx((2 / 3 + 0 + 0 + 2 * 2 / 6) / 4)


def test_multilabel_metrics_pass_over_classes_that_tell_nothing() -> None:
    target = np.empty(3, object)
    target[:] = [("a",), ("a", "b"), ("a", "never seen in training")]
    predicted = np.array([[0.9, 0.2], [0.8, 0.7], [0.7, 0.1]])
    found = MultilabelObjective(("a", "b")).metrics(target, predicted)
    assert found["macro_auprc"] == found["macro_auroc"] == pytest.approx(1.0)  # by "b" alone: "a" is always there
    everyone = np.empty(2, object)
    everyone[:] = [("a", "b"), ("a", "b")]
    always = MultilabelObjective(("a", "b")).metrics(everyone, predicted[:2])
    assert always["macro_auprc"] is None


def test_ranking_metrics_of_a_known_case() -> None:
    target = np.empty(2, object)
    target[:] = [(7, 8, 9), (1,)]
    predicted = np.array([[7, 0, 9], [4, 1, -1]])
    found = RankingObjective().metrics(target, predicted)
    assert found["map"] == pytest.approx(((1 + 2 / 3) / 3 + 1 / 2) / 2)
    assert found["precision"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["mrr"] == pytest.approx((1 + 1 / 2) / 2)
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    assert found["ndcg"] == pytest.approx(((1 + 1 / 2) / ideal + 1 / np.log2(3)) / 2)


def test_no_list_can_find_more_than_k_items() -> None:
    target = np.empty(1, object)
    target[:] = [tuple(range(50))]
    assert RankingObjective().metrics(target, np.array([[3, 4]]))["map"] == 1.0
