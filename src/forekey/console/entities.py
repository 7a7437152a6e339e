"""Pages about entities: the list of them by prediction, one of them, and what drives its prediction."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from forekey.charts import Bar, Svg
from forekey.console import drawings
from forekey.console.neighborhood import neighborhood
from forekey.console.site import Shown, Site
from forekey.console.words import effect
from forekey.errors import ForekeyError, UnknownEntity
from forekey.status import entity_rows, project_status, question
from forekey.store import LoggedPredictions

_PAGE = 50
_SIMILAR = 10
_BARS = 12


def ranked(site: Site, request: Request) -> Shown:
    """List entities by prediction, with search by the beginning of their keys, and pages."""
    name, asked = request.path_params["task"], request.query_params
    site.state.task(name)
    task = next(t for t in project_status(site.workspace, site.state.store).tasks if t.task == name)
    search, lowest = asked.get("q", "").strip(), asked.get("order") == "lowest"
    begin = asked.get("from", "")
    offset = int(begin) if begin.isascii() and begin.isdecimal() and len(begin) < 12 else 0
    page = None
    if task.stored_as_of is not None and task.stored_model is not None:
        logged = LoggedPredictions(site.workspace.predictions, name)
        page = logged.page(
            task.stored_as_of, task.stored_model, begins=search, offset=offset, size=_PAGE, lowest=lowest
        )
    values = {"task": task, "page": page, "search": search, "lowest": lowest, "offset": offset, "size": _PAGE}
    return Shown("entities.html", values)


def entity(site: Site, request: Request) -> Shown:
    """Show one entity: its prediction and its history, what drives it, its rows, and similar ones."""
    name, key = request.path_params["task"], request.query_params.get("key", "")
    known = site.state.task(name)
    table = known.entity.name
    rows = entity_rows(site.state.snapshot(), table, key)
    stored, stored_said = _tried(lambda: site.state.look_up(name, rows.key if rows is not None else key))
    if rows is None and stored is None:
        raise UnknownEntity(f"There is no entity '{key}' for task '{name}'. Ids are primary keys.")
    own = rows.key if rows is not None else key
    drivers, drivers_said = _tried(lambda: site.state.drivers(name, own))
    history, _ = _tried(lambda: LoggedPredictions(site.workspace.predictions, name).of_entity(own))
    history = history or []
    numbers = [(at, version, float(p)) for at, version, p in history if isinstance(p, int | float)]
    values = {
        "task": name, "kind": known.task_type, "words": question(site.workspace.config.tasks[name]).words,
        "key": own, "table": table, "rows": rows, "stored": stored, "stored_said": stored_said,
        "drivers": _drivers_chart(drivers, known.task_type), "driver_list": drivers or [], "drivers_said": drivers_said,
        "history": drawings.history_chart(numbers, f"Predictions for {own}") if len(numbers) > 1 else None,
        "history_rows": history,
    }  # fmt: skip
    return Shown("entity.html", values)


def explained(site: Site, request: Request) -> Shown:
    """Show what the prediction would be without each table, column and neighbour; computed when it is asked for."""
    name, key = request.path_params["task"], request.query_params.get("key", "")
    with site.few:
        found = site.state.explain(name, key)
    if found is None:
        raise UnknownEntity(f"There is no entity '{key}' for task '{name}'. Ids are primary keys.")
    table, kind = site.state.task(name).entity.name, site.state.task(name).task_type
    rows = entity_rows(site.state.snapshot(), table, key)
    neighbors = found.get("neighbors") or []
    values = {
        "task": name, "key": key, "table": table, "found": found,
        "kind": kind, "tables": _parts_chart(found["tables"], "Tables", kind),
        "columns": _parts_chart(found["columns"], "Columns", kind),
        "neighbors": neighbors, "is_part": request.query_params.get("part") == "1",
        "graph": neighborhood(rows, neighbors) if rows is not None else None,
    }  # fmt: skip
    return Shown("explained.html", values)


def similar(site: Site, request: Request) -> Shown:
    """Show the entities with the most similar embeddings; looked for when it is asked for, among all."""
    name, key = request.path_params["task"], request.query_params.get("key", "")
    with site.few:
        found, said = _tried(lambda: site.state.similar(name, key, _SIMILAR))
    values = {
        "task": name, "key": key, "table": site.state.task(name).entity.name, "similar": found[1] if found else [],
        "said": said, "is_part": request.query_params.get("part") == "1",
    }  # fmt: skip
    return Shown("similar.html", values)


def _drivers_chart(drivers: list[dict[str, Any]] | None, kind: str) -> Svg | None:
    if not drivers:
        return None
    bars = [Bar(d["what"], d["effect"], effect(d["effect"], kind)) for d in drivers]
    return drawings.effects_chart(bars, "What raises and lowers the prediction")


def _parts_chart(parts: list[dict[str, Any]], title: str, kind: str) -> Svg | None:
    bars = [
        Bar(".".join(str(p[n]) for n in ("table", "column") if n in p), p["effect"], effect(p["effect"], kind))
        for p in parts[:_BARS]
    ]
    return drawings.effects_chart(bars, f"{title} by their effect on the prediction") if bars else None


def _tried(ask: Any) -> tuple[Any, str]:
    """Return what was asked for, or why it is not there: the rest of the page is shown all the same."""
    try:
        return ask(), ""
    except ForekeyError as error:
        return None, str(error)
