"""What the site takes from the code: options of commands, HTTP routes, error messages, decisions, the notebook's page.

MkDocs calls the functions named ``on_…``; a page says where a list goes with a comment such as ``<!-- messages -->``.
"""

from __future__ import annotations

import ast
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

from forekey import errors

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "forekey"

ROOMS = {
    "Projects and forekey.yaml": ("project.py", "pipeline/start.py", "pipeline/parts.py", "cli/", "api.py", "demo.py"),
    "Connecting to a database": (
        "source/connect.py",
        "source/attached.py",
        "source/duck.py",
        "source/folder.py",
        "source/postgres.py",
        "source/profile.py",
        "source/relbench.py",
        "source/guess_leaks.py",
    ),
    "Tables, columns, keys and times": (
        "schema.py",
        "source/",
    ),
    "Snapshots": ("graph/",),
    "Queries": ("query/",),
    "Labels and splits": ("task/", "objectives/"),
    "Training": ("training/", "nn/", "features/", "sampling/"),
    "Models and predictions": ("registry/", "inference/", "pipeline/", "monitoring/", "retraining/", "status/"),
    "Store and service": ("store/", "serving/", "console/"),
}
"""Under which heading of *Troubleshooting* the messages of a module stand: of the first that names it."""

_CALLS = {"Finding", "UsageError", "_error", "_refused"} | {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.ForekeyError)
}
"""What takes the text of a message: errors, findings of a check, and what queries are refused with."""


def on_files(files: Files, config: Any) -> Files:
    """Add the page that shows the notebook."""
    notebook = ROOT / "docs" / "tutorial" / "first-hour.ipynb"
    files.append(File.generated(config, "tutorial/first-hour.md", content=notebook_page(notebook)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Fill in what a page takes from the code."""
    for name, fill in (("messages", messages), ("routes", routes), ("decisions", decisions)):
        mark = f"<!-- {name} -->"
        if mark in markdown:
            markdown = markdown.replace(mark, fill())
    markdown = re.sub(r"<!-- options: (\w+) -->", lambda found: options(found[1]), markdown)
    return re.sub(r"<!-- (not run|prints otherwise elsewhere): .*? -->\n", "", markdown)


def options(command: str) -> str:
    """Return the arguments and options of a command as a table."""
    from forekey.cli.commands import cli

    rows = []
    for parameter in cli.commands[command].params:
        record = parameter.get_help_record(click.Context(cli.commands[command])) or (
            parameter.make_metavar(click.Context(cli.commands[command])),
            "",
        )
        rows.append(f"| `{record[0]}` | {_escaped(record[1])} |")
    return "| option | does |\n|---|---|\n" + "\n".join(rows)


def messages() -> str:
    """Return every message of an error or finding, by theme, in alphabetical order; ``…`` is what varies."""
    found = messages_by_theme()
    about = {theme: (ROOT / "docs" / "reference" / "troubleshooting" / f"{_slug(theme)}.md") for theme in ROOMS}
    parts = []
    for theme in ROOMS:
        shown = "\n".join(f"- {text}" for text in sorted(found[theme], key=str.lower))
        said = about[theme].read_text(encoding="utf-8")
        parts.append(f"## {theme}\n\n{said}\n\n### Messages: {theme.lower()}\n\n{shown}")
    return "\n\n".join(parts)


def messages_by_theme() -> dict[str, set[str]]:
    """Return the messages that stand in the code, by theme."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        texts = set(_messages_in(ast.parse(path.read_text(encoding="utf-8"))))
        if texts and name != "errors.py" and not name.startswith("testing/"):
            found[theme_of(name)] |= texts
    return found


def theme_of(module: str) -> str:
    """Return under which heading the messages of a module stand."""
    for theme, places in ROOMS.items():
        if any(module == p or (p.endswith("/") and module.startswith(p)) for p in places):
            return theme
    raise LookupError(f"docs/hooks.py: no heading of Troubleshooting takes the messages of {module}")


def _messages_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in _CALLS:
                for argument in node.args:
                    text = _template(argument)
                    if re.search(r"[A-Za-z]{3}.* [A-Za-z]", text):
                        yield _escaped(text)


def _template(node: ast.AST) -> str:
    """Return the text of a message, with ``…`` in the place of what varies."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return re.sub(r"…+", "…", "".join(_template(p) for p in parts))
        case ast.BinOp(left=left, right=right):
            return _template(left) + _template(right)
        case _:
            return "…"


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_<>\[\]`|{}])", r"\\\1", text.replace("\n", " "))


def _slug(theme: str) -> str:
    return re.sub(r"[^a-z]+", "-", theme.lower())


def routes() -> str:
    """Return every route as the service describes it in OpenAPI: what it takes and answers, with its problems."""
    from forekey.serving import create_app
    from forekey.testing import MemoryStore
    from forekey.workspace import Workspace

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "forekey.yaml").write_text("source: duckdb:///shop.duckdb\ntables: {}\n", encoding="utf-8")
        described = create_app(Workspace.open(Path(folder)), MemoryStore()).openapi()
    rows = []
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            answers = [f"`{code}` {a.get('description', '')}" for code, a in route["responses"].items()]
            takes = [f"`{p['name']}` ({p['in']})" for p in route.get("parameters", ())]
            takes += ["a JSON body"] if "requestBody" in route else []
            does = route.get("description", route.get("summary", ""))
            rows.append(f"| `{method.upper()} {path}` | {does} | {', '.join(takes) or '–'} | {'; '.join(answers)} |")
    return "| route | does | takes | answers |\n|---|---|---|---|\n" + "\n".join(rows)


def decisions() -> str:
    """Return the list of decisions."""
    places = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    titles = [re.sub(r"^#\s*(\d+[:.]?\s*)?", "", p.read_text(encoding="utf-8").splitlines()[0]) for p in places]
    return "\n".join(f"- [{p.name[:4]}]({p.name}) {title}" for p, title in zip(places, titles, strict=True))


def notebook_page(path: Path) -> str:
    """Return a notebook as a page: its texts, its code and what the code shows."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "text/html" in data:
                parts.append(f'<div class="notebook-output">\n{"".join(data["text/html"])}\n</div>')
            elif shown := "".join(output.get("text", data.get("text/plain", ""))):
                parts.append(f"```text\n{shown.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
