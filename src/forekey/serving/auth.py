"""API keys as bearer tokens (RFC 6750)."""

from __future__ import annotations

import hmac
import ipaddress
import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset({"/healthz", "/readyz"})
"""Routes that need no key."""


class LocalNames:
    """Without keys, answer only requests that name this machine: an address, or a name without a dot.

    Else a page of another site could let its own name lead here and read everything (DNS rebinding): a browser sends
    the name that it was given.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: hand it on, or refuse it with 400."""
        if scope["type"] != "http" or _is_local(Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send)
            return
        said = (
            "Without API keys this service answers to an address or localhost only. Set FOREKEY_API_KEYS, or serve "
            "with --insecure, to reach it by a name."
        )
        body = {"type": "about:blank", "title": "UnknownHost", "status": 400, "detail": said}
        await JSONResponse(body, 400, media_type="application/problem+json")(scope, receive, send)


def _is_local(host: str) -> bool:
    name = re.sub(r":\d*$", "", host)
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(".localhost")
    return True


class BearerAuth:
    """Let through requests that carry one of the keys, and the probes that orchestrators make without one."""

    def __init__(self, app: ASGIApp, keys: tuple[str, ...]) -> None:
        self._app = app
        self._keys = [k.encode() for k in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: hand it on, or refuse it with 401."""
        if scope["type"] != "http" or scope["path"] in OPEN or self._allowed(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        body = {
            "type": "about:blank",
            "title": "Unauthorized",
            "status": 401,
            "detail": "Send an API key as 'Authorization: Bearer KEY'.",
        }
        refusal = JSONResponse(
            body, status_code=401, media_type="application/problem+json", headers={"WWW-Authenticate": "Bearer"}
        )
        await refusal(scope, receive, send)

    def _allowed(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        # Compare with every key, always, so that timing shows nothing.
        matches = [hmac.compare_digest(token.strip().encode(), key) for key in self._keys]
        return kind.lower() == "bearer" and any(matches)
