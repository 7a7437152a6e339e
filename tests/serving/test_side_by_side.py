"""Requests are answered side by side: nobody waits for another's computation, and nobody's answer is changed by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from forekey.sampling import tree_kernels
from forekey.serving import state as serving
from forekey.serving.state import ServingState
from forekey.testing import SHOP_TASKS
from forekey.workspace import Workspace
from tests.support.alike import alike


@pytest.fixture
def state(trained_project: Workspace) -> Iterator[ServingState]:
    with trained_project.store() as store:
        yield ServingState(trained_project, store)


@pytest.mark.parametrize("task", sorted(SHOP_TASKS))
def test_online_answers_do_not_depend_on_who_else_asks(state: ServingState, task: str) -> None:
    random = np.random.default_rng(0)
    asked = [random.integers(1, 200, random.integers(1, 30)).tolist() for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:  # the first ones also load the model, all at once
        together = list(pool.map(lambda ids: state.predict(task, ids, "online"), asked))
    assert alike(together, [state.predict(task, ids, "online") for ids in asked])


def test_batches_that_are_assembled_at_once_share_no_scratch(
    state: ServingState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two threads is halfway through counting distinct rows while the other is."""
    alone = state.predict("churn", [3, 4, 5], "online")
    compiled = tree_kernels.distinct

    def in_two_halves(rows: np.ndarray, scratch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scratch[rows[:1]] = 0  # as it is halfway
        time.sleep(0.005)
        scratch[rows[:1]] = -1
        return compiled(rows, scratch) if len(rows) else (rows, rows)

    monkeypatch.setattr(tree_kernels, "distinct", in_two_halves)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: state.predict("churn", [3, 4, 5], "online"), range(24)))
    assert all(alike(answers, alone) for answers in together)


def test_reasons_do_not_depend_on_who_else_asks(state: ServingState) -> None:
    asked = [(task, entity) for task in ("churn", "baskets") for entity in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: state.explain(*one), asked))
    assert alike(together, [state.explain(*one) for one in asked])


def test_an_explanation_holds_up_nobody(state: ServingState, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> dict[str, object]:
        begun.set()
        assert go_on.wait(30)
        return {}

    monkeypatch.setattr(serving, "explain_entity", slow)
    with ThreadPoolExecutor(1) as pool:
        explained = pool.submit(state.explain, "churn", 1)
        assert begun.wait(30)
        assert state.predict("churn", [1, 2], "online")[0] is not None
        assert state.predict("spend", [1, 2], "online")[0] is not None
        assert not explained.done()
        go_on.set()
        assert explained.result() is not None


def test_the_snapshot_is_opened_once(state: ServingState, monkeypatch: pytest.MonkeyPatch) -> None:
    first = state.snapshot()
    monkeypatch.setattr(type(state.workspace.snapshots), "open", lambda *_: pytest.fail("opened again"))
    assert state.snapshot_or_none() is first
    assert state.snapshot() is first
