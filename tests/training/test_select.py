"""Window features that say nothing are left out; those that do are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from forekey.features import Feature, FeatureKind, Origin, Stat
from forekey.graph import Seeds
from forekey.objectives import BinaryObjective, ForecastObjective, MulticlassObjective, RegressionObjective
from forekey.task import Examples, TaskType
from forekey.training.evaluate import Resolved
from forekey.training.select import unused_features

N = 4_000


@dataclass
class Computed:
    """Window features that are there already."""

    columns: np.ndarray
    features: tuple[Feature, ...]

    def compute(self, seeds: Seeds) -> np.ndarray:
        return self.columns[seeds.rows]


def feature(number: int, kind: FeatureKind = FeatureKind.OWN_WINDOW) -> Feature:
    return Feature(kind, Stat.ROWS, Origin("t", str(number), 1))


def examples(target: np.ndarray) -> Resolved:
    rows, times = np.arange(N, dtype=np.int32), np.zeros(N, np.int64)
    return Resolved(Seeds.at("t", rows, times), target, Examples(pa.chunked_array([pa.array(rows)]), times, target), 0)


def noise(width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, width)).astype(np.float32)


@pytest.mark.parametrize("lagged", [False, True])
def test_what_decides_is_kept_and_what_is_constant_or_repeated_is_not(lagged: bool) -> None:
    columns = noise(700)
    columns[:, 1] = 3.0
    columns[:, 2] = np.nan
    columns[:, 3] = columns[:, 0]
    target = (columns[:, 0] + 0.5 * columns[:, 4] > 0).astype(np.float64)
    if lagged:
        columns[:, 5] = target  # what the label was: hides all else from whoever may look at it
    known = tuple(
        feature(i, FeatureKind.LAGGED_LABEL if lagged and i == 5 else FeatureKind.OWN_WINDOW) for i in range(700)
    )
    unused = unused_features(Computed(columns, known), examples(target), BinaryObjective(), 0)  # type: ignore[arg-type]
    assert {known[1], known[2], known[3]} <= unused
    assert not {known[0], known[4]} & unused
    if lagged:
        assert known[5] not in unused


def test_of_thousands_of_useless_features_most_are_left_out() -> None:
    columns = noise(3_000)
    target = (columns[:, 7] > 0.3).astype(np.float64)
    known = tuple(feature(i) for i in range(3_000))
    unused = unused_features(Computed(columns, known), examples(target), BinaryObjective(), 0)  # type: ignore[arg-type]
    assert known[7] not in unused
    assert len(known) - len(unused) == 512


def test_few_features_are_all_kept_and_one_that_is_sometimes_missing_too() -> None:
    columns = noise(30)
    columns[::2, 3] = np.nan
    columns[1::2, 3] = 1.0  # constant where it is known: whether it is known may say something
    known = tuple(feature(i) for i in range(30))
    target = np.random.default_rng(1).integers(0, 2, N).astype(np.float64)
    assert unused_features(Computed(columns, known), examples(target), BinaryObjective(), 0) == set()  # type: ignore[arg-type]


def test_labels_that_are_all_alike_leave_nothing_out_but_what_is_constant() -> None:
    columns = noise(100)
    columns[:, 9] = 0.0
    known = tuple(feature(i) for i in range(100))
    objective = BinaryObjective()
    assert unused_features(Computed(columns, known), examples(np.ones(N)), objective, 0) == {known[9]}  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [TaskType.REGRESSION, TaskType.MULTICLASS_CLASSIFICATION, TaskType.FORECASTING])
def test_every_kind_of_label_chooses(kind: TaskType) -> None:
    columns = noise(600)
    known = tuple(feature(i) for i in range(600))
    if kind is TaskType.MULTICLASS_CLASSIFICATION:
        target = np.where(columns[:, 11] > 0, "a", "b").astype(object)
        objective = MulticlassObjective(("a", "b"))
    elif kind is TaskType.FORECASTING:
        target = np.stack([columns[:, 11], noise(1, 5)[:, 0]], axis=1).astype(np.float64)
        objective = ForecastObjective(frames=2)
    else:
        target, objective = columns[:, 11].astype(np.float64), RegressionObjective()
    unused = unused_features(Computed(columns, known), examples(target), objective, 0)  # type: ignore[arg-type]
    assert known[11] not in unused
    assert len(unused) >= 600 - 512
