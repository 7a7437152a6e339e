"""State in files that hold nothing but data."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from forekey.nn import NotReadable, load_state, load_tensors, save_state, save_tensors


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": (None, [{"a": torch.arange(3)}]),
        "history": [{"number": 1, "loss": 0.1, "score": None}],
        3: True,
    }
    save_state(tmp_path / "s", state)
    found = load_state(tmp_path / "s")
    assert list(found) == list(state)
    assert found["best"][0] is None
    assert torch.equal(found["best"][1][0]["a"], torch.arange(3))
    assert found["history"] == state["history"]
    again = torch.optim.AdamW(model.parameters())
    again.load_state_dict(found["optimizer"])
    assert torch.equal(again.state_dict()["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    model.load_state_dict(found["model"])


def test_tensors_that_share_memory_are_written_each(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    save_tensors(tmp_path / "t", {"whole": whole, "part": whole[:, 1], "same": whole})
    found = load_tensors(tmp_path / "t")
    assert torch.equal(found["part"], torch.tensor([1.0, 4.0]))
    assert torch.equal(found["same"], whole)


@pytest.mark.parametrize("contents", [b"", b"cut short", pickle.dumps({"a": 1})])
def test_what_is_no_such_file_is_refused(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "x").write_bytes(contents)
    with pytest.raises(NotReadable):
        load_tensors(tmp_path / "x")
    with pytest.raises(NotReadable):
        load_state(tmp_path / "x")
    with pytest.raises(NotReadable):
        load_state(tmp_path / "nothing here")


def test_nothing_pickles() -> None:
    source = Path(__file__).parents[2] / "src" / "forekey"
    for path in source.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for word in ("import pickle", "from pickle", "torch.load(", "torch.save(", "allow_pickle=True", "joblib"):
            assert word not in text, (path, word)
