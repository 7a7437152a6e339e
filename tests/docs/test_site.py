"""The documentation builds as a site in which nothing is missing and nothing comes from elsewhere."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from forekey import errors
from forekey.cli.commands import cli
from tests.docs.pages import DOCS

ROOT = DOCS.parent


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a link or anchor that leads nowhere ends the build."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_needs_no_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        foreign = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="https?://[^"]*"', page.read_text(encoding="utf-8")
        )
        assert foreign == [], page


def test_every_message_stands_in_troubleshooting(site: Path, hooks: ModuleType) -> None:
    page = re.sub(r"<[^>]+>", "", (site / "reference" / "troubleshooting.html").read_text(encoding="utf-8"))
    page = page.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("&quot;", '"')
    shown = re.sub(r"\s+", " ", page)
    raised = 0
    for text in texts_of_errors(Path(hooks.SOURCE)):
        raised += 1
        for words in re.split(r"\s*…\s*", re.sub(r"\s+", " ", text)):
            assert words in shown, text
    assert raised > 150


def texts_of_errors(source: Path) -> Iterator[str]:
    """Return the text of every raised error that is written where it is raised."""
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                name = getattr(node.exc.func, "id", "")
                if name in names_of_errors():
                    first = node.exc.args[0]
                    if isinstance(first, ast.Constant):
                        yield str(first.value)
                    elif isinstance(first, ast.JoinedStr):
                        yield "…".join(str(p.value) for p in first.values if isinstance(p, ast.Constant))


def names_of_errors() -> set[str]:
    return {n for n in vars(errors) if n.endswith(("Error", "Unavailable", "Entity", "Task"))}


def test_every_command_and_option_stands_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for name, command in cli.commands.items():
        assert f"forekey {name}" in page
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert max(parameter.opts, key=len) in page, f"{name} {parameter.opts}"


def test_every_route_stands_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "http.html").read_text(encoding="utf-8")
    for route in ("POST /predict/{task}", "GET /explain/{task}/{entity_id}", "GET /metrics", "GET /readyz"):
        assert route in page
