"""What a model reads of a graph: encoded tables, and window features of its entities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forekey.features.encoded_tables import EncodedTables
from forekey.features.feature import Feature
from forekey.features.spec import FeatureSpec
from forekey.features.window_features import WindowFeatures
from forekey.graph import GraphView, Seeds
from forekey.task import LaggedLabels


class FeatureStore:
    """The features of one graph under one spec.

    ``past`` holds the labels that entities had before, for specs that ask for them; ``tables`` are the encoded tables,
    where stores of the same graph with the same encoders share them.
    """

    def __init__(
        self,
        view: GraphView,
        spec: FeatureSpec,
        past: LaggedLabels | None = None,
        tables: EncodedTables | None = None,
    ) -> None:
        self.view = view
        self.spec = spec
        self.tables = tables if tables is not None else EncodedTables(view, spec.tables)
        self._windows = WindowFeatures(view, spec.windows, past) if spec.windows is not None else None

    @property
    def features(self) -> tuple[Feature, ...]:
        """Return what each column of :meth:`window_features` is."""
        return self._windows.features if self._windows is not None else ()

    def window_features(self, seeds: Seeds) -> NDArray[np.float32] | None:
        """Return the window features of some entities (see :class:`WindowFeatures`); None if the spec has none."""
        return self._windows.compute(seeds) if self._windows is not None else None
