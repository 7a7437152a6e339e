"""From seeds to subgraphs: a tree of visible neighbours per seed, laid out for a model that works type by type.

Each seed's neighbourhood is its own (disjoint), so no seed sees through another's later time. A node that is reached
twice stands twice: the tree is exactly what layer-wise inference over the whole graph would unfold for that seed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forekey.graph import GraphView, Seeds
from forekey.sampling.plan import NeighborPlan, Relation, relations_of
from forekey.schema import EdgeType

_NOBODY = (2**31, np.empty(0, np.int64))
"""Presence of no row below a bound of 0."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of one type, nearest hop first.

    ``rows [n] int32`` numbers in the table, ``seeds [n] int32`` the seed each belongs to; ``depths[h]`` counts the
    nodes within ``h`` hops, so ``rows[:depths[h]]`` are those.
    """

    rows: NDArray[np.int32]
    seeds: NDArray[np.int32]
    depths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Edges:
    """The sampled edges of one relation, nearest hop first.

    ``dst [m] int32`` and ``src [m] int32`` are positions in the :class:`Nodes` of the two types, ``rank [m]
    int32`` is the neighbour's position among its siblings, 0 for the newest. ``depths[h]`` counts the edges whose
    expanded node is within ``h`` hops. ``degrees [expanded] int32`` is how many neighbours each expanded node has.
    """

    dst: NDArray[np.int32]
    src: NDArray[np.int32]
    rank: NDArray[np.int32]
    degrees: NDArray[np.int32]
    depths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Subgraph:
    """The neighbourhoods of a batch of seeds. The first nodes of the seeds' table are the seeds, in order."""

    seeds: Seeds
    nodes: dict[str, Nodes]
    edges: dict[Relation, Edges]


@dataclass(slots=True)
class _Frontier:
    rows: NDArray[np.int32]
    seeds: NDArray[np.int32]
    streams: NDArray[np.uint64]
    offset: int  # position of the first of them among all nodes of the type


class NeighborSampler:
    """Samples neighbourhoods from one graph by one plan. Safe to share between threads."""

    def __init__(self, view: GraphView, plan: NeighborPlan) -> None:
        self._view = view
        self._plan = plan
        self._relations: dict[str, list[tuple[int, Relation]]] = defaultdict(list)
        for number, relation in enumerate(relations_of(view.schema)):
            self._relations[relation.dst].append((number, relation))

    def sample(self, seeds: Seeds, number: int = 0) -> Subgraph:
        """Sample around some seeds: no sampled node but the seed itself is newer than the seed's cutoff.

        ``number`` picks the random stream of uniform sampling; equal numbers give equal samples.
        """
        return _Growth(self._view, self._plan, self._relations, seeds, number).grow()


class _Growth:
    """One call of :meth:`NeighborSampler.sample`: the trees as they grow, hop by hop."""

    def __init__(
        self,
        view: GraphView,
        plan: NeighborPlan,
        relations: dict[str, list[tuple[int, Relation]]],
        seeds: Seeds,
        number: int,
    ) -> None:
        from forekey.sampling import tree_kernels

        self._kernels = tree_kernels
        self._view, self._plan, self._relations = view, plan, relations
        self._seeds = seeds
        # Cutting the future off never renumbers a row, so streams may follow from row numbers.
        streams = tree_kernels.root_streams(np.uint64(number), seeds.rows, seeds.times)
        first = _Frontier(seeds.rows, np.arange(len(seeds), dtype=np.int32), streams, 0)
        self._nodes: dict[str, list[_Frontier]] = defaultdict(list, {seeds.table: [first]})
        self._frontier: dict[str, list[_Frontier]] = dict(self._nodes)
        self._counts: dict[str, int] = defaultdict(int, {seeds.table: len(seeds)})
        self._depths: dict[str, list[int]] = {}
        self._edges: dict[Relation, list[tuple[NDArray[np.int32], ...]]] = defaultdict(list)
        self._edge_depths: dict[Relation, list[int]] = defaultdict(list)
        self._bounds: dict[str, NDArray[np.int64]] = {}
        self._limits: dict[str, NDArray[np.int64]] = {}

    def grow(self) -> Subgraph:
        self._note_depth(0)
        for hop in range(self._plan.hops):
            grown: dict[str, list[_Frontier]] = defaultdict(list)
            for source, parts in self._frontier.items():
                for number, relation in self._relations[source]:
                    for part in parts:
                        self._expand(number, relation, part, hop, grown)
                    self._edge_depths[relation] += [0] * (hop + 1 - len(self._edge_depths[relation]))
                    self._edge_depths[relation][hop] = sum(len(e[0]) for e in self._edges[relation])
            self._frontier = {t: parts for t, parts in grown.items()}
            self._note_depth(hop + 1)
        return self._collate()

    def _expand(
        self, number: int, relation: Relation, part: _Frontier, hop: int, grown: dict[str, list[_Frontier]]
    ) -> None:
        budget = self._plan.budget(relation, hop)
        stream = np.uint64((number + 1) * 0xD1342543DE82EF95 & 0xFFFFFFFFFFFFFFFF)
        kernels, cutoffs = self._kernels, self._seeds.cutoffs
        if relation.up:
            parents = self._view.parents(relation.edge)
            presence, bounds = self._present(relation.src)
            if budget == 0:
                presence, bounds = _NOBODY, np.zeros(len(cutoffs), np.int64)
            parent, child, seed, rank, streams, degrees = kernels.sample_parent(
                part.rows, part.seeds, part.streams, bounds, cutoffs, presence, parents, stream
            )
        else:
            adjacency = self._view.adjacency(relation.edge)
            uniform = self._plan.strategy == "uniform"
            parent, child, seed, rank, streams, degrees = kernels.sample_children(
                part.rows, part.seeds, part.streams, adjacency.parts, self._limits_of(relation.edge), cutoffs,
                budget, uniform, stream,
            )  # fmt: skip
        offset = self._counts[relation.src]
        positions = np.arange(offset, offset + len(child), dtype=np.int32)
        self._edges[relation].append((parent + np.int32(part.offset), positions, rank, degrees))
        if len(child):
            new = _Frontier(child, seed, streams, offset)
            grown[relation.src].append(new)
            self._nodes[relation.src].append(new)
            self._counts[relation.src] = offset + len(child)

    def _present(self, table: str) -> tuple[tuple[int, NDArray[np.int64]], NDArray[np.int64]]:
        """Return the presence of a table's rows as compiled loops take it, and the bound of each seed."""
        presence = self._view.presence(table)
        if table not in self._bounds:
            self._bounds[table] = presence.bounds(self._seeds.cutoffs)
        return (presence.base_rows, presence.keys), self._bounds[table]

    def _limits_of(self, edge: EdgeType) -> NDArray[np.int64]:
        """Return up to where each seed sees children; those of one table that are numbered by time share them."""
        adjacency = self._view.adjacency(edge)
        name = edge.child if adjacency.numbered else str(edge)
        if name not in self._limits:
            self._limits[name] = adjacency.limits(self._seeds.cutoffs)
        return self._limits[name]

    def _note_depth(self, depth: int) -> None:
        for table, count in self._counts.items():
            known = self._depths.setdefault(table, [])
            known += [0] * (depth - len(known))
            known.append(count)

    def _collate(self) -> Subgraph:
        nodes = {
            table: Nodes(
                np.concatenate([p.rows for p in parts]),
                np.concatenate([p.seeds for p in parts]),
                tuple(self._depths[table]),
            )
            for table, parts in self._nodes.items()
        }
        edges = {}
        for relation, parts in self._edges.items():
            columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
            depths = self._edge_depths[relation]
            filled = [max(depths[: h + 1]) for h in range(len(depths))]
            filled += [filled[-1]] * (self._plan.hops - len(filled))
            edges[relation] = Edges(columns[0], columns[1], columns[2], columns[3], tuple(filled))
        return Subgraph(self._seeds, nodes, edges)
