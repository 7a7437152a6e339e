"""Questions answered beside the service: a process of its own each, one at a time, so that requests stay fast."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from forekey.secrets import without_secrets
from forekey.workspace import Workspace

_KEPT = 20
_LINES = 200


@dataclass
class Job:
    """One question: what was said of its progress, and its answer or why there is none once it is done."""

    id: str
    query: str
    began: datetime
    lines: list[str] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    error: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is an answer, or none will come."""
        return self.answer is not None or self.error is not None


class Jobs:
    """The questions of one service."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._process: subprocess.Popen[str] | None = None

    def start(self, query: str) -> Job:
        """Begin to answer a question; the one that is being answered if there is one."""
        with self._lock:
            running = next((j for j in self._jobs.values() if not j.is_done), None)
            if running is not None:
                return running
            job = Job(secrets.token_urlsafe(9), query, self._workspace.clock())
            self._jobs = dict([*self._jobs.items()][-_KEPT + 1 :]) | {job.id: job}
            threading.Thread(target=self._run, args=(job,), name="forekey-answer", daemon=True).start()
            return job

    def get(self, job: str) -> Job | None:
        """Return a question by its id."""
        return self._jobs.get(job)

    def newest(self) -> list[Job]:
        """Return the questions, the newest first."""
        return list(reversed(self._jobs.values()))

    def close(self) -> None:
        """Stop what is running."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def _run(self, job: Job) -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "answer.json"
            command = [sys.executable, "-m", "forekey.console.answering", str(self._workspace.root), str(out)]
            try:
                with subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                ) as process:  # fmt: skip
                    self._process = process
                    code = self._follow(process, job)
                found = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
            except (OSError, ValueError) as error:
                job.error = without_secrets(str(error))
                return
        if "error" in found or not found:
            job.error = found.get("error") or f"The process ended with {code}: {' '.join(job.lines[-1:])}"
        else:
            job.answer = found

    @staticmethod
    def _follow(process: subprocess.Popen[str], job: Job) -> int:
        """Hand over the question, keep what is said of its progress, and return the exit code."""
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(job.query)
        process.stdin.close()
        for line in process.stderr:
            job.lines = [*job.lines[-_LINES:], without_secrets(line.rstrip())]
        return process.wait()
