"""The Python verbs: thin objects over the pipeline.

project = fk.init("duckdb:///shop.duckdb")
task = project.task("churn")
model = task.train()
model.metrics["test"]["auroc"]
task.embed()
task.predict(as_of="2026-01-01")
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forekey import pipeline
from forekey.errors import TaskError
from forekey.notebooks import as_table
from forekey.secrets import without_password
from forekey.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from forekey.graph import Integrity, Snapshot
    from forekey.monitoring import MonitorReport
    from forekey.objectives import Metrics
    from forekey.pipeline import Reply
    from forekey.retraining import Challenge
    from forekey.status import ProjectStatus


class Project:
    """A project folder."""

    def __init__(self, project: Workspace) -> None:
        self._project = project

    def __repr__(self) -> str:
        config = self._project.config
        tasks = f", tasks: {', '.join(config.tasks)}" if config.tasks else ""
        return f"Project({str(self._project.root)!r}, {len(config.tables)} tables of {self._source}{tasks})"

    def _repr_html_(self) -> str:
        config = self._project.config
        tables = (
            [
                name,
                table.primary_key,
                ", ".join(table.time.columns) if table.time is not None else table.time_from,
                "; ".join(f"{column} → {key.table}" for column, key in table.foreign_keys.items()) or None,
            ]
            for name, table in config.tables.items()
        )
        shown = as_table(["table", "primary key", "time", "refers to"], tables, self._source)
        if not config.tasks:
            return shown
        tasks = ([name, getattr(task, "query", None) or "ready-made labels"] for name, task in config.tasks.items())
        return shown + as_table(["task", "query"], tasks, "")

    @property
    def _source(self) -> str:
        return without_password(self._project.config.source)

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self._project.root

    def snapshot(self, *, full: bool = False, as_of: str | datetime | None = None) -> Snapshot:
        """Build or update the graph; ``full`` reads every row again."""
        return pipeline.snapshot(self._project, full=full, as_of=_moment(as_of))

    def check(self) -> Integrity:
        """Judge keys, foreign keys and times."""
        return pipeline.check(self._project)

    def task(self, name: str | None = None, *, pql: str | None = None) -> Task:
        """Return a task of forekey.yaml by name, or one that a query states on the spot."""
        if (name is None) == (pql is None):
            raise TaskError("Name a task, or give a query with pql=; one of the two.")
        if name is not None:
            self._project.task(name)
        return Task(self._project, name or pql or "")

    def ask(self, question: str, *, top: int = 20, seed: int = 0) -> Reply:
        """Answer a query (or the query of a task) at once: a quick model, predictions, and what drives them.

        Of FOR EACH, ``predictions`` are the first ``top``; ``table`` holds them all.
        """
        return pipeline.ask(self._project, question, top=top, seed=seed)

    def status(self) -> ProjectStatus:
        """Say whether all is well: source, snapshot, tasks, alerts, what to do next. Nothing is computed."""
        from forekey.status import project_status

        return project_status(self._project)

    def monitor(self) -> MonitorReport:
        """Look once at quality, drift, graph, freshness and latency."""
        return pipeline.monitor(self._project)


class Task:
    """One task of a project."""

    def __init__(self, project: Workspace, name: str) -> None:
        self._project = project
        self.name = name

    def __repr__(self) -> str:
        query = getattr(self._project.config.tasks.get(self.name), "query", None)
        return f"Task({self.name!r}: {query})" if query is not None else f"Task({self.name!r})"

    def labels(self) -> pa.Table:
        """Return the label table: entity, time, target, split."""
        return pipeline.labels(self._project, self.name).table

    def train(
        self,
        *,
        preset: str = "normal",
        seed: int = 0,
        search_minutes: float | None = None,
        minutes: float | None = None,
        importance: bool = True,
    ) -> Model:
        """Train on the newest snapshot (built if there is none) and register the version.

        ``search_minutes`` is how long to look for better settings first (default: what the preset says); ``minutes``
        is how long training may take in all. Without ``importance`` it is not measured which columns count.
        """
        found = pipeline.train(
            self._project,
            self.name,
            preset=preset,
            seed=seed,
            search_minutes=search_minutes,
            minutes=minutes,
            importance=importance,
        )
        return Model(found)

    def evaluate(self, *, split: str = "test", at: str | datetime | None = None) -> Metrics:
        """Score the champion on a split, or on all labels at one anchor time."""
        return pipeline.evaluate(self._project, self.name, split=split, at=_moment(at))[1]

    def embed(self) -> pipeline.Embedded:
        """Write embeddings and predictions of every entity to the store."""
        return pipeline.embed(self._project, self.name)

    def predict(self, *, as_of: str | datetime | None = None) -> pa.Table:
        """Return predictions for every entity that the task is about at a time (default: the snapshot's)."""
        return pipeline.predict(self._project, self.name, as_of=_moment(as_of)).table()

    def explain(self, entity_id: Any, *, as_of: str | datetime | None = None) -> dict[str, Any]:
        """Say what drives the prediction for one entity: tables, columns, hops and neighbours, the strongest first."""
        return pipeline.explain(self._project, self.name, entity_id, as_of=_moment(as_of))

    def retrain(self, *, preset: str | None = None, seed: int = 0) -> Challenge:
        """Train a challenger, hold it against the champion, promote or keep.

        Without a ``preset`` it is trained by the champion's settings, what a search found among them.
        """
        return pipeline.retrain(self._project, self.name, preset=preset, seed=seed)


class Model:
    """A trained version and how good it is."""

    def __init__(self, report: Any) -> None:
        self.report = report
        self.version: str = report.model_version
        self.metrics: dict[str, Metrics] = report.metrics
        self.baselines: dict[str, dict[str, Metrics]] = report.baselines

    def __repr__(self) -> str:
        return f"Model({self.report.task}/{self.version}: {self.report.verdict})"

    def _repr_html_(self) -> str:
        metrics = list(self.metrics["test"])
        scores = {f"model {self.version}": self.metrics["test"]}
        scores |= {name.replace("_", " "): splits["test"] for name, splits in self.baselines.items()}
        rows = ([name, *(values.get(metric) for metric in metrics)] for name, values in scores.items())
        return as_table(["test", *metrics], rows, self.report.verdict)


def init(url: str, root: str | Path = ".", *, force: bool = False) -> Project:
    """Introspect a database and write forekey.yaml into ``root``."""
    return Project(pipeline.init(url, Path(root), force=force).workspace)


def ask(source: str, question: str, *, root: str | Path | None = None, top: int = 20, seed: int = 0) -> Reply:
    """Answer a question about a database, or a project folder, in one go; see :meth:`Project.ask`.

    The project of a database lies in ``.forekey-ask`` unless ``root`` names another folder.
    """
    return pipeline.answer(source, question, root=Path(root) if root is not None else None, top=top, seed=seed)


def open(root: str | Path = ".") -> Project:
    """Open a project folder."""
    return Project(Workspace.open(root))


def _moment(value: str | datetime | None) -> datetime | None:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise TaskError(f"'{value}' is not a time; write it as 2026-01-31 or 2026-01-31T12:00:00.") from error
