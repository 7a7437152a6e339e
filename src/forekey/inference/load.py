"""A registered version bound to a snapshot, ready to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from forekey.errors import ModelError
from forekey.features import FeatureSpec, FeatureStore, PairFeatures, PairSpec
from forekey.graph import Snapshot
from forekey.inference.final import FinalStage
from forekey.inference.output import OutputTransform
from forekey.inference.predictor import Predictor
from forekey.inference.ranking import Ranker, RankStage, tower_output
from forekey.nn import GraphModel, ModelConfig, NotReadable, load_tensors, save_tensors
from forekey.registry import ModelVersion
from forekey.sampling import NeighborPlan
from forekey.schema import Schema, Stype, TableSchema
from forekey.source import Source
from forekey.task import PastLabels, Task, TaskType, remembered_past

AnyPredictor = Predictor | Ranker


def load_predictor(
    version: ModelVersion, snapshot: Snapshot, past: PastLabels | None = None, cache: Path | None = None
) -> AnyPredictor:
    """Load a model version onto a snapshot; :class:`ModelError` says what the snapshot lacks for it.

    ``past`` holds the labels that entities had before, for models that look at them (see :func:`past_for`); ``cache``
    is a folder in which the codes of texts are kept.
    """
    manifest = version.manifest
    version.check()
    check_signature(Schema.from_dict(manifest["signature"]), snapshot.schema, version.name)
    if TaskType(manifest["task_type"]) is TaskType.LINK_PREDICTION:
        return _load_ranker(version, snapshot, cache)
    model = None
    if manifest["model"] is not None:
        model = GraphModel(ModelConfig.from_dict(manifest["model"]))
        load_weights({"": model}, version)
    features = FeatureStore(snapshot, FeatureSpec.from_dict(version.features()), past, cache=cache)
    transform = OutputTransform.from_dict(manifest["output"])
    final = FinalStage.load(manifest.get("final"), version.folder)
    return Predictor(model, features, NeighborPlan.from_dict(manifest["neighbors"]), transform, final)


def _load_ranker(version: ModelVersion, snapshot: Snapshot, cache: Path | None) -> Ranker:
    manifest, features = version.manifest, version.features()
    models: dict[str, GraphModel] = {}
    if manifest["model"] is not None:
        models = {name: GraphModel(ModelConfig.from_dict(manifest["model"][name])) for name in ("entities", "items")}
        load_weights(models, version)
    entities = FeatureStore(snapshot, FeatureSpec.from_dict(features["entities"]), cache=cache)
    items = FeatureStore(snapshot, FeatureSpec.from_dict(features["items"]), beside=entities)
    plan = NeighborPlan.from_dict(manifest["neighbors"])
    towers = [
        Predictor(models.get(name), store, plan, tower_output(models.get(name)))
        for name, store in (("entities", entities), ("items", items))
    ]
    pairs = PairFeatures(snapshot, PairSpec.from_dict(features["pairs"]))
    stage = RankStage.load(manifest["final"], version.folder)
    return Ranker(towers[0], towers[1], pairs, stage, manifest["top"])


def load_weights(models: dict[str, GraphModel], version: ModelVersion) -> None:
    """Load the parameters of a version's networks, by name; a version of one network has no name for it."""
    try:
        tensors = load_tensors(version.weights)
        for name, model in models.items():
            begin = f"{name}." if name else ""
            model.load_state_dict({n.removeprefix(begin): t for n, t in tensors.items() if n.startswith(begin)})
    except (NotReadable, RuntimeError) as error:
        raise ModelError(f"The weights of {version.name} cannot be read. Train the task again.") from error


def save_weights(models: dict[str, GraphModel], path: Path) -> None:
    """Write what :func:`load_weights` reads."""
    named = {f"{name}.{n}" if name else n: t for name, model in models.items() for n, t in model.state_dict().items()}
    save_tensors(path, named)


def past_for(
    version: ModelVersion,
    task: Task,
    open_source: Callable[[], AbstractContextManager[Source]],
    snapshot: Snapshot,
    moments: Iterable[int],
    folder: Path,
) -> PastLabels | None:
    """Return the labels known at some moments, for a model that looks at them; gathered once, kept in ``folder``."""
    history = version.features().get("history")
    if history is None or not history["past_labels"]:
        return None
    classes = tuple(version.manifest["output"]["classes"])
    return remembered_past(task, open_source, snapshot, moments, classes, folder)


def check_signature(needed: Schema, found: Schema, model: str) -> None:
    """Compare what a model was trained on with what a snapshot has; :class:`ModelError` names all that is missing.

    Columns count by name and meaning: an integer that became a decimal is the same number to a model.
    """
    missing = [part for table in needed.tables for part in _missing_of(table, found)]
    missing += [f"the foreign key {e}" for e in needed.edge_types if e not in found.edge_types]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise ModelError(
            f"{model} needs {shown}, which the snapshot lacks. Run `forekey train {model.partition('/')[0]}`."
        )


def _missing_of(table: TableSchema, found: Schema) -> list[str]:
    if table.name not in found.names:
        return [f"the table '{table.name}'"]
    have = {c.name: c.stype for c in found.table(table.name).columns}
    used = [c for c in table.columns if c.stype not in {Stype.ID, Stype.IGNORE}]
    return [f"{table.name}.{c.name} as {c.stype}" for c in used if have.get(c.name) != c.stype]
