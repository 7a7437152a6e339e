"""The last stage: trees beside the network, how much each counts, calibration, and learning from validation at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from forekey import pipeline
from forekey.inference import Blend, Trees
from forekey.nn import Calibration
from forekey.objectives import BinaryObjective, Bootstrap, MultilabelObjective, RegressionObjective
from forekey.objectives.binary import weighted_auroc
from forekey.objectives.multilabel import macro_auprc
from forekey.training.choose_blend import Validation, choose_blend, choose_calibration
from forekey.training.evaluate import joined
from forekey.training.trees import Growing, TreeData, TreePlan, fit_trees, refit
from forekey.workspace import Workspace

PLAN = TreePlan(candidates=("careful", "random"), boosters=2, rounds=60, patience=10)
BINARY, REGRESSION = BinaryObjective(), RegressionObjective()


def examples(n: int, seed: int) -> TreeData:
    random = np.random.default_rng(seed)
    history = random.normal(size=(n, 5)).astype(np.float32)
    history[random.random((n, 5)) < 0.1] = np.nan
    logit = 2 * np.nan_to_num(history[:, 0]) - np.nan_to_num(history[:, 1])
    return TreeData(history, (random.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float64))


def test_trees_learn_stop_in_time_and_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    train, val = examples(600, 0), examples(200, 1)
    grown = fit_trees(BINARY, train, val, PLAN, 0, Growing(1))
    assert grown is not None
    raw = grown.trees.raw(val.window_features)
    assert raw.shape == (200, 1)
    assert weighted_auroc(val.target, raw[:, 0])(np.ones(200, np.int64)) > 0.75
    grown.trees.save(tmp_path)
    assert Trees.load(tmp_path, [len(g) for g in grown.trees.texts]).raw(val.window_features).tolist() == raw.tolist()
    assert grown.trees.raw(val.window_features[:0]).shape[0] == 0
    assert int(np.argmax(grown.trees.importance())) == 0
    [(name, rounds)] = grown.recipes
    assert name in PLAN.candidates
    assert all(1 <= r <= PLAN.rounds for r in rounds)


def test_trees_grown_again_take_the_same_setting_and_rounds_and_know_the_new_examples() -> None:
    train, val = examples(300, 0), examples(300, 1)
    grown = fit_trees(BINARY, train, val, PLAN, 0, Growing(1))
    assert grown is not None
    again = refit(grown, BINARY, train.plus(val), PLAN, 0, Growing(1))
    assert [len(g) for g in again.texts] == [len(g) for g in grown.trees.texts]
    known = [BINARY.mean_loss(t.raw(val.window_features), val.target) for t in (grown.trees, again)]
    assert known[1] < known[0]
    assert refit(grown, BINARY, train.plus(val), PLAN, 0, Growing(1)) == again


def test_where_there_is_nothing_to_learn_there_are_no_trees() -> None:
    train = examples(100, 0)
    assert fit_trees(BINARY, TreeData(train.window_features, np.ones(100)), train, PLAN, 0, Growing(1)) is None
    many = TreeData(train.window_features, np.zeros((100, 30)))
    assert fit_trees(MultilabelObjective(tuple(map(str, range(30)))), many, many, PLAN, 0, Growing(1)) is None


def test_the_blend_takes_what_is_good_and_leaves_what_is_noise() -> None:
    train, val = examples(600, 0), examples(400, 1)
    grown = fit_trees(BINARY, train, val, PLAN, 0, Growing(1))
    assert grown is not None
    noise = np.random.default_rng(2).normal(size=(400, 1))
    chosen = choose_blend(Validation(BINARY, noise, val.window_features, val.target), grown.trees)
    assert chosen.weight <= 0.2
    truth = (4 * val.target - 2)[:, None]
    assert choose_blend(Validation(BINARY, truth, val.window_features, val.target), grown.trees).weight >= 0.9
    assert choose_blend(Validation(BINARY, truth, val.window_features, val.target), None).trees is None


@pytest.mark.parametrize("size", [300, 4000])
def test_calibration_mends_logits_that_promise_too_much(size: int) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(size, 1))
    target = (random.random(size) < 1 / (1 + np.exp(-logits[:, 0]))).astype(np.float64)
    bold = 4 * logits + 1
    calibration = choose_calibration(BINARY, bold, target)
    found = Blend(calibration=calibration)
    assert BINARY.mean_loss(found.calibrated(bold), target) < BINARY.mean_loss(bold, target) - 0.1
    order = np.argsort(bold[:, 0])
    assert (np.diff(found.calibrated(bold)[order, 0]) >= -1e-9).all()
    again = Blend.from_state(found.state_dict(), None)
    assert again.calibrated(bold).tobytes() == found.calibrated(bold).tobytes()


def test_numbers_are_not_calibrated() -> None:
    raw = np.linspace(-3, 3, 100)[:, None]
    found = choose_calibration(REGRESSION, raw, np.arange(100.0))
    assert Blend(calibration=found).outputs(raw, None, REGRESSION).tobytes() == raw.tobytes()


def test_an_isotonic_calibration_is_linear_between_its_knots_and_constant_beyond() -> None:
    knots = [(-1.0, -2.0), (0.5, 0.0), (2.0, 3.0)]
    raw = np.array([[-9.0], [-1.0], [0.0], [0.5], [1.25], [2.0], [7.0]])
    found = Blend(calibration=Calibration(2.0, 0.5, knots)).calibrated(raw)
    np.testing.assert_allclose(found[:, 0], np.interp(2.0 * raw[:, 0] + 0.5, *zip(*knots, strict=True)), rtol=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=12))
def test_weighted_auroc_counts_pairs(rows: list[tuple[bool, int, int]]) -> None:
    target, score, weight = (np.array(c) for c in zip(*rows, strict=True))
    pairs = [
        (w1 * w0, 1.0 if s1 > s0 else 0.5 if s1 == s0 else 0.0)
        for t1, s1, w1 in rows
        for t0, s0, w0 in rows
        if t1 and not t0
    ]
    total = sum(w for w, _ in pairs)
    found = weighted_auroc(target.astype(float), score.astype(float))(weight)
    assert found == pytest.approx(sum(w * v for w, v in pairs) / total) if total else np.isnan(found)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=12))
def test_weighted_average_precision_is_that_of_scikit_learn(rows: list[tuple[bool, int, int]]) -> None:
    target, score, weight = (np.array(c) for c in zip(*rows, strict=True))
    found = macro_auprc(target.astype(float)[:, None], score.astype(float)[:, None])(weight)
    if (target * weight).sum() == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(average_precision_score(target, score, sample_weight=weight))


def test_an_interval_holds_the_score_and_narrows_with_more_entities() -> None:
    widths = []
    for entities in (30, 3000):
        random = np.random.default_rng(0)
        target = random.normal(size=entities)
        predicted = target + random.normal(size=entities)
        draws = Bootstrap(REGRESSION, np.arange(entities, dtype=np.int32), target)
        between = draws.interval(draws.scores(predicted))
        assert between is not None
        assert between[0] < np.abs(predicted - target).mean() < between[1]
        widths.append(between[1] - between[0])
    assert widths[1] < widths[0] / 4


def test_one_entity_gives_no_interval() -> None:
    draws = Bootstrap(REGRESSION, np.zeros(5, np.int32), np.arange(5.0))
    assert draws.interval(draws.scores(np.arange(5.0))) is None


def test_learning_from_validation_at_the_end_changes_the_model_and_not_what_validation_says(
    own_project: Workspace,
) -> None:
    from dataclasses import replace

    from forekey.training import train_task

    current = own_project.snapshots.current()
    task = pipeline.find_task(own_project, current.schema, "spend")
    with own_project.source() as source:
        runs = [
            train_task(task, current, source, own_project.registry, config, baselines=False)[0].manifest
            for config in (
                replace(pipeline.train_config("fast", 0), refit=again, max_epochs=2) for again in (False, True)
            )
        ]
    assert runs[0].metrics["val"] == runs[1].metrics["val"]
    assert runs[0].metrics["test"] != runs[1].metrics["test"]


def test_examples_put_together_keep_what_each_knew(shop_project: Workspace) -> None:
    from forekey.training import resolve_examples

    current = shop_project.snapshots.current()
    task = pipeline.find_task(shop_project, current.schema, "spend")
    with shop_project.source() as source:
        labels = task.labels.make(source, current)
    one, two = (resolve_examples(current, task, labels.split(s)) for s in ("val", "test"))
    aged = one.seen_by(one.times - 5)
    both = joined(aged, two)
    assert len(both) == len(one) + len(two)
    assert both.seeds.cutoffs.tolist() == [*(one.times - 5), *two.times]
    assert both.window_features is None
    assert both.examples.keys.to_pylist() == [*one.examples.keys.to_pylist(), *two.examples.keys.to_pylist()]
