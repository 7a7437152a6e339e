"""What commands print: each function turns a result into JSON by the contract and into something to read."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from forekey.task import SPLITS

if TYPE_CHECKING:
    from forekey.graph import Difference, Integrity, Snapshot, SnapshotManifest
    from forekey.inference import BatchPredictions
    from forekey.objectives import Metrics
    from forekey.pipeline import Embedded, Labelled
    from forekey.registry import ModelVersion, Registry
    from forekey.retraining import Challenge
    from forekey.store import EmbeddingVersion
    from forekey.training import TrainReport
    from forekey.workspace import Workspace


@dataclass(frozen=True)
class Shown:
    """A result in both forms."""

    data: dict[str, Any]
    view: RenderableType


def console() -> Console:
    """Return the console for standard output; wide enough for tables when it is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False, soft_wrap=False)


def show(shown: Shown, as_json: bool) -> None:
    """Print one JSON object, or the view."""
    if as_json:
        print(json.dumps(shown.data, default=str))
    else:
        console().print(shown.view)


def snapshot(built: Snapshot, *, unchanged: bool = False) -> Shown:
    """Show nodes, edges, and what was left out; say if it is the snapshot that was there before."""
    facts = built.manifest
    nodes = grid("node type", "nodes", "quarantined", "newest row", "read", right=("nodes", "quarantined"))
    for name, t in facts.tables.items():
        left_out = ", ".join(f"{n:,} {reason}" for reason, n in t.quarantined.items()) or "0"
        nodes.add_row(name, f"{t.nodes:,}", left_out, _moment(t.newest), facts.read[name])
    edges = grid(
        "edge type", "edges", "NULL", "orphans", "mean degree", right=("edges", "NULL", "orphans", "mean degree")
    )
    for name, e in facts.edges.items():
        edges.add_row(name, f"{e.edges:,}", f"{e.null_keys:,}", f"{e.orphans:,}", f"{e.degree['mean']:.2f}")
    data = {
        "snapshot": built.id,
        "as_of": built.as_of.isoformat(),
        "nodes": {name: t.nodes for name, t in facts.tables.items()},
        "edges": {name: e.edges for name, e in facts.edges.items()},
        "orphans": {name: e.orphans for name, e in facts.edges.items()},
        "null_keys": {name: e.null_keys for name, e in facts.edges.items()},
        "quarantined": {name: t.left_out for name, t in facts.tables.items()},
        "unreadable": {name: t.unreadable for name, t in facts.tables.items() if t.unreadable},
        "unchanged": unchanged,
        "seconds": facts.seconds,
    }
    total = facts.num_nodes, facts.num_edges
    end = Text(
        f"Snapshot {built.id} as of {built.as_of}: {total[0]:,} nodes, {total[1]:,} edges, {facts.seconds:.1f} s."
    )
    if unchanged:
        end = Text(f"Nothing has changed since snapshot {built.id} as of {built.as_of}.")
    changes = [Text(f"schema: {change}") for change in facts.changes]
    unreadable = [
        Text(f"{name}.{column}: {count:,} values do not read as {built.schema.table(name).column(column).stype}: NULL")
        for name, table in facts.tables.items()
        for column, count in table.unreadable.items()
    ]
    return Shown(data, Group(nodes, edges, *unreadable, *changes, end))


def snapshot_list(manifests: Sequence[SnapshotManifest], current: str | None) -> Shown:
    """Show the snapshots of a project, oldest first; a star marks the one that readers take."""
    table = grid("", "snapshot", "as of", "built", "nodes", "edges", "parent", right=("nodes", "edges"))
    rows: list[dict[str, Any]] = [
        {
            "snapshot": m.id,
            "current": m.id == current,
            "as_of": _iso(m.as_of),
            "created_at": m.created_at,
            "nodes": m.num_nodes,
            "edges": m.num_edges,
            "parent": m.parent,
            "changes": m.changes,
        }
        for m in manifests
    ]
    for r in rows:
        table.add_row(
            "*" if r["current"] else "",
            r["snapshot"],
            r["as_of"][:16].replace("T", " "),
            r["created_at"],
            f"{r['nodes']:,}",
            f"{r['edges']:,}",
            r["parent"] or "–",
        )
    return Shown({"snapshots": rows}, table)


def difference(found: Difference) -> Shown:
    """Show what is different between two snapshots."""
    table = grid("", found.before, found.after, "change", right=(found.before, found.after, "change"))
    kinds = (
        ("nodes", found.nodes),
        ("left out", found.quarantined),
        ("edges", found.edges),
        ("orphans", found.orphans),
    )
    for kind, pairs in kinds:
        for name, (was, now) in pairs.items():
            if was != now:
                cells = [f"{n:,}" if n is not None else "–" for n in (was, now)]
                table.add_row(f"{kind} {name}", *cells, f"{(now or 0) - (was or 0):+,}")
    for name, (share, later) in found.null_rates.items():
        table.add_row(f"NULLs {name}", f"{share:.2%}", f"{later:.2%}", f"{100 * (later - share):+.2f} points")
    told = [Text(f"schema: {change}") for change in found.schema]
    nothing = Text("The two are alike.")
    return Shown(found.to_dict(), Group(*told, table) if table.row_count or told else nothing)


def statistics(built: Snapshot, parent: Snapshot | None) -> Shown:
    """Show growth, degrees, orphans, NULLs and distributions."""
    from forekey.graph import with_moments

    facts = built.manifest
    before = {n: t.nodes for n, t in parent.manifest.tables.items()} if parent is not None else {}
    growth = {n: t.nodes - before[n] if n in before else None for n, t in facts.tables.items()}
    nodes = grid("node type", "nodes", "since the parent", "newest row", right=("nodes", "since the parent"))
    for name, t in facts.tables.items():
        grown = growth[name]
        nodes.add_row(name, f"{t.nodes:,}", "–" if grown is None else f"{grown:+,}", _moment(t.newest))
    edges = grid("edge type", "edges", "mean", "median", "p99", "max", "isolated", "orphans", right=("edges",))
    for name, e in facts.edges.items():
        d, keys = e.degree, e.edges + e.orphans
        degrees = (f"{d['mean']:.2f}", f"{d['median']:g}", f"{d['p99']:g}", f"{d['max']:,}", f"{d['isolated']:,}")
        edges.add_row(name, f"{e.edges:,}", *degrees, f"{e.orphans / keys:.2%}" if keys else "–")
    columns = grid("column", "NULL", "unreadable", "distribution", right=("NULL", "unreadable"))
    for name, t in facts.tables.items():
        for column, c in with_moments(t.columns, built.schema.table(name)).items():
            unread = f"{t.unreadable.get(column, 0):,}"
            columns.add_row(f"{name}.{column}", f"{c['null_rate']:.1%}", unread, _distribution(c))
    data = {
        "snapshot": built.id,
        "tables": {
            n: {k: getattr(t, k) for k in ("nodes", "read", "quarantined", "placeholders", "unreadable")}
            | {"newest": _iso(t.newest), "columns": with_moments(t.columns, built.schema.table(n))}
            | {"growth": growth[n]}
            for n, t in facts.tables.items()
        },
        "edges": {n: e.figures() for n, e in facts.edges.items()},
    }
    return Shown(data, Group(nodes, edges, columns))


def _distribution(column: dict[str, Any]) -> str:
    if column.get("top"):
        return ", ".join(f"{value} {count:,}" for value, count in column["top"][:4])
    if column.get("quantiles"):
        low, _, _, middle, _, _, high = column["quantiles"]
        shown = (v[:16].replace("T", " ") if isinstance(v, str) else f"{v:.4g}" for v in (low, middle, high))
        return " … ".join(shown)
    return "–"


def integrity(found: Integrity) -> Shown:
    """Show what a check found."""
    table = grid("", "what was found, and how to mend it")
    for level, findings in (("error", found.errors), ("warning", found.warnings)):
        for f in findings:
            table.add_row(level, Text.assemble((f.where, "bold"), f": {f.what}\n{f.how}"))
    data = {
        "errors": [f.to_dict() for f in found.errors],
        "warnings": [f.to_dict() for f in found.warnings],
        "notes": list(found.notes),
    }
    nothing = Text("Keys, foreign keys and times are in order.")
    notes = [Text(note) for note in found.notes]
    return Shown(data, Group(table if found.errors or found.warnings else nothing, *notes))


def labelled(made: Labelled, *, full: bool = False) -> Shown:
    """Show a task's SQL (``full``: for all anchor times), label statistics and a few labelled rows."""
    table = grid("split", "rows", "anchors", "label", right=("rows", "anchors"))
    for split in SPLITS:
        s = made.statistics[split]
        table.add_row(split, f"{s['rows']:,}", _anchors(made.anchors.get(split), s["anchors"]), _spread(s))
    sample = grid("entity", "time", "target", "split")
    sample_rows = made.table.slice(0, 5).to_pylist()
    for row in sample_rows:
        sample.add_row(*(Text(str(row[c])) for c in ("entity", "time", "target", "split")))
    dropped = ", ".join(f"{n:,} {reason}" for reason, n in made.dropped.items() if n) or "none"
    parts: list[RenderableType] = [Text(f"{made.task.task_type}: {made.task.reason}")]
    statement = made.sql if full else made.shown
    if statement is not None:
        parts.append(Syntax(statement, "sql", background_color="default", word_wrap=True))
        if statement != made.sql:
            parts.append(Text("The statement has more anchor times than are shown: --full shows it whole."))
    data = {
        "task_type": str(made.task.task_type),
        "reason": made.task.reason,
        "sql": made.sql,
        "anchors": made.anchors,
        "splits": made.statistics,
        "dropped": made.dropped,
        "warnings": list(made.warnings),
        "notes": list(made.notes),
        "examples": [{name: _plain(value) for name, value in row.items()} for row in sample_rows],
    }
    counted = Text(f"{made.account.partition(':')[0].rstrip('.')}.\nDropped: {dropped}")
    doubts = [*(Text(f"Warning: {said}", style="yellow") for said in made.warnings), *(Text(n) for n in made.notes)]
    return Shown(data, Group(*parts, table, counted, *doubts, sample))


def report(found: TrainReport) -> Shown:
    """Show test and validation metrics beside those of the baselines."""
    metrics = list(found.metrics["test"])
    table = grid("test", *metrics, right=metrics)
    table.add_row(f"model {found.model_version}", *_numbers(found.metrics["test"], metrics), style="bold")
    for name, scores in found.baselines.items():
        table.add_row(name.replace("_", " "), *_numbers(scores["test"], metrics))
    page = (f"Report: {found.page}",) if found.page is not None else ()
    val = found.metrics["val"].get(found.default_metric)
    end = Text(
        f"{found.task} {found.model_version} ({found.task_type}): validation {found.default_metric} {number(val)}, "
        f"{found.seconds:.0f} s on snapshot {found.snapshot}.\n"
        + "\n".join(line for line in (found.blend, found.verdict, *found.notes, *page) if line)
    )
    warnings = [Text(f"Warning: {w}", style="yellow") for w in found.warnings]
    return Shown(found.to_dict(), Group(*warnings, table, end))


def evaluation(model: ModelVersion, metrics: Metrics, rows: int, where: str) -> Shown:
    """Show one model's metrics on some labels."""
    table = grid(f"{model.name} on {where}", "value", right=("value",))
    for name, value in metrics.items():
        table.add_row(name, number(value))
    data = {"task": model.task, "model_version": model.version, "on": where, "rows": rows, "metrics": metrics}
    return Shown(data, Group(table, Text(f"{rows:,} examples.")))


def embedded(done: Embedded) -> Shown:
    """Show what embedding wrote."""
    data = asdict(done)
    line = (
        f"{done.task}: {done.entities:,} embeddings and predictions as of {done.as_of} "
        f"({done.eligible:,} eligible) as version {done.version}, {done.seconds:.1f} s."
    )
    return Shown(
        {k: data[k] for k in ("task", "version", "model_version", "as_of", "entities", "eligible", "kind", "seconds")},
        Text(line if done.kind == "network" else f"{line} Embeddings are those of trees: the model has no network."),
    )


def exported(task: str, batch: BatchPredictions, rows: int, out: str, known: datetime) -> Shown:
    """Show where predictions were written, and what to know of them; the graph is ``known`` up to a moment."""
    notes = []
    if batch.as_of > known:
        notes.append(f"The graph ends at {known}: what happened between then and {batch.as_of} was not seen.")
    if rows == 0:
        who = "No entity was there yet" if not batch.keys else "The task speaks of none of those that were there"
        notes.append(f"{who} at {batch.as_of}.")
    data = {
        "task": task,
        "model_version": batch.model.version,
        "as_of": batch.as_of.isoformat(),
        "rows": rows,
        "out": out,
        "notes": notes,
    }
    said = f"{rows:,} predictions of {task} as of {batch.as_of} written to {out}."
    return Shown(data, Text("\n".join([said, *notes])))


def serving(project: Workspace, host: str, port: int) -> Shown:
    """Show where the service answers."""
    url, models = f"http://{host}:{port}", project.registry
    untrained = [name for name in project.config.tasks if name not in models.tasks()]
    data = {"url": url, "tasks": list(project.config.tasks), "untrained": untrained}
    notes = [f"{name} has no model yet and cannot be asked: run `forekey train {name}`." for name in untrained]
    said = f"Serving at {url} (console at /, API at /docs). Press Ctrl-C to end."
    return Shown(data, Text("\n".join([*notes, said])))


def challenge(found: Challenge) -> Shown:
    """Show a challenger beside the champion, and who won."""
    metrics = list(found.challenger_metrics)
    table = grid(f"newest window, {found.examples:,} examples", *metrics, right=metrics)
    table.add_row(f"champion {found.champion}", *_numbers(found.champion_metrics, metrics))
    table.add_row(f"challenger {found.challenger}", *_numbers(found.challenger_metrics, metrics))
    word = "Promoted" if found.verdict.promote else "Kept"
    who = found.challenger if found.verdict.promote else found.champion
    end = Text(f"{word} {who}: {found.verdict.reason}. Embeddings refreshed as {found.embedding_version}.")
    return Shown(asdict(found), Group(table, end))


def versions(
    registry: Registry, tasks: Sequence[str], changed: str | None = None, served: EmbeddingVersion | None = None
) -> Shown:
    """Show model versions with their lineage; of a task whose champion ``changed``, say what is ``served`` now."""
    table = grid("task", "version", "created", "snapshot", "as of", "metric", "test", "")
    listed = []
    for task in tasks:
        champion = registry.champion_or_none(task)
        for v in registry.versions(task):
            m = v.manifest
            mark = "champion" if champion is not None and champion.version == v.version else ""
            metric = m.default_metric
            table.add_row(
                task, v.version, m.created_at, m.snapshot, m.snapshot_as_of, metric,
                number(m.metrics.get("test", {}).get(metric)), mark,
            )  # fmt: skip
            shown = (
                "task_type",
                "created_at",
                "snapshot",
                "snapshot_as_of",
                "task_config",
                "config",
                "code_version",
                "metrics",
            )
            listed.append(
                {"task": task, "version": v.version, "champion": bool(mark), **{k: getattr(m, k) for k in shown}}
            )
    shown_table: RenderableType = table if listed else Text("There are no models yet.")
    if changed is not None:
        hint = f"Nothing is stored of this version, and what is served is another's: run `forekey embed {changed}`."
        if served is not None:
            hint = f"Served from now on: {served.model_version}, stored as of {served.as_of[:16].replace('T', ' ')}."
        shown_table = Group(shown_table, Text(hint))
    return Shown({"models": listed}, shown_table)


def explanation(told: dict[str, Any]) -> Shown:
    """Show what drives a prediction, the strongest first; of a ranking, the reasons for each item."""
    from forekey.inference import part_name

    parts: list[RenderableType] = []
    if "items" in told:
        table = grid("item", "what speaks for it", "effect", right=("effect",))
        for item in told["items"]:
            for i, reason in enumerate(item["reasons"][:_SHOWN_REASONS]):
                table.add_row(str(item["item"]) if i == 0 else "", reason["what"], f"{reason['effect']:+.4g}")
        parts.append(table)
    says = "makes these items stand out by" if "items" in told else "raises the prediction by"
    for kind in ("tables", "columns", "hops", "neighbors"):
        if not told.get(kind):
            continue
        table = grid(kind, says, right=(says,))
        for part in told[kind][:_SHOWN_PARTS]:
            table.add_row(part_name(part), f"{part['effect']:+.4g}")
        parts.append(table)
    what = f"{len(told['items'])} items" if "items" in told else f"{told['prediction']:.4g}"
    end = Text(f"{told['task']} {told['model_version']} predicts {what} for {told['entity_id']}.")
    return Shown(told, Group(*parts, end))


_STABLE, _SHOWN_DRIFT = 0.1, 20
"""A population stability index below is commonly read as stable; how many columns above it are listed at most."""
_SHOWN_PARTS = 8
_SHOWN_REASONS = 3


def grid(*heads: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table without lines."""
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    return table


def _anchors(moments: list[str] | None, count: int) -> str:
    if not moments:
        return f"{count:,}"
    return moments[0][:10] if len(moments) == 1 else f"{len(moments)}: {moments[0][:10]} … {moments[-1][:10]}"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _spread(statistics: dict[str, Any]) -> str:
    if "positives" in statistics:
        return f"{statistics['positives']:,} positive ({statistics['positives'] / max(statistics['rows'], 1):.1%})"
    if "quantiles" in statistics:
        low, middle, high = statistics["quantiles"]
        frames = ", ".join(f"{mean:.4g}" for mean in statistics.get("frames", ()))
        each = f"; of each timeframe {frames}" if frames else ""
        return f"mean {statistics['mean']:.4g}, median {middle:.4g}, 10–90 % {low:.4g}–{high:.4g}{each}"
    if "classes" in statistics:
        several = f", {statistics['mean']:.2f} an example" if "mean" in statistics else ""
        top = ", ".join(f"{name} {count:,}" for name, count in statistics["top"])
        return f"{statistics['classes']:,} classes{several}: {top}"
    return "–"


def _numbers(metrics: Metrics, names: Sequence[str]) -> list[str]:
    return [number(metrics.get(n)) for n in names]


def number(value: float | None) -> str:
    """Write a metric as tables have it."""
    return "–" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def _iso(micros: int | None) -> str | None:
    from forekey.graph import from_micros

    return from_micros(micros).isoformat() if micros is not None else None


def _moment(micros: int | None) -> str:
    return (_iso(micros) or "–")[:16].replace("T", " ")
