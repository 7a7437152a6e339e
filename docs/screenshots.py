"""Take the pictures of the console that the README and the documentation show.

Run, after `forekey demo --drift --no-serve --project forekey-demo`:

    python docs/screenshots.py forekey-demo
"""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

import uvicorn
from playwright.sync_api import Page, sync_playwright

from forekey.console import create_app
from forekey.serving import listen
from forekey.workspace import Workspace

ASSETS = Path(__file__).parent / "assets"


def main() -> None:
    """Serve the project, look, write the files."""
    project = Workspace.open(sys.argv[1])
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with project.store() as store, sync_playwright() as playwright:
        app = create_app(project, store)
        app.state.serving.engine.warm()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        app.state.serving.engine.settle()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1180, "height": 860}).new_page()
        page.goto(f"{url}/")
        _take(page, "console-overview")
        page.goto(f"{url}/console/task/churn")
        page.locator("#quality").scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#quality').scrollIntoView()")
        _take(page, "console-task")
        page.goto(f"{url}/console/task/churn/entities?from=300")
        page.locator("tbody a").nth(4).click()
        _take(page, "console-entity")
        browser.close()
        server.should_exit = True
        thread.join()


def _take(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=str(ASSETS / f"{name}.png"))


if __name__ == "__main__":
    main()
