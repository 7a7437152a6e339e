"""From a database to a new project."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forekey.errors import ProjectError, SourceError
from forekey.files import write_whole
from forekey.pipeline.drawing import mermaid
from forekey.project import CONFIG_NAME, Config, TaskConfig, render_config, substitute
from forekey.secrets import with_variables, without_password
from forekey.workspace import Workspace

if TYPE_CHECKING:
    from forekey.source import Guess, Inference


@dataclass(frozen=True)
class Initialized:
    """A new project and what was inferred for it."""

    workspace: Workspace
    url: str
    inference: Inference
    tasks: tuple[str, ...]


def init(
    url: str,
    root: Path,
    *,
    tasks: dict[str, TaskConfig] | None = None,
    force: bool = False,
    accepts: Callable[[Guess], bool] | None = None,
) -> Initialized:
    """Introspect a source; write forekey.yaml, with what was guessed marked by comments, and the schema as a drawing.

    ``accepts`` is asked about each guess of a key, a reference or a time that is not sure.
    """
    from forekey.source import infer_schema, open_source, relbench_project

    path = root / CONFIG_NAME
    if path.exists() and not force:
        raise ProjectError(f"'{path}' exists already. Edit it, or write it anew with --force (in Python, force=True).")
    own_url, kept, secrets = kept_url(url, root)
    with open_source(own_url, root) as source:
        inference = infer_schema(source, accepts)
    if not inference.schema.tables:
        where = without_password(own_url)
        reasons = "".join(f" {why}" for why in {**inference.unreadable, **inference.exports}.values())
        raise SourceError(
            f"'{where}' has no tables that can be read. Name the right database, or the right schema.{reasons}"
        )
    official, as_of = relbench_project(own_url, root)
    remember(secrets)
    config = Config(source=kept, as_of=as_of, tables=inference.tables(), tasks={**official, **(tasks or {})})
    left_out = [f"Left out: {name}. {why}" for name, why in {**inference.unreadable, **inference.exports}.items()]
    header = "\n".join(["Written by `forekey init`; edit freely. Comments say what was guessed, and why.", *left_out])
    write_whole(path, render_config(config, inference.comments(), header))
    write_whole(root / "schema.md", mermaid(inference.schema))
    from forekey.status import schema_svg

    write_whole(root / "schema.svg", schema_svg(inference.schema))
    return Initialized(Workspace.open(root), kept, inference, tuple(config.tasks))


def kept_url(url: str, root: Path) -> tuple[str, str, dict[str, str]]:
    """Return a source's URL as it is opened, as a project in ``root`` writes it down, and the secrets left out there.

    The secrets are by the names of the variables that stand for them.
    """
    from forekey.source import normalize_url

    opened = normalize_url(substitute(url, "The source"), Path.cwd(), root)
    kept, variables = with_variables(url if "${" in url else opened)
    return opened, kept, {name: substitute(value, "The source") for name, value in variables.items()}


def remember(secrets: dict[str, str]) -> None:
    """Set variables for this process, where the environment does not have them."""
    for name, value in secrets.items():
        os.environ.setdefault(name, value)
