"""API keys as bearer tokens (RFC 6750)."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset({"/healthz", "/readyz"})
"""Routes that need no key."""


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
