"""Guess with evidence what a database does not declare: keys, time columns, and what columns mean.

Declared facts win. Each guess carries the reason a person needs to overrule it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlglot import exp

from forekey.project import TableConfig
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from forekey.source.names import key_name_score, names_parent, singular, time_name_score, words
from forekey.source.profile import ColumnProfile, profile_table
from forekey.source.protocol import ColumnInfo, Source, TableInfo

_KEY_TYPES = frozenset({DType.INTEGER, DType.TEXT, DType.UUID})
_CODE_WORDS = frozenset({"id", "code", "type", "status", "class", "zip", "category", "no"})
_MIN_CONTAINMENT = 0.8
_SAMPLE_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Guess:
    """One thing that was inferred: ``what`` is its kind (primary_key, foreign_key, time_column, stype)."""

    table: str
    column: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inference:
    """The schema as declared and guessed, the guesses, and the number of rows per table."""

    schema: Schema
    guesses: tuple[Guess, ...]
    rows: dict[str, int]

    def tables(self) -> dict[str, TableConfig]:
        """Return the schema as it is written to forekey.yaml."""
        return {
            t.name: TableConfig(
                primary_key=t.primary_key,
                time_column=t.time_column,
                foreign_keys={fk.column: fk.parent for fk in t.foreign_keys},
                columns={c.name: c.stype for c in t.columns if c.name not in t.keys},
            )
            for t in self.schema.tables
        }

    def comments(self) -> dict[tuple[str, ...], str]:
        """Return the reason of each guess by its place in forekey.yaml."""
        places = {"foreign_key": "foreign_keys", "stype": "columns"}
        return {
            (
                "tables",
                g.table,
                *((places[g.what], g.column) if g.what in places else (g.what,)),
            ): f"guessed: {g.reason}"
            for g in self.guesses
        }


def infer_schema(source: Source) -> Inference:
    """Introspect a source and complete what it does not declare."""
    tables = source.tables()
    profiles = {t.name: profile_table(source, t) for t in tables}
    guesses: list[Guess] = []
    names = [t.name for t in tables]
    primary = {t.name: _primary_key(source, t, profiles[t.name], names, guesses) for t in tables}
    columns = {t.name: {c.name: c for c in t.columns} for t in tables}
    schemas = []
    for table in tables:
        foreign = _foreign_keys(source, table, profiles[table.name], primary, columns, guesses)
        time = _time_column(table, profiles[table.name], guesses)
        keys = {fk.column for fk in foreign} | {primary[table.name]}
        stypes = [
            ColumnSchema(c.name, c.dtype, _stype(table.name, c, profiles[table.name][c.name], c.name in keys, guesses))
            for c in table.columns
        ]
        schemas.append(TableSchema(table.name, tuple(stypes), primary[table.name], time, foreign))
    return Inference(Schema(tuple(schemas)), tuple(guesses), {t.name: t.rows for t in tables})


def _primary_key(
    source: Source, table: TableInfo, profile: dict[str, ColumnProfile], names: Iterable[str], guesses: list[Guess]
) -> str | None:
    dtypes = {c.name: c.dtype for c in table.columns}
    if len(table.primary_key) == 1 and dtypes[table.primary_key[0]] is not DType.TIMESTAMP:
        return table.primary_key[0]
    if len(table.primary_key) == 1:
        guesses.append(Guess(table.name, table.primary_key[0], "primary_key", "a moment is taken as time, not as key"))
        return None
    if len(table.primary_key) > 1:
        joined = ", ".join(table.primary_key)
        guesses.append(Guess(table.name, joined, "primary_key", "composite keys are not nodes yet: taken as no key"))
        return None
    scored = [
        (key_name_score(table.name, c.name, names) + (0.1 if i == 0 else 0.0), -i, c)
        for i, c in enumerate(table.columns)
        if c.dtype in _KEY_TYPES and profile[c.name].nulls == 0 and profile[c.name].looks_unique
    ]
    for score, _, column in sorted(scored, key=lambda s: s[:2], reverse=True):
        if score < 0.5:
            return None
        if _is_unique(source, table, column.name):
            evidence = f"all {table.rows:,} values differ" if table.rows else "no rows to measure"
            place = ", first column" if table.columns[0] is column else ""
            guesses.append(Guess(table.name, column.name, "primary_key", f"named like a key{place}; {evidence}"))
            return column.name
    return None


def _foreign_keys(
    source: Source,
    table: TableInfo,
    profile: dict[str, ColumnProfile],
    primary: dict[str, str | None],
    columns: dict[str, dict[str, ColumnInfo]],
    guesses: list[Guess],
) -> tuple[ForeignKey, ...]:
    declared = {column: parent for column, parent, key in table.foreign_keys if primary.get(parent) == key}
    found = dict(declared)
    if table.foreign_keys:
        return tuple(ForeignKey(c, p) for c, p in found.items())
    for column in table.columns:
        if column.dtype not in {*_KEY_TYPES, DType.FLOAT} or column.name == primary[table.name]:
            continue
        candidates = [
            (parent, key)
            for parent, key in primary.items()
            if key is not None
            and parent != table.name
            and _may_refer(column.dtype, columns[parent][key].dtype)
            and names_parent(column.name, parent, key)
        ]
        best = _best_parent(source, table, column.name, profile[column.name], candidates, guesses)
        if best is not None:
            found[column.name] = best
    return tuple(ForeignKey(c, p) for c, p in found.items())


def _may_refer(child: DType, parent: DType) -> bool:
    """Whether a column may hold keys of a type; integers with NULLs often arrive as floats."""
    return child == parent or (child is DType.FLOAT and parent is DType.INTEGER)


def _best_parent(
    source: Source,
    table: TableInfo,
    column: str,
    profile: ColumnProfile,
    candidates: Iterable[tuple[str, str]],
    guesses: list[Guess],
) -> str | None:
    """Return the candidate parent that holds most of the column's values, and note why."""
    measured = [
        (1.0 if profile.non_null == 0 else _containment(source, table.name, column, parent, key), parent, key)
        for parent, key in candidates
    ]
    if not measured:
        return None
    share, parent, key = max(measured)
    if share < _MIN_CONTAINMENT:
        return None
    found = "no values to measure" if profile.non_null == 0 else f"{share:.1%} of values found in {parent}.{key}"
    guesses.append(Guess(table.name, column, "foreign_key", f"named after {parent}.{key}; {found}"))
    return parent


def _time_column(table: TableInfo, profile: dict[str, ColumnProfile], guesses: list[Guess]) -> str | None:
    if table.time_column is not None:
        return table.time_column
    times = [c.name for c in table.columns if c.dtype is DType.TIMESTAMP and _could_tell_time(profile[c.name])]
    scored = sorted(
        ((time_name_score(singular(table.name), name), -i, name) for i, name in enumerate(times)), reverse=True
    )
    if not scored or scored[0][0] < 0:
        return None
    name = scored[0][2]
    why = "the only timestamp" if len(times) == 1 else f"reads most like the moment of the row among {len(times)}"
    guesses.append(Guess(table.name, name, "time_column", why))
    return name


def _could_tell_time(profile: ColumnProfile) -> bool:
    """Whether there are moments in a column, or no rows yet to have any."""
    return profile.non_null > 0 or profile.rows == 0


def _stype(table: str, column: ColumnInfo, profile: ColumnProfile, is_key: bool, guesses: list[Guess]) -> Stype:
    if is_key:
        return Stype.ID
    stype, reason = guess_stype(column, profile)
    guesses.append(Guess(table, column.name, "stype", f"{stype}: {reason}"))
    return stype


def guess_stype(column: ColumnInfo, profile: ColumnProfile) -> tuple[Stype, str]:
    """Guess what a column means from its type and its values, and say why."""
    if profile.non_null == 0:
        return _stype_of_empty(column)
    if column.dtype is DType.BOOLEAN:
        return Stype.BOOLEAN, "stored as boolean"
    if column.dtype is DType.TIMESTAMP:
        return Stype.TIMESTAMP, f"stored as {column.sql_type}"
    if profile.distinct <= 1:
        return Stype.IGNORE, "constant"
    if column.dtype is DType.FLOAT:
        return Stype.NUMERICAL, f"stored as {column.sql_type}"
    if column.dtype is DType.INTEGER:
        return _stype_of_integer(column, profile)
    if column.dtype is DType.TEXT:
        return _stype_of_text(profile)
    if column.dtype is DType.LIST:
        return _stype_of_list(column)
    return Stype.IGNORE, f"{column.sql_type} has no encoder"


def _stype_of_empty(column: ColumnInfo) -> tuple[Stype, str]:
    by_dtype = {
        DType.INTEGER: Stype.NUMERICAL,
        DType.FLOAT: Stype.NUMERICAL,
        DType.BOOLEAN: Stype.BOOLEAN,
        DType.TIMESTAMP: Stype.TIMESTAMP,
        DType.TEXT: Stype.CATEGORICAL,
    }
    return by_dtype.get(column.dtype, Stype.IGNORE), "no values yet; judged by its type"


def _stype_of_integer(column: ColumnInfo, profile: ColumnProfile) -> tuple[Stype, str]:
    if _CODE_WORDS.intersection(words(column.name)[-1:]):
        return Stype.CATEGORICAL, f"an integer named like a code; {profile.distinct:,} distinct values"
    return Stype.NUMERICAL, f"an integer; {profile.distinct:,} distinct values"


def _stype_of_text(profile: ColumnProfile) -> tuple[Stype, str]:
    share = profile.distinct / profile.non_null
    seen = f"{profile.distinct:,} distinct values in {profile.non_null:,}"
    if profile.distinct <= 30 or (share <= 0.5 and profile.distinct <= 20_000 and profile.mean_length <= 60):
        return Stype.CATEGORICAL, seen
    return Stype.TEXT, f"{seen}, {profile.mean_length:.0f} characters on average"


def _stype_of_list(column: ColumnInfo) -> tuple[Stype, str]:
    inner = column.sql_type.upper().split("[")[0]
    if inner.startswith(("FLOAT", "DOUBLE", "DECIMAL")):
        return Stype.EMBEDDING, f"a list of {inner.lower()}"
    if inner.startswith(("VARCHAR", "ENUM", "INTEGER", "BIGINT")):
        return Stype.MULTICATEGORICAL, f"a list of {inner.lower()}"
    return Stype.IGNORE, f"{column.sql_type} has no encoder"


def _is_unique(source: Source, table: TableInfo, column: str) -> bool:
    counted = exp.select(exp.Count(this=exp.Distinct(expressions=[exp.column(column, quoted=True)]))).from_(
        exp.Table(this=exp.to_identifier(table.name, quoted=True))
    )
    return int(source.query(counted).read_all().column(0)[0].as_py()) == table.rows


def _containment(source: Source, child: str, column: str, parent: str, key: str) -> float:
    """Return the share of (a sample of) the distinct values of ``child.column`` found in ``parent.key``."""
    value = exp.column(column, quoted=True)
    sample = (
        exp.select(value.as_("value"))
        .distinct()
        .from_(exp.Table(this=exp.to_identifier(child, quoted=True)))
        .where(value.is_(exp.null()).not_())
        .limit(_SAMPLE_KEYS)
        .subquery("sampled")
    )
    known = exp.select(exp.column(key, quoted=True)).from_(exp.Table(this=exp.to_identifier(parent, quoted=True)))
    found = exp.Sum(
        this=exp.Case().when(exp.column("value").isin(query=known), exp.Literal.number(1)).else_(exp.Literal.number(0))
    )
    row = source.query(exp.select(found.as_("found"), exp.Count(this=exp.Star()).as_("total")).from_(sample)).read_all()
    total = int(row.column("total")[0].as_py())
    return float(row.column("found")[0].as_py()) / total if total else 1.0
