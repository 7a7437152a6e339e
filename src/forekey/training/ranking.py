"""Train a ranking: two towers, trees over pairs, how much each counts, baselines, report, registered version."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forekey.errors import TaskError
from forekey.features import FeatureStore, PairFeatures, PairSpec, fit_features, fit_history, interactions_between
from forekey.graph import Snapshot, from_micros, to_micros
from forekey.inference import Pairs, Predictor, Ranker, RankExplainer, RankStage, Trees, save_weights, tower_output
from forekey.nn import GraphModel
from forekey.progress import NEVER, Deadline, Listener
from forekey.registry import ModelVersion, Registry
from forekey.source import Source
from forekey.task import LabelTable, Task, average_precision
from forekey.training.checkpoint import NOWHERE, Checkpoint
from forekey.training.config import TrainConfig
from forekey.training.evaluate import Resolved, joined, resolve_examples
from forekey.training.judged import MODEL, NETWORK, TREES, Judged
from forekey.training.lineage import lineage, network_of, run_id, text_width
from forekey.training.loop import Epoch
from forekey.training.page import render_report
from forekey.training.prepare import Aging, some_examples
from forekey.training.report import TrainReport
from forekey.training.search import Trial, search, searched
from forekey.training.suspects import leaking_columns
from forekey.training.towers import fit_towers, fit_towers_again
from forekey.training.trees import Growing

_SHARES = np.linspace(0.0, 1.0, 11)
_MIN_VALIDATION = 300
_MOST_HELD = 0.25
_SCALE_SAMPLE = 20_000
_MAX_PAIRS = 1_000_000
_MAX_QUERIES = 20_000
_QUERIES_A_TIME = 500
_MAX_JUDGED = 3_000
_MAX_MOMENTS = 1_000
_EXPLAINED, _EXPLAINED_MOMENTS = 48, 3
# Early stopping goes by losses that change smoothly; mean average precision chooses between what comes out.
_SETTINGS: dict[str, dict[str, Any]] = {
    "rank": {"objective": "lambdarank", "metric": "ndcg"},
    "classify": {"objective": "binary", "metric": "binary_logloss"},
    "classify at random thresholds": {"objective": "binary", "metric": "binary_logloss", "extra_trees": True},
}


@dataclass(frozen=True)
class _Data:
    labels: LabelTable
    splits: dict[str, Resolved]
    fitting: Resolved
    judging: Resolved
    """What choices are made on: validation, and where that is small, the newest of the training examples."""
    cutoff: int
    entities: FeatureStore
    items: FeatureStore
    pairs: PairFeatures
    sampled: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Grown:
    """Trees, the objective that made them, and how many rounds each booster took."""

    trees: Trees
    objective: str
    rounds: tuple[int, ...]
    grown: int = 0
    """How many boosters were grown, of those that were planned."""


def train_ranking(
    task: Task,
    snapshot: Snapshot,
    source: Source,
    registry: Registry,
    config: TrainConfig,
    baselines: bool,
    listener: Listener,
    aging: Aging | None = None,
    deadline: Deadline = NEVER,
) -> tuple[ModelVersion, TrainReport]:
    """Train, score on validation and test, hold against baselines, and register the version.

    ``aging`` says up to when each example may see the graph; examples of one time should see it alike. Past the
    ``deadline`` no further tree is grown, and nothing is trained once more.
    """
    started, progress, on_epoch = time.perf_counter(), listener.step, listener.epoch
    progress("making labels")
    data = _prepare(task, snapshot, source, config, aging)
    tried: list[Trial] = []
    if config.search_seconds > 0 and config.network:
        progress("looking for better settings")
        config, tried = search(task.task_type, config, lambda *trial: _towers(task, data, *trial), progress)
    checkpoint = Checkpoint(registry.unfinished(task.name, run_id(task, snapshot, config)) if aging is None else None)
    if config.network:
        progress(f"training towers on {len(data.fitting):,} examples")
        ranker, history = _towers(task, data, config, on_epoch, checkpoint)
    else:
        ranker, history = _without_towers(task, data, config), []
    progress("growing trees")
    growing = Growing(torch.get_num_threads(), deadline, listener)
    grown = _grow(ranker, data, config, growing)
    ranker.stage = _choose(ranker, data, grown.trees) if config.network else RankStage(0.0, grown.trees)
    judged = Judged.of(task, data.splits, (), None)
    _judge(judged, ranker, grown.trees, data, "val")
    again = config.regrow and not deadline.passed
    left_out = _left_out(grown, config, again=again)
    if again:
        progress("learning from validation too")
        best = max((e.number for e in history if e.best), default=0)
        grown = _again(ranker, data, grown, config, best)
    _judge(judged, ranker, grown.trees, data, "test")
    if baselines:
        _judge_baselines(judged, data, ranker.top)
    manifest = lineage(
        task, snapshot, config, data.labels, data.cutoff, {name: r.unknown for name, r in data.splits.items()}
    )
    asked = config.importance and not deadline.passed
    left_out += ["importance was not measured"] if config.importance and not asked else []
    manifest |= _described(ranker, grown) | {
        **judged.to_dict(),
        "history": [e.to_dict() for e in history],
        "tried": [t.to_dict() for t in tried],
        "explanation": _explanation(ranker, data, config) if asked else {},
        "seconds": round(time.perf_counter() - started, 2),
    }
    manifest["notes"] += [*data.sampled, *searched(tried, config)]
    manifest["notes"] += [f"To end in time, {'; '.join(left_out)}."] if left_out else []
    used = {t.table for f in (data.entities, data.items) for t in f.spec.tables}
    manifest["warnings"] += leaking_columns(snapshot, used)
    features = {
        "entities": ranker.entities.features.spec.to_dict(),
        "items": ranker.items.features.spec.to_dict(),
        "pairs": ranker.pairs.spec.to_dict(),
    }
    version = registry.register(task.name, manifest, features, lambda draft: _write(ranker, judged, draft))
    checkpoint.clear()
    return version, TrainReport.from_version(version)


def _left_out(grown: _Grown, config: TrainConfig, *, again: bool) -> list[str]:
    """Return what there was no time for, once the trees are grown."""
    planned = config.trees.boosters * len(config.trees.objectives)
    found = [f"{grown.grown} of {planned} boosters were grown"] if grown.grown < planned else []
    return found + (["validation examples were not learnt from"] if config.regrow and not again else [])


def _prepare(task: Task, snapshot: Snapshot, source: Source, config: TrainConfig, aging: Aging | None) -> _Data:
    if task.items is None:
        raise TaskError(
            f"Task '{task.name}' ranks values of a column, and only rows of a table can be ranked. "
            "List a foreign key, or ask with CLASSIFY instead of RANK."
        )
    labels = task.labels(source, snapshot)
    source.release()  # nothing is asked of the database from here on
    splits = {name: resolve_examples(snapshot, task, labels.split(name)) for name in ("train", "val", "test")}
    for name in ("train", "val"):
        if len(splits[name]) == 0:
            raise TaskError(
                f"Task '{task.name}' has no {name} examples. See `forekey sql {task.name}`; loosen WHERE, or choose "
                "another window."
            )
    splits, sampled = some_examples(splits, config)
    moments = len(np.unique(np.concatenate([r.times for r in splits.values()])))
    if moments > _MAX_MOMENTS:
        raise TaskError(
            f"The labels of '{task.name}' stand at {moments:,} different times; a ranking compares the items that were "
            f"there at one time, and takes up to {_MAX_MOMENTS:,}. Round the times, for example down to the day."
        )
    if aging is not None:
        splits = {name: r.seen_by(aging(name, r.times)) for name, r in splits.items()}
    else:
        splits = _as_late_as_tests(splits, to_micros(snapshot.as_of), config.seed)
    cutoff = int(splits["train"].times.max())
    fitting, judging = _for_choices(task, splits)
    plain = fit_features(snapshot, cutoff, task.hidden, text_width(task))
    window = task.window_days

    def described(table: str) -> Any:
        return replace(plain, history=fit_history(snapshot, table, cutoff, window, task.hidden))

    entities = FeatureStore(snapshot, described(task.entity.name), cache=task.project.place("encoded"))
    items = FeatureStore(snapshot, described(task.items.name), beside=entities)
    _learn_scales(entities, items, splits["train"])
    ranked = task.bound.ranked if task.bound is not None else None
    target = (ranked[0].table.name, ranked[0].path, ranked[1]) if ranked is not None else None
    known = interactions_between(snapshot.schema, task.entity.name, task.items.name, target)
    history = items.spec.history
    assert history is not None
    pairs = PairFeatures(snapshot, PairSpec(task.entity.name, task.items.name, window, known, history))
    return _Data(labels, splits, fitting, judging, cutoff, entities, items, pairs, sampled)


def _towers(
    task: Task,
    data: _Data,
    config: TrainConfig,
    on_epoch: Callable[[Epoch], None],
    checkpoint: Checkpoint = NOWHERE,
) -> tuple[Ranker, list[Epoch]]:
    """Train two towers from scratch."""
    torch.manual_seed(config.seed)
    towers = []
    for store, table in ((data.entities, task.entity.name), (data.items, data.pairs.spec.items)):
        model = GraphModel(network_of(table, store, config, config.channels))
        towers.append(Predictor(model, store, config.neighbors, tower_output(model)))
    ranker = Ranker(towers[0], towers[1], data.pairs, RankStage(), task.top)
    return ranker, fit_towers(ranker, task, data.fitting, data.judging, config, on_epoch, checkpoint)


def _without_towers(task: Task, data: _Data, config: TrainConfig) -> Ranker:
    """Return a ranker that trees alone will make."""
    ends = [Predictor(None, store, config.neighbors, tower_output(None)) for store in (data.entities, data.items)]
    return Ranker(ends[0], ends[1], data.pairs, RankStage(), task.top)


def _as_late_as_tests(splits: dict[str, Resolved], as_of: int, seed: int) -> dict[str, Resolved]:
    """Where the data end before what is predicted, let each anchor time see data that ended as long before it.

    Only when test examples are asked about is used of them.
    """
    late = np.maximum(np.unique(splits["test"].times) - as_of, 0)
    if not late.any():
        return splits
    out = {"test": splits["test"].seen_by(np.full(len(splits["test"]), as_of, np.int64))}
    for name in ("train", "val"):
        moments, which = np.unique(splits[name].times, return_inverse=True)
        ages = np.random.default_rng((seed, len(name))).choice(late, len(moments))
        out[name] = splits[name].seen_by((moments - ages)[which])
    return out


def _for_choices(task: Task, splits: dict[str, Resolved]) -> tuple[Resolved, Resolved]:
    """Return what to learn from and what to choose on, while choices are made.

    A small validation set is joined by the newest anchors of training; examples whose labels reach into these are left
    out.
    """
    train, val = splits["train"], splits["val"]
    moments, counts = np.unique(train.times, return_counts=True)
    taken, total = 0, len(val)
    while total < _MIN_VALIDATION and taken < _MOST_HELD * len(moments) - 1:
        taken += 1
        total += int(counts[-taken])
    if taken == 0:
        return train, val
    first = int(moments[-taken])
    ends = {int(m): _end(task, int(m)) for m in moments}
    before = np.array([ends[int(t)] <= first for t in train.times])
    if not before.any():
        return train, val
    return train.only(np.flatnonzero(before)), joined(train.only(np.flatnonzero(train.times >= first)), val)


def _end(task: Task, moment: int) -> int:
    end = task.horizon_end(from_micros(moment))
    return to_micros(end) if end is not None else moment


def _learn_scales(entities: FeatureStore, items: FeatureStore, train: Resolved) -> None:
    """Learn from pasts at training times how the networks are to read such numbers."""
    rng = np.random.default_rng(0)
    some = train.only(np.sort(rng.permutation(len(train))[:_SCALE_SAMPLE]))
    seeds = some.seeds
    found = entities.history(seeds)
    table = items.spec.history
    assert found is not None
    assert table is not None
    entities.learn_scale(found)
    place = rng.integers(0, len(some), min(_SCALE_SAMPLE, 20 * len(some)))
    drawn = seeds.take(place)
    visible = items.view.presence(table.entity).bounds(drawn.cutoffs)
    rows = (rng.random(len(place)) * visible).astype(np.int32)
    known = items.history(drawn.moved(table.entity, rows).take(visible > 0))
    assert known is not None
    items.learn_scale(known)


@dataclass(frozen=True)
class _PairSet:
    """Candidates of some examples as trees take them: numbers, whether the label has each, and how many a query has."""

    numbers: NDArray[np.float32]
    label: NDArray[np.float64]
    sizes: NDArray[np.int64]

    def dataset(self, reference: Any = None) -> Any:
        """Return the pairs as LightGBM takes them."""
        import lightgbm as gbm

        parameters = {"feature_pre_filter": False}
        return gbm.Dataset(self.numbers, self.label, group=self.sizes, reference=reference, params=parameters)


def _pair_set(pairs: PairFeatures, examples: Resolved, seed: int) -> _PairSet:
    """Describe the candidates of as many examples as trees are grown from."""
    chosen = np.random.default_rng(seed).permutation(len(examples))[:_MAX_QUERIES]
    some, ptr, items = _with_candidates(pairs, examples.only(chosen))
    if len(items) == 0:
        raise TaskError(
            f"No row of '{pairs.spec.items}' was there yet at the times to learn from, so there is nothing to rank. "
            f"If its time column tells when rows were loaded, remove time_column of '{pairs.spec.items}' from "
            "forekey.yaml."
        )
    numbers = pairs.compute(some.seeds, ptr, items)
    label = _labels(some.target, ptr, items)
    sizes = np.diff(ptr)
    return _PairSet(numbers, label, sizes[sizes > 0])


def _with_candidates(pairs: PairFeatures, drawn: Resolved) -> tuple[Resolved, NDArray[np.int64], NDArray[np.int32]]:
    """Return examples with their candidates, as many as give ``_MAX_PAIRS`` pairs; found part by part until then."""
    sizes, items, taken = [np.zeros(1, np.int64)], [np.empty(0, np.int32)], 0
    for first in range(0, len(drawn), _QUERIES_A_TIME):
        part = drawn.only(np.arange(first, min(first + _QUERIES_A_TIME, len(drawn))))
        ptr, found = pairs.candidates(part.seeds)
        left = _MAX_PAIRS - sum(len(i) for i in items)
        fit = max(int(np.searchsorted(ptr, left, "right")) - 1, 0 if taken else 1)
        sizes.append(np.diff(ptr[: fit + 1]))
        items.append(found[: ptr[fit]])
        taken += fit
        if fit < len(part):
            break
    return drawn.only(np.arange(taken)), np.cumsum(np.concatenate(sizes)), np.concatenate(items)


def _labels(target: NDArray[Any], ptr: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.float64]:
    parts = [np.isin(items[ptr[q] : ptr[q + 1]], list(target[q])) for q in range(len(target))]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def _grow(ranker: Ranker, data: _Data, config: TrainConfig, growing: Growing) -> _Grown:
    """Grow trees by each objective, stopped early on what choices are made on, and take the better ranking."""
    import lightgbm as gbm

    fitting, judging = (_pair_set(ranker.pairs, r, config.seed) for r in (data.fitting, data.judging))
    train = fitting.dataset()
    val = judging.dataset(train)
    found: dict[str, tuple[float, list[Any]]] = {}
    plan = config.trees
    of = plan.boosters * len(plan.objectives)
    for n, name in enumerate(plan.objectives):
        boosters: list[Any] = []
        for number in range(plan.boosters):
            if (found or boosters) and growing.deadline.passed:
                break
            stop = gbm.early_stopping(plan.patience, verbose=False, first_metric_only=True)
            callbacks: list[Callable[..., Any]] = [
                stop,
                *growing.callbacks(n * plan.boosters + number, of, plan.rounds),
            ]
            parameters = _parameters(name, ranker.top, config, number)
            boosters.append(gbm.train(parameters, train, plan.rounds, [val], callbacks=callbacks))
        if not boosters:
            break
        said = np.mean([b.predict(judging.numbers, raw_score=True) for b in boosters], axis=0)
        found[name] = _mean_precision(judging, said, ranker.top), boosters
    best = max(found, key=lambda name: found[name][0])
    boosters = found[best][1]
    rounds = tuple(max(b.best_iteration, 1) for b in boosters)
    texts = tuple(b.model_to_string(num_iteration=r) for b, r in zip(boosters, rounds, strict=True))
    return _Grown(Trees((texts,)), best, rounds, sum(len(made) for _, made in found.values()))


def _parameters(name: str, top: int, config: TrainConfig, number: int) -> dict[str, Any]:
    return {
        **_SETTINGS[name],
        "eval_at": [top],
        "lambdarank_truncation_level": 2 * top,
        "learning_rate": config.trees.learning_rate,
        "num_leaves": 15,
        "min_data_in_leaf": 100,
        "feature_fraction": 0.3,
        "lambda_l2": 1.0,
        "seed": 1000 * config.seed + number,
        "num_threads": torch.get_num_threads(),
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


def _mean_precision(pairs: _PairSet, said: NDArray[np.float64], top: int) -> float:
    """Return the mean average precision of candidates ranked by what was said of each."""
    ptr = np.concatenate([[0], np.cumsum(pairs.sizes)])
    ranked = Pairs(ptr, np.arange(len(said), dtype=np.int32), said, pairs.numbers).best(said, top)[0]
    target = np.empty(len(pairs.sizes), object)
    target[:] = [tuple(np.flatnonzero(pairs.label[a:b]) + a) for a, b in pairwise(ptr.tolist())]
    return float(average_precision(target, ranked).mean()) if len(target) else 0.0


def _choose(ranker: Ranker, data: _Data, trees: Trees) -> RankStage:
    """Return the blend with the best mean average precision on what choices are made on; of equals, the trees' most."""
    judging = data.judging
    if len(judging) > _MAX_JUDGED:
        judging = judging.only(np.sort(np.random.default_rng(0).permutation(len(judging))[:_MAX_JUDGED]))
    parts = [(part, pairs) for part, pairs, _ in ranker.scored(judging.seeds)]
    said = [trees.raw(pairs.numbers)[:, 0] for _, pairs in parts]
    scales = [_spread(np.concatenate(values)) for values in ([pairs.towers for _, pairs in parts], said)]
    best, chosen = -1.0, RankStage()
    for share in _SHARES:
        stage = RankStage(round(float(share), 2), trees, *scales)
        found = [
            average_precision(judging.target[part], pairs.best(stage.blend(pairs.towers, raw), ranker.top)[0])
            for (part, pairs), raw in zip(parts, said, strict=True)
        ]
        score = float(np.concatenate(found).mean())
        if score > best:
            best, chosen = score, stage
    return chosen if chosen.share < 1.0 else replace(chosen, trees=None)


def _spread(values: NDArray[np.float64]) -> float:
    """Return the standard deviation, or 1 where there is none but rounding."""
    spread = float(np.std(values)) if len(values) else 0.0
    return spread if spread > 1e-9 else 1.0


def _again(ranker: Ranker, data: _Data, grown: _Grown, config: TrainConfig, epochs: int) -> _Grown:
    """Train what was chosen once more, from all examples that are not the test: what happened last tells most."""
    import lightgbm as gbm

    every = joined(data.splits["train"], data.splits["val"])
    if ranker.stage.share > 0.0:
        for seed, tower in enumerate((ranker.entities, ranker.items)):
            torch.manual_seed(config.seed + seed)
            tower.graph_model.load_state_dict(GraphModel(tower.graph_model.config).state_dict())
        fit_towers_again(ranker, every, config, epochs)
    train = _pair_set(ranker.pairs, every, config.seed).dataset()
    boosters = (
        gbm.train(_parameters(grown.objective, ranker.top, config, number), train, rounds)
        for number, rounds in enumerate(grown.rounds)
    )
    again = replace(grown, trees=Trees((tuple(b.model_to_string() for b in boosters),)))
    if ranker.stage.trees is not None:
        ranker.stage = replace(ranker.stage, trees=again.trees)
    return again


def _judge(judged: Judged, ranker: Ranker, trees: Trees, data: _Data, split: str) -> None:
    """Score the model and its parts."""
    examples, top = data.splits[split], ranker.top
    parts = (MODEL, NETWORK, TREES) if ranker.has_towers else (MODEL,)
    found = {name: np.full((len(examples), top), -1) for name in parts}
    for part, pairs, _ in ranker.scored(examples.seeds):
        raw = trees.raw(pairs.numbers)[:, 0]
        scores = (ranker.stage.blend(pairs.towers, raw), pairs.towers, raw)
        for name, score in zip(parts, scores, strict=False):
            found[name][part] = pairs.best(score, top)[0]
    for name, ranked in found.items():
        judged.add(name, split, ranked)


def _judge_baselines(judged: Judged, data: _Data, top: int) -> None:
    """Score what is popular now, what the entity had last, what its likes had: each filled up by what is popular."""
    pairs = data.pairs
    for split in ("val", "test"):
        seeds = data.splits[split].seeds
        popular = pairs.popular(seeds.cutoffs, 2 * top)
        guesses = {
            "popular": popular,
            "last_items": np.concatenate([pairs.newest(seeds, top), popular], axis=1),
            "items_of_others_alike": np.concatenate([pairs.alike(seeds, top), popular], axis=1),
        }
        for name, listed in guesses.items():
            judged.add(name, split, _first_different(listed, top))


def _first_different(listed: NDArray[np.int32], top: int) -> NDArray[np.int32]:
    """Return the first ``top`` different items of each row, -1 where there are fewer."""
    out = np.full((len(listed), top), -1, np.int32)
    for row, items in enumerate(listed.tolist()):
        kept = list(dict.fromkeys(i for i in items if i >= 0))[:top]
        out[row, : len(kept)] = kept
    return out


def _described(ranker: Ranker, grown: _Grown) -> dict[str, Any]:
    """Return what a manifest says of a ranker."""
    ends = (("entities", ranker.entities), ("items", ranker.items))
    towers = {name: end.graph_model for name, end in ends if ranker.has_towers}
    return {
        "model": {name: tower.config.to_dict() for name, tower in towers.items()} or None,
        "embedding": "network" if towers else "window features",
        "parameters": sum(p.numel() for tower in towers.values() for p in tower.parameters()),
        "output": ranker.transform.to_dict(),
        "items": ranker.pairs.spec.items,
        "top": ranker.top,
        "train_std": None,
        "final": {**ranker.stage.to_dict(), "objective": grown.objective},
        "importance": _importance(ranker, grown.trees),
    }


def _write(ranker: Ranker, judged: Judged, draft: ModelVersion) -> None:
    """Write the files of a version into its folder."""
    if ranker.has_towers:
        save_weights({"entities": ranker.entities.graph_model, "items": ranker.items.graph_model}, draft.weights)
    if ranker.stage.trees is not None:
        ranker.stage.trees.save(draft.folder)
    (draft.folder / "plots.json").write_text(json.dumps(judged.plots()), encoding="utf-8")
    (draft.folder / "report.html").write_text(render_report(draft), encoding="utf-8")


def _importance(ranker: Ranker, trees: Trees) -> dict[str, float]:
    shares, features = trees.importance(), ranker.pairs.features
    return {features[i].name: round(float(shares[i]), 4) for i in np.argsort(-shares)[:30] if shares[i] > 0}


def _explanation(ranker: Ranker, data: _Data, config: TrainConfig) -> dict[str, Any]:
    """Return how far items shown stand out on average for tables, columns, or all beyond a hop."""
    val = data.splits["val"]
    drawn = np.random.default_rng(config.seed).permutation(len(val))
    # Items are described moment by moment, so few moments will do.
    few = np.unique(val.times[drawn])[-_EXPLAINED_MOMENTS:]
    some = val.only(np.sort(drawn[np.isin(val.times[drawn], few)][:_EXPLAINED]))
    found = RankExplainer(ranker).effects(some.seeds)
    return {kind: found.overall(kind) for kind in ("table", "column", "hop")}
