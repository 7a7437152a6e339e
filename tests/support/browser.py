"""A real browser over the pages of a served project."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forekey.workspace import Workspace

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
NO_BROWSER = f"none of {', '.join(BROWSERS)} is on this machine"


def browser_path() -> str | None:
    """Return where a browser is; None where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@dataclass
class Opened:
    """A page of the browser with what it said and asked for while it was looked at."""

    page: Any
    url: str
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def go(self, place: str) -> Any:
        """Open a place of the site and wait until nothing more is loaded."""
        self.page.goto(self.url + place)
        self.page.wait_for_load_state("networkidle")
        return self.page

    def text(self) -> str:
        """Return the text of the page as a reader sees it, blanks as one."""
        return " ".join(self.page.inner_text("body").split())


@contextmanager
def served(project: Workspace, keys: tuple[str, ...] = ()) -> Iterator[str]:
    """Serve a project with its pages in a thread; yield its address."""
    import uvicorn

    from forekey.console import create_app
    from forekey.serving import listen

    listener = listen("127.0.0.1", 0)
    with project.store() as store:
        server = uvicorn.Server(uvicorn.Config(create_app(project, store, keys), log_level="error"))
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


@contextmanager
def looking(browser: Any, url: str, **settings: Any) -> Iterator[Opened]:
    """Open a fresh window; settings are those of the browser's context, such as ``color_scheme``."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **settings})
    opened = Opened(context.new_page(), url)
    opened.page.on("console", lambda m: opened.errors.append(m.text) if m.type in {"error", "warning"} else None)
    opened.page.on("pageerror", lambda e: opened.errors.append(str(e)))
    opened.page.on("dialog", lambda d: (opened.errors.append(f"dialog: {d.message}"), d.dismiss()))
    opened.page.on("request", lambda r: opened.asked.append(r.url))
    try:
        yield opened
    finally:
        context.close()
