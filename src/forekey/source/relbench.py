"""The RelBench v3 folder format: a database with declared keys, and its official tasks.

    manifest.yaml        name, val_timestamp, test_timestamp, tables: {name: {pkey, time_col, fkeys}}
    db/<table>.parquet
    tasks/<task>/        manifest.yaml, train.parquet, val.parquet, test.parquet

Format: RelBench (Robinson et al., "RelBench: A Benchmark for Deep Learning on Relational Databases", 2024).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from forekey.errors import SourceError
from forekey.project import EntityRef, LabelTask
from forekey.source.folder import FolderSource, connect_views
from forekey.source.protocol import ForeignKeyInfo, TableInfo

_TASK_TYPES = {
    "binary_classification": "binary_classification",
    "multiclass_classification": "multiclass_classification",
    "regression": "regression",
    "recommendation": "link_prediction",
    "link_prediction": "link_prediction",
}


@dataclass(frozen=True, slots=True)
class RelBenchManifest:
    """What a RelBench folder declares. Rows later than ``test_timestamp`` are hidden by RelBench's own loader."""

    name: str
    val_timestamp: datetime
    test_timestamp: datetime
    tables: dict[str, dict[str, Any]]


class RelBenchSource(FolderSource):
    """The database of a RelBench folder."""

    _manifest: RelBenchManifest

    @classmethod
    def open(cls, url: str, path: Path, *, writable: bool = False) -> Self:
        """Open the folder's tables; the manifest declares their keys and time columns."""
        manifest = read_manifest(path)
        files = [path / "db" / f"{name}.parquet" for name in manifest.tables]
        for file in files:
            if not file.is_file():
                raise SourceError(
                    f"'{url}' cannot be opened: its manifest names '{file.stem}', but '{file}' is missing."
                )
        connection, failed = connect_views(files)
        if failed:
            raise SourceError(f"'{url}' cannot be opened: {next(iter(failed.values()))}")
        source = cls(url, connection)
        source._manifest = manifest
        return source

    def tables(self) -> list[TableInfo]:
        """Return the tables in the manifest's order with the keys and time columns it declares."""
        found = {table.name: table for table in super().tables()}
        declared = self._manifest.tables
        return [
            replace(
                found[name],
                primary_key=(entry["pkey"],) if entry.get("pkey") else (),
                foreign_keys=tuple(
                    ForeignKeyInfo((column,), parent, (declared[parent]["pkey"],))
                    for column, parent in (entry.get("fkeys") or {}).items()
                ),
                time_column=entry.get("time_col"),
            )
            for name, entry in declared.items()
        ]


def is_relbench(path: Path) -> bool:
    """Whether the folder looks like a RelBench v3 database."""
    return (path / "manifest.yaml").is_file() and (path / "db").is_dir()


def read_manifest(path: Path) -> RelBenchManifest:
    """Read ``manifest.yaml``; :class:`SourceError` says what it lacks."""
    data = _yaml(path / "manifest.yaml")
    try:
        return RelBenchManifest(
            data["name"], _time(data["val_timestamp"]), _time(data["test_timestamp"]), dict(data["tables"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"'{path / 'manifest.yaml'}' is not a RelBench v3 manifest: {error!r}.") from error


def relbench_tasks(path: Path) -> dict[str, LabelTask]:
    """Return the folder's official tasks, labels referenced by absolute path."""
    tasks = {}
    for manifest in sorted((path / "tasks").glob("*/manifest.yaml")):
        data = _yaml(manifest)
        task_type = _TASK_TYPES.get(data.get("task_type", ""))
        if task_type is None:
            continue
        link = task_type == "link_prediction"
        entity = (
            (data["src_entity_table"], data["src_entity_col"]) if link else (data["entity_table"], data["entity_col"])
        )
        tasks[manifest.parent.name] = LabelTask.model_validate(
            {
                "labels": {s: str((manifest.parent / f"{s}.parquet").resolve()) for s in ("train", "val", "test")},
                "entity": EntityRef(column=entity[1], key=f"{entity[0]}.{entity[1]}"),
                "time": data["time_col"],
                "target": data["dst_entity_col"] if link else data["target_col"],
                "horizon_days": _days(data["timedelta"]) if data.get("timedelta") else None,
                "task_type": task_type,
                **({"items": f"{data['dst_entity_table']}.{data['dst_entity_col']}"} if link else {}),
                **({"top": int(data["eval_k"])} if data.get("eval_k") else {}),
            }
        )
    return tasks


def relbench_project(url: str, root: Path) -> tuple[dict[str, LabelTask], datetime | None]:
    """Return the official tasks and the moment at which RelBench's own loader ends the history; nothing elsewhere."""
    if not url.startswith("relbench:///"):
        return {}, None
    folder = root / url.removeprefix("relbench:///")
    return relbench_tasks(folder), read_manifest(folder).test_timestamp


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SourceError(f"'{path.parent}' is not a RelBench folder: it has no {path.name}.")
    try:
        data = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise SourceError(f"'{path}' is not valid YAML.") from error
    if not isinstance(data, dict):
        raise SourceError(f"'{path}' is not a RelBench manifest: it holds no names.")
    return data


def _time(value: Any) -> datetime:
    return datetime.fromisoformat(str(value))


def _days(text: str) -> float:
    number, unit = str(text).split()[:2]
    return float(number) * {"day": 1.0, "hour": 1 / 24, "week": 7.0}[unit.rstrip("s")]
