"""Quick answers: one at a time, beside the service, stopped with it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from forekey.console.jobs import Job, Jobs
from forekey.errors import Busy
from forekey.workspace import Workspace

SPEND = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id"
SECONDS = 240


@pytest.fixture
def jobs(own_project: Workspace) -> Iterator[Jobs]:
    made = Jobs(own_project)
    yield made
    made.close()


def wait(job: Job) -> Job:
    until = time.monotonic() + SECONDS
    while not job.is_done:
        assert time.monotonic() < until, job.lines
        time.sleep(0.1)
    return job


def test_a_question_is_answered_and_a_wrong_one_says_why(jobs: Jobs) -> None:
    wrong = jobs.start("PREDICT SUM(orders.amonut, 0, 30, days) FOR EACH customers.customer_id")
    right = jobs.start(SPEND)
    assert jobs.start(SPEND) is right  # asked twice, answered once
    assert jobs.before(right) in {0, 1}
    assert "did you mean" in (wait(wrong).error or "")
    assert "^" in (wrong.error or "")
    answer = wait(right).answer
    assert answer is not None
    assert answer["task_type"] == "regression"
    assert len(answer["predictions"]) > 5
    assert right.lines
    assert [j.id for j in jobs.newest()] == [right.id, wrong.id]


def test_no_file_of_the_current_folder_is_run(
    jobs: Jobs, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("cwd")
    (folder / "statistics.py").write_text("raise RuntimeError('a file of the current folder was run')")
    (folder / "random.py").write_text("raise RuntimeError('a file of the current folder was run')")
    monkeypatch.chdir(folder)
    job = wait(jobs.start("PREDICT nothing"))
    assert "current folder" not in " ".join([*job.lines, job.error or ""])


def test_what_waits_or_runs_can_be_cancelled_and_not_too_much_waits(jobs: Jobs) -> None:
    running = jobs.start(SPEND)
    waiting = [jobs.start(SPEND.replace("30", str(20 + i))) for i in range(5)]
    with pytest.raises(Busy, match="waiting already"):
        jobs.start(SPEND.replace("30", "99"))
    assert jobs.before(waiting[-1]) == 5
    for job in (*waiting, running):
        jobs.cancel(job)
    assert all(wait(job).error == "Cancelled." for job in (running, *waiting))


def test_closing_stops_everything(own_project: Workspace) -> None:
    jobs = Jobs(own_project)
    started = [jobs.start(SPEND), jobs.start(SPEND.replace("30", "20"))]
    time.sleep(1.0)
    jobs.close()
    assert all(job.is_done for job in started)
    assert jobs._process is None or jobs._process.poll() is not None
