"""Taking parts of what a network sees away from some of the seeds of a batch, so that many choices are one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forekey.features import Encoded, TableEncoder
from forekey.nn import GraphBatch, ModelConfig, NodeBatch, RelationBatch
from forekey.sampling import Subgraph


class Removal:
    """A batch, and which seed each of its nodes belongs to."""

    def __init__(self, subgraph: Subgraph, batch: GraphBatch, model: ModelConfig) -> None:
        self._batch, self._entity = batch, subgraph.seeds.table
        self._seeds = {table: nodes.seeds for table, nodes in subgraph.nodes.items()}
        self._dst = {r.name: r.dst for r in model.relations}
        self._src = {r.name: r.src for r in model.relations}

    @property
    def batch(self) -> GraphBatch:
        """Return the batch as it is now."""
        return self._batch

    def with_window_features(self, window_features: Tensor | None) -> None:
        """Replace the window features of all seeds."""
        self._batch = replace(self._batch, window_features=window_features)

    def beyond(self, hop: int, who: NDArray[np.bool_]) -> None:
        """Take away all that is ``hop`` foreign keys away or further, for the seeds ``who [seeds] bool``."""
        relations = {name: self._cut(name, r, hop - 1, who) for name, r in self._batch.relations.items()}
        self._batch = replace(self._batch, relations=relations)

    def table(self, table: str, who: NDArray[np.bool_], missing: Blank) -> None:
        """Take away the rows of a table; of the entity itself, its values and its age."""
        if table == self._entity:
            self.values(table, who, missing)
            return
        relations = {
            name: self._cut(name, r, 0, who) if self._src[name] == table else r
            for name, r in self._batch.relations.items()
        }
        self._batch = replace(self._batch, relations=relations)

    def values(self, table: str, who: NDArray[np.bool_], missing: Blank, *, with_age: bool = True) -> None:
        """Replace the values of a table's rows by what ``missing`` makes of them, and their ages by none."""
        nodes = self._batch.nodes.get(table)
        if nodes is None:
            return
        gone = who[self._seeds[table]]
        if gone.all():
            values, token_ids = missing(nodes.values, nodes.token_ids)
            changed = replace(nodes, values=values, token_ids=token_ids)
        else:
            # Rows are encoded once for all nodes that show them: those that lose something get rows of their own.
            used, position = np.unique(nodes.index.numpy()[gone], return_inverse=True)
            rows = torch.from_numpy(used.astype(np.int64))
            values, token_ids = missing(nodes.values[rows], nodes.token_ids[rows])
            moved = nodes.index.clone()
            moved[torch.from_numpy(gone)] = torch.from_numpy((position + len(nodes.values)).astype(np.int32))
            changed = replace(
                nodes,
                values=torch.cat([nodes.values, values]),
                token_ids=torch.cat([nodes.token_ids, token_ids]),
                index=moved,
            )
        if with_age and nodes.age is not None:
            changed = replace(changed, age=nodes.age.masked_fill(torch.from_numpy(gone), 0.0))
        self._batch = replace(self._batch, nodes={**self._batch.nodes, table: changed})

    def _cut(self, name: str, relation: RelationBatch, hops: int, who: NDArray[np.bool_]) -> RelationBatch:
        """Return a relation of which, for some seeds, only nodes nearer than ``hops`` have neighbours: none for 0."""
        dst = self._dst[name]
        near = _within(self._batch.nodes[dst], hops)
        lost = torch.from_numpy(who[self._seeds[dst]])
        lost[:near] = False
        stays = ~lost[relation.dst.long()]
        degrees = relation.degrees.masked_fill(lost[: len(relation.degrees)], 0.0)
        return kept_edges(relation, stays, relation.rank, degrees)


Blank = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Given the values and token ids of encoded rows, return them with something missing."""


def blank(encoder: TableEncoder, missing: Encoded, column: str | None) -> Blank:
    """Return what makes the values of a column (None: of all) missing; ``missing`` is a row that has no values."""

    def apply(values: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        values, token_ids = values.clone(), token_ids.clone()
        value = token = 0
        for one in encoder.columns:
            if column is None or one.name == column:
                own, words = slice(value, value + one.num_values), slice(token, token + one.num_tokens)
                values[:, own] = torch.from_numpy(missing.values[:, own])
                token_ids[:, words] = torch.from_numpy(missing.token_ids[:, words])
            value, token = value + one.num_values, token + one.num_tokens
        return values, token_ids

    return apply


def kept_edges(relation: RelationBatch, stays: Tensor, rank: Tensor, degrees: Tensor) -> RelationBatch:
    """Return the edges of a relation that stay, ``[m] bool``, with new ranks and degrees."""
    if bool(stays.all()):
        return replace(relation, rank=rank, degrees=degrees)
    before = torch.cat([torch.zeros(1, dtype=torch.int64), stays.cumsum(0)])
    depths = tuple(int(before[d]) for d in relation.depths)
    return RelationBatch(relation.dst[stays], relation.src[stays], rank[stays], degrees, depths)


def _within(nodes: NodeBatch, hops: int) -> int:
    """Return how many of the nodes are nearer than ``hops``."""
    return nodes.depths[min(hops, len(nodes.depths)) - 1] if hops else 0
