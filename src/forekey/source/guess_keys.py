"""Primary and foreign keys that a database does not declare, guessed with evidence.

A key is unique and never NULL. That alone is true of many columns, so it must be named like a key, or be referred to:
other columns hold its values, and too many of them for that to be chance.
"""

from __future__ import annotations

import functools
import math
import re
import string
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from sqlglot import exp

from forekey.schema import ColumnSchema, DType, Stype, key_parts
from forekey.source.guesses import LIKELY, SURE, Guess
from forekey.source.key_sql import key_sql, why_no_key
from forekey.source.names import (
    calendar_part,
    key_name_score,
    names_itself,
    names_key,
    names_ordinal,
    names_parent,
    singular,
)
from forekey.source.profile import ColumnProfile
from forekey.source.protocol import ColumnInfo, Source, TableInfo

Profiles = Mapping[str, Mapping[str, ColumnProfile]]
KEY_TYPES = frozenset({DType.INTEGER, DType.TEXT, DType.UUID})
_WIDE = frozenset({"UBIGINT", "HUGEINT", "UHUGEINT"})
"""Whole numbers that may be beyond 64 bits, and then count as decimals."""
_NAMED = 0.8
_UNNAMED = 0.85
"""The share of a column's values that must be found in a key that its name refers to, and in another."""
_UNNAMED_NUMBERS = 0.99
_CHANCE = 1e-3
_SPREAD, _FEWEST = 0.5, 20
"""How much of a key's range a column of other numbers must span, and how many different ones it must have."""
_SAMPLE_KEYS = 10_000
_VERIFIED_ROWS = 5_000_000
_OWN_KEY = 1.0
"""The score of a column that is named after nothing but its own table's key."""
_MAX_REPEATED = 0.05
_ENOUGH_ROWS = 20
_MOST_PARTS = 5
_LONGEST_KEY = 64.0
_SPELLINGS = {
    (DType.INTEGER, DType.FLOAT),
    (DType.FLOAT, DType.INTEGER),
    (DType.INTEGER, DType.TEXT),
    (DType.TEXT, DType.INTEGER),
    (DType.UUID, DType.TEXT),
    (DType.TEXT, DType.UUID),
}


@dataclass(frozen=True)
class Keys:
    """The primary key of each table (None where it has none), and its foreign keys by column."""

    primary: dict[str, str | None]
    foreign: dict[str, dict[str, str]]


def guess_keys(
    source: Source,
    infos: Mapping[str, TableInfo],
    profiles: Mapping[str, Mapping[str, ColumnProfile]],
    guesses: list[Guess],
) -> Keys:
    """Complete the keys that tables declare; every guess is noted."""
    found = _Keys(source, infos, profiles, guesses)
    found.find_primary()
    found.find_foreign()
    return Keys(found.primary, found.foreign)


class _Keys:
    """Keys in the making: natural keys need the columns that refer to them, references need the keys."""

    def __init__(
        self,
        source: Source,
        infos: Mapping[str, TableInfo],
        profiles: Profiles,
        guesses: list[Guess],
    ) -> None:
        self.source, self.infos, self.profiles, self.guesses = source, infos, profiles, guesses
        self.primary: dict[str, str | None] = {}
        self.foreign: dict[str, dict[str, str]] = {}
        self._ranges: dict[str, tuple[float, float, int]] = {}

    def find_primary(self) -> None:
        """Take declared keys, then columns named like keys, then those that others refer to, then sets of columns."""
        referred = {(fk.parent, fk.parent_columns) for t in self.infos.values() for fk in t.foreign_keys}
        for name, table in self.infos.items():
            is_referred = (name, tuple(table.primary_key)) in referred
            self.primary[name] = _declared_primary(table, is_referred, self.guesses) or self._named_primary(table)
        declared = {name: self._declared_foreign(table) for name, table in self.infos.items()}
        self.foreign = declared
        for table in self.infos.values():
            if self.primary[table.name] is None:
                self.primary[table.name] = self._referenced_primary(table)
        for table in self.infos.values():
            if self.primary[table.name] is None:
                self.primary[table.name] = self._composite_primary(table)

    def find_foreign(self) -> None:
        """Find, for each column, the key that holds its values; then references of several columns."""
        for table in self.infos.values():
            taken = self.foreign[table.name]
            for column in table.columns:
                if column.dtype not in {*KEY_TYPES, DType.FLOAT} or column.name in {self.primary[table.name], *taken}:
                    continue
                parent = self._best_parent(table, column)
                if parent is not None:
                    taken[column.name] = parent
            for parent, key in self._composite_keys():
                self._refer_together(table, parent, key)

    def _named_primary(self, table: TableInfo) -> str | None:
        """Return the column that is named like the table's key, if it is one."""
        profile = self.profiles[table.name]
        scored = [
            (key_name_score(table.name, c.name, self.infos) + (0.1 if i == 0 else 0.0), -i, c)
            for i, c in enumerate(table.columns)
            if _may_be_key(c) and profile[c.name].looks_unique
        ]
        likely = [s for s in sorted(scored, key=lambda s: s[:2], reverse=True) if s[0] >= 0.5]
        counted = [(score, column, *self._count(table, (column.name,))) for score, _, column in likely]
        whole = [
            (c, "all {0:,} values differ") for _, c, there, different in counted if different == there == table.rows
        ]
        # A table whose key nobody declared has now and then a row twice, or one without a key: those rows are left out.
        nearly = [
            (c, f"{different:,} different values in {{0:,}} rows; NULLs and repeated ones are left out, and counted")
            for score, c, _, different in counted
            if score >= _OWN_KEY and table.rows - different <= _MAX_REPEATED * table.rows
        ]
        for column, evidence in [*whole, *nearly][:1]:
            told = evidence.format(table.rows) if table.rows else "no rows to measure"
            place = ", first column" if table.columns[0] is column else ""
            # A table of a few rows, or of none, has unique columns by chance.
            sure = 0.95 if whole and table.rows >= _ENOUGH_ROWS else LIKELY
            self._note(table.name, column.name, "primary_key", f"named like a key{place}; {told}", certainty=sure)
            return column.name
        return None

    def _referenced_primary(self, table: TableInfo) -> str | None:
        """Return a unique column, first in its table or of a name that others have, whose values others hold."""
        profile = self.profiles[table.name]
        elsewhere = {c.name for t in self.infos.values() if t.name != table.name for c in t.columns}
        for i, column in enumerate(table.columns):
            own = profile[column.name]
            if not (i == 0 or column.name in elsewhere) or not _may_be_natural(column, own):
                continue
            if table.rows < 2 or self._count(table, (column.name,)) != (table.rows, table.rows):
                continue
            evidence = next(self._referring(table, column), None)
            if evidence is not None:
                place = ", first column" if i == 0 else ""
                why = f"all {table.rows:,} values differ{place}; {evidence}"
                self._note(table.name, column.name, "primary_key", why, certainty=0.75)
                return column.name
        return None

    def _referring(self, table: TableInfo, key: ColumnInfo) -> Iterator[str]:
        """Yield the columns of other tables that hold values of a column, with the share of them."""
        for other in self.infos.values():
            for column in other.columns if other.name != table.name else ():
                own = self.profiles[other.name][column.name]
                if column.name in {self.primary[other.name], *self.foreign.get(other.name, {})} or own.non_null == 0:
                    continue
                if not self._could_hold(other, column, table.name, key):
                    continue
                share = self._containment(other, column, table.name, key, sample=None)
                if self._is_no_chance(other, column, table.name, key, share):
                    yield f"{other.name}.{column.name} refers to it ({share:.1%} of its values are found)"

    def _composite_primary(self, table: TableInfo) -> str | None:
        """Return the shortest run of leading key-like columns that is unique, if others refer to it or it counts."""
        known = {p for k in self.primary.values() if k is not None for p in k.split(", ")}
        shared = {c.name for t in self.infos.values() if t.name != table.name for c in t.columns}
        leading = list(takewhile(lambda c: _may_be_part(table, c, known | shared), table.columns[:_MOST_PARTS]))
        for size in range(2, len(leading) + 1):
            parts = tuple(c.name for c in leading[:size])
            if table.rows < 2 or self._count(table, parts) != (table.rows, table.rows):
                continue
            referring = [t.name for t in self._sharing(table, parts) if self._holds_together(t, table.name, parts)]
            keys = all(_may_be_part(table, c, known) for c in leading[:size])
            counts = keys and names_ordinal(parts[-1]) and self.profiles[table.name][parts[-1]].low in {0.0, 1.0}
            if referring or counts:
                why = (
                    f"{', '.join(referring)} refer to it by the same names" if referring else f"{parts[-1]} counts rows"
                )
                key = ColumnSchema.composite(parts).name
                told = f"together, all {table.rows:,} values differ; {why}"
                self._note(table.name, key, "primary_key", told, certainty=LIKELY if referring else 0.6)
                return key
            return None
        return None

    def _sharing(self, table: TableInfo, parts: Sequence[str]) -> Iterator[TableInfo]:
        """Yield the other tables that have columns of all these names, and more."""
        for other in self.infos.values():
            names = {c.name for c in other.columns}
            if other.name != table.name and set(parts) <= names and other.rows:
                yield other

    def _composite_keys(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name, key in self.primary.items():
            columns = {c.name for c in self.infos[name].columns}
            if key is not None and key not in columns and (parts := key_parts(key, columns)):
                yield name, parts

    def _refer_together(self, table: TableInfo, parent: str, parts: tuple[str, ...]) -> None:
        """Take columns of the names of a key of several for a reference to it, where they hold its values."""
        names = {c.name for c in table.columns}
        column = ", ".join(parts)
        own = set(key_parts(self.primary[table.name] or "", names) or ())
        if parent == table.name or not set(parts) <= names or own == set(parts) or column in self.foreign[table.name]:
            return
        if any(set(key_parts(k, names) or ()) == set(parts) for k in self.foreign[table.name]):
            return
        share = self._share_together(table, parent, parts)
        if table.rows and share >= _UNNAMED:
            self.foreign[table.name][column] = parent
            why = f"named like the key of {parent}; {share:.1%} of all rows' values found there"
            self._note(table.name, column, "foreign_key", why, share, 0.8 * share)

    def _holds_together(self, table: TableInfo, parent: str, parts: tuple[str, ...]) -> bool:
        return self._share_together(table, parent, parts) >= _UNNAMED

    def _share_together(self, table: TableInfo, parent: str, parts: tuple[str, ...]) -> float:
        own, key = (self._composite(t, parts) for t in (table.name, parent))
        return _share_found(self.source, table.name, key_sql(own, None, key), parent, key_sql(key, None, key), None)

    def _composite(self, table: str, parts: tuple[str, ...]) -> ColumnSchema:
        columns = self.infos[table].columns
        known = {c.name: ColumnSchema(c.name, c.dtype, Stype.ID, case=c.case) for c in columns}
        return ColumnSchema.composite(parts, known)

    def _best_parent(self, table: TableInfo, column: ColumnInfo) -> str | None:
        """Return the parent whose key a column refers to: one that its name says, or one whose values it must hold."""
        named = [(p, k) for p, k in self._single_keys(column) if _is_named_after(table, column, p, k)]
        best = self._most_contained(table, column, named, _NAMED)
        if best is not None:
            parent, share, evidence = best
            after = f"named after {parent}.{self.primary[parent]}"
            why = after if parent != table.name else "named like a reference within the table"
            self._note(table.name, column.name, "foreign_key", f"{why}; {evidence}", share, 0.45 + 0.5 * share)
            return parent
        if self.profiles[table.name][column.name].non_null == 0:
            return None
        unnamed = [
            (p, k) for p, k in self._single_keys(column) if p != table.name and self._could_hold(table, column, p, k)
        ]
        best = self._most_contained(table, column, unnamed, _UNNAMED)
        if best is None or not self._is_no_chance(table, column, best[0], dict(unnamed)[best[0]], best[1]):
            return None
        parent, share, evidence = best
        why = f"{evidence}, too many for chance"
        self._note(table.name, column.name, "foreign_key", why, share, 0.75 * share)
        return parent

    def _single_keys(self, column: ColumnInfo) -> Iterator[tuple[str, ColumnInfo]]:
        """Yield the keys of one column that a column may hold, by its type."""
        for name, key in self.primary.items():
            target = next((c for c in self.infos[name].columns if c.name == key), None)
            if target is not None and (column.dtype == target.dtype or (target.dtype, column.dtype) in _SPELLINGS):
                yield name, target

    def _most_contained(
        self, table: TableInfo, column: ColumnInfo, candidates: Iterable[tuple[str, ColumnInfo]], least: float
    ) -> tuple[str, float, str] | None:
        """Return the candidate that holds most of a column's values, the share, and the evidence in words.

        Of a very large table, a sample of distinct values is looked up.
        """
        found, keys = [], dict(candidates)
        empty = self.profiles[table.name][column.name].non_null == 0
        sample = None if table.rows <= _VERIFIED_ROWS else _SAMPLE_KEYS
        for parent, key in keys.items():
            share = 0.5 if empty else self._containment(table, column, parent, key, sample=sample)
            if empty or share >= least:
                found.append((share, parent))
        if not found:
            return None
        # Of two that hold its values alike, one whose key is declared (no view has that), then the one whose name says
        # more of the column's; the table itself comes last.
        declared = {parent: len(self.infos[parent].primary_key) == 1 and parent != table.name for parent in keys}
        length = {parent: len(singular(parent)) if parent != table.name else 0 for parent in keys}
        share, parent = max(found, key=lambda f: (round(f[0], 2), declared[f[1]], length[f[1]], f))
        whose = "all rows' values" if sample is None else "values"
        evidence = f"{share:.1%} of {whose} found in {parent}.{keys[parent].name}"
        return parent, round(share, 4), "no values to measure" if empty else evidence

    def _could_hold(self, table: TableInfo, column: ColumnInfo, parent: str, key: ColumnInfo) -> bool:
        """Whether a column may refer to a key that its name does not say, by what is known before values are looked up.

        Texts must look alike. Whole numbers must be spread over a key whose numbers have gaps: any column may hold
        numbers from 1 on.
        """
        own, target = self.profiles[table.name][column.name], self.profiles[parent][key.name]
        if column.dtype is not key.dtype or own.distinct < 2 or target.distinct < 2:
            return False
        if column.name == key.name:  # of numbers, repeated ones are wanted: each key stands for several rows
            return _alike(own, target) if column.dtype is DType.TEXT else own.non_null >= 2 * own.distinct
        if column.dtype is DType.INTEGER:
            low, high, count = self._range(parent, key)
            spread = own.high - own.low >= _SPREAD * (high - low)
            return spread and own.distinct >= _FEWEST and count <= _SPREAD * (high - low + 1)
        return key.dtype is not DType.TEXT or _alike(own, target)

    def _is_no_chance(self, table: TableInfo, column: ColumnInfo, parent: str, key: ColumnInfo, share: float) -> bool:
        """Whether so large a share of a column's values would hardly be found in a key by chance.

        The chance that of ``k`` values the share ``c`` or more is found where a share ``d`` of all possible values are
        keys is at most ``exp(-k D(c, d))``, D the relative entropy (Hoeffding 1963).
        """
        own, target = self.profiles[table.name][column.name], self.profiles[parent][key.name]
        if share < (_UNNAMED_NUMBERS if key.dtype is DType.INTEGER else _UNNAMED):
            return False
        if column.name == key.name:
            return True
        density = _density(key, target)
        if key.dtype is DType.INTEGER:
            low, high, count = self._range(parent, key)
            density = count / (high - low + 1)
        return math.exp(-own.distinct * _relative_entropy(share, density)) <= _CHANCE

    def _range(self, table: str, key: ColumnInfo) -> tuple[float, float, int]:
        """Return the lowest and the highest number of a key, and how many there are; asked once a key."""
        if table not in self._ranges:
            value = exp.column(key.name, quoted=True)
            answers = {
                "low": exp.Min(this=value),
                "high": exp.Max(this=value.copy()),
                "n": exp.Count(this=value.copy()),
            }
            statement = exp.select(*(a.as_(n) for n, a in answers.items())).from_(_table(table))
            row = self.source.query(statement).read_all().to_pylist()[0]
            self._ranges[table] = (float(row["low"] or 0), float(row["high"] or 0), int(row["n"]))
        return self._ranges[table]

    def _containment(
        self, table: TableInfo, column: ColumnInfo, parent: str, key: ColumnInfo, sample: int | None
    ) -> float:
        """Return the share of the column's values found in the parent's key, however the two are spelled."""
        value = self.source.column(table.name, column.name)
        target = ColumnSchema(key.name, key.dtype, Stype.ID, case=key.case)
        # A number may travel as text, so as not to be rounded.
        as_text = isinstance(value, exp.Cast) and value.to.is_type("text")
        own = key_sql(ColumnSchema("value", DType.TEXT if as_text else column.dtype, Stype.ID), None, target)
        return _share_found(self.source, table.name, value, parent, key_sql(target, None, target), sample, own)

    def _count(self, table: TableInfo, columns: Sequence[str]) -> tuple[int, int]:
        """Return how many rows have a value in each of some columns, and how many different ones there are."""
        values: list[exp.Expression] = [exp.column(c, quoted=True) for c in columns]
        there = exp.and_(*(v.copy().is_(exp.null()).not_() for v in values))
        inner = exp.select(*values).from_(_table(table.name)).where(there)
        rows = exp.select(exp.Count(this=exp.Star()).as_("n")).from_(inner.subquery("there"))
        different = exp.select(exp.Count(this=exp.Star()).as_("n")).from_(inner.copy().distinct().subquery("different"))
        counts = [int(self.source.query(s).read_all().column(0)[0].as_py()) for s in (rows, different)]
        return counts[0], counts[1]

    def _declared_foreign(self, table: TableInfo) -> dict[str, str]:
        """Return the declared foreign keys that point at primary keys; those of several columns in the key's order.

        Those that point elsewhere, and the second of one column, are not used; a note says so.
        """
        found: dict[str, str] = {}
        for fk in table.foreign_keys:
            own = dict(zip(fk.parent_columns, fk.columns, strict=True))
            key = self.primary.get(fk.parent) or ""
            parts = (
                key_parts(key, [c.name for c in self.infos[fk.parent].columns] if fk.parent in self.infos else ()) or ()
            )
            names, target = ", ".join(fk.columns), f"{fk.parent} ({', '.join(fk.parent_columns)})"
            if (no_key := _unusable(table, fk.columns)) is not None:
                self._note(table.name, names, "not_used", f"the declared foreign key {names}: {no_key}")
            elif set(parts) != set(own):
                why = f"it refers to {target}, whose primary key is {key or 'not known'}"
                self._note(table.name, names, "not_used", f"the declared foreign key {names}: {why}")
            elif (ordered := ", ".join(own[p] for p in parts)) in found:
                why = f"it refers to {found[ordered]} too, which was declared first"
                self._note(table.name, names, "not_used", f"the foreign key {names} to {target}: {why}")
            else:
                found[ordered] = fk.parent
        return found

    def _note(
        self, table: str, column: str, what: str, reason: str, score: float | None = None, certainty: float = SURE
    ) -> None:
        self.guesses.append(Guess(table, column, what, reason, score, round(certainty, 2)))


def _declared_primary(table: TableInfo, is_referred: bool, guesses: list[Guess]) -> str | None:
    """Return the declared primary key; a moment is one if other tables refer to it, and the time of its row if not."""
    dtypes = {c.name: c.dtype for c in table.columns}
    if (why := _unusable(table, table.primary_key)) is not None:
        guesses.append(Guess(table.name, ", ".join(table.primary_key), "not_used", f"the declared primary key: {why}"))
        return None
    if len(table.primary_key) == 1 and (is_referred or dtypes[table.primary_key[0]] is not DType.TIMESTAMP):
        return table.primary_key[0]
    if len(table.primary_key) == 1:
        guesses.append(Guess(table.name, table.primary_key[0], "primary_key", "a moment is taken as time, not as key"))
        return None
    return ColumnSchema.composite(table.primary_key).name if table.primary_key else None


def _unusable(table: TableInfo, columns: Iterable[str]) -> str | None:
    """Return why columns that are declared as a key cannot be one; None if they can."""
    kinds = {c.name: (c.dtype, c.sql_type) for c in table.columns}
    return next((why for c in columns if (why := why_no_key(*kinds[c])) is not None), None)


def _may_be_key(column: ColumnInfo) -> bool:
    return column.dtype in KEY_TYPES or column.sql_type.upper() in _WIDE


def _may_be_part(table: TableInfo, column: ColumnInfo, known: Collection[str]) -> bool:
    """Whether a column may be part of a key of several, by its name: a key, a year, the number of a row."""
    named = names_key(column.name) or names_ordinal(column.name) or calendar_part(table.name, column.name) is not None
    return _may_be_key(column) and (named or column.name in known)


def _may_be_natural(column: ColumnInfo, profile: ColumnProfile) -> bool:
    """Whether a column may be a key whatever its name: short values, all different as far as was seen."""
    return _may_be_key(column) and profile.looks_unique and profile.nulls == 0 and profile.mean_length <= _LONGEST_KEY


def _is_named_after(table: TableInfo, column: ColumnInfo, parent: str, key: ColumnInfo) -> bool:
    if parent == table.name:
        return names_itself(column.name)
    return names_parent(column.name, parent, key.name)


def _alike(own: ColumnProfile, target: ColumnProfile) -> bool:
    """Whether at least half of a column's texts have the shape (letters, digits, length) of some text of the other."""
    mine, theirs = _shapes(own.texts), frozenset(_shapes(target.texts))
    return 2 * sum(shape in theirs for shape in mine) >= len(mine) > 0


@functools.lru_cache(maxsize=1024)
def _shapes(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_shape, texts))


def _shape(text: str) -> str:
    """Return a text with its letters as a, A and its digits as 9, runs shortened where there are words."""
    bare = text.strip()
    shape = re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"[0-9]", "9", bare)))
    return re.sub(r"(.)\1+", r"\1+", shape) if len(bare) > 8 or " " in bare else shape


def _relative_entropy(share: float, density: float) -> float:
    """Return how far a share is above a density, in nats; 0 if it is not."""
    if share <= density:
        return 0.0
    if density <= 0.0:
        return math.inf
    rest = (1 - share) * math.log((1 - share) / (1 - density)) if share < 1 else 0.0
    return share * math.log(share / density) + rest


def _density(key: ColumnInfo, profile: ColumnProfile) -> float:
    """Return the share of the texts of such a shape as a key's values have that are keys."""
    if key.dtype is not DType.TEXT:
        return 0.0
    sizes = [_possible(t) for t in profile.texts]
    return min(1.0, profile.distinct / (sum(sizes) / max(len(sizes), 1))) if sizes else 1.0


def _possible(text: str) -> float:
    """Return how many texts there are of the length and the kinds of characters of one."""
    total = 1.0
    for c in text.strip()[:12]:
        total *= 10 if c in string.digits else 26 if c in string.ascii_letters else 4
    return total


def _share_found(
    source: Source,
    table: str,
    value: exp.Expression,
    parent: str,
    key: exp.Expression,
    sample: int | None,
    own: exp.Expression | None = None,
) -> float:
    """Return the share of a table's values found among the keys of another; ``sample``: of so many distinct ones."""
    values = exp.select(value.as_("value")).from_(_table(table)).where(value.copy().is_(exp.null()).not_())
    values = values.distinct().limit(sample) if sample is not None else values
    known = exp.select(key.as_("known")).from_(_table(parent))
    known = exp.select("known").from_(known.subquery("keys")).where(exp.column("known").is_(exp.null()).not_())
    written = own if own is not None else exp.column("value")
    found = exp.Sum(this=exp.Case().when(written.isin(query=known), exp.Literal.number(1)).else_(exp.Literal.number(0)))
    counts = exp.select(found.as_("found"), exp.Count(this=exp.Star()).as_("total"))
    row = source.query(counts.from_(values.subquery("sampled"))).read_all().to_pylist()[0]
    return float(row["found"]) / int(row["total"]) if row["total"] else 1.0


def _table(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))
