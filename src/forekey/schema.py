"""The shape of a database without its rows: tables, columns, keys, and what each column means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from forekey.errors import SchemaError


class Stype(StrEnum):
    """What a column means to a model (its *semantic type*), as opposed to how it is stored."""

    NUMERICAL = "numerical"
    CATEGORICAL = "categorical"
    MULTICATEGORICAL = "multicategorical"
    TIMESTAMP = "timestamp"
    TEXT = "text"
    ID = "id"
    BOOLEAN = "boolean"
    EMBEDDING = "embedding"
    IGNORE = "ignore"


class DType(StrEnum):
    """How a column is stored, as a family that every database has."""

    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    UUID = "uuid"
    BYTES = "bytes"
    LIST = "list"
    OTHER = "other"


class Case(StrEnum):
    """Which letters a database takes for the same when it compares a column's texts."""

    KEPT = "kept"
    """None: 'a' and 'A' differ."""
    ASCII = "ascii"
    """Those from a to z in either case (SQLite's NOCASE)."""
    LETTERS = "letters"
    """All letters in either case, by Unicode's simple lower case (citext, MySQL's ``*_ci``, DuckDB's NOCASE)."""


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """One column: its name, storage family and meaning."""

    name: str
    dtype: DType
    stype: Stype
    parts: tuple[str, ...] = ()
    """For a composite key: the columns whose values, as text and joined by commas, it holds."""
    case: Case = Case.KEPT
    """How the database compares the column's texts: as a key, it is compared like that here too."""
    members: tuple[ColumnSchema, ...] = ()
    """For a composite key: those columns themselves. A snapshot of an earlier version does not have them."""

    @classmethod
    def composite(cls, parts: Sequence[str], columns: Mapping[str, ColumnSchema] | None = None) -> ColumnSchema:
        """Make the column that stands for a key of several columns, of which ``columns`` has those that are known."""
        known = tuple(columns[p] for p in parts if p in columns) if columns is not None else ()
        members = known if len(known) == len(parts) else ()
        return cls(", ".join(parts), DType.TEXT, Stype.ID, tuple(parts), members=members)

    @property
    def of_parts(self) -> tuple[ColumnSchema, ...]:
        """The columns of a composite key; where they are not known, as if they were text."""
        return self.members or tuple(ColumnSchema(p, DType.TEXT, Stype.ID) for p in self.parts)


def key_parts(name: str, columns: Collection[str]) -> tuple[str, ...] | None:
    """Return the columns that a key of several, written with commas between, is made of; None if it names others.

    A column's own name may have a comma in it.
    """
    if name in columns:
        return (name,)
    for i, character in enumerate(name):
        if character == "," and (first := name[:i].strip()) in columns:
            rest = key_parts(name[i + 1 :].strip(), columns)
            if rest is not None:
                return (first, *rest)
    return None


class OnOrphan(StrEnum):
    """What becomes of a foreign key that no row of the parent has."""

    DROP = "drop"
    """No edge; the key is counted."""
    CREATE = "create"
    """A placeholder in the parent, with a key and nothing else."""
    FAIL = "fail"
    """No snapshot."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``column`` of the table it stands in holds the primary key of ``parent``."""

    column: str
    parent: str
    on_orphan: OnOrphan = OnOrphan.DROP


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table: its columns and the roles that some of them play."""

    name: str
    columns: tuple[ColumnSchema, ...]
    primary_key: str | None = None
    time_column: str | None = None
    foreign_keys: tuple[ForeignKey, ...] = ()

    def __post_init__(self) -> None:
        for role, name in (("primary key", self.primary_key), ("time column", self.time_column)):
            if name is not None and name not in self.column_names:
                raise SchemaError(
                    f"Table '{self.name}' has no column '{name}' to be its {role}"
                    f"{did_you_mean(name, self.column_names)}."
                )
        for fk in self.foreign_keys:
            self.column(fk.column)
        if self.time_column is not None and self.time_column in self.keys:
            raise SchemaError(
                f"'{self.name}.{self.time_column}' cannot be a key and the time column at once. "
                "Remove one of the two roles from forekey.yaml."
            )
        if self.time_column is not None and self.column(self.time_column).dtype is not DType.TIMESTAMP:
            raise SchemaError(
                f"The time column '{self.name}.{self.time_column}' is stored as "
                f"{self.column(self.time_column).dtype}; a time column must be a date or a timestamp. Say in "
                f"forekey.yaml what its values are, such as time_column: {{column: {self.time_column}, unit: year}} "
                "(or yyyymmdd, s, ms, us) or {column: …, format: '%m/%d/%Y'}, or remove time_column."
            )

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in the database's order."""
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> ColumnSchema:
        """Return the column of this name; :class:`SchemaError` with the nearest name if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"Table '{self.name}' has no column '{name}'{did_you_mean(name, self.column_names)}.")

    @property
    def keys(self) -> frozenset[str]:
        """Primary and foreign key columns: structure, never features."""
        own = {self.primary_key} if self.primary_key else set()
        return frozenset(own | {fk.column for fk in self.foreign_keys})


@dataclass(frozen=True, slots=True, order=True)
class EdgeType:
    """Rows of ``child`` point through ``column`` at rows of ``parent``."""

    child: str
    column: str
    parent: str

    def __str__(self) -> str:
        return f"{self.child}.{self.column}->{self.parent}"


@dataclass(frozen=True, slots=True)
class Schema:
    """All tables of a database."""

    tables: tuple[TableSchema, ...]
    _by_name: dict[str, TableSchema] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {t.name: t for t in self.tables})
        for table in self.tables:
            for fk in table.foreign_keys:
                if self.table(fk.parent).primary_key is None:
                    raise SchemaError(
                        f"Foreign key {table.name}.{fk.column} points at table '{fk.parent}', which has no primary "
                        f"key. Set primary_key of '{fk.parent}' in forekey.yaml, or remove the foreign key."
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Table names, in order."""
        return tuple(self._by_name)

    def table(self, name: str) -> TableSchema:
        """Return the table of this name; :class:`SchemaError` with the nearest name if there is none."""
        if name not in self._by_name:
            raise SchemaError(f"There is no table '{name}'{did_you_mean(name, self._by_name)}.")
        return self._by_name[name]

    @property
    def edge_types(self) -> tuple[EdgeType, ...]:
        """Every foreign key as an edge type, tables and keys in order."""
        return tuple(EdgeType(t.name, fk.column, fk.parent) for t in self.tables for fk in t.foreign_keys)

    def on_orphan(self, edge: EdgeType) -> OnOrphan:
        """Return what becomes of keys of an edge type that no parent has."""
        return next(fk.on_orphan for fk in self.table(edge.child).foreign_keys if fk.column == edge.column)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; :meth:`from_dict` reads it back to an equal schema."""
        return {"tables": [_table_to_dict(t) for t in self.tables]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Schema:
        """Read what :meth:`to_dict` wrote."""
        return cls(tuple(_table_from_dict(t) for t in data["tables"]))


def _table_to_dict(table: TableSchema) -> dict[str, Any]:
    return {**asdict(table), "columns": [_column_to_dict(c) for c in table.columns]}


def _column_to_dict(column: ColumnSchema) -> dict[str, Any]:
    """Return a column as JSON; what most columns do not have is left out, as earlier versions wrote it."""
    told: dict[str, Any] = {"name": column.name, "dtype": column.dtype, "stype": column.stype, "parts": column.parts}
    if column.case is not Case.KEPT:
        told["case"] = column.case
    if column.members:
        told["members"] = [_column_to_dict(m) for m in column.members]
    return told


def _column_from_dict(data: dict[str, Any]) -> ColumnSchema:
    return ColumnSchema(
        data["name"],
        DType(data["dtype"]),
        Stype(data["stype"]),
        tuple(data.get("parts", ())),
        Case(data.get("case", Case.KEPT)),
        tuple(_column_from_dict(m) for m in data.get("members", ())),
    )


def _table_from_dict(data: dict[str, Any]) -> TableSchema:
    return TableSchema(
        name=data["name"],
        columns=tuple(_column_from_dict(c) for c in data["columns"]),
        primary_key=data["primary_key"],
        time_column=data["time_column"],
        foreign_keys=tuple(
            ForeignKey(f["column"], f["parent"], OnOrphan(f.get("on_orphan", "drop"))) for f in data["foreign_keys"]
        ),
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for a near miss, else the names there are (the first ten)."""
    names = list(known)
    lowered = {n.lower(): n for n in names}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.7)
    if near:
        return f" (did you mean '{lowered[near[0]]}'?)"
    listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f" (there are: {listed})" if names else ""
