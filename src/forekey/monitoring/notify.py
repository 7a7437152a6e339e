"""Telling others of alerts: one signed request to a webhook, tried a few times, never for long."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from forekey.monitoring.alerts import Alert
from forekey.monitoring.report import MonitorReport

SIGNATURE, MOMENT = "X-Forekey-Signature", "X-Forekey-Timestamp"
_TRIES = 3
_PAUSE_SECONDS = 1.0
_SECONDS = 5.0
_MOST = 50


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A webhook that has moved has not taken anything: a redirected POST arrives without its body."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


_OPENER = urllib.request.build_opener(_NoRedirects)
_AGAIN = {408, 429}


def send(url: str, secret: str | None, project: str, report: MonitorReport, alerts: Sequence[Alert]) -> str | None:
    """Post alerts as JSON; return None, or why nobody took them.

    With a secret, the header ``X-Forekey-Signature`` is ``sha256=`` and the HMAC (RFC 2104) in hexadecimal of the
    header ``X-Forekey-Timestamp``, a dot, and the body. A request is tried three times, each for five seconds at most;
    one that is refused (4xx) is not tried again.
    """
    shown = [asdict(a) for a in alerts[:_MOST]]
    said = {"project": project, "at": report.at, "as_of": report.as_of, "state": report.state, "alerts": shown}
    body = json.dumps({**said, "more": max(len(alerts) - _MOST, 0)}).encode()
    moment = str(int(time.time()))
    headers = {"Content-Type": "application/json", "User-Agent": "forekey", MOMENT: moment}
    if secret:
        headers[SIGNATURE] = f"sha256={signature(secret, moment, body)}"
    why = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            request = urllib.request.Request(url, body, headers, method="POST")
            with _OPENER.open(request, timeout=_SECONDS):
                return None
        except urllib.error.HTTPError as error:
            why = f"it answered with {error.code}"
            error.close()
            if error.code < 500 and error.code not in _AGAIN:
                break
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = str(getattr(error, "reason", error)) or type(error).__name__
    return why


def signature(secret: str, moment: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of a moment and a body, in hexadecimal."""
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
