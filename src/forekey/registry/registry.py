"""Model versions as plain folders with their lineage; one of them per task is the champion.

models/<task>/v3/manifest.json         what it is, from what, how good: snapshot, query, config, code version, metrics,
                                       and the hash of every other file
models/<task>/v3/network.safetensors   the parameters of its networks, and all other fitted numbers
models/<task>/v3/trees/0-0.txt         its boosted trees, in LightGBM's own text
models/<task>/v3/features.json         what is computed from rows, with the column statistics it was trained with
models/<task>/v3/report.html           what people read
models/<task>/champion.json        the version in use, and the promotions that led there
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from forekey.errors import ModelError
from forekey.files import draft_of, publish_folder, sweep_drafts, write_whole
from forekey.graph import utc_now
from forekey.registry.manifest import FORMAT, ModelManifest


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One trained model on disk."""

    task: str
    version: str
    folder: Path
    manifest: ModelManifest

    @property
    def name(self) -> str:
        """Return ``task/version``."""
        return f"{self.task}/{self.version}"

    def __repr__(self) -> str:
        metric = self.manifest.default_metric
        score = self.manifest.metrics.get("test", {}).get(metric)
        return f"ModelVersion({self.name}{f', test {metric} {score:.4g}' if score is not None else ''})"

    @property
    def weights(self) -> Path:
        """Where the parameters of networks lie."""
        return self.folder / "network.safetensors"

    @property
    def is_intact(self) -> bool:
        """Whether :meth:`check` finds nothing wrong."""
        try:
            self.check()
        except ModelError:
            return False
        return True

    def check(self) -> None:
        """Compare every file with its hash; :class:`ModelError` names one that is missing or was changed."""
        if self.manifest.format != FORMAT:
            raise ModelError(
                f"{self.name} was written by another version of Forekey, in a format that this one does not read. "
                "Train the task again."
            )
        for name, digest in self.manifest.files.items():
            path = self.folder / name
            if not path.is_file():
                raise ModelError(f"{self.name} is damaged: '{path}' is missing. Train the task again.")
            if _digest(path) != digest:
                raise ModelError(f"{self.name} is damaged: '{path}' is not what was written. Train the task again.")

    def features(self) -> dict[str, Any]:
        """Read what is computed from rows."""
        data: dict[str, Any] = json.loads((self.folder / "features.json").read_text(encoding="utf-8"))
        return data


class Registry:
    """The model versions of a project."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self._folder = folder
        self._clock = clock

    def register(self, task: str, manifest: ModelManifest, write: Callable[[ModelVersion], None]) -> ModelVersion:
        """Write a new version; it appears whole, under the next free number, or not at all.

        ``write`` puts the files of the version into its folder, which is a draft until all are there.
        """
        home = self._folder / task
        home.mkdir(parents=True, exist_ok=True)
        sweep_drafts(home)
        number = max((int(v.version[1:]) for v in self.versions(task)), default=0)
        while True:
            number += 1
            now = self._clock().isoformat()
            full = replace(manifest, format=FORMAT, task=task, version=f"v{number}", created_at=now)
            draft = draft_of(home / "version")
            draft.mkdir()
            write(ModelVersion(task, f"v{number}", draft, full))
            files = {str(p.relative_to(draft)): _digest(p) for p in sorted(draft.rglob("*")) if p.is_file()}
            text = json.dumps(replace(full, files=files).to_dict(), indent=1)
            (draft / "manifest.json").write_text(text, encoding="utf-8")
            try:
                publish_folder(draft, home / f"v{number}")
            except OSError:
                if (home / f"v{number}").exists():  # another process took the number
                    shutil.rmtree(draft)
                    continue
                raise
            return self.get(task, f"v{number}")

    def unfinished(self, task: str, run: str) -> Path:
        """Return where a run keeps what it needs to go on after it was cut off."""
        return self._folder / task / f".unfinished-{run}.safetensors"

    def versions(self, task: str) -> list[ModelVersion]:
        """Return all versions of a task, oldest first."""
        home = self._folder / task
        names = [p.name for p in home.glob("v*") if p.name[1:].isdigit()] if home.is_dir() else []
        return [self.get(task, name) for name in sorted(names, key=lambda n: int(n[1:]))]

    def tasks(self) -> list[str]:
        """Return the tasks that have a model."""
        return sorted(p.name for p in self._folder.glob("*") if p.is_dir() and any(p.glob("v*")))

    def get(self, task: str, version: str) -> ModelVersion:
        """Open one version; :class:`ModelError` if it is not there or damaged."""
        folder = self._folder / task / version
        try:
            data = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            manifest = ModelManifest.from_dict(data)
        except FileNotFoundError:
            raise ModelError(f"There is no model '{task}/{version}'. `forekey models` lists those there are.") from None
        except (ValueError, AttributeError) as error:
            raise ModelError(f"'{folder / 'manifest.json'}' is damaged. Train the task again.") from error
        return ModelVersion(task, version, folder, manifest)

    def champion(self, task: str) -> ModelVersion:
        """Return the version in use; :class:`ModelError` if the task was never trained."""
        found = self.champion_or_none(task)
        if found is None:
            raise ModelError(f"Task '{task}' has no model yet. Run `forekey train {_named(task)}`.")
        return found

    def champion_name(self, task: str) -> str:
        """Return the name of the version in use, of which nothing is read; as :meth:`champion` otherwise."""
        history = self.history(task)
        return history[-1]["version"] if history else self.champion(task).version

    def champion_or_none(self, task: str) -> ModelVersion | None:
        """Return the version in use, or None."""
        history = self.history(task)
        return self.get(task, history[-1]["version"]) if history else None

    def history(self, task: str) -> list[dict[str, str]]:
        """Return the promotions of a task, oldest first: version, time, reason."""
        path = self._folder / task / "champion.json"
        try:
            data: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        except json.JSONDecodeError as error:
            raise ModelError(f"'{path}' is damaged. Promote a version again with `forekey models`.") from error
        return data

    def promote(self, task: str, version: str, reason: str) -> None:
        """Make a version the champion, in one step."""
        named = self.get(task, version).version
        with self._promoting(task):
            self._note(task, {"version": named, "reason": reason})

    def rollback(self, task: str) -> ModelVersion:
        """Make the champion before this one the champion again; once more, the one before that."""
        if not (self._folder / task).is_dir():
            raise ModelError(f"Task '{task}' has no earlier champion to go back to.")
        with self._promoting(task):
            line: list[str] = []
            for entry in self.history(task):
                if line and entry["reason"].startswith(_BACK):
                    line.pop()
                elif line[-1:] != [entry["version"]]:
                    line.append(entry["version"])
            if len(line) < 2:
                raise ModelError(f"Task '{task}' has no earlier champion to go back to.")
            earlier = self.get(task, line[-2])
            self._note(task, {"version": earlier.version, "reason": _BACK + line[-1]})
        return earlier

    def _note(self, task: str, entry: dict[str, str]) -> None:
        history = [*self.history(task), {**entry, "at": self._clock().isoformat()}]
        write_whole(self._folder / task / "champion.json", json.dumps(history, indent=1))

    @contextmanager
    def _promoting(self, task: str) -> Iterator[None]:
        """Hold the right to change a task's champion: what is read before stays true until it is written."""
        with (self._folder / task / ".promotion.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


_BACK = "rolled back from "


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _named(task: str) -> str:
    """Return how a task is named on the command line: a query that was given on the spot, by its text."""
    return '"PREDICT …"' if task.startswith("query-") else task
