"""One question, one answer: whatever is missing (project, graph, model, predictions) is made on the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forekey.errors import ModelError, ProjectError
from forekey.notebooks import as_table
from forekey.pipeline.answers import Answers, store_answers, stored_answers
from forekey.pipeline.graphs import current_graph
from forekey.pipeline.parts import SILENT, Listener, check_name, find_task, is_query
from forekey.pipeline.start import init, kept_url, remember
from forekey.project import CONFIG_NAME
from forekey.secrets import with_variables
from forekey.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from forekey.graph import Snapshot
    from forekey.objectives import Metrics
    from forekey.registry import ModelVersion
    from forekey.task import Task

ASK_FOLDER = Path(".forekey-ask")
"""Where the project of a question lies that names a database and no project."""
TOP = 20


@dataclass(frozen=True)
class Reply:
    """The answer to a question.

    ``predictions`` are those asked for, or the first of all by size, each with ``entity_id``, ``prediction`` and its
    ``drivers``; ``total`` is how many entities the question is about, ``table`` holds the predictions of them all.
    ``metrics`` are the model's by split, ``baseline`` the best one's name and test metrics.
    """

    question: str
    task: str
    task_type: str
    entity: str
    predictions: list[dict[str, Any]]
    total: int
    table: pa.Table
    metrics: dict[str, Metrics]
    metric: str
    interval: list[float] | None
    baseline: dict[str, Any]
    verdict: str
    model_version: str
    snapshot: str
    as_of: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form of ``forekey ask --json``."""
        names = (
            "question", "task", "task_type", "predictions", "total", "metrics", "baseline", "verdict", "model_version",
            "snapshot", "as_of", "warnings", "notes", "seconds",
        )  # fmt: skip
        return {name: list(v) if isinstance(v := getattr(self, name), tuple) else v for name in names}

    def __repr__(self) -> str:
        score = self.metrics["test"].get(self.metric)
        told = f"test {self.metric} {score:.4g}" if score is not None else "no test metric"
        return f"Reply({len(self.predictions)} of {self.total:,} predictions of {self.entity}, {told})"

    def _repr_html_(self) -> str:
        rows = ([p["entity_id"], p["prediction"], "; ".join(d["what"] for d in p["drivers"])] for p in self.predictions)
        return as_table([self.entity, "prediction", "what drives it"], rows, self.verdict)


def answer(
    target: str,
    question: str,
    *,
    root: Path | None = None,
    top: int = TOP,
    seed: int = 0,
    listener: Listener = SILENT,
) -> Reply:
    """Answer a question about a database or a project; the project of a database is made in ``root`` if need be."""
    started = time.perf_counter()
    found = ask(open_or_init(target, root, listener), question, top=top, seed=seed, listener=listener)
    return replace(found, seconds=round(time.perf_counter() - started, 2))


def open_or_init(target: str, root: Path | None, listener: Listener = SILENT) -> Workspace:
    """Open the project that ``target`` is, or one for the database that it names, made in ``root`` if need be."""
    if (Path(target) / CONFIG_NAME).is_file():
        if root is not None and root.resolve() != Path(target).resolve():
            raise ProjectError(f"'{target}' is a project already: leave out --project.")
        return Workspace.open(Path(target))
    folder = root if root is not None else ASK_FOLDER
    if not (folder / CONFIG_NAME).is_file():
        listener.step("looking at the database")
        return init(target, folder).workspace
    opened, _, secrets = kept_url(target, folder)
    remember(secrets)
    workspace = Workspace.open(folder)
    # A project's source has its secrets put in when it is opened: which database it is does not depend on them.
    if with_variables(opened)[0] != with_variables(workspace.config.source)[0]:
        raise ProjectError(f"The project in '{folder}' is about another database. Choose a folder with --project DIR.")
    return workspace


def ask(workspace: Workspace, question: str, *, top: int = TOP, seed: int = 0, listener: Listener = SILENT) -> Reply:
    """Answer a query (or the query of a task): make labels, train quickly, predict, and say what drives it."""
    started = time.perf_counter()
    check_name(workspace, question)
    current = current_graph(workspace, listener)
    task, ids = _generalized(workspace, current, question)
    asked = _rows_of(task, current, ids) if ids is not None else None
    version = _fitting(workspace, task, current)
    answers = stored_answers(workspace, task, version, current) if version is not None else None
    if version is None:
        version = _trained(workspace, task, current, seed, listener)
    if answers is None or not answers.explains(asked, top):
        listener.step("predicting")
        answers = store_answers(workspace, task, version, current, asked, top)
    found = _reply(question, task, version, current, answers, asked, top)
    return replace(found, seconds=round(time.perf_counter() - started, 2))


def _generalized(workspace: Workspace, current: Snapshot, question: str) -> tuple[Task, Sequence[Any] | None]:
    """Return the task about all entities, and the ids of those that were asked for."""
    from forekey.query import parse, to_pql

    task = find_task(workspace, current.schema, question)
    ids = task.bound.query.ids if task.bound is not None else None
    if ids is None:
        return task, None
    task.labels.check_ids(current)
    if is_query(question):
        return find_task(workspace, current.schema, to_pql(replace(parse(question), ids=None))), ids
    return task, ids


def _rows_of(task: Task, current: Snapshot, ids: Sequence[Any]) -> list[int]:
    return [int(row) for row in dict.fromkeys(current.lookup(task.entity.name, list(ids)).tolist())]


def _fitting(workspace: Workspace, task: Task, current: Snapshot) -> ModelVersion | None:
    """Return a version that was trained on this snapshot for the same labels: the champion, or else the newest."""
    models = workspace.registry
    champion = models.champion_or_none(task.name)
    wanted = _labels_of(task.config.model_dump(mode="json"))
    for version in [*([champion] if champion is not None else []), *reversed(models.versions(task.name))]:
        facts = version.manifest
        same = facts.snapshot == current.id and _labels_of(facts.task_config) == wanted
        if same and version.is_intact:
            return version
    return None


def _labels_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a task's labels follow from: its settings, with the query in one spelling and about everyone."""
    from forekey.query import parse, to_pql

    if "query" not in config:
        return config
    return {**config, "query": to_pql(replace(parse(config["query"]), ids=None))}


def _trained(workspace: Workspace, task: Task, current: Snapshot, seed: int, listener: Listener) -> ModelVersion:
    """Train quickly: trees over window features."""
    from forekey.pipeline.models import train_config
    from forekey.training import train_task

    config, models = train_config("instant", seed, task.task_type), workspace.registry
    with workspace.source() as source, workspace.training(task.name):
        version, _ = train_task(task, current, source, models, config, listener=listener)
    champion = models.champion_or_none(task.name)
    if champion is None or task.name not in workspace.config.tasks:
        models.promote(task.name, version.version, "answered a question")
    return version


def _reply(
    question: str,
    task: Task,
    version: ModelVersion,
    current: Snapshot,
    answers: Answers,
    asked: Sequence[int] | None,
    top: int,
) -> Reply:
    from forekey.training import TrainReport

    report = TrainReport.from_version(version)
    best, facts = report.best_baseline, version.manifest
    if not report.metrics.get("test"):
        raise ModelError(f"{version.name} has no test metrics. Train it again.")
    return Reply(
        question=question,
        task=task.name,
        task_type=str(task.task_type),
        entity=f"{task.entity.name}.{task.entity.primary_key}",
        predictions=answers.chosen(asked, top),
        total=len(answers) if asked is None else len(asked),
        table=answers.table(asked),
        metrics=report.metrics,
        metric=report.default_metric,
        interval=report.intervals.get("model"),
        baseline={"name": best, "test": report.baselines[best]["test"]} if best is not None else {},
        verdict=report.verdict,
        model_version=version.version,
        snapshot=current.id,
        as_of=current.as_of.isoformat(),
        warnings=report.warnings,
        notes=tuple(facts.notes),
        seconds=0.0,
    )
