"""Questions answered beside the service: a process of its own each, one at a time, so that requests stay fast."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from forekey.errors import Busy
from forekey.secrets import without_secrets
from forekey.workspace import Workspace

_KEPT, _WAITING = 20, 5
"""Questions that are remembered, and those that may wait for their turn."""
_LINES = 200
_LONGEST_SECONDS = 900.0


@dataclass
class Job:
    """One question: what was said of its progress, and its answer or why there is none once it is done."""

    id: str
    query: str
    began: datetime
    lines: list[str] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    error: str | None = None
    is_running: bool = False

    @property
    def is_done(self) -> bool:
        """Whether there is an answer, or none will come."""
        return self.answer is not None or self.error is not None


class Jobs:
    """The questions of one process of the service."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._turn = ThreadPoolExecutor(1, "forekey-answer")
        self._process: subprocess.Popen[str] | None = None

    def start(self, query: str) -> Job:
        """Begin to answer a question once those before it are done; :class:`Busy` if too many wait.

        A question that is being answered already is not asked twice.
        """
        with self._lock:
            waiting = [j for j in self._jobs.values() if not j.is_done]
            same = next((j for j in waiting if j.query == query), None)
            if same is not None:
                return same
            if len(waiting) > _WAITING:
                raise Busy(f"{len(waiting)} questions are waiting already. Ask again in a while.")
            job = Job(secrets.token_urlsafe(9), query, self._workspace.clock())
            done = [j.id for j in self._jobs.values() if j.is_done]
            for old in done[: max(len(self._jobs) + 1 - _KEPT, 0)]:
                del self._jobs[old]
            self._jobs[job.id] = job
            self._turn.submit(self._run, job)
            return job

    def get(self, job: str) -> Job | None:
        """Return a question by its id."""
        return self._jobs.get(job)

    def newest(self) -> list[Job]:
        """Return the questions, the newest first."""
        return list(reversed(list(self._jobs.values())))

    def before(self, job: Job) -> int:
        """Return how many questions come before one that waits."""
        waiting = [j.id for j in list(self._jobs.values()) if not j.is_done]
        return waiting.index(job.id) if job.id in waiting else 0

    def cancel(self, job: Job) -> None:
        """Stop answering a question."""
        with self._lock:
            if not job.is_done:
                job.error = "Cancelled."
                if job.is_running:
                    self._stop()

    def close(self) -> None:
        """Stop everything, and wait until it has stopped."""
        for job in self.newest():
            self.cancel(job)
        self._turn.shutdown(cancel_futures=True)

    def _stop(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def _run(self, job: Job) -> None:
        with self._lock:
            if job.is_done:
                return
            job.is_running = True
        deadline = threading.Timer(_LONGEST_SECONDS, self._give_up, (job,))
        deadline.start()
        try:
            with tempfile.TemporaryDirectory() as folder:
                self._answer(job, Path(folder) / "answer.json")
        except (OSError, ValueError) as error:
            job.error = job.error or without_secrets(str(error))
        finally:
            deadline.cancel()
            job.is_running = False

    def _answer(self, job: Job, out: Path) -> None:
        # -P: no file of the folder that the service was started in stands for a module.
        command = [
            sys.executable,
            "-P",
            "-m",
            "forekey.console.answering",
            str(self._workspace.root.resolve()),
            str(out),
        ]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
        ) as process:  # fmt: skip
            self._process = process
            code = _followed(process, job)
        found = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
        if job.is_done:
            return
        if "error" in found or not found:
            job.error = found.get("error") or f"The process ended with {code}: {' '.join(job.lines[-1:])}"
        else:
            job.answer = found

    def _give_up(self, job: Job) -> None:
        job.error = f"Given up after {_LONGEST_SECONDS / 60:.0f} minutes. `forekey ask` has no such limit."
        self._stop()


def _followed(process: subprocess.Popen[str], job: Job) -> int:
    """Hand over the question, keep what is said of its progress, and return the exit code."""
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(job.query)
    process.stdin.close()
    for line in process.stderr:
        job.lines = [*job.lines[-_LINES:], without_secrets(line.rstrip())]
    return process.wait()
