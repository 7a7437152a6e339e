"""What stands before every page: headers that forbid what pages do not need, signing in, and tokens of forms."""

from __future__ import annotations

from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forekey.console.sessions import SECONDS, Sessions, Visit

_LONGEST_FORM = 200_000
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OPEN = ("/signin", "/static/")


class Guard:
    """Lets through who is signed in, and only forms that carry their visit's token."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: hand it on with ``scope["state"]["visit"]`` and ``["form"]``, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        visit = self._sessions.read(request.cookies.get(self._sessions.name))
        scope.setdefault("state", {})
        scope["state"] |= {"visit": visit, "form": {}}
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        sender = _Sender(send, self._sessions, visit, scope, is_static=path.startswith("/static/"))
        refused = self._refused(visit, path, scope) or (
            await self._refused_form(request, visit) if scope["method"] == "POST" else None
        )
        await (refused or self._app)(scope, receive, sender)

    def _refused(self, visit: Visit, path: str, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return PlainTextResponse("This is not for pages of other sites.", 403)
        if visit.is_signed_in or path.startswith(_OPEN):
            return None
        if "part=1" in scope["query_string"].decode("latin-1"):
            return PlainTextResponse("Sign in again.", 401)
        raw = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        asked = raw + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        return RedirectResponse(f"{scope.get('root_path', '')}/signin?next={quote(asked, safe='')}", 303)

    async def _refused_form(self, request: Request, visit: Visit) -> Response | None:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LONGEST_FORM:
                return PlainTextResponse("The form is too long.", 413)
        form = {k: v[-1] for k, v in parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True).items()}
        if not self._sessions.is_ours(visit, form.get("token", "")):
            return PlainTextResponse(
                "The form is too old, or not from here. Go back, reload the page, and try again.", 403
            )
        request.scope["state"]["form"] = form
        return None


class _Sender:
    """Adds the headers to an answer, and to a page that was shown to a new visitor the cookie."""

    def __init__(self, send: Send, sessions: Sessions, visit: Visit, scope: Scope, *, is_static: bool) -> None:
        self._send, self._sessions, self._visit, self._scope, self._is_static = send, sessions, visit, scope, is_static

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._is_static:
                headers["Cache-Control"] = "no-cache"  # asked for again by its ETag: a new release is seen at once
            elif self._visit.is_new and self._scope["method"] == "GET" and message["status"] == 200:
                headers.append("set-cookie", cookie_header(self._sessions, self._visit, self._scope["scheme"]))
        await self._send(message)


def cookie_header(sessions: Sessions, visit: Visit, scheme: str) -> str:
    """Return the header that gives a visit its cookie: no script can read it, no form of another site sends it.

    Links from elsewhere, such as that of an alert, do (``SameSite=Lax``): opening a page changes nothing.
    """
    secure = "; Secure" if scheme == "https" else ""
    return f"{sessions.name}={sessions.cookie(visit)}; Path=/; Max-Age={SECONDS}; HttpOnly; SameSite=Lax{secure}"
