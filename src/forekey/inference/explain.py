"""What drove a prediction: how it changes when a part of what the model sees is taken away.

Parts are whole tables, single columns, and everything a number of foreign keys away. What is taken away is gone for the
network and for the trees alike: rows are no neighbours and are not counted, values are missing, as missing values are
in training (occlusion: Zeiler and Fergus 2014; Covert et al. 2021). So an effect is a fact about the model, not an
approximation of it; effects do not add up, as parts overlap in what they show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from forekey.features import Encoded, Origin
from forekey.graph import Seeds
from forekey.inference.collate import Collator
from forekey.inference.predictor import Predictor
from forekey.inference.removal import Removal, blank, kept_edges
from forekey.nn import GraphBatch
from forekey.sampling import NeighborPlan, NeighborSampler, Subgraph

_BATCH = 256
_MANY_COLUMNS = 40
_COUNTS = 0.02
"""Of the effect of the table that counts most: below it, the columns of a table are not asked about one by one."""


@dataclass(frozen=True, slots=True)
class Part:
    """What can be taken away: a table, a column of one, or all that is ``hop`` foreign keys away or further."""

    kind: str
    table: str | None = None
    column: str | None = None
    hop: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {k: v for k, v in asdict(self).items() if v is not None and k != "kind"}

    def covers(self, origin: Origin) -> bool:
        """Whether a window feature is gone with this part."""
        if self.kind == "hop":
            return origin.hop is not None and self.hop is not None and origin.hop >= self.hop
        if self.kind == "column":
            return (origin.table, origin.column) == (self.table, self.column)
        return self.table == origin.table or self.table in origin.through


@dataclass(frozen=True)
class Effects:
    """Predictions ``[n]`` (of the likeliest class; the mean of several outputs), and without each of the parts.

    ``effects [n, parts]`` is by how much a part raises the prediction; ``weights [n, parts]`` the same in log-odds, or
    standardised, where all sizes count alike.
    """

    parts: tuple[Part, ...]
    predictions: NDArray[np.float64]
    effects: NDArray[np.float64]
    weights: NDArray[np.float64]

    def ranked(self, kind: str, row: int) -> list[dict[str, Any]]:
        """Return the parts of a kind with their effects on one prediction, the strongest first."""
        return ranked(self.parts, kind, self.effects[row], self.weights[row])

    def overall(self, kind: str) -> list[dict[str, Any]]:
        """Return the parts of a kind by the mean size of their effects on all predictions."""
        return overall(self.parts, kind, self._sizes())

    def tables_that_count(self) -> set[str]:
        """Return the tables whose effect is more than a small share of the greatest."""
        sizes = {p.table: s for p, s in zip(self.parts, self._sizes(), strict=True) if p.kind == "table"}
        return {t for t, size in sizes.items() if t is not None and size > _COUNTS * max(sizes.values())}

    def _sizes(self) -> NDArray[np.float64]:
        return np.abs(self.weights).mean(axis=0) if len(self.weights) else np.zeros(len(self.parts))


def ranked(
    parts: tuple[Part, ...], kind: str, effects: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Return the parts of a kind with their effects ``[parts]``, that of the greatest weight first, as JSON has it."""
    chosen = [i for i, part in enumerate(parts) if part.kind == kind and weights[i]]
    chosen.sort(key=lambda i: -abs(weights[i]))
    return [{**parts[i].to_dict(), "effect": float(effects[i])} for i in chosen]


def overall(parts: tuple[Part, ...], kind: str, sizes: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return the parts of a kind by the sizes of their effects ``[parts]``, as JSON has it."""
    return ranked(parts, kind, np.round(sizes, 6), sizes)


class Explainer:
    """Takes parts away from what a model sees, and asks it again."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._features = predictor.features
        self._sampler = NeighborSampler(self._features.view, predictor.plan)
        self._collate = Collator(self._features)
        self._origins = tuple(feature.origin for feature in self._features.features)
        self._nothing: dict[str, Encoded] = {}
        self.parts = tuple(self._all_parts())

    def effects(
        self,
        seeds: Seeds,
        kinds: Iterable[str] = (),
        done: Callable[[float, float], None] = lambda *_: None,
    ) -> Effects:
        """Explain the predictions of some entities; ``kinds`` limits it to parts that are table, column or hop.

        Where there are many columns, only those of tables that count are taken away. ``done`` is called with how
        many of all parts were taken away so far, batch by batch.
        """
        wanted = set(kinds)
        parts = tuple(p for p in self.parts if not wanted or p.kind in wanted)
        columns = tuple(p for p in parts if p.kind == "column")
        if wanted or len(columns) <= _MANY_COLUMNS:
            raw = self.without_each(seeds, [(), *((part,) for part in parts)], done)
            return self._as_effects(parts, raw[:, 0], raw[:, 1:])
        others = tuple(p for p in parts if p.kind != "column")
        raw = self.without_each(seeds, [(), *((part,) for part in others)], lambda d, n: done(d / 2, n))
        counting = self._as_effects(others, raw[:, 0], raw[:, 1:]).tables_that_count()
        some = tuple(p for p in columns if p.table in counting)
        more = self.without_each(seeds, [(p,) for p in some], lambda d, n: done((n + d) / 2, n))
        return self._as_effects((*others, *some), raw[:, 0], np.concatenate([raw[:, 1:], more], axis=1))

    def without(self, seeds: Seeds, gone: Iterable[Part]) -> NDArray[np.float64]:
        """Return the final raw outputs ``[n, outputs]`` when several parts are taken away together."""
        return self.without_each(seeds, [tuple(gone)])[:, 0]

    def without_each(
        self,
        seeds: Seeds,
        gone: Sequence[tuple[Part, ...]],
        done: Callable[[float, float], None] = lambda *_: None,
    ) -> NDArray[np.float64]:
        """Return the final raw outputs without each of several choices of parts, ``[n, len(gone), outputs]``."""
        found = [
            self._without_some(some, gone, lambda d, first=piece.start: done(first + d, max(len(seeds), 1)))  # type: ignore[misc]
            for piece, some in seeds.batches(_BATCH)
        ]
        return np.concatenate(found)

    def _without_some(
        self, seeds: Seeds, gone: Sequence[tuple[Part, ...]], done: Callable[[float], None]
    ) -> NDArray[np.float64]:
        """Return the final raw outputs for few seeds: copies of them, each without another choice, are one pass."""
        copies = max(_BATCH // len(seeds), 1)
        window_features = self._features.window_features(seeds)
        whole = self._sampled(seeds, window_features, min(copies, len(gone)))
        found = []
        for first in range(0, len(gone), copies):
            some = gone[first : first + copies]
            if len(some) * len(seeds) < len(whole.seeds):
                whole = self._sampled(seeds, window_features, len(some))
            raw = self._without(whole, len(seeds), some)
            found.append(raw.reshape(len(some), len(seeds), -1))
            done((first + len(some)) / len(gone) * len(seeds))
        return np.concatenate(found).transpose(1, 0, 2)

    def _sampled(self, seeds: Seeds, window_features: NDArray[np.float32] | None, copies: int) -> _Copies:
        """Return what the model sees of several copies of some rows, whole."""
        many = seeds.take(np.tile(np.arange(len(seeds)), copies))
        repeated = np.tile(window_features, (copies, 1)) if window_features is not None else None
        network = self._predictor.model
        if network is None:
            return _Copies(many, repeated)
        subgraph = self._sampler.sample(many)
        return _Copies(many, repeated, subgraph, self._collate(subgraph, network.config.types_at(0), None))

    def _without(self, whole: _Copies, rows: int, gone: Sequence[tuple[Part, ...]]) -> NDArray[np.float64]:
        """Return the final raw outputs of copies of ``rows`` rows, each copy without some parts."""
        window_features = whole.window_features
        if window_features is not None:
            lost = np.array([[any(p.covers(o) for p in parts) for o in self._origins] for parts in gone], bool)
            window_features = np.where(np.repeat(lost, rows, axis=0), np.float32(np.nan), window_features)
        if whole.batch is None or whole.subgraph is None:
            return self._predictor.final_raw(None, window_features)
        seen = Removal(whole.subgraph, whole.batch, self._predictor.graph_model.config)
        seen.with_window_features(torch.from_numpy(window_features) if window_features is not None else None)
        for copy, parts in enumerate(gone):
            who = np.arange(len(whole.seeds)) // rows == copy
            for part in parts:
                self._remove(seen, part, who)
        return self._final(seen.batch, window_features)

    def _remove(self, seen: Removal, part: Part, who: NDArray[np.bool_]) -> None:
        """Take a part away from some of the seeds."""
        if part.kind == "hop":
            assert part.hop is not None
            seen.beyond(part.hop, who)
            return
        table = part.table
        if table is None or table not in seen.batch.nodes:
            return
        missing = blank(self._features.spec.table(table), self.missing(table), part.column)
        if part.kind == "table":
            seen.table(table, who, missing)
        else:
            seen.values(table, who, missing, with_age=False)

    def neighbors(self, row: int, time: int) -> list[dict[str, Any]]:
        """Return the direct neighbours of one row with their effects, as far as the network reads them one by one.

        Trees see counts and sums of rows, not single ones, and are left as they are; without a network there are none.
        """
        if self._predictor.model is None:
            return []
        model = self._predictor.model.config
        one = Seeds.at(model.entity, np.array([row]), time)
        window_features = self._features.window_features(one)
        # One more than the network reads, so that the next may take the place of one that is gone.
        more = NeighborSampler(self._features.view, _one_more(self._predictor.plan))
        single = more.sample(one)
        edges = {str(relation): found for relation, found in single.edges.items()}
        positions = [
            (r.name, at)
            for r in model.relations
            if self._predictor.blend.weight > 0.0 and r.dst == model.entity and r.name in edges
            for at in np.flatnonzero(edges[r.name].rank[: edges[r.name].depths[0]] < r.budgets[0]).tolist()
        ]
        if not positions:
            return []
        copies = len(positions) + 1
        subgraph = more.sample(one.take(np.zeros(copies, np.int64)))
        repeated = np.tile(window_features, (copies, 1)) if window_features is not None else None
        batch = self._without_neighbors(self._collate(subgraph, model.types_at(0), repeated), positions)
        raw = self._final(batch, repeated)
        effects = self._as_effects(tuple(Part("neighbor") for _ in positions), raw[-1:], raw[None, :-1])
        tables, found = {r.name: r.src for r in model.relations}, []
        for i in np.argsort(-np.abs(effects.weights[0]), kind="stable"):
            name, at = positions[i]
            own_row = single.nodes[tables[name]].rows[int(edges[name].src[at])]
            keyed = self._features.view.schema.table(tables[name]).primary_key is not None
            key = self._features.view.keys(tables[name])[int(own_row)].as_py() if keyed else None
            found.append({"table": tables[name], "key": key, "relation": name, "effect": float(effects.effects[0, i])})
        return found

    def _without_neighbors(self, batch: GraphBatch, positions: Sequence[tuple[str, int]]) -> GraphBatch:
        """Return copies of one seed as the network reads them, each without another of the seed's neighbours.

        ``positions`` are relations and positions among the seed's own edges; the last copy has all its neighbours.
        """
        model, kept = self._predictor.graph_model.config, dict(batch.relations)
        for relation in model.relations:
            if relation.dst != model.entity or relation.name not in kept:
                continue
            edges = kept[relation.name]
            near, degrees, rank = edges.depths[0], edges.degrees.clone(), edges.rank.clone()
            stays = torch.ones(len(rank), dtype=torch.bool)
            for copy, (name, at) in enumerate(positions):
                if name == relation.name:
                    own = torch.nonzero(edges.dst[:near] == copy)[:, 0]
                    rank[own] -= (edges.rank[own] > edges.rank[own[at]]).to(rank.dtype)
                    stays[own[at]] = False
                    degrees[copy] -= 1
            stays[:near] &= rank[:near] < relation.budgets[0]
            kept[relation.name] = kept_edges(edges, stays, rank, degrees)
        return replace(batch, relations=kept)

    @torch.no_grad()
    def _final(self, batch: GraphBatch | None, window_features: NDArray[np.float32] | None) -> NDArray[np.float64]:
        raw = None
        if self._predictor.model is not None:
            raw = self._predictor.model(batch)[1].numpy().astype(np.float64)
        return self._predictor.final_raw(raw, window_features)

    def _as_effects(self, parts: tuple[Part, ...], base: NDArray[np.float64], others: NDArray[np.float64]) -> Effects:
        objective, n = self._predictor.pointwise, len(base)
        counted = objective.focus(base)
        now = (objective.link(base).reshape(n, -1) * counted).sum(axis=1)
        left = objective.link(others.reshape(-1, base.shape[1])).reshape(n, len(parts), -1)
        weights = np.einsum("no,npo->np", counted, base[:, None, :] - others)
        return Effects(parts, now, now[:, None] - np.einsum("no,npo->np", counted, left), weights)

    def _all_parts(self) -> Iterable[Part]:
        network, schema = self._predictor.model, self._features.view.schema
        read = network.config.types_at(0) if network is not None else ()
        used = [t for t in self._features.spec.tables if t.table in read]
        tables = dict.fromkeys([*(t.table for t in used), *(o.table for o in self._origins)])
        yield from (Part("table", table) for table in tables)
        columns = dict.fromkeys(
            [
                *((t.table, c.name) for t in used for c in t.columns),
                *((o.table, o.column) for o in self._origins if o.column is not None),
            ]
        )
        # When a row happened is in its age, its order and every window: that cannot be taken away by itself.
        timed = {(t.name, t.time_column) for t in schema.tables}
        yield from (
            Part("column", table, column)
            for table, column in columns
            if table in schema.names and (table, column) not in timed
        )
        layers = network.config.layers if network is not None else 0
        furthest = max([layers, *(o.hop for o in self._origins if o.hop is not None)])
        yield from (Part("hop", hop=hop) for hop in range(1, furthest + 1))

    def missing(self, table: str) -> Encoded:
        """Return how a row is encoded that has nothing but missing values."""
        if table not in self._nothing:
            kinds = self._features.view.all_contents(table).schema
            empty = pa.table({f.name: pa.nulls(1, f.type) for f in kinds})
            self._nothing[table] = self._features.spec.table(table).encode(empty)
        return self._nothing[table]


@dataclass(frozen=True)
class _Copies:
    """What the model sees of copies of some rows, one copy after another; without a network, window features alone."""

    seeds: Seeds
    window_features: NDArray[np.float32] | None
    subgraph: Subgraph | None = None
    batch: GraphBatch | None = None


def _one_more(plan: NeighborPlan) -> NeighborPlan:
    """Return a plan that takes one more of the seed's own neighbours."""

    def more(numbers: tuple[int, ...]) -> tuple[int, ...]:
        return (numbers[0] + (numbers[0] > 0), *numbers[1:])

    overrides = {name: more(numbers) for name, numbers in plan.overrides.items()}
    return NeighborPlan(more(plan.num_neighbors), plan.strategy, overrides)


def part_name(part: dict[str, Any]) -> str:
    """Name a part, given as JSON has it, as people read it."""
    if "hop" in part:
        return f"everything from hop {part['hop']} on"
    if "relation" in part:
        return " ".join([str(part[k]) for k in ("table", "key") if part[k] is not None] + [f"({part['relation']})"])
    return f"{part['table']}.{part['column']}" if "column" in part else str(part["table"])
