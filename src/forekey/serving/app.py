"""The HTTP application: routes parse, ask :class:`ServingState`, reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from forekey import __version__
from forekey.errors import ForekeyError, NotMonitored, UnknownEntity
from forekey.objectives import objective_of
from forekey.registry import ModelVersion
from forekey.serving import schemas
from forekey.serving.auth import OPEN, BearerAuth, LocalNames
from forekey.serving.state import Answer, ServingState
from forekey.serving.telemetry import Telemetry
from forekey.status import (
    GraphStatus,
    ProjectStatus,
    TaskDetail,
    graph_status,
    last_report,
    project_status,
    task_detail,
)
from forekey.store import EmbeddingVersion, KeyValueStore
from forekey.workspace import Workspace

_WRITE_LATENCY_SECONDS = 5.0
_MEANINGS = {
    400: "The request cannot be answered as it was asked.",
    401: "No API key, or a wrong one.",
    404: "There is no such task or entity.",
    409: "The task has no model or nothing stored yet, or the data no longer fit the model.",
    422: "The request does not fit the route's description.",
    503: "The store or the database does not answer.",
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problem documents that a route may answer with."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {s: {"description": _MEANINGS[s], "content": content} for s in statuses}


_OF_ENTITY = _problems(400, 401, 404, 409, 422, 503)
_OF_STATUS = _problems(401, 409, 503)
_OF_TASK = _problems(401, 404, 409, 422, 503)
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": schemas.Ready, "description": "There is nothing to serve yet."}
}
_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text format."},
    **_OF_STATUS,
}


def create_app(
    project: Workspace | str | Path,
    store: KeyValueStore | None = None,
    api_keys: tuple[str, ...] = (),
    *,
    any_host: bool = False,
) -> FastAPI:
    """Return the application for a project, open or by its folder; any number of processes may have one.

    Without a ``store``, that of the project is opened, and closed with the application. With ``api_keys``, requests
    must carry one as a bearer token; without, they must name this machine (``localhost``, an address) unless
    ``any_host``.
    """
    workspace = project if isinstance(project, Workspace) else Workspace.open(project)
    state = ServingState(workspace, workspace.store() if store is None else store)
    telemetry = Telemetry(workspace.place("serving"))
    app = FastAPI(
        title="Forekey",
        description="Predictions, embeddings and explanations for the entities of a relational database.",
        version=__version__,
        lifespan=_lifespan(state, telemetry, owns_store=store is None),
    )
    shown = {"task": next(iter(workspace.config.tasks), "churn"), "entity_id": "1"}
    app.openapi = lambda: _described(app, shown, with_keys=bool(api_keys))  # type: ignore[method-assign]
    app.state.serving = state
    state.count_answer = telemetry.count_answer
    _add_prediction_routes(app, state)
    _add_status_routes(app, state, telemetry)
    _add_overview_routes(app, state)
    _add_error_handlers(app)
    if api_keys:
        app.add_middleware(BearerAuth, keys=api_keys)
    elif not any_host:
        app.add_middleware(LocalNames)
    app.add_middleware(telemetry.middleware)
    return app


def _add_prediction_routes(app: FastAPI, state: ServingState) -> None:
    @app.get("/predict/{task}/{entity_id:path}", response_model=schemas.TaskPrediction, responses=_OF_ENTITY)
    def predict_one(task: str, entity_id: str, mode: schemas.Mode = "auto") -> JSONResponse:
        """Predict for one entity: looked up, computed now on the live graph, or whichever is there."""
        answer = state.predict(task, [entity_id], mode)[0]
        if answer is None:
            raise UnknownEntity(f"There is no entity '{entity_id}' for task '{task}'. Ids are primary keys.")
        return JSONResponse({"task": task, **_to_json(answer)})

    @app.post("/predict/{task}", response_model=schemas.Predictions, responses=_OF_ENTITY)
    def predict_many(task: str, request: schemas.PredictRequest) -> JSONResponse:
        """Predict for many entities; ids that do not exist are listed under ``unknown``."""
        answers = state.predict(task, request.entity_ids, request.mode)
        pairs = list(zip(request.entity_ids, answers, strict=True))
        return JSONResponse(
            {
                "task": task,
                "predictions": [_to_json(a) for _, a in pairs if a is not None],
                "unknown": [i for i, a in pairs if a is None],
                "mixed_as_of": len({a.as_of for a in answers if a is not None}) > 1,
            }
        )

    @app.get("/explain/{task}/{entity_id:path}", response_model=schemas.Explanation, responses=_OF_ENTITY)
    def explain(task: str, entity_id: str) -> JSONResponse:
        """Say which tables, columns and neighbours drive the prediction, by what it would be without each."""
        found = state.explain(task, entity_id)
        if found is None:
            raise UnknownEntity(f"There is no entity '{entity_id}' for task '{task}'. Ids are primary keys.")
        return JSONResponse({"task": task, "entity_id": state.typed(task, entity_id), **found})

    @app.get("/embeddings/{task}/{entity_id:path}", response_model=schemas.Embedding, responses=_OF_ENTITY)
    def embedding(task: str, entity_id: str) -> JSONResponse:
        """Return the stored embedding of one entity."""
        version, vector = state.embedding(task, entity_id)
        return JSONResponse(
            {
                "task": task,
                "entity_id": state.typed(task, entity_id),
                "embedding": [float(x) for x in vector],
                "kind": version.kind,
                "version": version.version,
                "model_version": version.model_version,
                "as_of": version.as_of,
            }
        )

    @app.get("/similar/{task}/{entity_id:path}", response_model=schemas.Similar, responses=_OF_ENTITY)
    def similar(task: str, entity_id: str, k: Annotated[int, Query(ge=1, le=1000)] = 10) -> JSONResponse:
        """Return the entities whose embeddings are most similar."""
        version, found = state.similar(task, entity_id, k)
        return JSONResponse(
            {
                "task": task,
                "entity_id": state.typed(task, entity_id),
                "similar": [{"entity_id": state.typed(task, key), "similarity": score} for key, score in found],
                "model_version": version.model_version,
                "as_of": version.as_of,
            }
        )


def _add_status_routes(app: FastAPI, state: ServingState, telemetry: Telemetry) -> None:
    @app.get("/tasks", response_model=schemas.Tasks, responses=_OF_STATUS)
    def tasks() -> JSONResponse:
        """List the project's tasks with what is trained and stored of each."""
        return JSONResponse({"tasks": [_task_status(state, name) for name in state.workspace.config.tasks]})

    @app.get("/models", response_model=schemas.Models, responses=_OF_STATUS)
    def models() -> JSONResponse:
        """List all model versions with their lineage."""
        return JSONResponse(
            {"models": [_model_status(v) for t in state.registry.tasks() for v in state.registry.versions(t)]}
        )

    @app.get("/healthz", response_model=schemas.Health)
    def healthz() -> JSONResponse:
        """Say that the process answers."""
        return JSONResponse({"status": "ok", "version": __version__})

    @app.get("/readyz", response_model=schemas.Ready, responses=_NOT_READY)
    def readyz() -> JSONResponse:
        """Say whether there is a snapshot and something stored to serve, and models are loaded."""
        stored = [t for t in state.workspace.config.tasks if state.embeddings.current(t) is not None]
        snapshot = state.snapshot_or_none()
        ready = bool(stored) and snapshot is not None and state.engine.is_warm
        return JSONResponse({"ready": ready, "tasks": stored}, status_code=200 if ready else 503)

    @app.get("/metrics", response_class=PlainTextResponse, responses=_METRICS)
    def metrics() -> Response:
        """Report counters and latencies in the Prometheus text format."""
        return telemetry.render(state)


def _add_overview_routes(app: FastAPI, state: ServingState) -> None:
    @app.get("/status", response_model=ProjectStatus, responses=_OF_STATUS)
    def status() -> JSONResponse:
        """Say whether all is well: source, snapshot, tasks, alerts, what to do next."""
        return JSONResponse(jsonable_encoder(project_status(state.workspace, state.store).to_dict()))

    @app.get("/tasks/{task}", response_model=TaskDetail, responses=_OF_TASK)
    def task(task: str) -> JSONResponse:
        """Describe one task: its quality over time, calibration, predictions, drift, versions and promotions."""
        return JSONResponse(jsonable_encoder(task_detail(state.workspace, task, state.store).to_dict()))

    @app.get("/monitor", response_model=schemas.Monitored, responses=_OF_STATUS)
    def monitor() -> JSONResponse:
        """Return what the monitors saw when they last looked: alerts, quality, drift, graph statistics, latency."""
        report = last_report(state.workspace)
        if report is None:
            raise NotMonitored("The monitors have not looked yet. Run `forekey monitor`, from cron for example.")
        return JSONResponse(jsonable_encoder(report.to_dict()))

    @app.get("/graph", response_model=GraphStatus, responses=_OF_STATUS)
    def graph() -> JSONResponse:
        """Describe tables, columns and foreign keys of the newest snapshot, and what moved in them."""
        return JSONResponse(jsonable_encoder(graph_status(state.snapshot(), last_report(state.workspace)).to_dict()))


def _add_error_handlers(app: FastAPI) -> None:
    """Turn every error into ``application/problem+json`` (RFC 9457)."""

    @app.exception_handler(ForekeyError)
    async def forekey_error(_: Request, error: ForekeyError) -> JSONResponse:
        return problem(error.http_status, type(error).__name__, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem(422, "InvalidRequest", f"{place}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        detail = f"{error.detail}: {request.method} {request.url.path}"
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods_of(request))
        return problem(error.status_code, "HTTPError", detail, headers)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return problem(500, "InternalError", "The service met an error of its own; see its log.")


def problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return one problem document."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type="application/problem+json", headers=headers)


def _methods_of(request: Request) -> list[str]:
    """Return the methods that the routes of a request's path have (RFC 9110, 15.5.6)."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return sorted(found)


def _described(app: FastAPI, shown: dict[str, str], *, with_keys: bool) -> dict[str, Any]:
    """Return the OpenAPI document: problems as they are sent, and the key that requests must carry, if any.

    ``shown`` are examples of what stands in paths.
    """
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        parts = document["components"]
        parts["schemas"]["Problem"] = schemas.Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            parts["schemas"].pop(name, None)
        if with_keys:
            parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"key": []}]
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _correct(operation, is_open=path in OPEN or not with_keys)
                for parameter in operation.get("parameters", ()):
                    if parameter["name"] in shown:
                        parameter["example"] = shown[parameter["name"]]
        app.openapi_schema = document
    return app.openapi_schema


def _correct(operation: dict[str, Any], *, is_open: bool) -> None:
    """Leave out what a route does not answer: 401 without keys, 422 where nothing can be invalid."""
    if is_open:
        operation["responses"].pop("401", None)
    if not operation.get("parameters") and "requestBody" not in operation:
        operation["responses"].pop("422", None)


def _lifespan(state: ServingState, telemetry: Telemetry, *, owns_store: bool) -> Any:
    """Write what was counted now and then, and once more at the end, for the monitors and other processes to read."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def write() -> None:
            while True:
                await asyncio.sleep(_WRITE_LATENCY_SECONDS)
                telemetry.write()

        writer = asyncio.create_task(write())
        state.recorder.start()
        try:
            yield
        finally:
            writer.cancel()
            state.engine.close()
            state.recorder.close()
            if owns_store:
                state.store.close()
            telemetry.write()

    return lifespan


def _to_json(answer: Answer) -> dict[str, Any]:
    return {k: v for k, v in asdict(answer).items() if v is not None}


def _task_status(state: ServingState, name: str) -> dict[str, Any]:
    config = state.workspace.config.tasks[name]
    champion, stored = state.registry.champion_or_none(name), state.embeddings.current(name)
    return {
        "task": name,
        "query": getattr(config, "query", None),
        "champion": champion.version if champion else None,
        "task_type": champion.manifest.task_type if champion else None,
        "metrics": champion.manifest.metrics if champion else None,
        "embeddings": _version_status(stored) if stored else None,
    }


def _version_status(stored: EmbeddingVersion) -> dict[str, Any]:
    """Describe what is stored; the items of a ranking may be very many, and are left out."""
    ranking = objective_of(stored.task_type).ranks_items
    return {k: v for k, v in asdict(stored).items() if not (ranking and k == "classes")}


def _model_status(version: ModelVersion) -> dict[str, Any]:
    shown = (
        "created_at",
        "task_type",
        "snapshot",
        "snapshot_as_of",
        "task_config",
        "config",
        "code_version",
        "parameters",
        "metrics",
        "seconds",
    )
    return {"task": version.task, "version": version.version, **{k: getattr(version.manifest, k) for k in shown}}
