"""The HTTP application: routes parse, ask :class:`ServingState`, reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from forekey import __version__
from forekey.errors import ForekeyError, UnknownEntity
from forekey.project import Project
from forekey.serving.auth import BearerAuth
from forekey.serving.page import render_page
from forekey.serving.state import Answer, ServingState
from forekey.serving.telemetry import Telemetry
from forekey.store import EmbeddingVersion, KeyValueStore
from forekey.task import TaskType

Mode = Literal["stored", "online", "auto"]
_WRITE_LATENCY_SECONDS = 5.0


class PredictRequest(BaseModel):
    """The body of ``POST /predict/{task}``."""

    model_config = ConfigDict(extra="forbid")
    entity_ids: Annotated[list[int | str], Field(min_length=1, max_length=10_000)]
    mode: Mode = "auto"


def create_app(project: Project, store: KeyValueStore, api_keys: tuple[str, ...] = ()) -> FastAPI:
    """Return the application for a project; with ``api_keys``, requests must carry one as a bearer token."""
    state = ServingState(project, store)
    telemetry = Telemetry()
    app = FastAPI(
        title="Forekey", version=__version__, lifespan=_lifespan(telemetry, project.place("serving") / "latency.json")
    )
    app.state.serving = state
    _add_prediction_routes(app, state)
    _add_status_routes(app, state, telemetry)
    _add_error_handlers(app)
    if api_keys:
        app.add_middleware(BearerAuth, keys=api_keys)
    app.add_middleware(telemetry.middleware)
    return app


def _add_prediction_routes(app: FastAPI, state: ServingState) -> None:
    @app.get("/predict/{task}/{entity_id:path}")
    def predict_one(task: str, entity_id: str, mode: Mode = "auto") -> JSONResponse:
        """Predict for one entity: looked up, computed now on the live graph, or whichever is there."""
        answer = state.predict(task, [entity_id], mode)[0]
        if answer is None:
            raise UnknownEntity(f"There is no entity '{entity_id}' for task '{task}'. Ids are primary keys.")
        return JSONResponse({"task": task, **_to_json(answer)})

    @app.post("/predict/{task}")
    def predict_many(task: str, request: PredictRequest) -> JSONResponse:
        """Predict for many entities; ids that do not exist are listed under ``unknown``."""
        answers = state.predict(task, request.entity_ids, request.mode)
        pairs = list(zip(request.entity_ids, answers, strict=True))
        return JSONResponse(
            {
                "task": task,
                "predictions": [_to_json(a) for _, a in pairs if a is not None],
                "unknown": [i for i, a in pairs if a is None],
            }
        )

    @app.get("/explain/{task}/{entity_id:path}")
    def explain(task: str, entity_id: str) -> JSONResponse:
        """Say which tables, columns and neighbours drive the prediction, by what it would be without each."""
        told = state.explain(task, entity_id)
        if told is None:
            raise UnknownEntity(f"There is no entity '{entity_id}' for task '{task}'. Ids are primary keys.")
        return JSONResponse({"task": task, "entity_id": state.typed(task, entity_id), **told})

    @app.get("/embeddings/{task}/{entity_id:path}")
    def embedding(task: str, entity_id: str) -> JSONResponse:
        """Return the stored embedding of one entity."""
        version, vector = state.embedding(task, entity_id)
        return JSONResponse(
            {
                "task": task,
                "entity_id": state.typed(task, entity_id),
                "embedding": [float(x) for x in vector],
                "version": version.version,
                "model_version": version.model_version,
                "as_of": version.as_of,
            }
        )

    @app.get("/similar/{task}/{entity_id:path}")
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
    @app.get("/tasks")
    def tasks() -> JSONResponse:
        """List the project's tasks with what is trained and stored of each."""
        return JSONResponse({"tasks": [_task_status(state, name) for name in state.project.config.tasks]})

    @app.get("/models")
    def models() -> JSONResponse:
        """List all model versions with their lineage."""
        return JSONResponse(
            {"models": [_model_status(v) for t in state.registry.tasks() for v in state.registry.versions(t)]}
        )

    @app.get("/healthz")
    def healthz() -> JSONResponse:
        """Say that the process answers."""
        return JSONResponse({"status": "ok", "version": __version__})

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        """Say whether there is a snapshot and something stored to serve."""
        stored = [t for t in state.project.config.tasks if state.embeddings.current(t) is not None]
        snapshot = state.snapshots.current_or_none()
        ready = bool(stored) and snapshot is not None
        return JSONResponse({"ready": ready, "tasks": stored}, status_code=200 if ready else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        """Report counters and latencies in the Prometheus text format."""
        return telemetry.render(state)

    @app.get("/", response_class=HTMLResponse)
    def page() -> HTMLResponse:
        """Show tasks, versions, metrics, graph statistics and drift."""
        return HTMLResponse(render_page(state))


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
        return problem(error.status_code, "HTTPError", f"{error.detail}: {request.method} {request.url.path}")

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return problem(500, "InternalError", "The service met an error of its own; see its log.")


def problem(status: int, title: str, detail: str) -> JSONResponse:
    """Return one problem document."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def _lifespan(telemetry: Telemetry, path: Path) -> Any:
    """Write latencies now and then, and once more at the end, for the monitors to read."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def write() -> None:
            while True:
                await asyncio.sleep(_WRITE_LATENCY_SECONDS)
                telemetry.write(path)

        writer = asyncio.create_task(write())
        try:
            yield
        finally:
            writer.cancel()
            telemetry.write(path)

    return lifespan


def _to_json(answer: Answer) -> dict[str, Any]:
    return {k: v for k, v in asdict(answer).items() if v is not None}


def _task_status(state: ServingState, name: str) -> dict[str, Any]:
    config = state.project.config.tasks[name]
    champion, stored = state.registry.champion_or_none(name), state.embeddings.current(name)
    return {
        "task": name,
        "query": getattr(config, "query", None),
        "champion": champion.version if champion else None,
        "task_type": champion.manifest["task_type"] if champion else None,
        "metrics": champion.manifest["metrics"] if champion else None,
        "embeddings": _version_status(stored) if stored else None,
    }


def _version_status(stored: EmbeddingVersion) -> dict[str, Any]:
    """Describe what is stored; the items of a ranking may be very many, and are left out."""
    ranking = stored.task_type == TaskType.LINK_PREDICTION
    return {k: v for k, v in asdict(stored).items() if not (ranking and k == "classes")}


def _model_status(version: Any) -> dict[str, Any]:
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
    return {"task": version.task, "version": version.version, **{k: version.manifest[k] for k in shown}}
