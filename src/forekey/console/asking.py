"""Pages for questions: what a query means, the labels it makes, and a quick answer computed beside the service."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from forekey.console.site import Shown, Site
from forekey.errors import ForekeyError, PQLError
from forekey.pipeline import labels
from forekey.query import in_words, parse, quoted
from forekey.schema import Schema

_EXAMPLES = 5
_LONGEST = 10_000


def ask(site: Site, request: Request) -> Shown:
    """Show a form for a query; of one that was sent, its type, labels and examples, or what is wrong with it."""
    snapshot = site.state.snapshot_or_none()
    query = _asked(request.state.form.get("q") or request.query_params.get("q", ""))
    values: dict[str, Any] = {
        "query": query, "made": None, "words": None, "error": None, "examples": [], "statistics": [],
        "columns": [],
        "has_graph": snapshot is not None, "jobs": site.jobs.newest(),
        "names": json.dumps(_names(snapshot.schema)) if snapshot is not None else "[]",
        "tasks": [(t, q) for t, c in site.workspace.config.tasks.items() if (q := getattr(c, "query", None))],
    }  # fmt: skip
    if not query or snapshot is None:
        return Shown("ask.html", values)
    try:
        values["words"] = in_words(parse(query))
        if request.method == "POST":  # what asks the database needs a form of ours
            with site.few:
                made = labels(site.workspace, query)
            values |= {"made": made, "examples": _examples(made.table), "statistics": list(made.statistics.items())}
            values["columns"] = list(dict.fromkeys(name for facts in made.statistics.values() for name in facts))
    except PQLError as error:
        values["error"] = error.with_caret()
    except ForekeyError as error:
        values["error"] = str(error)
    return Shown("ask.html", values, 200 if values["error"] is None else 422)


def start(site: Site, request: Request) -> Shown:
    """Begin to answer a question, and go to where its progress is shown."""
    query = _asked(request.state.form.get("q", ""))
    if not query:
        return Shown(go_to=site.place(request, "/ask"))
    job = site.jobs.start(query)
    return Shown(go_to=site.place(request, f"/answers/{job.id}"))


def answer(site: Site, request: Request) -> Shown:
    """Show how far a question is, and its answer once there is one."""
    job = site.jobs.get(request.path_params["job"])
    if job is None:
        raise HTTPException(404, "There is no such question any more. Ask again.")
    waited = (site.workspace.clock() - job.began).total_seconds()
    values = {"job": job, "waited": waited, "words": _words(job.query), "before": site.jobs.before(job)}
    return Shown("answer.html", values)


def cancel(site: Site, request: Request) -> Shown:
    """Stop answering a question."""
    job = site.jobs.get(request.path_params["job"])
    if job is not None:
        site.jobs.cancel(job)
    return Shown(go_to=site.place(request, f"/answers/{request.path_params['job']}"))


def _asked(text: Any) -> str:
    """Return a query as it was typed; one that is too long is refused."""
    query = str(text).strip()
    if len(query) > _LONGEST:
        raise PQLError(f"The query has {len(query):,} characters, and {_LONGEST:,} are allowed.")
    return query


def _words(query: str) -> str | None:
    try:
        return in_words(parse(query))
    except PQLError:
        return None


def _names(schema: Schema) -> list[str]:
    """Return what may stand in a query: tables, and their columns."""
    tables = [quoted(name) for name in schema.names]
    columns = [f"{quoted(t.name)}.{quoted(c.name)}" for t in schema.tables for c in t.columns]
    return [*tables, *columns]


def _examples(table: Any) -> list[dict[str, Any]]:
    """Return examples of each label in turn, so that five of them show more than one."""
    rows = table.slice(0, 2_000).to_pylist()
    seen: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        seen.setdefault(str(row.get("target")), []).append(row)
    found: list[dict[str, Any]] = []
    while len(found) < min(_EXAMPLES, len(rows)):
        for group in seen.values():
            if group and len(found) < _EXAMPLES:
                found.append(group.pop(0))
    return found
