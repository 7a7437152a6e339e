"""Temporal neighbour sampling: for each seed, what was visible at its time, and nothing newer."""

from forekey.sampling.plan import NeighborPlan, Relation, relations_of
from forekey.sampling.sampler import Edges, NeighborSampler, Nodes, Subgraph

__all__ = ["Edges", "NeighborPlan", "NeighborSampler", "Nodes", "Relation", "Subgraph", "relations_of"]
