"""From a sampled subgraph and encoded tables to the tensors of a batch."""

from __future__ import annotations

import threading
from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.features import FeatureStore
from forekey.graph import MICROS_PER_DAY
from forekey.nn import GraphBatch, NodeBatch, RelationBatch
from forekey.sampling import Subgraph


class Collator:
    """Turns subgraphs into batches; keeps one scratch array a table so that finding distinct rows costs no sort."""

    def __init__(self, features: FeatureStore) -> None:
        self._features = features
        self._own = threading.local()  # each thread counts distinct rows in arrays of its own

    def __call__(
        self, subgraph: Subgraph, tables: Collection[str], window_features: NDArray[np.float32] | None = None
    ) -> GraphBatch:
        """Return the batch, limited to the node types that the model knows.

        ``window_features [seeds, features] float32`` are those of the seeds, NaN where nothing is known.
        """
        nodes = {t: self._nodes(subgraph, t) for t in subgraph.nodes if t in tables}
        relations = {
            str(relation): RelationBatch(
                torch.from_numpy(edges.dst),
                torch.from_numpy(edges.src),
                torch.from_numpy(edges.rank),
                torch.from_numpy(edges.degrees).float(),
                edges.depths,
            )
            for relation, edges in subgraph.edges.items()
        }
        described = torch.from_numpy(window_features) if window_features is not None else None
        return GraphBatch(len(subgraph.seeds), nodes, relations, described)

    @property
    def _scratch(self) -> dict[str, NDArray[np.int32]]:
        """Return this thread's arrays, by table."""
        if not hasattr(self._own, "arrays"):
            self._own.arrays = {}
        arrays: dict[str, NDArray[np.int32]] = self._own.arrays
        return arrays

    def _nodes(self, subgraph: Subgraph, table: str) -> NodeBatch:
        from forekey.sampling.tree_kernels import distinct

        nodes = subgraph.nodes[table]
        snapshot, seen = self._features.view, subgraph.seeds.cutoffs[nodes.seeds]
        scratch, count = self._scratch, self._features.tables.num_contents(table)
        if table not in scratch or len(scratch[table]) < count:  # a live graph grows
            scratch[table] = np.full(count, -1, np.int32)
        contents, index = distinct(snapshot.contents_at(table, nodes.rows, seen), scratch[table])
        encoded = self._features.tables.take(table, contents)
        times = snapshot.times(table)
        age = None
        if times is not None:
            # Of data that ended before the seed's time, the newest there are count as new.
            age = torch.from_numpy(age_in_days(seen, times[nodes.rows]))
        return NodeBatch(
            torch.from_numpy(encoded.values),
            torch.from_numpy(encoded.token_ids),
            torch.from_numpy(index),
            age,
            nodes.depths,
        )


def age_in_days(now: NDArray[np.int64], then: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the days from ``then`` to ``now``, computed in 64 bits and handed over in 32."""
    return ((now - then) / MICROS_PER_DAY).astype(np.float32)
