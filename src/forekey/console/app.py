"""The service with its pages: ``/`` and ``/console`` are for people, everything else is the HTTP interface."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from forekey.console import asking, entities, pages
from forekey.console.guard import Guard
from forekey.console.jobs import Jobs
from forekey.console.sessions import Sessions
from forekey.console.site import Site
from forekey.errors import ForekeyError
from forekey.serving import create_app as create_service
from forekey.serving.auth import LocalNames
from forekey.store import KeyValueStore
from forekey.workspace import Workspace


def create_app(
    project: Workspace | str | Path,
    store: KeyValueStore | None = None,
    api_keys: tuple[str, ...] = (),
    *,
    any_host: bool = False,
) -> Starlette:
    """Return the application for a project, open or by its folder: :func:`forekey.serving.create_app` and the pages.

    With ``api_keys``, people sign in by pasting one; a signed cookie carries that for half a day. Without, requests
    must name this machine unless ``any_host``.
    """
    service = create_service(project, store, api_keys, any_host=any_host)
    state = service.state.serving
    sessions, jobs = Sessions.of(state.workspace, api_keys), Jobs(state.workspace)
    site = Site(state, sessions, jobs)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with service.router.lifespan_context(service):
            try:
                yield
            finally:
                jobs.close()

    # The guard is outermost: what an unexpected error answers has its headers too.
    handlers = {ForekeyError: site.error, HTTPException: site.http_error, Exception: site.unexpected}
    guarded = Guard(Starlette(routes=_routes(site), exception_handlers=handlers), sessions)
    people: ASGIApp = guarded if api_keys or any_host else LocalNames(guarded)
    routes = [
        Route("/", _Front(people)),
        Route("/console", RedirectResponse("/console/")),
        Mount("/console", people),
        Mount("/", service),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.serving = state
    return app


def _routes(site: Site) -> list[Route | Mount]:
    files = StaticFiles(packages=[("forekey.console", "static"), ("forekey.charts", "static")])
    return [
        Route("/", site.page(pages.overview)),
        Route("/signin", site.page(pages.sign_in), methods=["GET"]),
        Route("/signin", site.signing_in, methods=["POST"]),
        Route("/signout", site.signing_out, methods=["POST"]),
        Route("/monitor", site.page(pages.monitor)),
        Route("/graph", site.page(pages.graph)),
        Route("/graph/table", site.page(pages.table)),
        Route("/ask", site.page(asking.ask), methods=["GET", "POST"]),
        Route("/answers", site.page(asking.start), methods=["POST"]),
        Route("/answers/{job}", site.page(asking.answer)),
        Route("/answers/{job}/cancel", site.page(asking.cancel), methods=["POST"]),
        Route("/task/{task}", site.page(pages.task)),
        Route("/task/{task}/entities", site.page(entities.ranked)),
        Route("/task/{task}/report/{version}", site.report),
        Route("/task/{task}/explain", site.page(entities.explained)),
        Route("/task/{task}/similar", site.page(entities.similar)),
        Route("/task/{task}/entity", site.page(entities.entity)),
        Mount("/static", files),
    ]


class _Front:
    """Shows at ``/`` what is at ``/console/``."""

    def __init__(self, people: ASGIApp) -> None:
        self._people = people

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = f"{scope.get('root_path', '')}/console"
        await self._people({**scope, "path": f"{root}/", "root_path": root}, receive, send)
