"""A network is refused before it is built where its parts do not fit."""

from __future__ import annotations

import pytest

from forekey.errors import ModelError
from forekey.nn import Aggregation, GraphModel, ModelConfig, TableSpec


@pytest.mark.parametrize("aggregation", ["attention", "transformer"])
def test_channels_that_the_heads_do_not_divide_are_refused(aggregation: Aggregation) -> None:
    config = ModelConfig("t", (TableSpec("t", 1, 1, False),), (), 1, 6, 1, 0.0, aggregation=aggregation)
    with pytest.raises(ModelError, match="Take a multiple of 4"):
        GraphModel(config)


def test_an_entity_without_neighbours_of_any_kind_is_a_model_too(recwarn: pytest.WarningsRecorder) -> None:
    for aggregation in ("mean", "moments", "attention", "transformer"):
        GraphModel(ModelConfig("t", (TableSpec("t", 1, 1, False),), (), 2, 8, 1, 0.0, aggregation=aggregation))
    assert len(recwarn) == 0
