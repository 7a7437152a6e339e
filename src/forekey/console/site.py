"""Templates and answers: a page is a function that returns what a template shows."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from forekey import __version__
from forekey.console import words
from forekey.console.guard import cookie_header
from forekey.console.jobs import Jobs
from forekey.console.sessions import Sessions
from forekey.errors import Busy, ForekeyError
from forekey.serving.state import ServingState

_WRONG_KEY_SECONDS = 0.5
_AT_ONCE = 2
"""Labels and explanations that are computed for pages at once: requests of programs use the same threads."""
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
_log = logging.getLogger("forekey.console")


@dataclass(frozen=True)
class Shown:
    """What a page shows: a template with its values, or another place to go to."""

    template: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    go_to: str | None = None


class Few:
    """Lets few do something at once, and refuses the others: ``with few: …`` raises :class:`Busy`."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    def __enter__(self) -> None:
        if not self._free.acquire(blocking=False):
            raise Busy("The service computes as much for pages as it may at once. Try again in a few seconds.")

    def __exit__(self, *_: object) -> None:
        self._free.release()


Page = Callable[["Site", Request], Shown]


class Site:
    """What pages need: what requests are answered from, templates, sessions, and questions being answered."""

    def __init__(self, state: ServingState, sessions: Sessions, jobs: Jobs) -> None:
        self.state, self.workspace, self.sessions, self.jobs = state, state.workspace, sessions, jobs
        self.few = Few(_AT_ONCE)
        self._templates = Environment(
            loader=PackageLoader("forekey.console"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters |= words.FILTERS
        self._templates.globals |= {"version": __version__, "project": self.workspace.root.resolve().name}

    def page(self, make: Page) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that shows what ``make`` returns, computed in a thread."""

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(lambda: self._render(request, make(self, request)))

        return endpoint

    def _render(self, request: Request, shown: Shown) -> Response:
        if shown.go_to is not None:
            return RedirectResponse(shown.go_to, 303)
        visit, base = request.state.visit, request.scope.get("root_path", "")
        values = {
            "request": request, "base": base, "root": base.removesuffix("/console"),
            "token": self.sessions.token(visit),
            "is_signed_in": visit.is_signed_in, "needs_key": self.sessions.needs_key, **shown.values,
        }  # fmt: skip
        return HTMLResponse(self._templates.get_template(shown.template).render(values), shown.status)

    async def error(self, request: Request, error: Exception) -> Response:
        """Show an error that the reader can do something about."""
        assert isinstance(error, ForekeyError)
        return self._render(
            request, Shown("error.html", {"status": error.http_status, "said": str(error)}, error.http_status)
        )

    async def http_error(self, request: Request, error: Exception) -> Response:
        """Show that there is no such page."""
        assert isinstance(error, HTTPException)
        said = "There is no such page." if error.detail == "Not Found" else error.detail
        values = {"status": error.status_code, "said": said}
        answer = self._render(request, Shown("error.html", values, error.status_code))
        answer.headers.update(error.headers or {})
        return answer

    async def unexpected(self, request: Request, error: Exception) -> Response:
        """Show that something went wrong that should not; the log says what."""
        _log.error("%s failed", request.url.path, exc_info=error)
        said = "The service met an error of its own; see its log."
        return self._render(request, Shown("error.html", {"status": 500, "said": said}, 500))

    async def signing_in(self, request: Request) -> Response:
        """Read a pasted key; go on to what was asked for."""
        form = request.state.form
        visit = self.sessions.sign_in(form.get("key", "")) if self.sessions.needs_key else request.state.visit
        if visit is None:
            await asyncio.sleep(_WRONG_KEY_SECONDS)
            values = {"next": form.get("next", ""), "said": "This is not one of the keys of this service."}
            return self._render(request, Shown("signin.html", values, 401))
        answer = RedirectResponse(_own(form.get("next", "")) or self.place(request, "/"), 303)
        answer.headers.append("set-cookie", cookie_header(self.sessions, visit, request.url.scheme))
        return answer

    async def signing_out(self, request: Request) -> Response:
        """Forget who is looking."""
        answer = RedirectResponse(self.place(request, "/signin"), 303)
        answer.delete_cookie(self.sessions.name, path="/")
        self.sessions.sign_out(request.state.visit)
        return answer

    def report(self, request: Request) -> Response:
        """Return the report of a model version, which is a page of its own that may run nothing."""
        task, version = request.path_params["task"], request.path_params["version"]
        known = (
            {v.version: v for v in self.workspace.registry.versions(task)}
            if task in self.workspace.config.tasks
            else {}
        )
        path = known[version].folder / "report.html" if version in known else None
        if path is None or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": _REPORT_POLICY})

    @staticmethod
    def in_path(text: str) -> str:
        """Return a name as it stands in a path."""
        return words.in_path(text)

    @staticmethod
    def place(request: Request, path: str) -> str:
        """Return the path of a page as the browser knows it."""
        return f"{request.scope.get('root_path', '')}{path}"


def _own(place: str) -> str:
    """Return a place of this site; nothing for one of another (OWASP: unvalidated redirects)."""
    is_own = place.startswith("/") and not place.startswith(("//", "/\\")) and "\\" not in place and place.isprintable()
    return place if is_own and (place == "/" or place.startswith(("/?", "/console"))) else ""
