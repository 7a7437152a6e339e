"""A project: a folder with a forekey.yaml that people edit, and a .forekey/ that the machine writes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from forekey.errors import ProjectError, UnknownTask
from forekey.files import write_whole
from forekey.schema import OnOrphan, Stype, did_you_mean
from forekey.secrets import HIDDEN, remember, remember_word, substituted, without_password

CONFIG_NAME = "forekey.yaml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ForeignKeyConfig(_Strict):
    """What a foreign key refers to, and what becomes of a key that is not found there."""

    table: str
    on_orphan: OnOrphan = OnOrphan.DROP


MomentUnit = Literal["year", "yyyymm", "yyyymmdd", "s", "ms", "us", "ns", "julian"]
"""What the numbers of a column count: a year, a month or day written as digits, time since 1970, Julian days."""

_PERIODS = {"year": "year", "yyyymm": "month", "yyyymmdd": "day"}


class MomentConfig(_Strict):
    """How moments are written in a column that is no timestamp: what its numbers count, or the pattern of its texts.

    ``format`` is a pattern of ``strptime`` (``%m/%d/%Y``). A value may name a period, such as a year, rather than a
    moment: ``at`` says which end of it counts.
    """

    unit: MomentUnit | None = None
    format: str | None = None
    at: Literal["start", "end"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.unit is not None and self.format is not None:
            raise ValueError("give a unit (of numbers) or a format (of texts), not both")
        return self

    @property
    def period(self) -> str:
        """The period that a value names: year, month or day; a moment counts as the day it is on."""
        if self.unit is not None:
            return _PERIODS.get(self.unit, "day")
        pattern = self.format
        if pattern is None or "%d" in pattern or "%j" in pattern:
            return "day"
        return "month" if any(code in pattern for code in ("%m", "%b", "%B")) else "year"

    @property
    def end(self) -> Literal["start", "end"]:
        """Which end of the period counts: a year or month is known when it is over; a day counts as a DATE does."""
        return self.at or ("start" if self.period == "day" else "end")


class TimeConfig(MomentConfig):
    """The time of a table's rows: a column, or the year and month (and day) in columns of their own."""

    column: str | None = None
    year_month: tuple[str, str] | None = None
    year_month_day: tuple[str, str, str] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        named = [n for n in ("column", "year_month", "year_month_day") if getattr(self, n) is not None]
        if len(named) != 1:
            raise ValueError("name one of column, year_month and year_month_day")
        if self.column is None and (self.unit is not None or self.format is not None):
            raise ValueError("unit and format go with column, not with year_month or year_month_day")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the time."""
        return (self.column,) if self.column is not None else self.year_month_day or self.year_month or ()

    @property
    def period(self) -> str:
        """The period that a row's values name: year, month or day."""
        return super().period if self.column is not None else "month" if self.year_month is not None else "day"

    @property
    def is_plain(self) -> bool:
        """Whether the column is a timestamp as it stands."""
        return self.column is not None and self.unit is None and self.format is None and self.at is None


class ColumnConfig(MomentConfig):
    """What a column means to a model, and how its values are written where the database does not say.

    ``decimal`` is the mark before the decimals of numbers in a text column; ``true_values`` and ``false_values`` are
    the words of a text column of yes and no.
    """

    type: Stype
    decimal: Literal[".", ","] | None = None
    true_values: tuple[str, ...] | None = None
    false_values: tuple[str, ...] | None = None

    @field_validator("true_values", "false_values", mode="before")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        given = {
            Stype.TIMESTAMP: ("unit", "format", "at"),
            Stype.NUMERICAL: ("decimal",),
            Stype.BOOLEAN: ("true_values", "false_values"),
        }
        for stype, names in given.items():
            for name in names:
                if getattr(self, name) is not None and self.type is not stype:
                    raise ValueError(f"{name} is for columns of type {stype}, not {self.type}")
        if (self.true_values is None) != (self.false_values is None):
            raise ValueError("give both true_values and false_values")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the type is said."""
        return self == ColumnConfig(type=self.type)


_ONE_WORD, _SETTINGS = "<one word>", "<settings>"
"""The two ways to write a time or a column: only what is wrong in the one that was chosen is reported."""


def _way(value: Any) -> str:
    return _SETTINGS if isinstance(value, Mapping | BaseModel) else _ONE_WORD


TimeSetting = Annotated[Annotated[str, Tag(_ONE_WORD)] | Annotated[TimeConfig, Tag(_SETTINGS)], Discriminator(_way)]
ColumnSetting = Annotated[
    Annotated[Stype, Tag(_ONE_WORD)] | Annotated[ColumnConfig, Tag(_SETTINGS)], Discriminator(_way)
]


class TableConfig(_Strict):
    """How one table is read: keys, time, and column meanings (the rest is as the database says).

    ``sql`` defines the table by a query over the source's own tables. A key of several columns is a list of them, or
    their names joined by commas. ``time_from`` names the foreign key whose parent's time the rows take, in a table that
    has none of its own. ``updated_at`` and ``deleted_at`` name the columns with the times of changes and deletions;
    ``lookback_days`` is how late rows may come; ``watermark`` is the integer primary key of a table without times, if
    its keys only grow and its rows do not change.
    """

    sql: str | None = None
    primary_key: str | None = None
    time_column: TimeSetting | None = None
    time_from: str | None = None
    updated_at: str | None = None
    deleted_at: str | None = None
    watermark: str | None = None
    lookback_days: float = Field(default=0.0, ge=0, le=36_500)
    foreign_keys: dict[str, ForeignKeyConfig] = Field(default_factory=dict)
    columns: dict[str, ColumnSetting] = Field(default_factory=dict)

    @property
    def time(self) -> TimeConfig | None:
        """How the time of rows is read; None if the table has none of its own."""
        return TimeConfig(column=self.time_column) if isinstance(self.time_column, str) else self.time_column

    @property
    def readings(self) -> dict[str, ColumnConfig]:
        """What each column means, and how its values are written."""
        return {c: ColumnConfig(type=v) if isinstance(v, Stype) else v for c, v in self.columns.items()}

    @field_validator("foreign_keys", mode="before")
    @classmethod
    def _bare_parents(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {k: {"table": v} if isinstance(v, str) else v for k, v in value.items()}

    @field_validator("primary_key", mode="before")
    @classmethod
    def _several_columns(cls, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value


class EntityRef(_Strict):
    """The column of a label table that names the entity, and the primary key it holds."""

    column: str
    key: str

    @field_validator("key")
    @classmethod
    def _names_table_and_column(cls, value: str) -> str:
        if value.count(".") < 1:
            raise ValueError("must be table.primary_key, for example customers.customer_id")
        return value


class LabelTask(_Strict):
    """A task whose labels already exist: a Parquet file, one file per split, or a table of the source.

    ``weight`` names a column that says how much each example counts in training.
    """

    labels: str | dict[Literal["train", "val", "test"], str]
    entity: EntityRef
    time: str
    target: str
    split: str | None = None
    weight: str | None = None
    horizon_days: float | None = None
    items: str | None = None
    """For a ranking: the table and primary key that the listed items are keys of, such as ``products.sku``."""
    top: int = Field(default=10, ge=1, le=1000)
    """For a ranking: how many items are asked for."""
    task_type: Literal[
        "binary_classification",
        "multiclass_classification",
        "multilabel_classification",
        "regression",
        "link_prediction",
    ]


class PQLTask(_Strict):
    """A task stated in the predictive query language, with settings that the language leaves open."""

    query: str
    max_anchors: int | None = Field(default=None, ge=3)
    step_days: float | None = Field(default=None, gt=0, le=36_500)
    """How far apart anchor times are; the width of the target's window if left out."""


TaskConfig = PQLTask | LabelTask


class RetrainConfig(_Strict):
    """When to train a challenger, and how much better it must be."""

    schedule: str | None = None
    on_drift: float | None = Field(default=None, gt=0)
    on_quality_drop: float | None = Field(default=None, gt=0)
    min_gain: float = Field(default=0.0, ge=0)


class MonitorConfig(_Strict):
    """What the monitors leave alone, from where on they warn, and where they send alerts.

    ``ignore`` names monitors ("column drift"), subjects ("orders.memo") or one of another ("rows per day: orders").
    ``limits`` replaces the value from which a monitor warns. New alerts are sent to ``webhook``, signed with
    ``signing_key``. Predictions are kept in the log for ``keep_days`` after their anchor.
    """

    ignore: tuple[str, ...] = ()
    limits: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    webhook: str | None = None
    signing_key: str | None = None
    keep_days: float = Field(default=400.0, gt=0)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, HIDDEN if name in {"webhook", "signing_key"} and value is not None else value

    @field_validator("signing_key")
    @classmethod
    def _stays_unsaid(cls, value: str | None) -> str | None:
        remember_word(value or "")
        return value

    @field_validator("webhook")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.match(r"https?://[^/]", value):
            raise ValueError("must begin with http:// or https://")
        remember(value)
        remember_word(value.split("/", 3)[3] if value.count("/") > 2 else "")  # a path often is the key
        return value


class Config(_Strict):
    """The contents of forekey.yaml."""

    source: str
    as_of: datetime | None = None
    tables: dict[str, TableConfig] = Field(default_factory=dict)
    tasks: dict[str, TaskConfig] = Field(default_factory=dict)
    store: str = "lmdb"
    retrain: RetrainConfig = RetrainConfig()
    monitor: MonitorConfig = MonitorConfig()
    texts: Literal["hashed", "embedded"] = "hashed"
    """How models read texts: by hashed words, or by what they mean (``pip install 'forekey[text]'``)."""
    statement_timeout_seconds: float | None = Field(default=None, gt=0, le=2_000_000)
    """How long one statement may take at a Postgres source; None for the server's setting, an hour if it has none."""
    mlflow: str | None = None
    """Where MLflow tracks runs: a server's URL, or a file or database URL; None for nowhere."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, without_password(value) if isinstance(value, str) else value

    @field_validator("source", "store", "mlflow")
    @classmethod
    def _secrets_stay_unsaid(cls, value: str | None) -> str | None:
        if value is not None:
            remember(value)
        return value

    @field_validator("tables", mode="before")
    @classmethod
    def _bare_tables(cls, value: Any) -> Any:
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, Mapping) else value

    @field_validator("tasks", mode="before")
    @classmethod
    def _plain_queries(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {k: {"query": v} if isinstance(v, str) else v for k, v in value.items()}

    @field_validator("tasks")
    @classmethod
    def _names_fit_in_a_path(cls, value: dict[str, TaskConfig]) -> dict[str, TaskConfig]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
                raise ValueError(f"task name {name!r} must be 1 to 64 letters, digits, '_', '-' or '.'")
        return value


_READING = {"sql", "primary_key", "time_column", "time_from", "deleted_at", "foreign_keys", "columns"}
"""The settings of a table on which it depends what a graph holds of it."""


def graph_settings(config: Config) -> dict[str, str]:
    """Return, by table, a hash of all settings on which it depends what a graph holds; ``""`` is for all tables."""
    return {"": str(config.as_of)} | {name: _settings_hash(config, name, ()) for name in config.tables}


def _settings_hash(config: Config, name: str, below: tuple[str, ...]) -> str:
    entry = config.tables[name]
    told = entry.model_dump_json(include=_READING, exclude_defaults=True)
    whole = entry.foreign_keys.get(entry.time_from or "")
    if whole is not None and whole.table in config.tables and whole.table not in (*below, name):
        told += _settings_hash(config, whole.table, (*below, name))  # its time is that of the other
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Project:
    """A project folder and its validated configuration."""

    root: Path
    config: Config

    @classmethod
    def open(cls, root: str | Path) -> Self:
        """Read and validate ``root/forekey.yaml``; :class:`ProjectError` names the line that is wrong."""
        root = Path(root)
        path = root / CONFIG_NAME
        if not path.is_file():
            raise ProjectError(
                f"'{root}' is not a Forekey project: it has no {CONFIG_NAME}. "
                "Run `forekey init URL` there, or name another folder with --project."
            )
        return cls(root, parse_config(path.read_text(encoding="utf-8"), str(path)))

    @property
    def machine(self) -> Path:
        """Everything that Forekey writes; safe to delete and rebuild."""
        return self.root / ".forekey"

    def place(self, name: str) -> Path:
        """Return a folder inside .forekey/, made if it is not there."""
        path = self.machine / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def task(self, name: str) -> TaskConfig:
        """Return the configuration of a task; :class:`UnknownTask` with the nearest name if there is none."""
        if name not in self.config.tasks:
            hint = did_you_mean(name, self.config.tasks) or " (there are none yet)"
            raise UnknownTask(f"There is no task '{name}' in {CONFIG_NAME}{hint}. Add it under tasks:.")
        return self.config.tasks[name]

    def resolve(self, path: str) -> Path:
        """Return a path of the configuration, relative ones from the project folder."""
        return (self.root / path).resolve()


def parse_config(text: str, where: str) -> Config:
    """Parse YAML text into a :class:`Config`; ``${NAME}`` in a value stands for an environment variable."""
    try:
        data = YAML(typ="safe").load(StringIO(text))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" line {mark.line + 1}" if mark is not None else ""
        raise ProjectError(f"{where}{at} is not valid YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(data, dict):
        raise ProjectError(f"{where} must hold settings by name (source:, tables:, tasks:), not {type(data).__name__}.")
    try:
        return Config.model_validate(substitute(data, where))
    except ValidationError as error:
        # A setting that is missing may be one that was misspelled.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        if first["type"] == "extra_forbidden":
            first = {**first, "msg": f"there is no such setting{_settings_like(first['loc'])}"}
        place = ".".join(str(part) for part in first["loc"] if part not in _WAYS)
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ProjectError(f"{where}: {place or 'the file'}: {first['msg']}{more}.") from error


@dataclass(frozen=True, slots=True)
class IdleSetting:
    """A setting that is valid and that nothing acts on: where it stands, why, and what to do."""

    where: str
    why: str
    how: str


def idle_settings(config: Config) -> Iterator[IdleSetting]:
    """List the settings that are read and do nothing, so that nobody relies on one."""
    if config.retrain.schedule is not None:
        yield IdleSetting(
            "retrain.schedule",
            "nothing acts on a schedule yet",
            "Run `forekey retrain TASK` from cron or a timer of your own, and remove it here.",
        )
    for name, table in config.tables.items():
        dated = (table.time_column, table.time_from, table.updated_at, table.deleted_at)
        if table.lookback_days and not any(dated):
            yield IdleSetting(
                f"tables.{name}.lookback_days",
                "the table has no time to look back from, and is read whole at each update",
                "Name its time_column or updated_at, or remove the setting.",
            )
    for name, task in config.tasks.items():
        if not isinstance(task, LabelTask):
            continue
        if task.split is not None and isinstance(task.labels, dict):
            yield IdleSetting(f"tasks.{name}.split", "the labels of each split have a file of their own", "Remove it.")
        if task.task_type != "link_prediction":
            for setting in sorted({"items", "top"} & task.model_fields_set):
                yield IdleSetting(f"tasks.{name}.{setting}", "it is for task_type link_prediction only", "Remove it.")


_WAYS = {"PQLTask", "LabelTask", _ONE_WORD, _SETTINGS}
"""Parts of a place in forekey.yaml that only say which way of writing it was chosen."""


def _settings_like(path: tuple[int | str, ...]) -> str:
    """Name the setting that a wrong one looks like, by the kind of entry it stands in."""
    kinds: dict[str, type[BaseModel]] = {
        "tables": TableConfig,
        "retrain": RetrainConfig,
        "monitor": MonitorConfig,
        "foreign_keys": ForeignKeyConfig,
        "time_column": TimeConfig,
        "columns": ColumnConfig,
    }
    kinds |= {"PQLTask": PQLTask, "LabelTask": LabelTask, "entity": EntityRef}
    inside = [kinds[str(p)] for p in path[:-1] if p in kinds]
    return did_you_mean(str(path[-1]), (inside[-1] if inside else Config).model_fields)


def substitute(value: Any, where: str) -> Any:
    """Put environment variables in the place of ``${NAME}`` in every text of a value.

    One that is the password of a URL is percent-encoded on its way.
    """
    if isinstance(value, dict):
        return {k: substitute(v, where) for k, v in value.items()}
    if isinstance(value, list):
        return [substitute(v, where) for v in value]
    if not isinstance(value, str):
        return value

    try:
        return substituted(value, os.environ)
    except KeyError as error:
        name = error.args[0]
        raise ProjectError(f"{where} uses ${{{name}}}, but that environment variable is not set.") from None


def render_config(config: Config, comments: Mapping[tuple[str, ...], str], header: str) -> str:
    """Return forekey.yaml as text; ``comments`` says why, per path such as ``("tables", "orders", "time_column")``."""
    yaml = YAML()
    yaml.width = 120
    yaml.default_flow_style = False
    tables = CommentedMap()
    for name, table in config.tables.items():
        tables[name] = _render_table(name, table, comments)
        _comment(tables, name, comments.get(("tables", name)))
    data = CommentedMap({"source": config.source})
    if config.as_of is not None:
        data["as_of"] = config.as_of.isoformat()
        data.yaml_add_eol_comment(comments.get(("as_of",), "rows after this moment are not read"), "as_of")
    data["tables"] = tables
    data["tasks"] = CommentedMap({name: _render_task(task) for name, task in config.tasks.items()})
    data["store"] = config.store
    out = StringIO()
    yaml.dump(data, out)
    commented = "".join(f"# {line}\n" for line in header.splitlines())
    return f"{commented}{out.getvalue()}"


def _render_table(name: str, table: TableConfig, comments: Mapping[tuple[str, ...], str]) -> CommentedMap:
    entry = CommentedMap()
    for role in ("sql", "primary_key", "time_column", "time_from", "updated_at", "deleted_at", "watermark"):
        value = getattr(table, role)
        if value is not None:
            entry[role] = _inline(value) if isinstance(value, TimeConfig) else value
            _comment(entry, role, comments.get(("tables", name, role)))
    if table.lookback_days:
        entry["lookback_days"] = table.lookback_days
    parents = {c: _render_foreign_key(fk) for c, fk in table.foreign_keys.items()}
    columns = {c: str(told.type) if told.is_plain else _inline(told) for c, told in table.readings.items()}
    for part, values in (("foreign_keys", parents), ("columns", columns)):
        if values:
            entry[part] = CommentedMap(values)
            for key in values:
                _comment(entry[part], key, comments.get(("tables", name, part, key)))
    return entry


def _inline(entry: BaseModel) -> CommentedMap:
    """Render settings in one line, ``{column: yearID, unit: year}``, in the order in which they are declared."""
    told = entry.model_dump(mode="json", exclude_none=True)
    first = [n for n in ("type", "column", "year_month", "year_month_day") if n in told]
    ordered = {n: told[n] for n in [*first, *(n for n in told if n not in first)]}
    line = CommentedMap({n: CommentedSeq(v) if isinstance(v, list) else v for n, v in ordered.items()})
    for part in [line, *line.values()]:
        if isinstance(part, CommentedMap | CommentedSeq):
            part.fa.set_flow_style()
    return line


def _render_foreign_key(key: ForeignKeyConfig) -> Any:
    return key.table if key.on_orphan is OnOrphan.DROP else {"table": key.table, "on_orphan": str(key.on_orphan)}


def _comment(entry: CommentedMap, key: str, text: str | None) -> None:
    if text is not None:
        entry.yaml_add_eol_comment(text.replace("\n", " "), key)


def _render_task(task: TaskConfig) -> Any:
    if isinstance(task, PQLTask) and task.max_anchors is None and task.step_days is None:
        return task.query
    return task.model_dump(mode="json", exclude_none=True)


def recorded_exports(root: Path) -> list[str]:
    """Return the tables that the project in a folder wrote into its source."""
    path = root / ".forekey" / "exports.json"
    names: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return names


def record_export(root: Path, table: str) -> None:
    """Note a table that the project is about to write into its source."""
    names = sorted({*recorded_exports(root), table})
    write_whole(root / ".forekey" / "exports.json", json.dumps(names))
