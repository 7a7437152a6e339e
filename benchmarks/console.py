"""How soon a page of the console is painted in a real browser, with few and with ten million predictions (no peer).

Run:

    python benchmarks/console.py [--quick] [--project DIR] [--json FILE]

By default on a generated shop; with `--project` on a copy of one whose tasks are trained and embedded, such as the
demo's. Needs chromium and the packages of the extra `dev`. What is measured is the first contentful paint (W3C Paint
Timing), the median of several loads in fresh windows after one to warm up.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import uvicorn

from forekey import __version__, pipeline
from forekey.console import create_app
from forekey.project import PQLTask
from forekey.serving import listen
from forekey.store import EmbeddingStore, LoggedBatch
from forekey.testing import SHOP_TASKS, write_shop
from forekey.workspace import Workspace

_PAINT = """new Promise((found) => new PerformanceObserver((list) => {
    const first = list.getEntriesByName("first-contentful-paint")[0];
    if (first) found(first.startTime);
}).observe({type: "paint", buffered: true}))"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TARGETS = {False: 300.0, True: 1_000.0}
"""Milliseconds, without and with many logged predictions."""


def main() -> None:
    """Serve, look, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a million lines instead of ten, fewer loads")
    parser.add_argument("--project", type=Path, help="a project with trained and embedded tasks; it is copied")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise SystemExit("This needs a browser: install chromium (Debian: apt-get install chromium).")
    lines, loads = (1_000_000, 3) if options.quick else (10_000_000, 7)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        if options.project is not None:
            shutil.copytree(options.project, root)
            project = Workspace.open(root)
        else:
            project = _shop(root)
        rows = measured(project, browser, loads, False)
        _log(project, lines)
        rows += measured(project, browser, loads, True)
    if options.json is not None:
        machine = {"machine": platform.processor() or platform.machine(), "versions": {"forekey": __version__}}
        options.json.write_text(json.dumps({**machine, "rows": rows}, indent=1), encoding="utf-8")


def measured(project: Workspace, browser: str, loads: int, many: bool) -> list[dict[str, Any]]:
    """Return the milliseconds until each page is painted."""
    from playwright.sync_api import sync_playwright

    task = next(iter(project.config.tasks))
    rows = []
    with sync_playwright() as playwright, _served(project) as url:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, place in _pages(project, task).items():
            times = [_painted(opened, url + place) for _ in range(loads + 1)][1:]
            row = {
                "name": f"{name}, {'many logged' if many else 'as it is'}", "ours": round(float(np.median(times)), 1),
                "peer": None, "ratio": None, "unit": "ms", "target": TARGETS[many], "better": "lower",
            }  # fmt: skip
            print(
                f"{row['name']:32} {row['ours']:8.1f} ms  (at most {max(times):.0f}; target {TARGETS[many]:.0f})",
                flush=True,
            )
            rows.append(row)
        opened.close()
    return rows


def _pages(project: Workspace, task: str) -> dict[str, str]:
    current = project.snapshots.current()
    table = pipeline.find_task(project, current.schema, task).entity.name
    key = current.keys(table)[0].as_py()
    home = f"/console/task/{task}"
    return {
        "overview": "/", "task": home, "list of entities": f"{home}/entities", "search": f"{home}/entities?q=77",
        "list, page 20,000": f"{home}/entities?from=1000000", "entity": f"{home}/entity?key={key}",
        "graph": "/console/graph", "table": f"/console/graph/table?name={table}", "monitor": "/console/monitor",
        "ask": "/console/ask",
    }  # fmt: skip


def _painted(browser: Any, url: str) -> float:
    """Return the milliseconds from asking for a page to its first paint, in a window without a cache."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.goto(url)
    page.wait_for_load_state("load")
    found = float(page.evaluate(_PAINT))
    context.close()
    return found


@contextmanager
def _served(project: Workspace) -> Iterator[str]:
    listener = listen("127.0.0.1", 0)
    with project.store() as store:
        app = create_app(project, store)
        app.state.serving.engine.warm()
        app.state.serving.engine.settle()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _log(project: Workspace, lines: int) -> None:
    """Replace what was logged of the stored predictions of every task by so many generated lines."""
    random = np.random.default_rng(0)
    with project.store() as opened:
        for task in project.config.tasks:
            stored = EmbeddingStore(opened).current(task)
            if stored is not None and stored.task_type in {"regression", "binary_classification"}:
                rows = pa.table({"entity": np.arange(lines) + 1, "prediction": random.beta(1, 4, lines)})
                project.predictions.append(task, LoggedBatch(stored.as_of, stored.model_version, rows))


def _shop(root: Path) -> Workspace:
    root.mkdir()
    path = write_shop(root / "shop.duckdb")
    tasks = {name: PQLTask(query=SHOP_TASKS[name]) for name in ("churn", "spend")}
    project = pipeline.init(str(path), root, tasks=tasks).workspace
    for task in tasks:
        pipeline.train(project, task, preset="instant")
        pipeline.embed(project, task)
    pipeline.monitor(project)
    return project


if __name__ == "__main__":
    main()
