"""Numbers are dropped at random, about as many as asked for, and the mean stays what it was."""

from __future__ import annotations

import pytest
import torch

from forekey.nn.dropout import Dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_dropped_and_the_mean_kept(share: float) -> None:
    torch.manual_seed(0)
    kept = Dropout(share)(torch.ones(1000, 333))
    assert (kept == 0).float().mean().item() == pytest.approx(share, abs=0.01)
    assert kept.mean().item() == pytest.approx(1.0, abs=0.02)


def test_nothing_is_dropped_outside_training_or_for_a_share_of_nothing() -> None:
    values = torch.randn(50, 7)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)


def test_the_same_seed_drops_the_same_numbers_and_gradients_follow_them() -> None:
    values = torch.randn(3, 5, requires_grad=True)
    torch.manual_seed(7)
    first = Dropout(0.5)(values)
    torch.manual_seed(7)
    again = Dropout(0.5)(values)
    first.sum().backward()
    assert torch.equal(first, again)
    assert values.grad is not None
    assert torch.equal(values.grad == 0, first == 0)


def test_no_rows_are_no_trouble() -> None:
    assert Dropout(0.5)(torch.empty(0, 8)).shape == (0, 8)
