"""Alerts are posted once, signed, tried a few times; a webhook that fails stops nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from forekey import pipeline
from forekey.monitoring.notify import MOMENT, SIGNATURE, signature
from forekey.project import CONFIG_NAME
from forekey.secrets import without_secrets
from forekey.workspace import Workspace
from tests.support.months import add_month

Received = list[tuple[dict[str, str], bytes]]


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, Received]]:
    """A server that answers with these statuses, one after another, the last again and again."""
    got: Received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = statuses[min(len(got), len(statuses) - 1)]
            got.append((dict(self.headers.items()), body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hooks/T0PSECRET", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(project: Workspace, url: str) -> Workspace:
    """Return the project with a webhook."""
    path = project.root / CONFIG_NAME
    path.write_text(
        f"{path.read_text(encoding='utf-8')}monitor:\n  webhook: {url}\n  signing_key: five-words\n", encoding="utf-8"
    )
    return Workspace.open(project.root)


def test_new_alerts_are_posted_once_and_signed(own_project: Workspace) -> None:
    with receiver(500, 200) as (url, got):
        project = told(own_project, url)
        add_month(project, amount=1e5)
        report = pipeline.monitor(project)
        assert report.alerts
        assert len(got) == 2, "a server error is tried again"
        headers, body = got[1]
        moment = headers[MOMENT]
        assert abs(int(moment) - time.time()) < 60
        assert headers[SIGNATURE] == f"sha256={signature('five-words', moment, body)}"
        said = json.loads(body)
        assert said["state"] == report.state
        assert {a["subject"] for a in said["alerts"]} == {a.subject for a in report.alerts}
        pipeline.monitor(project)
        assert len(got) == 2, "alerts that stand are not posted again"


def test_what_a_webhook_did_not_take_is_sent_at_the_next_look(own_project: Workspace) -> None:
    with receiver(404, 200) as (url, got):
        project = told(own_project, url)
        add_month(project, amount=1e5)
        report = pipeline.monitor(project)
        assert len(got) == 1
        pipeline.monitor(project)
        assert len(got) == 2
        assert len(json.loads(got[1][1])["alerts"]) >= len(report.alerts)
        pipeline.monitor(project)
        assert len(got) == 2


@pytest.mark.parametrize("statuses", [(404,), (301,), (500,)])
def test_a_webhook_that_refuses_is_noted_and_stops_nothing(own_project: Workspace, statuses: tuple[int, ...]) -> None:
    notes: list[str] = []
    with receiver(*statuses) as (url, got):
        project = told(own_project, url)
        add_month(project, amount=1e5)
        report = pipeline.monitor(project, listener=pipeline.Listener(note=notes.append))
    assert report.alerts
    assert len(got) == (3 if statuses == (500,) else 1)
    assert any(f"it answered with {statuses[0]}" in note for note in notes)


def test_secrets_of_a_webhook_stay_unsaid(own_project: Workspace) -> None:
    project = told(own_project, "https://hooks.example.com/services/T000/XXXX")
    assert "XXXX" not in repr(project.config)
    assert "five-words" not in repr(project.config)
    assert without_secrets("https://hooks.example.com/services/T000/XXXX") == "https://hooks.example.com/***"
