"""Taking parts of what a network sees away from some of the seeds of a batch, so that many choices are one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forekey.features import Encoded, TableFeatures
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

    def with_history(self, history: Tensor | None) -> None:
        """Replace the window features of all seeds."""
        self._batch = replace(self._batch, history=history)

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
            numbers, codes = missing(nodes.numbers, nodes.codes)
            changed = replace(nodes, numbers=numbers, codes=codes)
        else:
            # Rows are encoded once for all nodes that show them: those that lose something get rows of their own.
            used, place = np.unique(nodes.place.numpy()[gone], return_inverse=True)
            rows = torch.from_numpy(used.astype(np.int64))
            numbers, codes = missing(nodes.numbers[rows], nodes.codes[rows])
            moved = nodes.place.clone()
            moved[torch.from_numpy(gone)] = torch.from_numpy((place + len(nodes.numbers)).astype(np.int32))
            changed = replace(
                nodes, numbers=torch.cat([nodes.numbers, numbers]), codes=torch.cat([nodes.codes, codes]), place=moved
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
"""Given encoded rows, their numbers and codes, return them with something missing."""


def blank(features: TableFeatures, missing: Encoded, column: str | None) -> Blank:
    """Return what makes the values of a column (None: of all) missing; ``missing`` is a row that has no values."""

    def apply(numbers: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        numbers, codes = numbers.clone(), codes.clone()
        at = slot = 0
        for feature in features.columns:
            if column is None or feature.name == column:
                numbers[:, at : at + feature.numbers] = torch.from_numpy(missing.numbers[:, at : at + feature.numbers])
                codes[:, slot : slot + feature.slots] = torch.from_numpy(missing.codes[:, slot : slot + feature.slots])
            at, slot = at + feature.numbers, slot + feature.slots
        return numbers, codes

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
