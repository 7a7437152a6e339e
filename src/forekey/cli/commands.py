"""Every command. Heavy rooms are imported where they are used, so that ``--help`` answers at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from forekey import __version__

if TYPE_CHECKING:
    from forekey.workspace import Workspace

_F = TypeVar("_F", bound=Callable[..., Any])


class _Commands(click.Group):
    """Lists commands in the order of the story rather than of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command's first sentence whole; click would cut it off."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, c.get_short_help_str(limit=200)) for name, c in self.commands.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="forekey")
def cli() -> None:
    """From a relational database to graph-neural-network predictions in production."""


def _common(function: _F) -> _F:
    """Add the options that every command has."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an unexpected error."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output."),
        click.option("--project", "root", type=click.Path(path_type=Path), default=Path(), help="Project folder."),
    ):
        function = option(function)
    return function


def _tasks(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the tasks of the project whose names begin so; what cannot be read completes nothing."""
    from forekey.errors import ForekeyError
    from forekey.workspace import Workspace

    try:
        return [
            name for name in Workspace.open(ctx.params.get("root") or Path()).config.tasks if name.startswith(begun)
        ]
    except ForekeyError:
        return []


_PRESETS = click.Choice(["instant", "fast", "normal", "best"])
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")


@cli.command()
@click.option("--no-serve", is_flag=True, help="End instead of serving.")
@click.option("--port", type=int, default=8000, show_default=True)
@click.option("--drift", is_flag=True, help="At the end, plant three faults in the data and see them found.")
@click.option("--households", type=click.IntRange(min=100), help="Load only this many households: a quick look.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Write the data up to December to this new DuckDB file, and end."
)
@click.option(
    "--arrive",
    type=click.Path(path_type=Path, exists=True),
    help="Insert the four weeks after it into that file, and end.",
)
@click.option("--project", "root", type=click.Path(path_type=Path), default=Path("forekey-demo"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an unexpected error.")
def demo(
    no_serve: bool,
    port: int,
    drift: bool,
    households: int | None,
    data: Path | None,
    arrive: Path | None,
    root: Path,
    as_json: bool,
    verbose: bool,
) -> None:
    """Go the whole way on real retail data: load, train, embed, serve, monitor, retrain."""
    from forekey.cli import render
    from forekey.cli.walkthrough import load_only, run_demo

    if data is not None or arrive is not None:
        return render.show(load_only(data, arrive, households), as_json)
    return run_demo(root, households=households, serve=not no_serve, port=port, drift=drift, as_json=as_json)


@cli.command()
@click.argument("source")
@click.argument("question")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Of FOR EACH, show this many.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all predictions to this .parquet or .csv file.")
@_seed
@click.option("--project", "root", type=click.Path(path_type=Path), help="Project folder, made if there is none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an unexpected error.")
def ask(
    source: str, question: str, top: int, out: Path | None, seed: int, root: Path | None, as_json: bool, verbose: bool
) -> None:
    """Answer a question in one go: graph, quick model, predictions, what drives them.

    SOURCE is a database as for `forekey init`, or the folder of a project; QUESTION a query such as "PREDICT
    COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.id", or the name of a task. The project of a database lies in
    .forekey-ask/ unless --project names another folder.
    """
    from forekey import pipeline
    from forekey.cli import files, render, reply
    from forekey.cli.listening import listening

    if out is not None:
        files.check_target(out)
    with listening(as_json) as listener:
        found = pipeline.answer(source, question, root=root, top=top, seed=seed, listener=listener)
    if out is not None:
        files.write_table(found.table, out)
    render.show(reply.answered(found, out), as_json)


@cli.command()
@click.argument("url")
@click.option("--force", is_flag=True, help="Overwrite forekey.yaml.")
@click.option("--review", is_flag=True, help="Ask about each key, reference and time that is not sure.")
@_common
def init(url: str, force: bool, review: bool, root: Path, as_json: bool, verbose: bool) -> None:
    """Introspect a database, infer keys and types, write forekey.yaml, print the schema.

    URL is postgresql://USER@HOST/DB, mysql://USER@HOST/DB, duckdb:///FILE, sqlite:///FILE, files:///FOLDER (Parquet
    or CSV), relbench:///FOLDER, or a path.
    """
    from forekey import pipeline
    from forekey.cli import render, schema

    if review and as_json:
        raise click.UsageError("--review asks questions, --json prints one object: not both.")
    accepts = schema.asked if review else None

    render.show(schema.initialized(pipeline.init(url, root, force=force, accepts=accepts)), as_json)


@cli.command()
@_common
def check(root: Path, as_json: bool, verbose: bool) -> None:
    """Verify keys, foreign-key integrity and times; exit 1 on errors."""
    from forekey import pipeline
    from forekey.cli import render

    found = pipeline.check(_open(root))
    render.show(render.integrity(found), as_json)
    if found.errors:
        raise SystemExit(1)


@cli.command()
@click.option("--full", is_flag=True, help="Read every row again instead of only what is new.")
@click.option("--as-of", type=click.DateTime(), help="Leave out rows after this time (UTC).")
@click.option("--list", "listing", is_flag=True, help="List the snapshots there are, and build none.")
@click.option("--stats", is_flag=True, help="Show degrees, NULLs and distributions of the newest, and build none.")
@click.option("--diff", nargs=2, metavar="A B", help="Compare two snapshots by id (or 'current'), and build none.")
@click.option("--prune", type=click.IntRange(min=1), metavar="KEEP", help="Delete all but the newest KEEP.")
@_common
def snapshot(
    full: bool,
    as_of: datetime | None,
    listing: bool,
    stats: bool,
    diff: tuple[str, str] | None,
    prune: int | None,
    root: Path,
    as_json: bool,
    verbose: bool,
) -> None:
    """Build or update the graph; print rows, edges, time and what changed."""
    from forekey import pipeline
    from forekey.cli import render
    from forekey.cli.listening import listening

    project = _open(root)
    store = project.snapshots
    if (full or as_of is not None) and (listing or stats or diff is not None or prune is not None):
        raise click.UsageError(
            "--full and --as-of are for building a snapshot; --list, --stats, --diff, --prune build none."
        )
    if prune is not None:
        store.prune(prune)
    if diff is not None:
        return render.show(render.difference(pipeline.compare_snapshots(project, *diff)), as_json)
    if stats:
        return render.show(render.statistics(current := store.current(), store.parent_of(current)), as_json)
    if listing or prune is not None:
        return render.show(render.snapshot_list(store.manifests(), store.current_id()), as_json)
    before = store.current_id()
    with listening(as_json) as listener:
        built = pipeline.snapshot(project, full=full, as_of=as_of, listener=listener)
    return render.show(render.snapshot(built, unchanged=built.id == before), as_json)


@cli.command()
@click.argument("task", shell_complete=_tasks)
@click.option("--out", type=click.Path(path_type=Path), help="Write the label table to this Parquet or CSV file.")
@click.option("--full", is_flag=True, help="Print the SQL for all anchor times, not for the first and the last only.")
@_common
def sql(task: str, out: Path | None, full: bool, root: Path, as_json: bool, verbose: bool) -> None:
    """Print the label SQL and label statistics of TASK, a name or a query."""
    from forekey import pipeline
    from forekey.cli import files, render
    from forekey.cli.listening import listening

    project = _open(root)
    with listening(as_json) as listener:
        made = pipeline.labels(project, task, listener=listener)
    if out is not None:
        files.write_table(made.table, out)
    render.show(render.labelled(made, full=full), as_json)


@cli.command()
@click.argument("task", shell_complete=_tasks)
@click.option("--preset", type=_PRESETS, default="normal", show_default=True)
@_seed
@click.option(
    "--search-minutes",
    type=click.FloatRange(min=0),
    help="How long to look for better settings first (15 with --preset best, else 0).",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="How long training may take in all; what does not fit is made smaller or left out.",
)
@click.option("--no-importance", is_flag=True, help="Do not measure which tables and columns count.")
@_common
def train(
    task: str,
    preset: str,
    seed: int,
    search_minutes: float | None,
    minutes: float | None,
    no_importance: bool,
    root: Path,
    as_json: bool,
    verbose: bool,
) -> None:
    """Train TASK, compare with baselines, register the version, print the report."""
    from forekey import pipeline
    from forekey.cli import render
    from forekey.cli.listening import listening

    project = _open(root, acts=True)
    with listening(as_json) as listener:
        report = pipeline.train(
            project,
            task,
            preset=preset,
            seed=seed,
            search_minutes=search_minutes,
            minutes=minutes,
            importance=not no_importance,
            listener=listener,
        )
    render.show(render.report(report), as_json)


@cli.command()
@click.argument("task", shell_complete=_tasks)
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--at", type=click.DateTime(), help="Score all labels at this anchor time (UTC) instead of a split.")
@click.option("--model", "version", help="A version such as v2; the champion if left out.")
@_common
def evaluate(
    task: str, split: str, at: datetime | None, version: str | None, root: Path, as_json: bool, verbose: bool
) -> None:
    """Score a model of TASK on a split, or at an anchor time."""
    from forekey import pipeline
    from forekey.cli import render
    from forekey.cli.listening import listening

    chosen = click.get_current_context().get_parameter_source("split")
    if at is not None and chosen is not ParameterSource.DEFAULT:
        raise click.UsageError("Score a split or the labels at a time: --split or --at, not both.")
    project = _open(root)
    with listening(as_json) as listener:
        model, metrics, rows = pipeline.evaluate(project, task, split=split, at=at, version=version, listener=listener)
    render.show(render.evaluation(model, metrics, rows, split if at is None else at.isoformat()), as_json)


@cli.command()
@click.argument("task", shell_complete=_tasks)
@_common
def embed(task: str, root: Path, as_json: bool, verbose: bool) -> None:
    """Write embeddings and predictions of every entity of TASK into the store."""
    from forekey import pipeline
    from forekey.cli import render
    from forekey.cli.listening import listening

    project = _open(root)
    with listening(as_json) as listener:
        done = pipeline.embed(project, task, listener=listener)
    render.show(render.embedded(done), as_json)


@cli.command()
@click.argument("task", shell_complete=_tasks)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this .parquet or .csv file.")
@click.option("--table", help="Write to this table of the source database; replaces an earlier export of that name.")
@click.option("--as-of", type=click.DateTime(), help="Predict as of this time (UTC) instead of the snapshot's.")
@_common
def predict(
    task: str, out: Path | None, table: str | None, as_of: datetime | None, root: Path, as_json: bool, verbose: bool
) -> None:
    """Export predictions for every entity that TASK is about."""
    from forekey import pipeline
    from forekey.cli import files, render
    from forekey.cli.listening import listening

    if (out is None) == (table is None):
        raise click.UsageError("Say where to: --out FILE or --table NAME.")
    project = _open(root)
    if out is not None:
        files.check_target(out)
    with listening(as_json) as listener:
        batch = pipeline.predict(project, task, as_of=as_of, listener=listener)
    rows = batch.table()
    if out is not None:
        files.write_table(rows, out)
    if table is not None:
        pipeline.write_back(project, table, rows)
    known = project.snapshots.current().as_of
    render.show(render.exported(task, batch, len(rows), str(out or table), known), as_json)


@cli.command()
@click.argument("task", shell_complete=_tasks)
@click.argument("entity_id")
@click.option("--as-of", type=click.DateTime(), help="Explain the prediction as of this time (UTC).")
@_common
def explain(task: str, entity_id: str, as_of: datetime | None, root: Path, as_json: bool, verbose: bool) -> None:
    """Say what drives the prediction of TASK for ENTITY_ID: tables, columns, hops, neighbours."""
    from forekey import pipeline
    from forekey.cli import render
    from forekey.cli.listening import listening

    project = _open(root)
    with listening(as_json) as listener:
        told = pipeline.explain(project, task, entity_id, as_of=as_of, listener=listener)
    render.show(render.explanation(told), as_json)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--insecure", is_flag=True, help="Allow a public address without an API key.")
@_common
def serve(host: str, port: int, insecure: bool, root: Path, as_json: bool, verbose: bool) -> None:
    """Serve predictions and embeddings over HTTP, and pages for people at /."""
    from forekey import pipeline
    from forekey.cli import render
    from forekey.cli.listening import listening
    from forekey.console import create_app
    from forekey.serving import serve as run

    project = _open(root, acts=True)
    with listening(as_json) as listener:
        pipeline.current_graph(project, listener)
    announce = render.serving(project, host, port)

    def listening_now() -> None:
        render.show(announce, as_json)

    run(project, host, port, insecure=insecure, make_app=create_app, on_listening=listening_now)


@cli.command()
@_common
def status(root: Path, as_json: bool, verbose: bool) -> None:
    """Show on one screen whether all is well: source, snapshot, tasks, alerts, what to do next."""
    from forekey.cli import overview, render
    from forekey.status import project_status

    render.show(overview.overview(project_status(_open(root))), as_json)


@cli.command()
@_common
def monitor(root: Path, as_json: bool, verbose: bool) -> None:
    """Look once at quality, drift, graph, freshness and latency; exit 1 if something is critical."""
    from forekey import pipeline
    from forekey.cli import monitored, render
    from forekey.cli.listening import listening

    project = _open(root, acts=True)
    with listening(as_json) as listener:
        report = pipeline.monitor(project, listener=listener)
    render.show(monitored.monitored(report, pipeline.advise(project, report), whole=verbose), as_json)
    if report.state == "critical":
        raise SystemExit(1)


@cli.command()
@click.argument("task", shell_complete=_tasks)
@click.option("--preset", type=_PRESETS, help="Settings of this preset, not the champion's.")
@_seed
@_common
def retrain(task: str, preset: str | None, seed: int, root: Path, as_json: bool, verbose: bool) -> None:
    """Train a challenger of TASK, hold it against the champion; exit 1 if the champion stays."""
    from forekey import pipeline
    from forekey.cli import render
    from forekey.cli.listening import listening

    project = _open(root, acts=True)
    with listening(as_json) as listener:
        challenge = pipeline.retrain(project, task, preset=preset, seed=seed, listener=listener)
    render.show(render.challenge(challenge), as_json)
    if not challenge.verdict.promote:
        raise SystemExit(1)


@cli.command()
@click.argument("task", required=False, shell_complete=_tasks)
@click.option("--promote", metavar="VERSION", help="Make this version of TASK the champion.")
@click.option(
    "--rollback", is_flag=True, help="Go back to the champion before this one; twice, to the one before that."
)
@_common
def models(task: str | None, promote: str | None, rollback: bool, root: Path, as_json: bool, verbose: bool) -> None:
    """List versions with their lineage; promote one, or roll back."""
    from forekey import pipeline
    from forekey.cli import render

    project = _open(root)
    registry = project.registry
    if task is not None and task not in registry.tasks():
        project.task(task)  # refuses a name that is no task's
    if promote and rollback:
        raise click.UsageError("Promote a version or roll back: --promote or --rollback, not both.")
    if (promote or rollback) and task is None:
        raise click.UsageError("Name the TASK whose champion changes.")
    served = pipeline.change_champion(project, task, promote) if task and (promote or rollback) else None
    changed = task if promote or rollback else None
    render.show(render.versions(registry, [task] if task else registry.tasks(), changed, served), as_json)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and tasks in SHELL.

    For bash, add `eval "$(forekey completion bash)"` to ~/.bashrc.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "forekey", "_FOREKEY_COMPLETE").source())


def _open(root: Path, *, acts: bool = False) -> Workspace:
    """Open a project; a command that ``acts`` on its settings says on standard error which do nothing."""
    from forekey.project import idle_settings
    from forekey.workspace import Workspace

    project = Workspace.open(root)
    for setting in idle_settings(project.config) if acts else ():
        click.echo(f"forekey: {setting.where} does nothing: {setting.why}. {setting.how}", err=True)
    return project
