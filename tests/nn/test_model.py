"""A network is refused before it is built where its parts do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from forekey.errors import ModelError
from forekey.nn import Aggregation, GraphModel, ModelConfig, TableSpec, WindowScale
from forekey.nn.encoder import RowEncoder


@pytest.mark.parametrize("aggregation", ["attention", "transformer"])
def test_channels_that_the_heads_do_not_divide_are_refused(aggregation: Aggregation) -> None:
    config = ModelConfig("t", (TableSpec("t", 1, ((1, 3),), False),), (), 1, 6, 1, 0.0, aggregation=aggregation)
    with pytest.raises(ModelError, match="Take a multiple of 4"):
        GraphModel(config)


def test_an_entity_without_neighbours_of_any_kind_is_a_model_too(recwarn: pytest.WarningsRecorder) -> None:
    for aggregation in ("mean", "moments", "attention", "transformer"):
        GraphModel(ModelConfig("t", (TableSpec("t", 1, ((1, 3),), False),), (), 2, 8, 1, 0.0, aggregation=aggregation))
    assert len(recwarn) == 0


def test_scaled_window_features_are_finite_whatever_their_size_and_flag_what_is_missing() -> None:
    described = np.array([[1.0, np.nan], [3.0, np.inf], [1e38, 2.0], [-1e38, 1.0]], np.float32)
    out = WindowScale.fitted(described)(torch.from_numpy(described))
    assert out.shape == (4, 4)
    assert bool(torch.isfinite(out).all())
    assert out[:, 3].tolist() == [1.0, 1.0, 0.0, 0.0]
    most = float(np.finfo(np.float32).max)
    scale = WindowScale(2)
    scale.load_state_dict({"center": torch.tensor([0.0, -most]), "scale": torch.tensor([1e-3, 1e-3])})
    assert bool(torch.isfinite(scale(torch.tensor([[most, most]]))).all())


def test_scales_are_part_of_the_parameters() -> None:
    """A state dictionary is the whole network: nothing that was fitted lies beside it."""
    config = ModelConfig("t", (TableSpec("t", 1, ((1, 3),), False),), (), 1, 4, 1, 0.0, num_window_features=2)
    scale = WindowScale.fitted(np.array([[1.0, 2.0], [3.0, 8.0]], np.float32))
    trained, again = GraphModel(config).scaled_by(scale), GraphModel(config)
    again.load_state_dict(trained.state_dict())
    assert again.windows is not None
    assert again.windows.scale.center.tolist() == [2.0, 5.0]


def test_tokens_of_different_columns_have_embeddings_of_their_own() -> None:
    torch.manual_seed(0)
    encoder = RowEncoder(0, ((1, 3), (2, 4)), 4)
    rows = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.int32)
    encoded = encoder(torch.zeros(4, 0), rows)
    assert not torch.equal(encoded[0], encoded[1])
    assert torch.equal(encoded[1], encoded[2])
    assert encoder.tokens is not None
    assert encoder.tokens.num_embeddings == 1 + 3 + 4
