"""Run what a page of the documentation shows, block by block, as a reader would.

A page says in its front matter where it is read (``setting``): ``shop`` has the generated shop in ``shop.duckdb``,
``project`` also a project on it with a snapshot, ``trained`` a task ``churn`` with two versions, ``postgres`` the shop in
a server at ``$DATABASE``, ``empty`` nothing. Blocks run in order:

- ``console``: ``$`` commands with what they print. ``…`` stands for anything; a decimal fraction may be another, as it
  differs between machines, a whole number may not.
- ``bash`` and ``python``: must succeed. A command that ends with ``&`` runs until the page ends.
- ``yaml``: is put into ``forekey.yaml``, whose entries it replaces.
- ``sql``: runs in ``shop.duckdb``.
- ``pql``: must make labels.

Other languages are only shown. So is a block after a comment ``<!-- not run: why -->``; the commands of Forekey in it
must still be ones that there are. After ``<!-- prints otherwise elsewhere: why -->``, what is printed is not compared.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import duckdb
import yaml
from click.testing import CliRunner
from markdown_it import MarkdownIt

from forekey import pipeline
from forekey.cli.commands import cli
from forekey.errors import ForekeyError
from forekey.project import PQLTask, parse_config
from forekey.testing import SHOP_TASKS, write_shop
from forekey.workspace import Workspace

DOCS = Path(__file__).resolve().parents[2] / "docs"
RUN = {"console", "bash", "python", "yaml", "sql", "pql"}
_NOT_RUN = re.compile(r"<!-- not run: .+ -->")
_NOT_COMPARED = re.compile(r"<!-- prints otherwise elsewhere: .+ -->")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, first line in the page, whether it is run, and what it prints compared."""

    language: str
    text: str
    line: int
    run: bool = True
    compared: bool = True


def pages() -> list[Path]:
    """Return every page that is written by hand."""
    return sorted(p for p in DOCS.rglob("*.md") if not {"decisions", "troubleshooting"} & set(p.parts))


def front_matter(page: Path) -> dict[str, Any]:
    """Return what stands between the first two lines of ``---``."""
    found = re.match(r"---\n(.*?)\n---\n", page.read_text(encoding="utf-8"), re.DOTALL)
    return dict(yaml.safe_load(found[1])) if found else {}


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    found, run, compared = [], True, True
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            run, compared = not _NOT_RUN.search(token.content), not _NOT_COMPARED.search(token.content)
        elif token.type in ("fence", "code_block"):
            words = token.info.split()
            line = token.map[0] + 1 if token.map else 0
            found.append(Block(words[0] if words else "", token.content, line, run, compared))
            run = compared = True
        elif token.nesting == 0 and token.type == "inline":
            run = compared = True
    return found


@dataclass
class Reader:
    """Somebody who follows a page in a folder of their own."""

    folder: Path
    port: int = field(default_factory=lambda: _free_port())
    names: dict[str, Any] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def settle(self, setting: str) -> None:
        """Make what the page takes for granted."""
        if setting in ("shop", "project", "trained"):
            write_shop(self.folder / "shop.duckdb")
        if setting in ("project", "trained"):
            tasks = {"churn": PQLTask(query=SHOP_TASKS["churn"])} if setting == "trained" else {}
            project = pipeline.init("shop.duckdb", Path(), tasks=tasks).workspace
            pipeline.snapshot(project)
            for seed in range(2 if tasks else 0):
                pipeline.train(project, "churn", preset="instant", seed=seed)

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        if not block.run:
            return self._look(block)
        text = block.text.replace("8000", str(self.port))
        match block.language:
            case "console":
                self._console(text, compared=block.compared)
            case "bash":
                for command in commands(text):
                    printed = self.command(command)
                    assert not printed.startswith("forekey: "), f"{command}\n{printed}"
            case "python":
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(text, "page", "exec"), self.names)
            case "yaml":
                self._settings(text)
            case "sql":
                with duckdb.connect("shop.duckdb") as connection:
                    connection.execute(text)
            case "pql":
                assert pipeline.labels(Workspace.open(Path()), text).table.num_rows > 0
        return None

    def command(self, command: str) -> str:
        """Run a command; return what it prints."""
        if command.endswith("&"):
            self.running.append(subprocess.Popen(["bash", "-c", f"exec {_as_shell(command[:-1])}"]))
            _await(f"http://127.0.0.1:{self.port}/healthz", self.running[-1])
            return ""
        words = shlex.split(command) if not re.search(r"[|<>;&$]", command) else []
        if words[:1] == ["forekey"]:
            done = CliRunner().invoke(cli, words[1:], standalone_mode=False, env={"COLUMNS": "120"})
            if isinstance(done.exception, ForekeyError | click.ClickException):
                return f"forekey: {done.exception}\n"
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                raise done.exception
            return done.stdout
        if words[:1] == ["curl"]:  # not every machine has it
            return _fetched(next(w for w in words if w.startswith("http")), retries="--retry" in words)
        shown = subprocess.run(
            ["bash", "-ec", _as_shell(command)], capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"}
        )
        assert shown.returncode == 0, f"{command}\n{shown.stdout}{shown.stderr}"
        return shown.stdout

    def _console(self, text: str, *, compared: bool) -> None:
        for command, shown in conversations(text):
            printed = self.command(command)
            if not compared:
                assert not printed.startswith("forekey: "), f"$ {command}\n{printed}"
                continue
            assert agrees(shown, printed), f"$ {command}\nprints:\n{printed}\nThe page shows:\n{shown}"

    def _settings(self, text: str) -> None:
        place = Path("forekey.yaml")
        before = yaml.safe_load(place.read_text(encoding="utf-8")) if place.is_file() else {}
        place.write_text(yaml.safe_dump(_merged(before, yaml.safe_load(text)), sort_keys=False), encoding="utf-8")
        Workspace.open(Path())

    def _look(self, block: Block) -> None:
        """Check that the commands and settings of a block that is not run are ones that there are."""
        if block.language == "yaml" and block.text.startswith("source:"):
            parse_config(block.text.replace("${FOREKEY_PASSWORD}", "x"), "the page")
        if block.language not in ("bash", "console"):
            return
        lines = [c for c, _ in conversations(block.text)] if block.language == "console" else commands(block.text)
        for line in lines:
            for part in re.split(r"&&|\|\||;|\||>", line):
                words = shlex.split(part, comments=True)
                if "forekey" in words:
                    _parsed(words[words.index("forekey") + 1 :])

    def leave(self) -> None:
        """End what runs in the background."""
        for process in self.running:
            process.terminate()
            process.wait(timeout=30)


def commands(text: str) -> list[str]:
    """Return the commands of a block; a line that ends with a backslash goes on in the next."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [line.split("  #")[0].strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def conversations(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with what it prints."""
    parts = re.split(r"^\$ ", re.sub(r"\\\n\s*", " ", text), flags=re.MULTILINE)[1:]
    return [(command.strip(), shown) for command, _, shown in (part.partition("\n") for part in parts)]


def agrees(shown: str, printed: str) -> bool:
    """Whether what a page shows is what was printed: ``…`` is anything, fractions may differ, blanks do not count."""
    if not shown.strip():
        return True
    pattern = ""
    for part in re.split(r"(…|-?\+?\d+\.\d+(?:e[-+]?\d+)?|\s+)", shown.strip()):
        if part == "…":
            pattern += r".*?"
        elif re.fullmatch(r"-?\+?\d+\.\d+(?:e[-+]?\d+)?", part):
            pattern += r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
        elif part and part.isspace():
            pattern += r"\s+"
        else:
            pattern += re.escape(part)
    return re.fullmatch(rf"\s*{pattern}\s*", printed, re.DOTALL) is not None


def _as_shell(command: str) -> str:
    """Write a command so that ``forekey`` and ``python`` are those of this environment."""
    own = f"{shlex.quote(sys.executable)} -c 'from forekey.cli import main; main()'"
    found = re.sub(r"(^|&& |\|\| |\| )forekey\b", lambda m: m[1] + own, command)
    return re.sub(r"(^|&& )python\b", lambda m: m[1] + shlex.quote(sys.executable), found)


def _parsed(words: list[str]) -> None:
    name = words[0] if words else ""
    assert name in cli.commands or name.startswith("-"), f"forekey {name} is no command"
    if name in cli.commands and "…" not in words:
        cli.commands[name].make_context(name, list(words[1:]), resilient_parsing=False)


def _merged(before: Any, new: Any) -> Any:
    if not (isinstance(before, dict) and isinstance(new, dict)):
        return new
    return {**before, **{key: _merged(before.get(key), value) for key, value in new.items()}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _fetched(url: str, *, retries: bool) -> str:
    """Return what a URL answers; as curl with ``--retry``, ask again while the server is not ready."""
    for _ in range(30 if retries else 0):
        try:
            urllib.request.urlopen(url, timeout=60).close()
            break
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(1)
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"{process.args} does not answer at {url}")


@contextlib.contextmanager
def reading(folder: Path, setting: str) -> Iterator[Reader]:
    """Sit down in a folder to follow a page."""
    with contextlib.chdir(folder):
        reader = Reader(folder)
        reader.settle(setting)
        try:
            yield reader
        finally:
            reader.leave()
