"""The report of a version as one self-contained HTML file: what a person wants to see before trusting a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from forekey.charts import Axes, Bar, Line, bar_chart, line_chart, style
from forekey.inference import part_name
from forekey.objectives import objective_of
from forekey.registry import ModelManifest, ModelVersion
from forekey.training.report import TrainReport

_SHOWN_BASELINES = 2


def render_report(version: ModelVersion) -> str:
    """Return the page of a registered version."""
    report, facts = TrainReport.from_version(version), version.manifest
    path = version.folder / "plots.json"
    plots: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    template = Template(resources.files("forekey.training").joinpath("report_page.html").read_text(encoding="utf-8"))
    return template.substitute(
        charts=style(),
        title=escape(f"{report.task} {report.model_version}"),
        facts=escape(
            f"{report.task_type} · snapshot {report.snapshot} as of {facts.snapshot_as_of} · "
            f"{report.seconds:.0f} s of training · Forekey {facts.code_version}"
        ),
        question=escape(str(facts.task_config.get("query") or json.dumps(facts.task_config, default=str))),
        verdict=escape(report.verdict),
        warnings="".join(f'<div class="warning">{escape(w)}</div>' for w in report.warnings),
        notes="".join(f'<p class="note">{escape(note)}</p>' for note in report.notes),
        metrics=_metrics(report, facts),
        explained=escape(_explained(report, facts)),
        plots="".join(_behaviour(report, plots)),
        importance=_explanation(facts) + _importance(facts),
        learning="".join(_learning(report, facts)) + _tried(facts),
        lineage=_lineage(facts),
    )


def _metrics(report: TrainReport, facts: ModelManifest) -> str:
    names = list(report.metrics["test"])
    parts: dict[str, Any] = facts.parts
    shown = {f"model {report.model_version}": report.metrics["test"]}
    shown |= {name: m["test"] for name, m in parts.items()}
    shown |= {name.replace("_", " "): m["test"] for name, m in report.baselines.items()}
    intervals: Mapping[str, Sequence[float]] = facts.intervals
    keys = ["model", *parts, *report.baselines]
    rows = []
    for key, (label, scores) in zip(keys, shown.items(), strict=True):
        between = intervals.get(key)
        rows.append([label, *(_number(scores.get(n)) for n in names), _between(between)])
    return _table(["", *names, f"95 % of {report.default_metric}"], rows, own=1)


def _explained(report: TrainReport, facts: ModelManifest) -> str:
    val = report.metrics["val"].get(report.default_metric)
    text = f"Validation {report.default_metric}: {_number(val)}. Intervals: bootstrap over entities, 200 draws."
    text += f" {report.blend}" if report.blend else ""
    return f"{text} {facts.calibration}" if facts.calibration else text


def _behaviour(report: TrainReport, plots: dict[str, Any]) -> Iterable[str]:
    metric, by_time = report.default_metric, plots.get("by_time", {})
    if len(by_time.get("time", [])) > 1:
        ranked = sorted(report.baselines, key=lambda n: n != report.best_baseline)[:_SHOWN_BASELINES]
        places = list(range(len(by_time["time"])))
        names = [t[:10] for t in by_time["time"]]
        series = [Line("model", places, by_time["model"])]
        known = [n for n in ranked if n in by_time]
        series += [Line(n.replace("_", " "), places, by_time[n], look="bc"[i]) for i, n in enumerate(known)]
        yield _plot(f"{metric} by anchor time (validation, then test)", "anchor time", metric, series, names)
    if "roc" in plots:
        curve = Line("", plots["roc"]["x"], plots["roc"]["y"])
        yield _plot("ROC (test)", "false positive rate", "true positive rate", [curve, _diagonal()])
        curve = Line("", plots["pr"]["x"], plots["pr"]["y"])
        yield _plot("Precision and recall (test)", "recall", "precision", [curve])
    if "calibration" in plots:
        curve = Line("", plots["calibration"]["promised"], plots["calibration"]["happened"])
        most = max([*curve.x, *(y or 0.0 for y in curve.y), 0.01])
        yield _plot("Calibration (test, tenths)", "predicted", "happened", [curve, _diagonal(most)])
    if "points" in plots:
        actual, predicted = plots["points"]["actual"], plots["points"]["predicted"]
        ends = [min([*actual, *predicted], default=0.0), max([*actual, *predicted], default=1.0)]
        cloud, same = Line("", actual, predicted, is_cloud=True), Line("", ends, ends, look="g", is_dashed=True)
        yield _plot("Predicted against actual (test)", "actual", "predicted", [cloud, same])
    if "at_k" in plots:
        places = plots["at_k"]["k"]
        both = [Line(n, places, plots["at_k"][n], look=c) for n, c in (("precision", "a"), ("recall", "b"))]
        yield _plot("Precision and recall of the first k (test)", "k", "share", both)
    if "confusion" in plots:
        classes, counts = plots["confusion"]["classes"], plots["confusion"]["counts"]
        rows = [[a, *(f"{n:,}" for n in row)] for a, row in zip(classes, counts, strict=True)]
        yield "<div><b>Actual (rows) and predicted (test)</b>" + _table(["", *classes], rows) + "</div>"


def _plot(title: str, x: str, y: str, series: Sequence[Line], names: Sequence[str] = ()) -> str:
    """Return a chart with its title."""
    drawn = line_chart(Axes(title, x, y, names=names, width=460, height=270), series)
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}</figure>"


def _bars(title: str, values: Iterable[tuple[str, float]]) -> str:
    drawn = bar_chart([Bar(name, value) for name, value in values], title)
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}</figure>"


def _diagonal(most: float = 1.0) -> Line:
    return Line("", [0.0, most], [0.0, most], look="g", is_dashed=True)


def _explanation(facts: ModelManifest) -> str:
    """Show how much predictions change without each table, column, or everything from some hop on."""
    found: dict[str, list[dict[str, Any]]] = facts.explanation
    ranks = objective_of(facts.task_type).ranks_items
    what = "change of how far items stand out" if ranks else "change of the raw prediction"
    out = []
    for kind, title in (("table", "tables"), ("column", "columns"), ("hop", "this hop and beyond")):
        named = [(part_name(part), float(part["effect"])) for part in found.get(kind, ())][:12]
        if named:
            out.append(_bars(f"{what} without: {title} (mean size)", named))
    return "".join(out)


def _importance(facts: ModelManifest) -> str:
    found: dict[str, float] = facts.importance
    if not found:
        return '<p class="quiet">The model has no window features.</p>'
    return _bars("share of what the trees' splits gained", list(found.items())[:20])


def _learning(report: TrainReport, facts: ModelManifest) -> Iterable[str]:
    epochs = [e["number"] for e in facts.history]
    if len(epochs) < 2:
        return
    losses, scores = ([e[name] for e in facts.history] for name in ("loss", "score"))
    yield _plot("Training loss of the network", "epoch", "loss", [Line("", epochs, losses)])
    metric = report.default_metric
    yield _plot(f"Validation {metric} of the network", "epoch", metric, [Line("", epochs, scores)])


def _tried(facts: ModelManifest) -> str:
    """List what a search tried, the best first."""
    found: list[dict[str, Any]] = facts.tried
    if not found:
        return ""
    higher = objective_of(facts.task_type).higher_is_better
    known = sorted((t for t in found if t["score"] is not None), key=lambda t: t["score"], reverse=higher)
    names = list(found[0]["settings"])
    rows = [
        [*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in t["settings"].values()), _number(t["score"]),
         str(t["epochs"]), f"{t['seconds']:.0f} s", "stopped early" if t["stopped"] else ""]
        for t in known
    ]  # fmt: skip
    header = [*(n.replace("_", " ") for n in names), f"validation {found[0]['metric']}", "epochs", "time", ""]
    return "<div><b>Settings that were tried</b>" + _table(header, rows) + "</div>"


def _lineage(facts: ModelManifest) -> str:
    rows = [[s, f"{facts.labels[s]['rows']:,}"] for s in ("train", "val", "test")]
    splits = _table(["labels", "rows"], rows)
    more = {
        "statistics learnt from rows up to": facts.feature_cutoff,
        "parameters of the network": f"{facts.parameters:,}",
        "preset": facts.config["preset"],
        "seed": facts.config["seed"],
        "neighbours per hop": facts.neighbors["num_neighbors"],
    }
    return splits + _table(["", ""], [[name, str(value)] for name, value in more.items()])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _between(pair: Sequence[float] | None) -> str:
    return "–" if pair is None else f"{pair[0]:.4g} to {pair[1]:.4g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], own: int = 0) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in header)
    body = "".join(
        f"<tr{' class=own' if i < own else ''}>{''.join(f'<td>{escape(str(c))}</td>' for c in row)}</tr>"
        for i, row in enumerate(rows)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
