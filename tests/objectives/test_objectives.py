"""Every kind of task has one objective, whose parts fit together."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import forekey
from forekey.errors import TaskError
from forekey.objectives import MultilabelObjective, PointwiseObjective, objective_from, objective_of
from forekey.query import TaskType


def listed(*values: Any) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


TARGETS: dict[TaskType, np.ndarray] = {
    TaskType.BINARY_CLASSIFICATION: np.array([0.0, 1.0, 1.0, 0.0]),
    TaskType.MULTICLASS_CLASSIFICATION: listed("b", "a", "b", "c"),
    TaskType.MULTILABEL_CLASSIFICATION: listed(("a",), ("a", "b"), (), ("b",)),
    TaskType.REGRESSION: np.array([1.0, 2.0, 4.0, 9.0]),
    TaskType.FORECASTING: np.array([[1.0, 2.0], [0.0, 4.0], [3.0, 3.0], [9.0, 1.0]]),
    TaskType.LINK_PREDICTION: listed((3, 4), (1,), (2,), (9,)),
}
POINTWISE = [t for t in TaskType if issubclass(objective_of(t), PointwiseObjective)]


def fitted(task_type: TaskType) -> PointwiseObjective:
    found = objective_of(task_type).fit(TARGETS[task_type])
    assert isinstance(found, PointwiseObjective)
    return found


@pytest.mark.parametrize("task_type", list(TaskType))
def test_every_kind_of_task_has_an_objective_that_json_keeps(task_type: TaskType) -> None:
    objective = objective_of(task_type).fit(TARGETS[task_type])
    assert objective.task_type is task_type
    assert objective_from(json.loads(json.dumps(objective.to_dict()))) == objective


@pytest.mark.parametrize("task_type", POINTWISE)
def test_outputs_that_are_right_have_the_least_loss_and_become_the_label(task_type: TaskType) -> None:
    objective, target = fitted(task_type), TARGETS[task_type]
    encoded, perfect = objective.encode(target), objective.perfect(target).reshape(len(target), -1)
    # Logits of certainty for classes, standardised numbers as they are.
    right = encoded.reshape(len(target), -1) if objective.loss == "absolute" else 60.0 * (perfect - 0.5)
    assert right.shape == (len(target), objective.outputs)
    np.testing.assert_allclose(objective.link(right), objective.perfect(target), atol=1e-9)
    constant = np.repeat(np.array([objective.constant(encoded)]), len(target), axis=0)
    assert objective.mean_loss(right, encoded) == pytest.approx(0.0, abs=1e-9)
    assert objective.mean_loss(constant, encoded) > 0.1
    for other in np.random.default_rng(0).normal(size=(20, objective.outputs)):
        assert objective.mean_loss(constant, encoded) <= objective.mean_loss(constant + other, encoded)


@pytest.mark.parametrize("task_type", POINTWISE)
def test_the_bootstrap_score_with_equal_weights_is_the_default_metric(task_type: TaskType) -> None:
    objective, target = fitted(task_type), TARGETS[task_type]
    predicted = objective.link(np.random.default_rng(1).normal(size=(len(target), objective.outputs)))
    found = objective.score(target, predicted)(np.ones(len(target), np.int64))
    assert found == pytest.approx(objective.metrics(target, predicted)[objective.metric])


@pytest.mark.parametrize("task_type", POINTWISE)
def test_what_is_averaged_predicts_the_same(task_type: TaskType) -> None:
    objective = fitted(task_type)
    raw = np.random.default_rng(2).normal(size=(5, objective.outputs))
    np.testing.assert_allclose(objective.link(objective.comparable(raw)), objective.link(raw))
    np.testing.assert_allclose(objective.focus(raw).sum(axis=1), 1.0)


def test_more_classes_than_can_be_learnt_are_refused_with_what_to_do() -> None:
    with pytest.raises(TaskError, match=r"hold 1,200 classes; .* Use RANK TOP k"):
        MultilabelObjective.fit(listed(*[(f"c{i}",) for i in range(1200)]))


def test_a_label_that_no_model_can_learn_is_missing() -> None:
    numbers = pa.chunked_array([[1.0, float("nan"), 1e38, None, -5.0]])
    assert objective_of(TaskType.REGRESSION).missing(numbers).tolist() == [False, True, True, True, False]
    frames = pa.chunked_array([[[1.0, 2.0], None, [float("inf"), 0.0]]])
    assert objective_of(TaskType.FORECASTING).missing(frames).tolist() == [False, True, True]
    lists = pa.chunked_array([[["a"], [], None]])
    assert objective_of(TaskType.LINK_PREDICTION).missing(lists).tolist() == [False, True, True]
    assert objective_of(TaskType.MULTILABEL_CLASSIFICATION).missing(lists).tolist() == [False, False, True]


def test_no_other_room_asks_which_kind_of_task_it_has() -> None:
    """The language decides on a kind; what follows from it is the objective's to say."""
    root = Path(forekey.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] in {"objectives", "query", "testing"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "TaskType":
                found.append(f"{path.relative_to(root)}:{node.lineno}")
    assert found == []
