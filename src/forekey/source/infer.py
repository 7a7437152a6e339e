"""Guess with evidence what a database does not declare: keys, time columns, and what columns mean.

Declared facts win. Each guess carries the reason a person needs to overrule it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from forekey.project import ForeignKeyConfig, TableConfig
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema, key_parts
from forekey.source.keys import key_sql, why_no_key
from forekey.source.names import key_name_score, names_itself, names_parent, singular, time_name_score, words
from forekey.source.profile import ColumnProfile, profile_table
from forekey.source.protocol import ColumnInfo, Source, TableInfo

_KEY_TYPES = frozenset({DType.INTEGER, DType.TEXT, DType.UUID})
_CODE_WORDS = frozenset({"id", "code", "type", "status", "class", "zip", "category", "no", "phone", "postcode"})
_MIN_CONTAINMENT = 0.8
_SAMPLE_KEYS = 10_000
_VERIFIED_ROWS = 5_000_000
_OWN_KEY = 1.0
"""The score of a column that is named after nothing but its own table's key."""
_MAX_REPEATED = 0.05


@dataclass(frozen=True, slots=True)
class Guess:
    """One thing that was inferred: ``what`` is its kind.

    That is primary_key, foreign_key, time_column, time_from or stype, or not_used for a declared foreign key.
    """

    table: str
    column: str
    what: str
    reason: str
    score: float | None = None
    """For a foreign key: the share of its values found in the key it refers to."""


@dataclass(frozen=True, slots=True)
class Inference:
    """The schema as declared and guessed, the guesses, and the number of rows per table."""

    schema: Schema
    guesses: tuple[Guess, ...]
    rows: dict[str, int]
    time_from: dict[str, str] = field(default_factory=dict)
    """Per table without a time of its own: the foreign key whose parent's time it takes."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Tables that are there and cannot be read, and why: they take no part."""

    def tables(self) -> dict[str, TableConfig]:
        """Return the schema as it is written to forekey.yaml."""
        return {
            t.name: TableConfig(
                primary_key=t.primary_key,
                time_column=t.time_column,
                time_from=self.time_from.get(t.name),
                foreign_keys={fk.column: ForeignKeyConfig(table=fk.parent) for fk in t.foreign_keys},
                columns={c.name: c.stype for c in t.columns if c.name not in t.keys},
            )
            for t in self.schema.tables
        }

    def comments(self) -> dict[tuple[str, ...], str]:
        """Return the reason of each guess by its place in forekey.yaml."""
        places = {"foreign_key": "foreign_keys", "stype": "columns"}
        unused: dict[tuple[str, ...], str] = {}
        for guess in (g for g in self.guesses if g.what == "not_used"):
            place = ("tables", guess.table)
            unused[place] = f"{unused[place]}; {guess.reason}" if place in unused else f"not used: {guess.reason}"
        return unused | {
            (
                "tables",
                g.table,
                *((places[g.what], g.column) if g.what in places else (g.what,)),
            ): f"guessed: {g.reason}"
            for g in self.guesses
            if g.what != "not_used"
        }


def infer_schema(source: Source) -> Inference:
    """Introspect a source and complete what it does not declare."""
    there = source.tables()
    tables = [t for t in there if t.unreadable is None]
    unreadable = {t.name: t.unreadable for t in there if t.unreadable is not None}
    profiles = {t.name: profile_table(source, t) for t in tables}
    guesses: list[Guess] = []
    names = [t.name for t in tables]
    primary = {t.name: _primary_key(source, t, profiles[t.name], names, guesses) for t in tables}
    columns = {t.name: {c.name: c for c in t.columns} for t in tables}
    schemas = []
    for table in tables:
        foreign = _foreign_keys(source, table, profiles[table.name], primary, columns, guesses)
        time = _time_column(source, table, profiles[table.name], primary[table.name], guesses)
        keys = {fk.column for fk in foreign} | {primary[table.name]}
        stypes = [
            ColumnSchema(
                c.name,
                c.dtype,
                _stype(table.name, c, profiles[table.name][c.name], c.name in keys, guesses),
                case=c.case,
            )
            for c in table.columns
        ]
        present = {c.name for c in table.columns}
        several = [k for k in sorted(k for k in keys if k) if k not in present]
        typed = {c.name: c for c in stypes}
        stypes += [ColumnSchema.composite(key_parts(k, present) or (), typed) for k in several]
        schemas.append(TableSchema(table.name, tuple(stypes), primary[table.name], time, foreign))
    schema = Schema(tuple(schemas))
    inherited = dict(_inherited_times(schema, guesses))
    return Inference(schema, tuple(guesses), {t.name: t.rows for t in tables}, inherited, unreadable)


def _inherited_times(schema: Schema, guesses: list[Guess]) -> Iterator[tuple[str, str]]:
    """Find tables whose rows are parts of others: they have no time, and cannot be there before their whole.

    A part has no key of its own, or one that the key of its whole is part of.
    """
    for table in schema.tables:
        key = table.column(table.primary_key).parts if table.primary_key is not None else None
        timed = [fk.column for fk in table.foreign_keys if schema.table(fk.parent).time_column is not None]
        if table.time_column is None and key != () and len(timed) == 1 and (key is None or timed[0] in key):
            whole = next(fk.parent for fk in table.foreign_keys if fk.column == timed[0])
            guesses.append(Guess(table.name, timed[0], "time_from", f"its rows are parts of {whole}, and have no time"))
            yield table.name, timed[0]


def _primary_key(
    source: Source, table: TableInfo, profile: dict[str, ColumnProfile], names: Iterable[str], guesses: list[Guess]
) -> str | None:
    dtypes = {c.name: c.dtype for c in table.columns}
    if (why := _unusable(table, table.primary_key)) is not None:
        guesses.append(Guess(table.name, ", ".join(table.primary_key), "not_used", f"the declared primary key: {why}"))
        return None
    if len(table.primary_key) == 1 and dtypes[table.primary_key[0]] is not DType.TIMESTAMP:
        return table.primary_key[0]
    if len(table.primary_key) == 1:
        guesses.append(Guess(table.name, table.primary_key[0], "primary_key", "a moment is taken as time, not as key"))
        return None
    if len(table.primary_key) > 1:
        return ColumnSchema.composite(table.primary_key).name
    scored = [
        (key_name_score(table.name, c.name, names) + (0.1 if i == 0 else 0.0), -i, c)
        for i, c in enumerate(table.columns)
        if _may_be_key(c) and profile[c.name].looks_unique
    ]
    likely = [s for s in sorted(scored, key=lambda s: s[:2], reverse=True) if s[0] >= 0.5]
    counted = [(score, column, *_count_keys(source, table, column.name)) for score, _, column in likely]
    whole = [(c, "all {0:,} values differ") for _, c, there, different in counted if different == there == table.rows]
    # A table whose key nobody declared has now and then a row twice, or one without a key: those rows are left out.
    nearly = [
        (c, f"{different:,} different values in {{0:,}} rows; NULLs and repeated ones are left out, and counted")
        for score, c, _, different in counted
        if score >= _OWN_KEY and table.rows - different <= _MAX_REPEATED * table.rows
    ]
    for column, evidence in [*whole, *nearly][:1]:
        told = evidence.format(table.rows) if table.rows else "no rows to measure"
        place = ", first column" if table.columns[0] is column else ""
        guesses.append(Guess(table.name, column.name, "primary_key", f"named like a key{place}; {told}"))
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
    found = _declared(table, primary, columns, guesses)
    for column in table.columns:
        if column.dtype not in {*_KEY_TYPES, DType.FLOAT} or column.name in {primary[table.name], *found}:
            continue
        candidates = [
            (parent, columns[parent][key])
            for parent, key in primary.items()
            if key is not None
            and key in columns[parent]
            and _may_refer(column.dtype, columns[parent][key].dtype)
            and (names_parent(column.name, parent, key) if parent != table.name else names_itself(column.name))
        ]
        best = _best_parent(source, table, column, profile[column.name], candidates, guesses)
        if best is not None:
            found[column.name] = best
    return tuple(ForeignKey(c, p) for c, p in found.items())


def _declared(
    table: TableInfo,
    primary: dict[str, str | None],
    columns: dict[str, dict[str, ColumnInfo]],
    guesses: list[Guess],
) -> dict[str, str]:
    """Return the declared foreign keys that point at primary keys; those of several columns in the key's order.

    Those that point elsewhere, and the second of one column, are not used; a note says so.
    """
    found: dict[str, str] = {}
    for fk in table.foreign_keys:
        own = dict(zip(fk.parent_columns, fk.columns, strict=True))
        key = primary.get(fk.parent) or ""
        parts = key_parts(key, columns.get(fk.parent, ())) or ()
        names, target = ", ".join(fk.columns), f"{fk.parent} ({', '.join(fk.parent_columns)})"
        if (no_key := _unusable(table, fk.columns)) is not None:
            guesses.append(Guess(table.name, names, "not_used", f"the declared foreign key {names}: {no_key}"))
        elif set(parts) != set(own):
            why = f"it refers to {target}, whose primary key is {key or 'not known'}"
            guesses.append(Guess(table.name, names, "not_used", f"the declared foreign key {names}: {why}"))
        elif (ordered := ", ".join(own[p] for p in parts)) in found:
            why = f"it refers to {found[ordered]} too, which was declared first"
            guesses.append(Guess(table.name, names, "not_used", f"the foreign key {names} to {target}: {why}"))
        else:
            found[ordered] = fk.parent
    return found


def _unusable(table: TableInfo, columns: Iterable[str]) -> str | None:
    """Return why columns that are declared as a key cannot be one; None if they can."""
    kinds = {c.name: (c.dtype, c.sql_type) for c in table.columns}
    return next((why for c in columns if (why := why_no_key(*kinds[c])) is not None), None)


def _may_be_key(column: ColumnInfo) -> bool:
    return column.dtype in _KEY_TYPES or column.sql_type.upper() in _WIDE


_WIDE = frozenset({"UBIGINT", "HUGEINT", "UHUGEINT"})
"""Whole numbers that may be beyond 64 bits, and then count as decimals."""


def _may_refer(child: DType, parent: DType) -> bool:
    """Whether a column may hold keys of a type: integers with NULLs arrive as floats, numbers and UUIDs as text."""
    return child == parent or (parent, child) in _SPELLINGS


_SPELLINGS = {
    (DType.INTEGER, DType.FLOAT),
    (DType.FLOAT, DType.INTEGER),
    (DType.INTEGER, DType.TEXT),
    (DType.TEXT, DType.INTEGER),
    (DType.UUID, DType.TEXT),
    (DType.TEXT, DType.UUID),
}


def _best_parent(
    source: Source,
    table: TableInfo,
    column: ColumnInfo,
    profile: ColumnProfile,
    candidates: Iterable[tuple[str, ColumnInfo]],
    guesses: list[Guess],
) -> str | None:
    """Return the candidate parent that holds most of the column's values, and note why.

    Containment is measured on a sample of distinct values first, and then, for the best, on all rows.
    """
    if profile.non_null == 0:
        found = [(0.5, parent, key.name, "no values to measure") for parent, key in candidates]
    else:
        found = []
        for parent, key in candidates:
            share = _containment(source, table, column, parent, key, sample=_SAMPLE_KEYS)
            if share >= _MIN_CONTAINMENT:
                found.append((share, parent, key.name, f"{share:.1%} of values found in {parent}.{key.name}"))
    if not found:
        return None
    # Of two that hold its values alike, the one whose name says more of the column's; the table itself comes last.
    named = {parent: len(singular(parent)) if parent != table.name else 0 for parent, _ in candidates}
    share, parent, key_name, evidence = max(found, key=lambda f: (round(f[0], 2), named[f[1]], f))
    if profile.non_null and 0 < table.rows <= _VERIFIED_ROWS:
        key = next(k for p, k in candidates if p == parent)
        share = _containment(source, table, column, parent, key, sample=None)
        evidence = f"{share:.1%} of all rows' values found in {parent}.{key_name}"
    why = f"named after {parent}.{key_name}" if parent != table.name else "named like a reference within the table"
    guesses.append(Guess(table.name, column.name, "foreign_key", f"{why}; {evidence}", round(share, 4)))
    return parent


def _time_column(
    source: Source,
    table: TableInfo,
    profile: dict[str, ColumnProfile],
    primary: str | None,
    guesses: list[Guess],
) -> str | None:
    """Choose the moment at which a row came to be: by its name, and by how it rises with a key of integers."""
    if table.time_column is not None:
        return table.time_column
    times = [c.name for c in table.columns if c.dtype is DType.TIMESTAMP and _could_tell_time(profile[c.name])]
    named = {name: time_name_score(singular(table.name), name) for name in times}
    counted = len(times) > 1 and {c.name: c.dtype for c in table.columns}.get(primary or "") is DType.INTEGER
    rises = {name: _rises(source, table.name, name, primary or "") if counted else 0.0 for name in times}
    scored = sorted(((named[t] + 0.4 * (rises[t] > _RISING), -i, t) for i, t in enumerate(times)), reverse=True)
    if not scored or scored[0][0] < 0:
        return None
    name = scored[0][2]
    why = "the only timestamp" if len(times) == 1 else f"reads most like the moment of the row among {len(times)}"
    why += f"; rises with {primary}" if rises[name] > _RISING else ""
    guesses.append(Guess(table.name, name, "time_column", why))
    return name


_RISING = 0.9


def _rises(source: Source, table: str, time: str, key: str) -> float:
    """Return the share of rows (of the first 100,000) whose time is not before that of the row with the key before."""
    first = exp.select(source.column(table, time).as_("moment"), exp.column(key, quoted=True).as_("number"))
    first = first.from_(_table(table)).limit(100_000)
    order = exp.Order(expressions=[exp.Ordered(this=exp.column("number"), desc=False)])
    before = exp.Window(this=exp.Lag(this=exp.column("moment")), order=order)
    pairs = exp.select("moment", before.as_("earlier")).from_(first.subquery("first_rows"))
    rising = exp.Case().when(exp.column("moment") >= exp.column("earlier"), exp.Literal.number(1))
    statement = exp.select(exp.Count(this=rising).as_("rising"), exp.Count(this=exp.column("earlier")).as_("pairs"))
    row = source.query(statement.from_(pairs.subquery("pairs"))).read_all().to_pylist()[0]
    return int(row["rising"]) / int(row["pairs"]) if row["pairs"] else 0.0


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
        return _stype_of_text(column, profile)
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
        return Stype.CATEGORICAL, f"an integer named like a code; about {profile.distinct:,} distinct values"
    return Stype.NUMERICAL, f"an integer; about {profile.distinct:,} distinct values"


_READS = 0.98
_LISTS = 0.3
_REPEATED = 5  # texts per word, if the words are categories


def _stype_of_text(column: ColumnInfo, profile: ColumnProfile) -> tuple[Stype, str]:
    if profile.moments >= _READS:
        return Stype.TIMESTAMP, f"text of which {profile.moments:.1%} reads as a moment"
    if profile.numbers >= _READS and profile.distinct > 30 and not _CODE_WORDS.intersection(words(column.name)):
        return Stype.NUMERICAL, f"text of which {profile.numbers:.1%} reads as a number"
    if profile.lists >= _LISTS and 2 <= profile.parts * _REPEATED <= profile.non_null:
        listed = f"{profile.lists:.0%} of the texts are lists (a|b or a;b)"
        return Stype.MULTICATEGORICAL, f"{listed} of {profile.parts:,} different words"
    share = profile.distinct / profile.non_null
    seen = f"about {profile.distinct:,} distinct values in {profile.non_null:,}"
    if profile.distinct <= 30 or (share <= 0.5 and profile.distinct <= 20_000 and profile.mean_length <= 60):
        return Stype.CATEGORICAL, seen
    return Stype.TEXT, f"{seen}, {profile.mean_length:.0f} characters on average"


def _stype_of_list(column: ColumnInfo) -> tuple[Stype, str]:
    inner = column.sql_type.upper().split("[")[0]
    if inner.startswith(("FLOAT", "DOUBLE", "DECIMAL", "REAL", "NUMERIC", "VECTOR")):
        return Stype.EMBEDDING, f"a list of {inner.lower()}"
    if inner.startswith(("VARCHAR", "CHAR", "TEXT", "ENUM", "INTEGER", "BIGINT", "SMALLINT", "UUID")):
        return Stype.MULTICATEGORICAL, f"a list of {inner.lower()}"
    return Stype.IGNORE, f"{column.sql_type} has no encoder"


def _count_keys(source: Source, table: TableInfo, column: str) -> tuple[int, int]:
    """Return how many values a column holds, and how many different ones."""
    value = exp.column(column, quoted=True)
    there = exp.Count(this=value).as_("there")
    different = exp.Count(this=exp.Distinct(expressions=[value.copy()])).as_("different")
    row = source.query(exp.select(there, different).from_(_table(table.name))).read_all().to_pylist()[0]
    return int(row["there"]), int(row["different"])


def _containment(
    source: Source, table: TableInfo, column: ColumnInfo, parent: str, key: ColumnInfo, sample: int | None
) -> float:
    """Return the share of the column's values found in the parent's key, however the two are spelled.

    ``sample`` limits it to so many distinct values; None counts every row.
    """
    value = source.column(table.name, column.name)
    values = exp.select(value.as_("value")).from_(_table(table.name)).where(value.copy().is_(exp.null()).not_())
    values = values.distinct().limit(sample) if sample is not None else values
    target = ColumnSchema(key.name, key.dtype, Stype.ID, case=key.case)
    # A number may travel as text, so as not to be rounded.
    as_text = isinstance(value, exp.Cast) and value.to.is_type("text")
    own = key_sql(ColumnSchema("value", DType.TEXT if as_text else column.dtype, Stype.ID), None, target)
    known = exp.select(key_sql(target, None, target).as_("known")).from_(_table(parent))
    known = exp.select("known").from_(known.subquery("keys")).where(exp.column("known").is_(exp.null()).not_())
    found = exp.Sum(this=exp.Case().when(own.isin(query=known), exp.Literal.number(1)).else_(exp.Literal.number(0)))
    statement = exp.select(found.as_("found"), exp.Count(this=exp.Star()).as_("total")).from_(
        values.subquery("sampled")
    )
    row = source.query(statement).read_all().to_pylist()[0]
    return float(row["found"]) / int(row["total"]) if row["total"] else 1.0


def _table(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))
